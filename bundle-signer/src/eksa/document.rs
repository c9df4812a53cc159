//! From bytes to a value. Ambiguous text is refused.

use gostd::{Limits, yaml};
use serde_json::Value;
use serde_saphyr::budget::{BudgetBreach, EnforcingPolicy, check_yaml_budget};

use super::Refusal;
use super::path::{Path, Step};
use crate::Result;

/// The largest manifest that is read. etcd accepts 1.5 MiB; AWS's largest manifest has 0.25 MiB.
pub const MAX_LEN: usize = 4 << 20;
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 200_000;

/// Reads the one document of `text`.
///
/// # Errors
/// When it is not YAML or JSON that all readers read alike, or exceeds a limit.
pub(super) fn read(text: &[u8]) -> Result<Value> {
    if text.len() > MAX_LEN {
        return Err(Refusal::TooLarge(text.len()).into());
    }
    if let Some(at) = text.iter().position(|byte| !is_text(char::from(*byte))) {
        let lines = text.iter().take(at).filter(|byte| **byte == b'\n').count();
        return Err(Refusal::NotAscii(lines + 1).into());
    }
    let text = std::str::from_utf8(text).map_err(|_| Refusal::NotAscii(1))?;
    bound(text)?;
    let value = yaml::parse_strict(text, &limits()).map_err(Refusal::Yaml)?;
    check_strings(&value, &mut Path::default(), &is_text, &Refusal::Unprintable)?;
    Ok(value)
}

/// Checks that the signed part has no line breaks, with which a string can be written in many ways.
///
/// # Errors
/// [`Refusal::LineBreak`] for the first one.
pub(super) fn check_signed(value: &Value) -> Result<()> {
    check_strings(value, &mut Path::default(), &|c| matches!(c, ' '..='~'), &Refusal::LineBreak)
}

fn is_text(c: char) -> bool {
    matches!(c, ' '..='~' | '\n' | '\r' | '\t')
}

/// Checks the limits before anything is built. Manifests of these kinds need no anchors, aliases or merge keys, with
/// which a small text can become a huge value, and one line can change the meaning of another.
fn bound(text: &str) -> Result<()> {
    let budget = serde_saphyr::budget! {
        max_depth: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
        max_anchors: 0,
        max_aliases: 0,
        max_merge_keys: 0,
        max_documents: 16,
        max_nodes: MAX_NODES,
        max_events: 3 * MAX_NODES,
        max_total_scalar_bytes: MAX_LEN,
    }
    .unwrap_or_default();
    let Ok(report) = check_yaml_budget(text, budget, EnforcingPolicy::AllContent) else {
        // The project's own parser has better error messages, and accepts some texts that this one does not.
        return match yaml::parse_strict(text, &limits()) {
            Err(error) => Err(Refusal::Yaml(error).into()),
            Ok(_) => Err(Refusal::AmbiguousYaml.into()),
        };
    };
    match report.breached {
        None if report.documents == 1 => Ok(()),
        None => Err(Refusal::Documents(report.documents).into()),
        Some(BudgetBreach::Documents { documents }) => Err(Refusal::Documents(documents).into()),
        Some(
            BudgetBreach::Anchors { .. }
            | BudgetBreach::Aliases { .. }
            | BudgetBreach::MergeKeys { .. }
            | BudgetBreach::AliasAnchorRatio { .. },
        ) => Err(Refusal::Anchors.into()),
        Some(BudgetBreach::Depth { .. }) => Err(Refusal::Bound("too deep").into()),
        Some(_) => Err(Refusal::Bound("too many values").into()),
    }
}

fn limits() -> Limits {
    Limits { value_depth: MAX_DEPTH, value_nodes: MAX_NODES, ..Limits::default() }
}

fn check_strings(
    value: &Value,
    here: &mut Path,
    allowed: &dyn Fn(char) -> bool,
    refusal: &dyn Fn(String) -> Refusal,
) -> Result<()> {
    let check = |text: &str, here: &Path| {
        if text.chars().all(allowed) { Ok(()) } else { Err(refusal(here.to_string())) }
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) => Ok(check(text, here)?),
        Value::Array(list) => list.iter().enumerate().try_for_each(|(index, value)| {
            here.enter(Step::Element(index));
            check_strings(value, here, allowed, refusal)?;
            here.leave();
            Ok(())
        }),
        Value::Object(map) => map.iter().try_for_each(|(name, value)| {
            check(name, here)?;
            here.enter(Step::Member(name.clone()));
            check_strings(value, here, allowed, refusal)?;
            here.leave();
            Ok(())
        }),
    }
}

//! The name of a kind's resource, which rules are about.
//!
//! Kubernetes' own kinds keep to the rule by which `kubectl` guesses, but for one; kinds that charts define say it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::objects::text;

/// Plurals by group and kind, of the definitions that come along.
pub(super) type Defined = BTreeMap<(String, String), String>;

pub(super) fn defined(objects: &[&Value]) -> Defined {
    let definitions = objects.iter().filter(|object| text(object, "/kind") == "CustomResourceDefinition");
    definitions
        .map(|definition| {
            let key = (text(definition, "/spec/group"), text(definition, "/spec/names/kind"));
            ((key.0.to_owned(), key.1.to_owned()), text(definition, "/spec/names/plural").to_owned())
        })
        .filter(|(_, plural)| !plural.is_empty())
        .collect()
}

/// The resource of a kind; none for a kind that could be called anything.
pub(super) fn plural(group: &str, kind: &str, defined: &Defined) -> Option<String> {
    if let Some(plural) = defined.get(&(group.to_owned(), kind.to_owned())) {
        return Some(plural.clone());
    }
    let lower = kind.to_ascii_lowercase();
    let plain = lower.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if lower.is_empty() || !plain {
        return None;
    }
    // `UnsafeGuessKindToResource` of apimachinery.
    Some(match (lower.as_str(), lower.chars().last()) {
        ("endpoints", _) => lower,
        (_, Some('s')) => format!("{lower}es"),
        (_, Some('y')) if !lower.ends_with("ay") && !lower.ends_with("ey") => {
            format!("{}ies", lower.trim_end_matches('y'))
        }
        _ => format!("{lower}s"),
    })
}

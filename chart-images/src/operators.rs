//! The rules of `operators.yaml`: how well-known operators reference images outside the usual fields.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

/// A rule for one operator.
pub(super) struct Rule {
    /// Matches the names of fields, `ConfigMap` keys and environment variables whose text references images.
    pub(super) name: Regex,
    /// Matches an image reference in the text: the first group, or the whole match if there is no group.
    pattern: Regex,
}

impl Rule {
    pub(super) fn references<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let matches = self.pattern.captures_iter(text);
        matches.filter_map(|captures| captures.get(1).or_else(|| captures.get(0)).map(|found| found.as_str()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    /// The operator, for human readers only.
    #[serde(rename = "operator")]
    _operator: String,
    name: String,
    pattern: String,
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let text =
        gostd::yaml::parse(include_str!("operators.yaml"), &gostd::Limits::default()).unwrap_or_default();
    let entries: Vec<RuleEntry> = serde_json::from_value(text).unwrap_or_default();
    let rule = |entry: RuleEntry| {
        Some(Rule { name: Regex::new(&entry.name).ok()?, pattern: Regex::new(&entry.pattern).ok()? })
    };
    entries.into_iter().filter_map(rule).collect()
});

/// All rules. The file is compiled in, and a test checks that every rule in it is valid.
pub(super) fn rules() -> &'static [Rule] {
    &RULES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_in_the_file_is_valid() {
        let text = include_str!("operators.yaml");
        assert_eq!(rules().len(), text.matches("- operator:").count());
        assert!(rules().len() >= 5);
    }
}

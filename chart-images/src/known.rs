//! Operators that name images in ways of their own: `known.yaml`, as rules.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

/// One way of one operator.
pub(super) struct Rule {
    /// The field, key or environment variable whose text names images.
    pub(super) name: Regex,
    /// What of the text names one: the first group, or all that matches.
    pattern: Regex,
}

impl Rule {
    pub(super) fn found<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.pattern.captures_iter(text);
        found.filter_map(|captures| captures.get(1).or_else(|| captures.get(0)).map(|found| found.as_str()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Whose way it is, for people.
    #[serde(rename = "operator")]
    _operator: String,
    name: String,
    pattern: String,
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let text = gostd::yaml::parse(include_str!("known.yaml"), &gostd::Limits::default()).unwrap_or_default();
    let written: Vec<Written> = serde_json::from_value(text).unwrap_or_default();
    let rule = |written: Written| {
        Some(Rule { name: Regex::new(&written.name).ok()?, pattern: Regex::new(&written.pattern).ok()? })
    };
    written.into_iter().filter_map(rule).collect()
});

/// All rules. The file is part of the program, and a test reads it.
pub(super) fn rules() -> &'static [Rule] {
    &RULES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_in_the_file_can_be_used() {
        let text = include_str!("known.yaml");
        assert_eq!(rules().len(), text.matches("- operator:").count());
        assert!(rules().len() >= 5);
    }
}

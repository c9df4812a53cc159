//! `.helmignore`: Helm's own rules, which differ from git's.
//!
//! Source: `pkg/ignore/rules.go`. The first rule that applies decides. A rule with `!` excludes everything that it does
//! not match. Patterns are those of Go's `filepath.Match`.

use super::path;
use crate::error::Error;

/// The rules in order, with Helm's default rule last.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: Vec<char>,
    negated: bool,
    directories_only: bool,
    /// The pattern is matched against the last element of the name, not against the whole name.
    by_base: bool,
}

impl Rules {
    /// Parses a `.helmignore`, and adds Helm's default rule: no hidden files in `templates/`.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut rules = Self::default();
        for line in text.lines().chain(["templates/.?*"]) {
            rules.add(line.trim())?;
        }
        Ok(rules)
    }

    fn add(&mut self, line: &str) -> Result<(), Error> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if line.contains("**") {
            return Err(Error::DoubleStar { rule: line.to_owned() });
        }
        if !is_pattern(&line.chars().collect::<Vec<_>>()) {
            return Err(Error::Pattern { rule: line.to_owned() });
        }
        let (negated, rule) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (directories_only, rule) = rule.strip_suffix('/').map_or((false, rule), |rest| (true, rest));
        let by_base = !rule.contains('/');
        let pattern = rule.strip_prefix('/').unwrap_or(rule).chars().collect();
        self.0.push(Rule { pattern, negated, directories_only, by_base });
        Ok(())
    }

    /// Whether the rules exclude the file or directory `name`.
    pub(super) fn ignores(&self, name: &str, is_directory: bool) -> bool {
        for rule in &self.0 {
            let target = if rule.by_base { path::base(name) } else { name };
            let target: Vec<char> = target.chars().collect();
            if rule.negated {
                if (rule.directories_only && !is_directory) || !matches(&rule.pattern, &target) {
                    return true;
                }
            } else if (is_directory || !rule.directories_only) && matches(&rule.pattern, &target) {
                return true;
            }
        }
        false
    }
}

/// Whether the pattern is valid in Go: brackets are closed and not empty, and no escape is at the end.
fn is_pattern(mut pattern: &[char]) -> bool {
    while let Some((first, rest)) = pattern.split_first() {
        pattern = rest;
        match first {
            '\\' if pattern.is_empty() => return false,
            '\\' => pattern = pattern.get(1..).unwrap_or_default(),
            '[' => match class(pattern, '\0') {
                Some((_, after)) => pattern = after,
                None => return false,
            },
            _ => {}
        }
    }
    true
}

/// Parses the text after `[`: whether the class matches `character`, and the rest after `]`.
fn class(pattern: &[char], character: char) -> Option<(bool, &[char])> {
    let (negated, mut pattern) = pattern.strip_prefix(&['^']).map_or((false, pattern), |rest| (true, rest));
    let mut found = false;
    let mut count = 0;
    loop {
        if let Some(rest) = pattern.strip_prefix(&[']'])
            && count > 0
        {
            return Some((found != negated, rest));
        }
        let (low, rest) = class_character(pattern)?;
        let (high, rest) = match rest.strip_prefix(&['-']) {
            Some(rest) => class_character(rest)?,
            None => (low, rest),
        };
        found |= low <= character && character <= high;
        count += 1;
        pattern = rest;
    }
}

fn class_character(pattern: &[char]) -> Option<(char, &[char])> {
    match pattern.split_first()? {
        ('-' | ']', _) => None,
        ('\\', rest) => rest.split_first().map(|(first, rest)| (*first, rest)),
        (first, rest) => Some((*first, rest)),
    }
}

/// Go's `filepath.Match`: `*` and `?` stop at `/`. It backtracks only to the last star.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut rest, mut left) = (pattern, name);
    let mut retry: Option<(&[char], &[char])> = None;
    loop {
        if let Some(after) = rest.strip_prefix(&['*']) {
            retry = Some((after, left));
            rest = after;
            continue;
        }
        if rest.is_empty() && left.is_empty() {
            return true;
        }
        if let Some((after, remaining)) = one(rest, left) {
            (rest, left) = (after, remaining);
            continue;
        }
        match retry {
            Some((after, [first, remaining @ ..])) if *first != '/' => {
                retry = Some((after, remaining));
                (rest, left) = (after, remaining);
            }
            _ => return false,
        }
    }
}

/// Matches one element of the pattern against one character, and returns the rest of both.
fn one<'a>(pattern: &'a [char], name: &'a [char]) -> Option<(&'a [char], &'a [char])> {
    let (first, rest) = pattern.split_first()?;
    let (character, left) = name.split_first()?;
    match first {
        '?' => (*character != '/').then_some((rest, left)),
        '[' => class(rest, *character).and_then(|(taken, after)| taken.then_some((after, left))),
        '\\' => {
            rest.split_first().and_then(|(literal, after)| (literal == character).then_some((after, left)))
        }
        literal => (literal == character).then_some((rest, left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(rule: &str, name: &str) -> bool {
        let directory = name.ends_with('/');
        Rules::parse(rule).unwrap().ignores(name.trim_end_matches('/'), directory)
    }

    #[test]
    fn names_and_paths_match_as_in_helms_own_test() {
        // From the table of pkg/ignore/rules_test.go.
        for (rule, name, expected) in [
            ("helm.txt", "helm.txt", true),
            ("helm.*", "helm.txt", true),
            ("helm.*", "rudder.txt", false),
            ("*.txt", "tiller.txt", true),
            ("*.txt", "cargo/a.txt", true),
            ("cargo/*.txt", "cargo/a.txt", true),
            ("cargo/*.*", "cargo/a.txt", true),
            ("cargo/*.txt", "mast/a.txt", false),
            ("ru[c-e]?er.txt", "rudder.txt", true),
            ("templates/.?*", "templates/.dotfile", true),
            (".*", ".joonix", true),
            (".*", "helm.txt", false),
            ("cargo/", "cargo/", true),
            ("cargo/", "cargo", false),
            ("mast/", "mast/", true),
            ("helm.txt/", "helm.txt", false),
            ("!helm.txt", "helm.txt", false),
            ("!helm.txt", "tiller.txt", true),
            ("!*.txt", "cargo", true),
            ("!cargo/", "mast/", true),
            ("/a.txt", "a.txt", true),
            ("/a.txt", "cargo/a.txt", false),
            ("/cargo/a.txt", "cargo/a.txt", true),
            ("cargo/", "other/cargo/", true),
        ] {
            assert_eq!(ignores(rule, name), expected, "{rule} {name}");
        }
    }

    #[test]
    fn hidden_templates_are_excluded_without_any_rule() {
        assert!(ignores("", "templates/.swp"));
        assert!(!ignores("# *\n\n", "templates/a.yaml"));
    }

    #[test]
    fn bad_rules_are_named() {
        assert!(matches!(Rules::parse("**/a"), Err(Error::DoubleStar { .. })));
        for rule in ["[a", "[]", "a\\", "[-x]", "[a-]"] {
            assert!(matches!(Rules::parse(rule), Err(Error::Pattern { .. })), "{rule}");
        }
    }

    #[test]
    fn backtracking_does_not_explode() {
        let name: Vec<char> = "a".repeat(2000).chars().collect();
        let pattern: Vec<char> = "*a".repeat(200).chars().chain(['b']).collect();
        assert!(!matches(&pattern, &name));
    }
}

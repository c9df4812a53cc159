//! Paths in a manifest, and the selectors that match them: only the paths `.a.b[].c` of jq's language.

use std::fmt;

use serde_json::Value;

use super::Refusal;
use crate::Result;

/// The largest number of paths that all selectors of one manifest may match.
const MAX_MATCHES: usize = 200_000;

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// To the member of this name.
    Member(String),
    /// To this element of a list.
    Element(usize),
}

/// The path of a value in a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<Step>);

impl Path {
    pub(super) fn enter(&mut self, step: Step) {
        self.0.push(step);
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }

    /// The path of a member of this value.
    pub(super) fn member(&self, name: &str) -> Self {
        let mut path = self.clone();
        path.enter(Step::Member(name.to_owned()));
        path
    }

    /// Whether `other` is this path or below it.
    pub(super) fn contains(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The value at this path.
    pub(super) fn find<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Member(name) => value.get(name),
            Step::Element(index) => value.get(index),
        })
    }

    /// Removes the value at this path, if it exists.
    pub(super) fn delete(&self, root: &mut Value) {
        let Some((step, before)) = self.0.split_last() else { return };
        let parent = before.iter().try_fold(root, |value, step| match step {
            Step::Member(name) => value.get_mut(name),
            Step::Element(index) => value.get_mut(index),
        });
        match (parent, step) {
            (Some(Value::Object(map)), Step::Member(name)) => {
                map.remove(name);
            }
            (Some(Value::Array(list)), Step::Element(index)) if *index < list.len() => {
                list.remove(*index);
            }
            _ => {}
        }
    }
}

/// As jq would write it.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        self.0.iter().try_for_each(|step| match step {
            Step::Member(name) if is_name(name) => write!(f, ".{name}"),
            Step::Member(name) => write!(f, "[{}]", Value::from(name.as_str())),
            Step::Element(index) => write!(f, "[{index}]"),
        })
    }
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Member(String),
    Each,
}

/// A path in which `[]` matches every element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    text: String,
    parts: Vec<Part>,
}

impl Selector {
    /// Parses one selector. The controller accepts any jq expression that begins with an index, joins all of them with
    /// commas and runs the result, so an unusual one can change the meaning of the others. Only paths are accepted here.
    ///
    /// # Errors
    /// [`Refusal::Selector`] for any other expression.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let refused = || Refusal::Selector(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("[]") {
                parts.push(Part::Each);
                rest = after;
                continue;
            }
            let after = rest.strip_prefix('.').ok_or_else(refused)?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            if !is_name(name) {
                return Err(refused().into());
            }
            parts.push(Part::Member(name.to_owned()));
            rest = after;
        }
        if !matches!(parts.first(), Some(Part::Member(_))) {
            return Err(refused().into());
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// Adds the paths that match, including those without a value. As in jq, a member of `null` is not an error. Where jq
    /// fails, the controller hashes a constant instead of the manifest.
    ///
    /// # Errors
    /// [`Refusal::SelectorMismatch`] for a member of something other than a map, or elements of something other than a
    /// list or map.
    pub(super) fn find(&self, root: &Value, paths: &mut Vec<Path>) -> Result<()> {
        self.walk(&self.parts, Some(root), &mut Path::default(), paths)
    }

    fn walk(
        &self,
        parts: &[Part],
        value: Option<&Value>,
        here: &mut Path,
        paths: &mut Vec<Path>,
    ) -> Result<()> {
        let Some((part, parts)) = parts.split_first() else {
            if paths.len() >= MAX_MATCHES {
                return Err(Refusal::TooManyMatches(MAX_MATCHES).into());
            }
            paths.push(here.clone());
            return Ok(());
        };
        let mut go = |step, value| {
            here.enter(step);
            let done = self.walk(parts, value, here, paths);
            here.leave();
            done
        };
        match (part, value) {
            (Part::Member(name), None | Some(Value::Null)) => go(Step::Member(name.clone()), None),
            (Part::Member(name), Some(Value::Object(map))) => go(Step::Member(name.clone()), map.get(name)),
            (Part::Each, Some(Value::Array(list))) => {
                list.iter().enumerate().try_for_each(|(index, value)| go(Step::Element(index), Some(value)))
            }
            (Part::Each, Some(Value::Object(map))) => {
                map.iter().try_for_each(|(name, value)| go(Step::Member(name.clone()), Some(value)))
            }
            _ => {
                let mismatch =
                    Refusal::SelectorMismatch { selector: self.text.clone(), at: here.to_string() };
                Err(mismatch.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(text: &str, root: &Value) -> Result<Vec<String>> {
        let mut paths = Vec::new();
        Selector::parse(text)?.find(root, &mut paths)?;
        Ok(paths.iter().map(Path::to_string).collect())
    }

    #[test]
    fn a_selector_matches_its_paths() {
        let root = json!({"a": [{"b": 1}, {"c": 2}], "m": {"x y": {"b": 3}}, "n": null});
        assert_eq!(find(".a[].b", &root).unwrap(), [".a[0].b", ".a[1].b"]);
        assert_eq!(find(".m[].b", &root).unwrap(), [r#".m["x y"].b"#]);
        assert_eq!(find(".n.b.c", &root).unwrap(), [".n.b.c"]);
        assert_eq!(find(".missing", &root).unwrap(), [".missing"]);
    }

    #[test]
    fn selectors_at_which_jq_fails_are_refused() {
        let root = json!({"a": [{"b": 1}], "n": null});
        for text in [".a.b", ".n[]", ".missing[]", ".a[].b.c", ".a[].b[]"] {
            let error = find(text, &root).unwrap_err();
            assert!(matches!(error, crate::Error::Eksa(Refusal::SelectorMismatch { .. })), "{text}: {error}");
        }
    }

    #[test]
    fn only_paths_are_selectors() {
        let odd = [
            "",
            ".",
            "..",
            "[]",
            ".[]",
            "a",
            ".a.",
            ".a..b",
            ".a[0]",
            ".a[1:]",
            ".a[\"b\"]",
            ".\"a\"",
            ".a?",
            " .a",
            ".a ",
            ".a\r",
            ".a, .b",
            ".a|.b",
            ".a) | (.b",
            ".a # b",
            ".a//1",
            "import \"x\"",
            ".1a",
            ".a-b",
            ".a[",
            ".a]",
            ".a[]b",
            ".$a",
            "env",
            ".a as $x | .b",
        ];
        for text in odd {
            let error = Selector::parse(text).unwrap_err();
            assert!(matches!(error, crate::Error::Eksa(Refusal::Selector(_))), "{text}: {error}");
        }
    }

    #[test]
    fn deleted_values_are_gone() {
        let mut root = json!({"a": [1, 2, 3], "b": {"c": 1}});
        let mut all = Vec::new();
        for text in [".a[]", ".b.c", ".x.y"] {
            Selector::parse(text).unwrap().find(&root, &mut all).unwrap();
        }
        all.sort();
        for path in all.iter().rev() {
            path.delete(&mut root);
        }
        assert_eq!(root, json!({"a": [], "b": {}}));
    }
}

//! Places in a manifest, and the selectors that name them: of jq's language the paths `.a.b[].c` and no more.

use std::fmt;

use serde_json::Value;

use super::Refusal;
use crate::Result;

/// Places that all selectors of one manifest may come to.
const MAX_PLACES: usize = 200_000;

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// To the member of this name.
    Member(String),
    /// To this element of a list.
    Element(usize),
}

/// A place in a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<Step>);

impl Path {
    pub(super) fn enter(&mut self, step: Step) {
        self.0.push(step);
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }

    /// The place below by a member's name.
    pub(super) fn member(&self, name: &str) -> Self {
        let mut path = self.clone();
        path.enter(Step::Member(name.to_owned()));
        path
    }

    /// Whether `other` is this place or lies in it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// What stands there.
    pub(super) fn find<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Member(name) => value.get(name),
            Step::Element(index) => value.get(index),
        })
    }

    /// Takes out what stands there, if something does.
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

/// A path in which `[]` stands for every element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    text: String,
    parts: Vec<Part>,
}

impl Selector {
    /// Reads one selector. The controller takes any expression of jq that begins with an index, joins all by
    /// commas and runs the result, so an odd one can change what the others mean: here only paths pass.
    ///
    /// # Errors
    /// [`Refusal::Selector`] for anything else.
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

    /// The places it names, also those where nothing stands. As in jq, `null` has no members, and that is no error;
    /// where jq errs, the controller hashes a constant instead of the manifest.
    ///
    /// # Errors
    /// [`Refusal::SelectorMismatch`] where a member is asked of no map, or elements of no list or map.
    pub(super) fn places(&self, root: &Value, places: &mut Vec<Path>) -> Result<()> {
        self.walk(&self.parts, Some(root), &mut Path::default(), places)
    }

    fn walk(
        &self,
        parts: &[Part],
        value: Option<&Value>,
        here: &mut Path,
        places: &mut Vec<Path>,
    ) -> Result<()> {
        let Some((part, parts)) = parts.split_first() else {
            if places.len() >= MAX_PLACES {
                return Err(Refusal::Places(MAX_PLACES).into());
            }
            places.push(here.clone());
            return Ok(());
        };
        let mut go = |step, value| {
            here.enter(step);
            let done = self.walk(parts, value, here, places);
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

    fn places(text: &str, root: &Value) -> Result<Vec<String>> {
        let mut places = Vec::new();
        Selector::parse(text)?.places(root, &mut places)?;
        Ok(places.iter().map(Path::to_string).collect())
    }

    #[test]
    fn a_selector_names_its_places() {
        let root = json!({"a": [{"b": 1}, {"c": 2}], "m": {"x y": {"b": 3}}, "n": null});
        assert_eq!(places(".a[].b", &root).unwrap(), [".a[0].b", ".a[1].b"]);
        assert_eq!(places(".m[].b", &root).unwrap(), [r#".m["x y"].b"#]);
        assert_eq!(places(".n.b.c", &root).unwrap(), [".n.b.c"]);
        assert_eq!(places(".missing", &root).unwrap(), [".missing"]);
    }

    #[test]
    fn what_jq_cannot_walk_is_refused() {
        let root = json!({"a": [{"b": 1}], "n": null});
        for text in [".a.b", ".n[]", ".missing[]", ".a[].b.c", ".a[].b[]"] {
            let error = places(text, &root).unwrap_err();
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
    fn what_is_deleted_is_gone() {
        let mut root = json!({"a": [1, 2, 3], "b": {"c": 1}});
        let mut all = Vec::new();
        for text in [".a[]", ".b.c", ".x.y"] {
            Selector::parse(text).unwrap().places(&root, &mut all).unwrap();
        }
        all.sort();
        for path in all.iter().rev() {
            path.delete(&mut root);
        }
        assert_eq!(root, json!({"a": [], "b": {}}));
    }
}

//! Reference cycles: references of a schema that lead back to it without a step into the values.
//!
//! Helm's validator rejects a value when it returns to a schema against which it is already validating the same value.
//! Inside one of several schemas (`anyOf`, `oneOf`, `not`, `if`), only that schema fails. The validator used here would
//! accept the value instead. So each reference that closes a cycle is replaced by a schema that no value matches, which
//! contains Helm's error text.

use std::collections::{BTreeMap, HashSet};

use gostd::limits::Limits;
use serde_json::{Value as Json, json};

/// The base of all references, as in Helm.
pub(super) const BASE: &str = "file:///values.schema.json";
/// The key that marks a schema that closes a cycle.
const MARK: &str = "\u{0}reference cycle";

/// Cuts every cycle of the schema.
pub(super) fn cut(schema: &Json, limits: &Limits) -> Json {
    let drafts = ["draft-04", "draft-06", "draft-07"];
    let named = schema.get("$schema").and_then(Json::as_str).unwrap_or_default();
    let alone = drafts.iter().any(|draft| named.contains(draft));
    let mut walk = Walk { root: schema, alone, depth: limits.value_depth, ..Walk::default() };
    walk.visit("", "", &[]);
    let mut schema = schema.clone();
    for (at, message) in walk.cuts {
        if let Some(part) = schema.pointer_mut(&at) {
            *part = json!({ "const": { MARK: message } });
        }
    }
    schema
}

/// Helm's error text for a cycle, if `expected` marks one.
pub(super) fn cycle_message(expected: &Json) -> Option<&str> {
    expected.as_object()?.get(MARK)?.as_str()
}

struct Walk<'a> {
    root: &'a Json,
    /// Whether keywords next to `$ref` are ignored, as up to draft 7.
    alone: bool,
    depth: usize,
    done: HashSet<String>,
    /// The location of each cut, with its error text.
    cuts: BTreeMap<String, String>,
}

impl Default for Walk<'_> {
    fn default() -> Self {
        Self { root: &Json::Null, alone: false, depth: 0, done: HashSet::new(), cuts: BTreeMap::new() }
    }
}

/// A schema against which a value is being validated: its location, and the keywords that led to it.
type Open = (String, String);

impl Walk<'_> {
    /// Visits the schema at a location. `open` are the schemas against which the same value is already being validated.
    fn visit(&mut self, at: &str, path: &str, open: &[Open]) {
        if open.len() > self.depth || !self.done.insert(at.to_owned()) {
            return;
        }
        let root = self.root;
        let Some(Json::Object(schema)) = root.pointer(at) else { return };
        let mut open = open.to_vec();
        open.push((at.to_owned(), path.to_owned()));
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let reference = schema.get(keyword).and_then(Json::as_str);
            if let Some(target) = reference.and_then(|reference| self.target(at, reference)) {
                self.follow(at, &target, &format!("{path}/{keyword}"), &open);
            }
        }
        if self.alone && schema.contains_key("$ref") {
            return;
        }
        for (keyword, value) in schema {
            let (at, path) = (format!("{at}/{}", escaped(keyword)), format!("{path}/{}", escaped(keyword)));
            match (keyword.as_str(), value) {
                ("allOf" | "anyOf" | "oneOf", Json::Array(items)) => {
                    for index in 0..items.len() {
                        self.visit(&format!("{at}/{index}"), &format!("{path}/{index}"), &open);
                    }
                }
                ("not" | "if" | "then" | "else", _) => self.visit(&at, &path, &open),
                ("dependentSchemas" | "dependencies", Json::Object(members)) => {
                    for name in members.keys().map(|name| escaped(name)) {
                        self.visit(&format!("{at}/{name}"), &format!("{path}/{name}"), &open);
                    }
                }
                _ => self.step(keyword, value, &at, &path),
            }
        }
    }

    /// Visits the schemas for members of the value, for which no schema is open yet.
    fn step(&mut self, keyword: &str, value: &Json, at: &str, path: &str) {
        match (keyword, value) {
            ("properties" | "patternProperties", Json::Object(members)) => {
                for name in members.keys().map(|name| escaped(name)) {
                    self.visit(&format!("{at}/{name}"), &format!("{path}/{name}"), &[]);
                }
            }
            ("items" | "prefixItems", Json::Array(items)) => {
                for index in 0..items.len() {
                    self.visit(&format!("{at}/{index}"), &format!("{path}/{index}"), &[]);
                }
            }
            (
                "items"
                | "additionalItems"
                | "unevaluatedItems"
                | "contains"
                | "additionalProperties"
                | "unevaluatedProperties"
                | "propertyNames",
                _,
            ) => self.visit(at, path, &[]),
            _ => {}
        }
    }

    fn follow(&mut self, at: &str, target: &str, path: &str, open: &[Open]) {
        if let Some((_, before)) = open.iter().find(|(open, _)| open == target) {
            let message =
                format!("both {path} and {before} resolve to \"{BASE}#{target}\" causing reference cycle");
            self.cuts.insert(at.to_owned(), message);
        } else {
            self.visit(target, path, open);
        }
    }

    /// The location that a reference resolves to, if it is within the schema.
    fn target(&self, from: &str, reference: &str) -> Option<String> {
        let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let resource = if base.is_empty() { self.resource_of(from) } else { self.resource(base)? };
        if fragment.is_empty() {
            return Some(resource);
        }
        let fragment = schema_bounds::decoded(fragment);
        if fragment.starts_with('/') {
            return Some(format!("{resource}{fragment}"));
        }
        find(self.root.pointer(&resource)?, &resource, &|schema| {
            let text = |key: &str| schema.get(key).and_then(Json::as_str);
            let is_id = |key: &str| text(key).and_then(|id| id.strip_prefix('#')) == Some(&fragment);
            let is = |key: &str| text(key) == Some(&fragment);
            is("$anchor") || is("$dynamicAnchor") || is_id("$id") || is_id("id")
        })
    }

    /// The innermost schema around a location that has its own identifier.
    fn resource_of(&self, from: &str) -> String {
        let mut at = from;
        loop {
            let has_id = |key: &str| {
                let schema = self.root.pointer(at);
                schema.and_then(|schema| schema.get(key)?.as_str()).is_some_and(|id| !id.starts_with('#'))
            };
            if at.is_empty() || has_id("$id") || has_id("id") {
                return at.to_owned();
            }
            at = at.rsplit_once('/').map_or("", |(before, _)| before);
        }
    }

    /// The schema with this identifier.
    fn resource(&self, base: &str) -> Option<String> {
        let base = base.trim_start_matches("./");
        if base == BASE || BASE.ends_with(&format!("/{base}")) {
            return Some(String::new());
        }
        let named = |id: &str| id.trim_end_matches('#') == base || id.ends_with(&format!("/{base}"));
        find(self.root, "", &|schema| {
            ["$id", "id"].iter().any(|key| schema.get(*key).and_then(Json::as_str).is_some_and(named))
        })
    }
}

/// The first schema in `within`, which is at the location `at`, that satisfies the predicate.
fn find(within: &Json, at: &str, matches: &dyn Fn(&Json) -> bool) -> Option<String> {
    match within {
        Json::Object(table) if matches(within) && !table.is_empty() => Some(at.to_owned()),
        Json::Object(table) => {
            table.iter().find_map(|(key, value)| find(value, &format!("{at}/{}", escaped(key)), matches))
        }
        Json::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| find(item, &format!("{at}/{index}"), matches))
        }
        _ => None,
    }
}

/// A name as a step of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h10_cycles_are_cut_and_recursion_into_the_values_is_not_a_cycle() {
        let limits = Limits::default();
        let same = |schema: Json| assert_eq!(cut(&schema, &limits), schema);
        same(json!({"properties": {"a": {"$ref": "#"}}}));
        same(json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {}}}));
        same(json!({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a",
            "allOf": [{"$ref": "#"}], "definitions": {"a": {}}}));
        let words = |schema: Json, at: &str| {
            let cut = cut(&schema, &limits);
            let expected = cut.pointer(at).and_then(|part| part.get("const")).cloned();
            cycle_message(&expected.unwrap_or_default()).map(str::to_owned)
        };
        let circle =
            json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"});
        assert_eq!(
            words(circle, "/$defs/b").unwrap(),
            "both /$ref/$ref/$ref and /$ref resolve to \"file:///values.schema.json#/$defs/a\" causing reference cycle"
        );
        let branch = json!({"not": {"$ref": "#"}});
        assert!(words(branch, "/not").unwrap().starts_with("both /not/$ref and  resolve to"));
        // Each level refers to the next one twice, but is visited once.
        let mut levels = serde_json::Map::new();
        for level in 0..200 {
            let next = json!({"$ref": format!("#/$defs/{}", level + 1)});
            levels.insert(level.to_string(), json!({"allOf": [next.clone(), next]}));
        }
        same(json!({"$ref": "#/$defs/0", "$defs": levels}));
    }
}

//! Estimates the cost of validating values against a schema before the validation runs.
//!
//! References let a small schema require more checks than could ever finish, and the validator has no limit.
//! This crate counts every pair of schema and value that the validator would visit. A reference counts for every
//! schema that it might resolve to, so the count is never too low.

use error_class::{Class, Classified};
use std::collections::{HashMap, HashSet};

use gostd::limits::Limits;
use serde_json::{Map as Table, Value as Json};

/// Maximum nesting of checks. It bounds the stack that the validator's recursion uses.
const DEPTH: usize = 300;
/// Maximum number of checks, at about a microsecond each.
const CHECKS: u64 = 2_000_000;

/// Validating the values against a schema would take too long or recurse too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chart exceeds the limit `{name}`")]
pub struct Exceeded {
    /// The name of the limit.
    pub name: &'static str,
}

impl Classified for Exceeded {
    fn class(&self) -> Class {
        Class::Other
    }
}

/// Checks that validating `values` against `schema` stays within the limits.
///
/// # Errors
/// [`Exceeded`] if the validation would recurse too deeply or take too long.
pub fn check(schema: &Json, values: &Json, limits: &Limits) -> Result<(), Exceeded> {
    let mut index = Index { root: schema, resources: Vec::new(), anchors: HashMap::new() };
    index.collect(schema);
    let max_checks = CHECKS.min(limits.steps);
    let mut bounds = Bounds { index, costs: HashMap::new(), active: HashSet::new(), max_checks, pairs: 0 };
    bounds.visit(schema, values, 0).map(|_| ())
}

/// The schemas that references can resolve to.
struct Index<'a> {
    root: &'a Json,
    /// Schemas with their own `$id`, which fragments may be relative to.
    resources: Vec<&'a Json>,
    anchors: HashMap<&'a str, Vec<&'a Json>>,
}

impl<'a> Index<'a> {
    fn collect(&mut self, schema: &'a Json) {
        match schema {
            Json::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Json::Object(table) => {
                let text = |key: &str| table.get(key).and_then(Json::as_str);
                for id in [text("$id"), text("id")].into_iter().flatten() {
                    self.resources.push(schema);
                    if let Some((_, anchor)) = id.split_once('#') {
                        self.anchors.entry(anchor).or_default().push(schema);
                    }
                }
                for anchor in [text("$anchor"), text("$dynamicAnchor")].into_iter().flatten() {
                    self.anchors.entry(anchor).or_default().push(schema);
                }
                if table.contains_key("$recursiveAnchor") {
                    self.resources.push(schema);
                }
                table.values().for_each(|value| self.collect(value));
            }
            _ => {}
        }
    }

    /// Every schema that a reference might resolve to.
    fn targets(&self, reference: &str) -> Vec<&'a Json> {
        let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let roots = || std::iter::once(self.root).chain(self.resources.iter().copied());
        if !base.is_empty() || fragment.is_empty() || fragment.starts_with('/') {
            let fragment = decoded(fragment);
            return roots().filter_map(|root| root.pointer(&fragment)).collect();
        }
        self.anchors.get(fragment).cloned().unwrap_or_default()
    }
}

/// Decodes the percent encoding of a fragment, as far as JSON pointers need it.
#[must_use]
pub fn decoded(fragment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = fragment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let value = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The number of checks that one pair causes, and how deeply they nest.
#[derive(Clone, Copy, Default)]
struct Cost {
    checks: u64,
    height: usize,
}

struct Bounds<'a> {
    index: Index<'a>,
    costs: HashMap<(usize, usize), Cost>,
    /// Pairs being visited. The validator does not enter such a pair a second time either.
    active: HashSet<(usize, usize)>,
    max_checks: u64,
    pairs: u64,
}

impl<'a> Bounds<'a> {
    fn visit(&mut self, schema: &'a Json, value: &'a Json, depth: usize) -> Result<Cost, Exceeded> {
        let Json::Object(table) = schema else { return Ok(Cost { checks: 1, height: 1 }) };
        let pair = (std::ptr::from_ref(schema).addr(), std::ptr::from_ref(value).addr());
        if let Some(cost) = self.costs.get(&pair) {
            return if depth + cost.height > DEPTH { Err(too_deep()) } else { Ok(*cost) };
        }
        if depth > DEPTH {
            return Err(too_deep());
        }
        if !self.active.insert(pair) {
            return Ok(Cost::default());
        }
        self.pairs += 1;
        if self.pairs > self.max_checks {
            return Err(Exceeded { name: "steps" });
        }
        let mut cost = Cost { checks: 1, height: 1 };
        for next in self.in_place(table) {
            self.add(&mut cost, next, value, depth)?;
        }
        match value {
            Json::Object(members) => self.members(&mut cost, table, members, depth)?,
            Json::Array(items) => self.items(&mut cost, table, items, depth)?,
            _ => {}
        }
        self.active.remove(&pair);
        self.costs.insert(pair, cost);
        Ok(cost)
    }

    fn add(
        &mut self,
        cost: &mut Cost,
        schema: &'a Json,
        value: &'a Json,
        depth: usize,
    ) -> Result<(), Exceeded> {
        let inner = self.visit(schema, value, depth + 1)?;
        cost.checks = cost.checks.saturating_add(inner.checks);
        cost.height = cost.height.max(inner.height + 1);
        if cost.checks > self.max_checks { Err(Exceeded { name: "steps" }) } else { Ok(()) }
    }

    /// The subschemas that apply to the same value.
    fn in_place(&self, table: &'a Table<String, Json>) -> Vec<&'a Json> {
        let mut schemas = Vec::new();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("allOf" | "anyOf" | "oneOf", Json::Array(items)) => schemas.extend(items),
                ("not" | "if" | "then" | "else", schema) => schemas.push(schema),
                ("dependentSchemas" | "dependencies", Json::Object(within)) => {
                    schemas.extend(within.values());
                }
                ("$ref" | "$dynamicRef" | "$recursiveRef", Json::String(reference)) => {
                    schemas.extend(self.index.targets(reference));
                }
                _ => {}
            }
        }
        schemas
    }

    fn members(
        &mut self,
        cost: &mut Cost,
        table: &'a Table<String, Json>,
        members: &'a Table<String, Json>,
        depth: usize,
    ) -> Result<(), Exceeded> {
        if let Some(Json::Object(properties)) = table.get("properties") {
            for (name, member) in members {
                if let Some(schema) = properties.get(name) {
                    self.add(cost, schema, member, depth)?;
                }
            }
        }
        let patterns = table.get("patternProperties").and_then(Json::as_object);
        let others = ["additionalProperties", "unevaluatedProperties", "propertyNames"];
        let for_all = patterns
            .into_iter()
            .flat_map(Table::values)
            .chain(others.iter().filter_map(|key| table.get(*key)));
        for schema in for_all {
            for member in members.values() {
                self.add(cost, schema, member, depth)?;
            }
        }
        Ok(())
    }

    fn items(
        &mut self,
        cost: &mut Cost,
        table: &'a Table<String, Json>,
        items: &'a [Json],
        depth: usize,
    ) -> Result<(), Exceeded> {
        for key in ["items", "prefixItems"] {
            if let Some(Json::Array(schemas)) = table.get(key) {
                for (schema, item) in schemas.iter().zip(items) {
                    self.add(cost, schema, item, depth)?;
                }
            }
        }
        for key in ["items", "additionalItems", "unevaluatedItems", "contains"] {
            if let Some(schema @ Json::Object(_)) = table.get(key) {
                for item in items {
                    self.add(cost, schema, item, depth)?;
                }
            }
        }
        Ok(())
    }
}

fn too_deep() -> Exceeded {
    Exceeded { name: "value_depth" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bounded(schema: &Json, values: &Json) -> Result<(), Exceeded> {
        check(schema, values, &Limits::default())
    }

    fn nested(depth: usize) -> Json {
        (0..depth).fold(json!({}), |inner, _| json!({ "x": inner }))
    }

    #[test]
    fn loops_cost_nothing_and_ordinary_recursion_little() {
        assert!(bounded(&json!({"$ref": "#"}), &nested(3)).is_ok());
        assert!(bounded(&json!({"properties": {"x": {"$ref": "#"}}}), &nested(100)).is_ok());
    }

    #[test]
    fn doubling_at_every_level_is_rejected() {
        let twice = json!({"properties": {"x": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}});
        assert!(bounded(&twice, &nested(5)).is_ok());
        assert!(matches!(bounded(&twice, &nested(40)), Err(Exceeded { name: "steps" })));
        let mut definitions = Table::new();
        for level in 0..40 {
            let next = json!({"$ref": format!("#/definitions/d{}", level + 1)});
            definitions.insert(format!("d{level}"), json!({"allOf": [next, next]}));
        }
        definitions.insert("d40".to_owned(), json!({}));
        let chain = json!({"$ref": "#/definitions/d0", "definitions": definitions});
        assert!(matches!(bounded(&chain, &json!({})), Err(Exceeded { name: "steps" })));
    }

    #[test]
    fn depth_of_schema_times_depth_of_value_is_rejected() {
        let mut definitions = Table::new();
        for level in 0..50 {
            let next = json!({"$ref": format!("#/definitions/d{}", level + 1)});
            definitions.insert(format!("d{level}"), next);
        }
        definitions.insert("d50".to_owned(), json!({"properties": {"x": {"$ref": "#"}}}));
        let schema = json!({"$ref": "#/definitions/d0", "definitions": definitions});
        assert!(bounded(&schema, &nested(2)).is_ok());
        assert!(matches!(bounded(&schema, &nested(20)), Err(Exceeded { name: "value_depth" })));
    }

    #[test]
    fn anchors_and_escaped_pointers_are_followed() {
        let schema = json!({
            "$ref": "#a", "$defs": {
                "a b": {"$anchor": "a", "properties": {"x": {"anyOf": [{"$ref": "#/$defs/a%20b"}, {"$ref": "#a"}]}}}
            }
        });
        assert!(matches!(bounded(&schema, &nested(40)), Err(Exceeded { name: "steps" })));
    }
}

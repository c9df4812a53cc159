//! References of a schema that lead back to it without a step into the values.
//!
//! Helm's validator refuses values when it meets such a circle; the one used here would take it for true.

use std::collections::HashSet;

use serde_json::Value as Json;

use crate::limits::Limits;

/// What Helm says of a circle that all values meet: from the root by `$ref` and `allOf` alone.
pub(super) fn find(schema: &Json, limits: &Limits) -> Option<String> {
    let mut walk = Walk { root: schema, depth: limits.value_depth, open: Vec::new(), done: HashSet::new() };
    walk.visit(schema, "#", "")
}

struct Walk<'a> {
    root: &'a Json,
    depth: usize,
    /// The schemas being looked at, with the keywords that led there.
    open: Vec<(&'a Json, String)>,
    done: HashSet<*const Json>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, schema: &'a Json, name: &str, path: &str) -> Option<String> {
        if let Some((_, before)) = self.open.iter().find(|(open, _)| std::ptr::eq(*open, schema)) {
            let place = format!("file:///values.schema.json{name}");
            return Some(format!(
                "- at '': both {path} and {before} resolve to \"{place}\" causing reference cycle"
            ));
        }
        if self.done.contains(&std::ptr::from_ref(schema)) || self.open.len() > self.depth {
            return None;
        }
        self.open.push((schema, path.to_owned()));
        let found = self.inside(schema, name, path);
        self.open.pop();
        self.done.insert(std::ptr::from_ref(schema));
        found
    }

    fn inside(&mut self, schema: &'a Json, name: &str, path: &str) -> Option<String> {
        let reference = schema.get("$ref").and_then(Json::as_str);
        if let Some(pointer) = reference.and_then(|text| text.strip_prefix('#'))
            && let Some(target) = self.root.pointer(pointer)
            && let Some(found) = self.visit(target, &format!("#{pointer}"), &format!("{path}/$ref"))
        {
            return Some(found);
        }
        let all = schema.get("allOf").and_then(Json::as_array);
        for (index, part) in all.into_iter().flatten().enumerate() {
            let keyword = format!("/allOf/{index}");
            let found = self.visit(part, &format!("{name}{keyword}"), &format!("{path}{keyword}"));
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn h10_circles_are_found_and_what_steps_into_the_values_is_none() {
        let limits = Limits::default();
        let found = |schema: Json| find(&schema, &limits);
        assert_eq!(
            found(json!({"$ref": "#"})).unwrap(),
            "- at '': both /$ref and  resolve to \"file:///values.schema.json#\" causing reference cycle"
        );
        assert_eq!(
            found(json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}))
                .unwrap(),
            "- at '': both /$ref/$ref/$ref and /$ref resolve to \"file:///values.schema.json#/$defs/a\" causing \
             reference cycle"
        );
        assert_eq!(found(json!({"properties": {"a": {"$ref": "#"}}})), None);
        assert_eq!(
            found(json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {}}})),
            None
        );
        // Each level twice: no more work than levels.
        let mut levels = serde_json::Map::new();
        for level in 0..200 {
            let next = json!({"$ref": format!("#/$defs/{}", level + 1)});
            levels.insert(level.to_string(), json!({"allOf": [next.clone(), next]}));
        }
        assert_eq!(found(json!({"$ref": "#/$defs/0", "$defs": levels})), None);
    }
}

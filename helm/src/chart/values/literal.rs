//! The grammar of `--set-literal`: a key, and everything after its `=` is the text.
//!
//! Source: `pkg/strvals/literal_parser.go`. There are no escapes, so commas and backslashes have no special meaning.

use serde_json::{Map as Table, Value as Json};

use super::set::{MAX_INDEXES, Stop, number, position, put, set_element};

/// Applies the expression to `data`.
pub(super) fn parse(expression: &str, data: &mut Table<String, Json>) -> Result<(), String> {
    match key(expression, data, 0) {
        Ok(()) | Err(Stop::End) => Ok(()),
        Err(Stop::Message(reason)) => Err(reason),
    }
}

/// The text before the first of `stops`, that character, and the text after it.
fn until<'a>(text: &'a str, stops: &[char]) -> (&'a str, Option<char>, &'a str) {
    match text.find(stops) {
        None => (text, None, ""),
        Some(at) => {
            let (before, after) = text.split_at(at);
            let mut characters = after.chars();
            let stop = characters.next();
            (before, stop, characters.as_str())
        }
    }
}

fn key(text: &str, data: &mut Table<String, Json>, depth: usize) -> Result<(), Stop> {
    if depth > MAX_INDEXES {
        return Err(format!("value name nested level is greater than {MAX_INDEXES}").into());
    }
    let (name, stop, rest) = until(text, &['=', '[', '.']);
    match stop {
        None if name.is_empty() => Err(Stop::End),
        None => Err(format!("key {name:?} has no value").into()),
        Some('=') => {
            put(data, name.to_owned(), Json::String(rest.to_owned()));
            Ok(())
        }
        Some('.') => {
            let mut inner = match data.get_mut(name) {
                None => Table::new(),
                Some(Json::Object(table)) => std::mem::take(table),
                Some(_) => return Err(format!("unable to parse key: {name:?} is not a map").into()),
            };
            key(rest, &mut inner, depth + 1)?;
            if inner.is_empty() {
                return Err(format!("key map {name:?} has no value").into());
            }
            put(data, name.to_owned(), Json::Object(inner));
            Ok(())
        }
        Some(_) => {
            let mut list = match data.get_mut(name) {
                None => Vec::new(),
                Some(Json::Array(list)) => std::mem::take(list),
                Some(_) => return Err(format!("unable to parse key: {name:?} is not a list").into()),
            };
            item(rest, &mut list, depth + 1)?;
            put(data, name.to_owned(), Json::Array(list));
            Ok(())
        }
    }
}

fn item(text: &str, list: &mut Vec<Json>, depth: usize) -> Result<(), Stop> {
    if depth > MAX_INDEXES {
        return Err(format!("value name nested level is greater than {MAX_INDEXES}").into());
    }
    let (digits, stop, rest) = until(text, &[']']);
    let position = position(number(&(digits.to_owned(), stop))?)?;
    let (unexpected, stop, rest) = until(rest, &['[', '.', '=']);
    if !unexpected.is_empty() {
        return Err(format!("unexpected data at end of array index: {unexpected:?}").into());
    }
    let value = match stop {
        None => return Err(Stop::End),
        Some('=') => Json::String(rest.to_owned()),
        Some('.') => {
            let mut inner = match list.get_mut(position) {
                Some(Json::Object(table)) => std::mem::take(table),
                _ => Table::new(),
            };
            key(rest, &mut inner, depth + 1)?;
            Json::Object(inner)
        }
        Some(_) => {
            let mut inner = match list.get_mut(position) {
                None | Some(Json::Null) => Vec::new(),
                Some(Json::Array(inner)) => std::mem::take(inner),
                Some(_) => {
                    return Err(format!("unable to parse key: element {position} is not a list").into());
                }
            };
            item(rest, &mut inner, depth + 1)?;
            Json::Array(inner)
        }
    };
    set_element(list, position, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn literal(expression: &str) -> Result<Json, String> {
        let mut table = Table::new();
        parse(expression, &mut table)?;
        Ok(Json::Object(table))
    }

    #[test]
    fn everything_after_the_key_is_text() {
        // From the table of pkg/strvals/literal_parser_test.go.
        assert_eq!(literal("name=value").unwrap(), json!({"name": "value"}));
        assert_eq!(literal("boolean=true").unwrap(), json!({"boolean": "true"}));
        assert_eq!(literal("name1={a,b}\\n.=[").unwrap(), json!({"name1": "{a,b}\\n.=["}));
        assert_eq!(literal("a.b.c=x,y").unwrap(), json!({"a": {"b": {"c": "x,y"}}}));
        assert_eq!(literal("l[1].x[0]=v").unwrap(), json!({"l": [null, {"x": ["v"]}]}));
        assert_eq!(literal("l[0][1]=v").unwrap(), json!({"l": [[null, "v"]]}));
        assert_eq!(literal("name,with,commas=v").unwrap(), json!({"name,with,commas": "v"}));
    }

    #[test]
    fn a_key_without_value_and_a_bad_index_are_rejected() {
        for expression in ["name", "a.b", "l[x]=1", "l[-1]=1", "l[0]y=1"] {
            assert!(literal(expression).is_err(), "{expression}");
        }
        assert!(literal(&"a[0].".repeat(100_000)).is_err());
        assert!(literal(&"a.".repeat(100_000)).is_err());
    }
}

//! The grammar of `--set`, `--set-string`, `--set-json` and `--set-file`.
//!
//! Source: `pkg/strvals/parser.go`, with its leniency: input that ends inside an index is ignored without an error.

use serde_json::{Map as Table, Value as Json};

use super::{ReadFile, floats};

/// The highest index of a list, as in Helm.
pub(super) const MAX_INDEX: usize = 65_536;
/// The maximum nesting of names, as in Helm.
const MAX_NAMES: usize = 30;
/// The maximum nesting of indexes; Helm has no limit here.
pub(super) const MAX_INDEXES: usize = 200;

/// How to interpret the text after `=`.
pub(super) enum Style<'a> {
    /// Booleans, integers and null are recognized.
    Typed,
    /// Every value is text.
    Text,
    /// A JSON value.
    Json,
    /// The path of a file whose text is the value.
    File(ReadFile<'a>),
}

/// The reason why parsing ends.
pub(super) enum Stop {
    /// The end of the input.
    End,
    /// The expression is invalid.
    Message(String),
}

impl From<String> for Stop {
    fn from(text: String) -> Self {
        Self::Message(text)
    }
}

/// Applies the expression to `data`.
pub(super) fn parse(
    expression: &str,
    style: &mut Style<'_>,
    data: &mut Table<String, Json>,
) -> Result<(), String> {
    let mut parser = Parser { rest: expression, style, indexes: 0 };
    loop {
        match parser.key(data, 0) {
            Ok(()) => {}
            Err(Stop::End) => return Ok(()),
            Err(Stop::Message(reason)) => return Err(reason),
        }
    }
}

struct Parser<'a, 'b, 'c> {
    rest: &'a str,
    style: &'b mut Style<'c>,
    /// The current nesting of indexes.
    indexes: usize,
}

impl Parser<'_, '_, '_> {
    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let first = characters.next();
        self.rest = characters.as_str();
        first
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// The text before one of `stops`, and that character; `None` at the end of the input. A backslash escapes the next
    /// character.
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let mut text = String::new();
        while let Some(character) = self.next() {
            if stops.contains(&character) {
                return (text, Some(character));
            }
            let taken = if character == '\\' { self.next() } else { Some(character) };
            match taken {
                Some(character) => text.push(character),
                None => break,
            }
        }
        (text, None)
    }

    fn key(&mut self, data: &mut Table<String, Json>, names: usize) -> Result<(), Stop> {
        let (key, stop) = self.until(&['=', '[', ',', '.']);
        match stop {
            None if key.is_empty() => Err(Stop::End),
            None => Err(format!("key {key:?} has no value").into()),
            Some('[') => {
                let index = number(&self.until(&[']']))?;
                let mut list = match data.get_mut(&key) {
                    None => Vec::new(),
                    Some(Json::Array(list)) => std::mem::take(list),
                    Some(_) => return Err(format!("unable to parse key: {key:?} is not a list").into()),
                };
                let result = self.item(&mut list, index, names);
                put(data, key, Json::Array(list));
                result
            }
            Some('=') => {
                let (value, result) = self.value()?;
                put(data, key, value);
                result
            }
            Some(',') => Err(format!("key {key:?} has no value (cannot end with ,)").into()),
            Some(_) => self.nested(data, key, names + 1),
        }
    }

    fn nested(&mut self, data: &mut Table<String, Json>, key: String, names: usize) -> Result<(), Stop> {
        if names > MAX_NAMES {
            return Err(format!(
                "value name nested level is greater than maximum supported nested level of {MAX_NAMES}"
            )
            .into());
        }
        let mut inner = match data.get_mut(&key) {
            None => Table::new(),
            Some(Json::Object(table)) => std::mem::take(table),
            Some(_) => return Err(format!("unable to parse key: {key:?} is not a map").into()),
        };
        let result = self.key(&mut inner, names);
        if result.is_ok() && inner.is_empty() {
            return Err(format!("key map {key:?} has no value").into());
        }
        if !inner.is_empty() || data.contains_key(&key) {
            put(data, key, Json::Object(inner));
        }
        result
    }

    fn item(&mut self, list: &mut Vec<Json>, index: i64, names: usize) -> Result<(), Stop> {
        if self.indexes >= MAX_INDEXES {
            return Err(format!("index nested level is greater than {MAX_INDEXES}").into());
        }
        self.indexes += 1;
        let result = self.element(list, index, names);
        self.indexes -= 1;
        result
    }

    fn element(&mut self, list: &mut Vec<Json>, index: i64, names: usize) -> Result<(), Stop> {
        let position = position(index)?;
        let (text, stop) = self.until(&['[', '.', '=']);
        if !text.is_empty() {
            return Err(format!("unexpected data at end of array index: {text:?}").into());
        }
        match stop {
            None => Err(Stop::End),
            Some('=') => {
                // An empty value ends the parse after a name, but not after a list element.
                let (value, result) = self.value()?;
                set_element(list, position, value);
                if matches!(result, Err(Stop::End)) { Ok(()) } else { result }
            }
            Some('[') => {
                let next = number(&self.until(&[']']))?;
                let mut inner = match list.get_mut(position) {
                    None | Some(Json::Null) => Vec::new(),
                    Some(Json::Array(inner)) => std::mem::take(inner),
                    Some(_) => {
                        return Err(format!("unable to parse key: element {position} is not a list").into());
                    }
                };
                let result = self.item(&mut inner, next, names);
                put_back(list, position, Json::Array(inner), result)
            }
            Some(_) => {
                let mut inner = match list.get_mut(position) {
                    Some(Json::Object(table)) => std::mem::take(table),
                    _ => Table::new(),
                };
                let result = self.key(&mut inner, names);
                put_back(list, position, Json::Object(inner), result)
            }
        }
    }

    /// The value after `=`, and whether parsing continues after the value is set.
    fn value(&mut self) -> Result<(Json, Result<(), Stop>), Stop> {
        if matches!(self.style, Style::Json) {
            return Ok((self.json()?, Ok(())));
        }
        match self.peek() {
            None => Ok((Json::String(String::new()), Err(Stop::End))),
            Some('{') => {
                self.next();
                Ok((self.list()?, Ok(())))
            }
            Some(_) => {
                let (text, _) = self.until(&[',']);
                Ok((self.typed(text)?, Ok(())))
            }
        }
    }

    fn list(&mut self) -> Result<Json, Stop> {
        let mut items = Vec::new();
        loop {
            let (text, stop) = self.until(&[',', '}']);
            let Some(stop) = stop else {
                return Err("list must terminate with '}'".to_owned().into());
            };
            items.push(self.typed(text)?);
            if stop == '}' {
                self.rest = self.rest.strip_prefix(',').unwrap_or(self.rest);
                return Ok(Json::Array(items));
            }
        }
    }

    fn json(&mut self) -> Result<Json, Stop> {
        if self.is_blank() {
            return Ok(Json::Null);
        }
        let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<Json>();
        let value = match stream.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) => return Err(error.to_string().into()),
            None => Json::Null,
        };
        let end = stream.byte_offset();
        self.rest = self.rest.get(end..).unwrap_or_default();
        self.is_blank();
        Ok(floats(value))
    }

    /// Skips blanks and one comma; returns false if other text follows.
    fn is_blank(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(',') {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => self.rest.is_empty(),
        }
    }

    fn typed(&mut self, text: String) -> Result<Json, Stop> {
        match self.style {
            Style::Typed => Ok(guess(text)),
            Style::Text | Style::Json => Ok(Json::String(text)),
            Style::File(read) => read(&text).map(Json::String).map_err(|error| error.to_string().into()),
        }
    }
}

/// Recognizes booleans, null and integers without a leading zero; everything else is text.
fn guess(text: String) -> Json {
    if text.eq_ignore_ascii_case("true") {
        return Json::Bool(true);
    }
    if text.eq_ignore_ascii_case("false") {
        return Json::Bool(false);
    }
    if text.eq_ignore_ascii_case("null") {
        return Json::Null;
    }
    match text.parse::<i64>() {
        Ok(number) if text == "0" || !text.starts_with('0') => Json::Number(number.into()),
        _ => Json::String(text),
    }
}

/// Puts the inner value back into the list, even if parsing it failed.
fn put_back(
    list: &mut Vec<Json>,
    position: usize,
    inner: Json,
    result: Result<(), Stop>,
) -> Result<(), Stop> {
    if result.is_ok() || position < list.len() {
        set_element(list, position, inner);
    }
    result
}

/// Sets a key; the empty key sets nothing.
pub(super) fn put(data: &mut Table<String, Json>, key: String, value: Json) {
    if !key.is_empty() {
        data.insert(key, value);
    }
}

/// The number between brackets; an index without a closing bracket ends the input.
pub(super) fn number((text, stop): &(String, Option<char>)) -> Result<i64, Stop> {
    if stop.is_none() {
        return Err(Stop::End);
    }
    text.parse()
        .map_err(|_| format!("error parsing index: strconv.Atoi: parsing {text:?}: invalid syntax").into())
}

/// The index, if it is within the allowed range.
pub(super) fn position(index: i64) -> Result<usize, Stop> {
    match usize::try_from(index) {
        Err(_) => Err(format!("negative {index} index not allowed").into()),
        Ok(position) if position > MAX_INDEX => {
            Err(format!("index of {index} is greater than maximum supported index of {MAX_INDEX}").into())
        }
        Ok(position) => Ok(position),
    }
}

/// Sets an element, and fills a gap before it with null.
pub(super) fn set_element(list: &mut Vec<Json>, position: usize, value: Json) {
    if list.len() <= position {
        list.resize(position + 1, Json::Null);
    }
    if let Some(element) = list.get_mut(position) {
        *element = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(base: Json, expression: &str, mut style: Style<'_>) -> Result<Json, String> {
        let Json::Object(mut table) = base else { panic!() };
        parse(expression, &mut style, &mut table)?;
        Ok(Json::Object(table))
    }

    fn typed(expression: &str) -> Result<Json, String> {
        set(json!({}), expression, Style::Typed)
    }

    #[test]
    fn expressions_have_the_same_results_as_in_helm() {
        // From the tables of pkg/strvals/parser_test.go.
        for (expression, expected) in [
            ("name1=null,f=false,t=true", json!({"name1": null, "f": false, "t": true})),
            ("name1=value1", json!({"name1": "value1"})),
            ("name1=value1,name2=value2,", json!({"name1": "value1", "name2": "value2"})),
            ("name1=,name2=value2", json!({"name1": "", "name2": "value2"})),
            ("long_int=1234567890", json!({"long_int": 1_234_567_890})),
            ("leading_zeros=00009", json!({"leading_zeros": "00009"})),
            ("zero_int=0", json!({"zero_int": 0})),
            ("boolean=TRUE", json!({"boolean": true})),
            ("name1=one\\,two,name2=three\\,four", json!({"name1": "one,two", "name2": "three,four"})),
            ("name1=one\\=two", json!({"name1": "one=two"})),
            ("name1=one two three", json!({"name1": "one two three"})),
            ("outer.inner=value", json!({"outer": {"inner": "value"}})),
            ("outer.middle.inner=value", json!({"outer": {"middle": {"inner": "value"}}})),
            ("outer.inner1=value,outer.inner2=x", json!({"outer": {"inner1": "value", "inner2": "x"}})),
            ("name1={value1,value2}", json!({"name1": ["value1", "value2"]})),
            ("name1={1021,902}", json!({"name1": [1021, 902]})),
            ("name1={}", json!({"name1": [""]})),
            ("name1.name2={value1,value2},n=1", json!({"name1": {"name2": ["value1", "value2"]}, "n": 1})),
            ("list[0]=foo", json!({"list": ["foo"]})),
            ("list[0].foo=bar,list[0].hello=world", json!({"list": [{"foo": "bar", "hello": "world"}]})),
            ("list[0].foo=bar,list[1].x=y", json!({"list": [{"foo": "bar"}, {"x": "y"}]})),
            ("list[0]=1,list[3]=2", json!({"list": [1, null, null, 2]})),
            ("nested[0][1]=1", json!({"nested": [[null, 1]]})),
            ("noval[0]", json!({"noval": []})),
            ("noval[0]=", json!({"noval": [""]})),
            ("a\\.b.c=d", json!({"a.b": {"c": "d"}})),
            ("name1.=name2", json!({})),
            ("a=+5,b=-0,c=1.5", json!({"a": 5, "b": 0, "c": "1.5"})),
            ("open[0", json!({})),
        ] {
            if expression == "name1.=name2" {
                assert!(typed(expression).is_err());
            } else {
                assert_eq!(typed(expression), Ok(expected), "{expression}");
            }
        }
    }

    #[test]
    fn expressions_that_helm_rejects_are_rejected() {
        for expression in [
            "name1,name2=",
            "name1,name2",
            "name1=value1,name2",
            "name1={a",
            "list[a]=1",
            "list[-1]=1",
            "list[65537]=1",
            "list[0]x=1",
            "a=1,a.b=2",
            "a=1,a[0]=2",
            "a.b",
        ] {
            assert!(typed(expression).is_err(), "{expression}");
        }
        let deep = "a.".repeat(31);
        assert!(typed(&format!("{deep}b=1")).unwrap_err().contains("nested level of 30"));
        assert!(typed(&format!("a{}=1", "[0]".repeat(100_000))).is_err());
        assert!(typed(&format!("{}b=1", "a[0].".repeat(100_000))).is_err());
    }

    #[test]
    fn text_remains_text_and_files_are_read() {
        assert_eq!(set(json!({}), "a=1,b=true", Style::Text).unwrap(), json!({"a": "1", "b": "true"}));
        let mut read = |path: &str| Ok(format!("<{path}>"));
        let taken = set(json!({}), "a=x.txt,b={y,z}", Style::File(&mut read)).unwrap();
        assert_eq!(taken, json!({"a": "<x.txt>", "b": ["<y>", "<z>"]}));
        let mut read = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        assert!(set(json!({}), "a=x", Style::File(&mut read)).is_err());
    }

    #[test]
    fn json_values_replace_text() {
        let base = json!({"list": [1.0, 2.0]});
        let taken = set(base, r#"list[1]={"a":[true]} ,x= ,y.z= "q""#, Style::Json).unwrap();
        assert_eq!(taken, json!({"list": [1.0, {"a": [true]}], "x": null, "y": {"z": "q"}}));
        assert!(set(json!({}), "a=[1", Style::Json).is_err());
    }
}

//! `.Files`: the files of a chart that are neither templates nor metadata, which its templates can read.
//!
//! Source: `pkg/engine/files.go`.

use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gostd::object::{Object, string};
use gostd::value::{Element, List, Value};
use serde_json::Value as Json;

use super::archive::File;
use super::glob::Glob;
use super::path;
use crate::function::Failure;

/// Go's `engine.files`, a map of bytes by name.
pub(crate) struct Files {
    entries: BTreeMap<Rc<str>, Rc<[u8]>>,
    /// The limit on the automaton of one pattern.
    regex_bytes: usize,
}

impl Files {
    /// The files of a chart.
    pub(crate) fn new(files: &[File], regex_bytes: usize) -> Self {
        let entries =
            files.iter().map(|file| (file.name.as_str().into(), file.data.as_slice().into())).collect();
        Self { entries, regex_bytes }
    }

    fn read(&self, name: &[u8]) -> Rc<[u8]> {
        let found = std::str::from_utf8(name).ok();
        found.and_then(|name| self.entries.get(name)).cloned().unwrap_or_default()
    }

    fn glob(&self, pattern: &[u8]) -> Self {
        // Names are always UTF-8, so a pattern that is not UTF-8 matches no name exactly.
        let pattern = String::from_utf8_lossy(pattern);
        let glob = Glob::new(&pattern, self.regex_bytes);
        let matching = self.entries.iter().filter(|(name, _)| glob.matches(name));
        Self {
            entries: matching.map(|(name, data)| (name.clone(), data.clone())).collect(),
            regex_bytes: self.regex_bytes,
        }
    }

    fn lines(&self, name: &[u8]) -> Value {
        let data = self.read(name);
        let whole = data.strip_suffix(b"\n").unwrap_or(&data);
        let lines: Vec<Value> = if data.is_empty() {
            Vec::new()
        } else {
            whole.split(|byte| *byte == b'\n').map(|line| Value::string(line.to_vec())).collect()
        };
        Value::List(List::of(Element::Str, lines))
    }

    /// YAML with the last element of each name as the key, and `text` of its bytes as the value.
    fn flatten(&self, text: impl Fn(&[u8]) -> String) -> Value {
        let entries =
            self.entries.iter().map(|(name, data)| (path::base(name).to_owned(), Json::String(text(data))));
        let yaml = gostd::yaml::write(&Json::Object(entries.collect()));
        yaml.strip_suffix('\n').unwrap_or(&yaml).into()
    }
}

impl Object for Files {
    fn type_name(&self) -> &'static str {
        "engine.files"
    }

    fn kind(&self) -> &'static str {
        "map"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Result<Option<Value>, Failure> {
        let one = || match arguments {
            [argument] => string(argument),
            _ => {
                Err(Failure::from(format!("wrong number of args for {name}: want 1 got {}", arguments.len())))
            }
        };
        let none = || match arguments {
            [] => Ok(()),
            _ => {
                Err(Failure::from(format!("wrong number of args for {name}: want 0 got {}", arguments.len())))
            }
        };
        Ok(Some(match name {
            "Get" => Value::string(self.read(one()?).to_vec()),
            "GetBytes" => Value::Bytes(self.read(one()?)),
            "Glob" => Value::Object(Rc::new(self.glob(one()?))),
            "Lines" => self.lines(one()?),
            "AsConfig" => {
                none()?;
                self.flatten(|data| String::from_utf8_lossy(data).into_owned())
            }
            "AsSecrets" => {
                none()?;
                self.flatten(|data| STANDARD.encode(data))
            }
            // The keys of the map are its fields; a missing one is empty.
            _ if arguments.is_empty() => Value::Bytes(self.read(name.as_bytes())),
            _ => return Err(format!("{name} is not a method but has arguments").into()),
        }))
    }

    fn plain(&self) -> Value {
        Value::map(self.entries.iter().map(|(name, data)| (name.clone(), Value::Bytes(data.clone()))))
    }

    fn print(&self) -> String {
        let mut text = "map[".to_owned();
        for (index, (name, data)) in self.entries.iter().enumerate() {
            text.push_str(if index > 0 { " " } else { "" });
            text.push_str(name);
            text.push_str(":[");
            for (at, byte) in data.iter().enumerate() {
                text.push_str(if at > 0 { " " } else { "" });
                text.push_str(&byte.to_string());
            }
            text.push(']');
        }
        text.push(']');
        text
    }

    fn truth(&self) -> bool {
        !self.entries.is_empty()
    }

    fn items(&self) -> Option<Vec<(Value, Value)>> {
        let item =
            |(name, data): (&Rc<str>, &Rc<[u8]>)| (Value::Str(name.clone()), Value::Bytes(data.clone()));
        Some(self.entries.iter().map(item).collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let file = |name: &str, data: &str| File { name: name.into(), data: data.into() };
        Files::new(
            &[file("a.txt", "hello\nworld"), file("d/b.txt", "1\n"), file("d/e/c.txt", "2\n")],
            1 << 20,
        )
    }

    fn text(name: &str, arguments: &[Value]) -> String {
        let value = files().member(name, arguments).unwrap().unwrap();
        String::from_utf8(value.bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn files_are_read_by_name_and_missing_ones_are_empty() {
        assert_eq!(text("Get", &["a.txt".into()]), "hello\nworld");
        assert_eq!(text("Get", &["nope".into()]), "");
        assert_eq!(text("GetBytes", &["d/b.txt".into()]), "1\n");
        assert_eq!(text("nope", &[]), "");
    }

    #[test]
    fn lines_lose_only_the_last_line_break() {
        let lines = |name: &str| match files().member("Lines", &[name.into()]) {
            Ok(Some(Value::List(list))) => {
                list.items.iter().map(|line| line.bytes().unwrap().to_vec()).collect()
            }
            _ => vec![],
        };
        assert_eq!(lines("a.txt"), [b"hello".to_vec(), b"world".to_vec()]);
        assert_eq!(lines("d/b.txt"), [b"1".to_vec()]);
        assert!(lines("nope").is_empty());
    }

    #[test]
    fn maps_for_configmaps_and_secrets_have_the_last_element_as_key() {
        let Ok(Some(Value::Object(found))) = files().member("Glob", &["d/**".into()]) else { panic!() };
        let yaml = |name| match found.member(name, &[]) {
            Ok(Some(Value::Str(text))) => text.to_string(),
            _ => String::new(),
        };
        assert_eq!(yaml("AsConfig"), "b.txt: |\n  1\nc.txt: |\n  2");
        assert_eq!(yaml("AsSecrets"), "b.txt: MQo=\nc.txt: Mgo=");
    }

    #[test]
    fn wrong_arguments_have_the_errors_of_go() {
        let wrong = |name, arguments: &[Value]| files().member(name, arguments).err().unwrap();
        assert_eq!(wrong("Get", &[]), Failure::from("wrong number of args for Get: want 1 got 0"));
        assert_eq!(wrong("nope", &["x".into()]), Failure::from("nope is not a method but has arguments"));
    }

    #[test]
    fn files_are_printed_and_iterated_as_a_map_of_bytes() {
        let Ok(Some(Value::Object(found))) = files().member("Glob", &["d/*".into()]) else { panic!() };
        assert_eq!(found.print(), "map[d/b.txt:[49 10]]");
        assert_eq!(found.items().unwrap().len(), 1);
        assert!(found.truth());
    }
}

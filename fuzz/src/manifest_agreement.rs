//! Any bytes as a manifest: what airlock reads of it is what Go's `encoding/json` reads of it. The second reader is
//! written out here, rule by rule: names without case, the last of two members wins, `null` leaves what was there.

use oci::{Content, Manifest};
use serde_json::{Map, Value, json};

/// One run.
pub fn run(bytes: &[u8]) {
    let Ok(manifest) = Manifest::parse(bytes.to_vec().into(), None) else { return };
    let text = std::str::from_utf8(bytes).expect("nothing else is taken");
    let mut found = Value::Null;
    decode(&mut Reader { rest: text }.value(), MANIFEST, &mut found);
    let own = match manifest.content() {
        Content::Image(image) => serde_json::to_value(image),
        Content::Index(index) => serde_json::to_value(index),
    };
    assert_eq!(plain(own.expect("it was read here")), plain(found), "{text}");
}

/// Without what is empty, and without what airlock does not keep.
#[must_use]
pub fn plain(value: Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(name, _)| name != "data" && !name.ends_with("features"));
            let each = kept.map(|(name, value)| (name, plain(value)));
            each.filter(|(_, value)| !empty(value)).collect::<Map<_, _>>().into()
        }
        Value::Array(list) => list.into_iter().map(plain).collect(),
        other => other,
    }
}

/// A type of Go: nothing for one that holds a value as it is.
type Struct = &'static [(&'static str, Type)];

#[derive(Clone, Copy)]
enum Type {
    Plain,
    Map,
    Struct(Struct),
    Slice(Struct),
}

const PLATFORM: Struct = &[
    ("architecture", Type::Plain),
    ("os", Type::Plain),
    ("os.version", Type::Plain),
    ("variant", Type::Plain),
];
const DESCRIPTOR: Struct = &[
    ("mediaType", Type::Plain),
    ("digest", Type::Plain),
    ("size", Type::Plain),
    ("urls", Type::Plain),
    ("annotations", Type::Map),
    ("platform", Type::Struct(PLATFORM)),
    ("artifactType", Type::Plain),
];
const MANIFEST: Struct = &[
    ("schemaVersion", Type::Plain),
    ("mediaType", Type::Plain),
    ("artifactType", Type::Plain),
    ("config", Type::Struct(DESCRIPTOR)),
    ("layers", Type::Slice(DESCRIPTOR)),
    ("manifests", Type::Slice(DESCRIPTOR)),
    ("subject", Type::Struct(DESCRIPTOR)),
    ("annotations", Type::Map),
];

fn fold(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c == 'ſ' {
                's'
            } else if c == '\u{212a}' {
                'k'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// Decodes into what is there, as Go does into a value that was decoded into before.
fn decode(json: &mut Json, members: Struct, into: &mut Value) {
    let Json::Object(object) = json else { return };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, value) in object {
        let known = members.iter().find(|(known, _)| known == name);
        let known = known.or_else(|| members.iter().find(|(known, _)| fold(known) == fold(name)));
        let Some((known, kind)) = known else { continue };
        let slot = &mut into[*known];
        match (kind, &mut *value) {
            (Type::Slice(_) | Type::Map | Type::Struct(_), Json::Null) => *slot = Value::Null,
            (Type::Plain, Json::Null) => {}
            (Type::Struct(members), value) => decode(value, members, slot),
            (Type::Slice(members), Json::Array(items)) => {
                let mut old = slot.as_array().cloned().unwrap_or_default();
                old.resize(items.len(), json!({}));
                items.iter_mut().zip(&mut old).for_each(|(item, into)| decode(item, members, into));
                *slot = old.into();
            }
            (Type::Map, Json::Object(entries)) => {
                if !slot.is_object() {
                    *slot = json!({});
                }
                for (name, value) in entries {
                    slot[name.as_str()] = value.plain();
                }
            }
            (_, value) => *slot = value.plain(),
        }
    }
}

/// JSON with the order and the repetitions of its members.
enum Json {
    Null,
    Other(Value),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn plain(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Other(value) => value.clone(),
            Self::Array(items) => items.iter().map(Self::plain).collect(),
            Self::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone(), value.plain()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }
}

/// Reads what another reader found to be JSON.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn next(&mut self) -> char {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest.chars().next().expect("the text goes on")
    }

    /// Takes so many bytes.
    fn take(&mut self, len: usize) -> &str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn string(&mut self) -> String {
        self.next();
        let mut end = 1;
        while self.rest.as_bytes()[end] != b'"' {
            end += if self.rest.as_bytes()[end] == b'\\' { 2 } else { 1 };
        }
        serde_json::from_str(self.take(end + 1)).expect("it is a string")
    }

    fn value(&mut self) -> Json {
        match self.next() {
            '{' => {
                let mut members = Vec::new();
                self.take(1);
                while self.next() != '}' {
                    let name = self.string();
                    self.next();
                    self.take(1);
                    members.push((name, self.value()));
                    if self.next() == ',' {
                        self.take(1);
                    }
                }
                self.take(1);
                Json::Object(members)
            }
            '[' => {
                let mut items = Vec::new();
                self.take(1);
                while self.next() != ']' {
                    items.push(self.value());
                    if self.next() == ',' {
                        self.take(1);
                    }
                }
                self.take(1);
                Json::Array(items)
            }
            '"' => Json::Other(self.string().into()),
            _ => {
                let end = self.rest.find([',', '}', ']', ' ', '\t', '\r', '\n']).unwrap_or(self.rest.len());
                match serde_json::from_str(self.take(end)).expect("it is a word or a number") {
                    Value::Null => Json::Null,
                    other => Json::Other(other),
                }
            }
        }
    }
}

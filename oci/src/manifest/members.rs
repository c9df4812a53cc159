//! Checks that a manifest's JSON means the same to every reader.
//!
//! Runtimes and registries read it with Go's `encoding/json`, which matches member names without regard to case, lets the
//! last of two equal members win, and merges the second one's fields into the first one's. So a member that differs from a
//! known one only in case, a duplicate of a known member, and a value of a type that Go does not expect are rejected.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// The type of a member's value, after the Go types of the image specification and of Docker's schema 2.
#[derive(Clone, Copy)]
enum ValueType {
    /// Anything: no reader uses it.
    Any,
    /// A string.
    Text,
    /// A number that fits Go's `int64`.
    Integer,
    /// Base64.
    Bytes,
    /// A list of strings.
    Texts,
    /// Strings by name.
    Annotations,
    /// An object.
    Object(&'static [Member]),
    /// A list of objects.
    Objects(&'static [Member]),
    /// A member of schema 1, which makes some readers take the manifest for a schema 1 manifest.
    Schema1,
}

/// A member's name and the type of its value.
type Member = (&'static str, ValueType);

const PLATFORM: &[Member] = &[
    ("architecture", ValueType::Text),
    ("os", ValueType::Text),
    ("os.version", ValueType::Text),
    ("os.features", ValueType::Texts),
    ("variant", ValueType::Text),
    ("features", ValueType::Texts),
];
const DESCRIPTOR: &[Member] = &[
    ("mediaType", ValueType::Text),
    ("digest", ValueType::Text),
    ("size", ValueType::Integer),
    ("urls", ValueType::Texts),
    ("annotations", ValueType::Annotations),
    ("data", ValueType::Bytes),
    ("platform", ValueType::Object(PLATFORM)),
    ("artifactType", ValueType::Text),
];
const MANIFEST: &[Member] = &[
    ("schemaVersion", ValueType::Integer),
    ("mediaType", ValueType::Text),
    ("artifactType", ValueType::Text),
    ("config", ValueType::Object(DESCRIPTOR)),
    ("layers", ValueType::Objects(DESCRIPTOR)),
    ("manifests", ValueType::Objects(DESCRIPTOR)),
    ("subject", ValueType::Object(DESCRIPTOR)),
    ("annotations", ValueType::Annotations),
    ("fsLayers", ValueType::Schema1),
];

/// Rejects bytes that two readers could read as two manifests.
///
/// # Errors
/// When the bytes are not JSON in UTF-8, or could be read in two ways (see the module).
pub(super) fn check(bytes: &[u8]) -> Result<(), serde_json::Error> {
    // Go replaces invalid UTF-8, also in names.
    let text = std::str::from_utf8(bytes).map_err(serde_json::Error::custom)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    Check(ValueType::Object(MANIFEST)).deserialize(&mut reader)?;
    reader.end()
}

/// Go's `foldName`, as far as its result can be an ASCII name: two letters outside ASCII fold to ASCII letters.
fn fold(letter: char) -> char {
    match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

/// Whether Go's `encoding/json` reads a member with this name as the known one, whose name is ASCII: it ignores case.
#[must_use]
pub fn is_read_as(name: &str, known: &str) -> bool {
    name.chars().map(fold).eq(known.chars().map(fold))
}

struct Check(ValueType);

impl Check {
    fn mismatch<E: Error>(&self, found: &str) -> E {
        E::custom(format_args!("found {found}, expected {}", self.expected()))
    }

    fn expected(&self) -> &'static str {
        match self.0 {
            ValueType::Any => "any value",
            ValueType::Text => "a string",
            ValueType::Integer => "a whole number below 2^63",
            ValueType::Bytes => "base64",
            ValueType::Texts => "a list of strings",
            ValueType::Annotations => "an object of strings",
            ValueType::Object(_) => "an object",
            ValueType::Objects(_) => "a list of objects",
            ValueType::Schema1 => "nothing",
        }
    }
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected())
    }

    /// Go reads `null` as an absent value, for every type.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        if matches!(self.0, ValueType::Any) { Ok(()) } else { Err(self.mismatch("a boolean")) }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match self.0 {
            ValueType::Any => Ok(()),
            ValueType::Integer if i64::try_from(value).is_ok() => Ok(()),
            _ => Err(self.mismatch("a number")),
        }
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        if matches!(self.0, ValueType::Any | ValueType::Integer) {
            Ok(())
        } else {
            Err(self.mismatch("a number"))
        }
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        if matches!(self.0, ValueType::Any) { Ok(()) } else { Err(self.mismatch("a number")) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.0 {
            ValueType::Any | ValueType::Text => Ok(()),
            ValueType::Bytes if is_base64(text) => Ok(()),
            _ => Err(self.mismatch("a string")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let kind = match self.0 {
            ValueType::Any => ValueType::Any,
            ValueType::Texts => ValueType::Text,
            ValueType::Objects(members) => ValueType::Object(members),
            _ => return Err(self.mismatch("a list")),
        };
        while items.next_element_seed(Check(kind))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let members = match self.0 {
            ValueType::Any => return each(&mut object, ValueType::Any),
            ValueType::Annotations => return each(&mut object, ValueType::Text),
            ValueType::Object(members) => members,
            _ => return Err(self.mismatch("an object")),
        };
        let mut seen = vec![false; members.len()];
        while let Some(name) = object.next_key::<String>()? {
            let Some(at) = members.iter().position(|(known, _)| is_read_as(&name, known)) else {
                object.next_value_seed(Check(ValueType::Any))?;
                continue;
            };
            let (known, kind) = members[at];
            object.next_value_seed(Named {
                name,
                known,
                kind,
                is_duplicate: std::mem::replace(&mut seen[at], true),
            })?;
        }
        Ok(())
    }
}

fn each<'de, A: MapAccess<'de>>(object: &mut A, kind: ValueType) -> Result<(), A::Error> {
    while object.next_key::<String>()?.is_some() {
        object.next_value_seed(Check(kind))?;
    }
    Ok(())
}

/// The value of a member that a reader takes for a known one.
struct Named {
    name: String,
    known: &'static str,
    kind: ValueType,
    is_duplicate: bool,
}

impl<'de> DeserializeSeed<'de> for Named {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { name, known, kind, is_duplicate } = self;
        if name != known {
            let name = name.escape_debug();
            return Err(D::Error::custom(format_args!(
                "member `{name}` is read as `{known}` by parsers that ignore case"
            )));
        }
        match kind {
            _ if is_duplicate => Err(D::Error::custom(format_args!("duplicate member `{known}`"))),
            ValueType::Schema1 => {
                Err(D::Error::custom(format_args!("member `{known}` belongs to schema 1, not to schema 2")))
            }
            kind => Check(kind).deserialize(deserializer),
        }
    }
}

/// Whether Go's `StdEncoding` decodes the text: it skips line breaks.
fn is_base64(text: &str) -> bool {
    let text: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let body = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.len().is_multiple_of(4) && text.len() - body <= 2 && text[..body].iter().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        check(text.as_bytes()).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a1_members_that_go_reads_as_known_ones_are_rejected_at_every_depth() {
        for (text, name) in [
            (r#"{"layers":[],"Layers":[]}"#, "`Layers` is read as `layers`"),
            (r#"{"layer\u017f":[]}"#, "is read as `layers`"),
            ("{\"Subject\":null}", "is read as `subject`"),
            (r#"{"config":{"mediatype":""}}"#, "is read as `mediaType`"),
            (r#"{"layers":[{},{"SIZE":1}]}"#, "is read as `size`"),
            (r#"{"manifests":[{"platform":{"O\u017f":""}}]}"#, "is read as `os`"),
            (r#"{"subject":{"annotations":{},"annotationſ":{}}}"#, "is read as `annotations`"),
            (r#"{"FSLayers":[]}"#, "is read as `fsLayers`"),
            (r#"{"fsLayers":[]}"#, "belongs to schema 1"),
            (r#"{"layers":[],"layers":[]}"#, "duplicate member `layers`"),
            (r#"{"layers":[],"\u006cayers":[]}"#, "duplicate member `layers`"),
            (r#"{"config":{"size":1,"size":2}}"#, "duplicate member `size`"),
        ] {
            assert!(refused(text).contains(name), "{text}: {}", refused(text));
        }
        for text in [
            r#"{"annotations":{"Layers":"x","layers":"y","layers":"z"},"unknown":{"Config":1,"config":2}}"#,
            r#"{"layers_":[],"com.example.layers":1,"schemaVersion":2,"config":null,"data":5}"#,
        ] {
            assert_eq!(refused(text), "");
        }
    }

    #[test]
    fn a1_values_that_go_does_not_accept_are_rejected() {
        for text in [
            r#"{"schemaVersion":2.0}"#,
            r#"{"schemaVersion":9223372036854775808}"#,
            r#"{"config":{"data":"?"}}"#,
            r#"{"config":{"data":[1]}}"#,
            r#"{"config":{"platform":{"os.features":"x"}}}"#,
            r#"{"config":{"urls":{}}}"#,
            r#"{"annotations":{"a":1}}"#,
            r#"{"layers":{}}"#,
            r#"{"config":[]}"#,
            r#"{"unknown":1e999}"#,
            "[]",
            "{} x",
        ] {
            assert_ne!(refused(text), "", "{text}");
        }
        assert!(check(b"{\"a\xff\":1}").is_err());
        assert!(check(format!("{{\"a\":{}{}}}", "[".repeat(10_001), "]".repeat(10_001)).as_bytes()).is_err());
        assert_eq!(refused(r#"{"config":{"data":"e30=","urls":null,"size":1}}"#), "");
    }
}

//! Whether a manifest's JSON means one thing to every reader.
//!
//! Runtimes and registries read it by Go's `encoding/json`, which takes a member for a known one whatever the case of
//! its letters, lets the last of two win, and fills the first one's fields with the second's. So a member that equals a
//! known one but for case, a known one that comes twice, and a value of another type than Go expects are refused.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// What stands in a member, by the Go types of the image specification and of Docker's schema 2.
#[derive(Clone, Copy)]
enum Kind {
    /// Anything: no reader looks at it.
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
    /// A member of schema 1, by which some readers take the whole for such a manifest.
    Schema1,
}

/// A name, and what stands under it.
type Member = (&'static str, Kind);

const PLATFORM: &[Member] = &[
    ("architecture", Kind::Text),
    ("os", Kind::Text),
    ("os.version", Kind::Text),
    ("os.features", Kind::Texts),
    ("variant", Kind::Text),
    ("features", Kind::Texts),
];
const DESCRIPTOR: &[Member] = &[
    ("mediaType", Kind::Text),
    ("digest", Kind::Text),
    ("size", Kind::Integer),
    ("urls", Kind::Texts),
    ("annotations", Kind::Annotations),
    ("data", Kind::Bytes),
    ("platform", Kind::Object(PLATFORM)),
    ("artifactType", Kind::Text),
];
const MANIFEST: &[Member] = &[
    ("schemaVersion", Kind::Integer),
    ("mediaType", Kind::Text),
    ("artifactType", Kind::Text),
    ("config", Kind::Object(DESCRIPTOR)),
    ("layers", Kind::Objects(DESCRIPTOR)),
    ("manifests", Kind::Objects(DESCRIPTOR)),
    ("subject", Kind::Object(DESCRIPTOR)),
    ("annotations", Kind::Annotations),
    ("fsLayers", Kind::Schema1),
];

/// Refuses what two readers could read as two manifests.
///
/// # Errors
/// When it is not JSON in UTF-8, or as the module says.
pub(super) fn check(bytes: &[u8]) -> Result<(), serde_json::Error> {
    // Go replaces what is not UTF-8, in names, too.
    let text = std::str::from_utf8(bytes).map_err(serde_json::Error::custom)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    Check(Kind::Object(MANIFEST)).deserialize(&mut reader)?;
    reader.end()
}

/// Go's `foldName`, as far as it can come to a name in ASCII: two letters beyond it fold to one within.
fn fold(letter: char) -> char {
    match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    }
}

/// Whether Go's `encoding/json` takes a member of this name for the known one, whose name is in ASCII: the case of letters
/// does not count.
#[must_use]
pub fn is_read_as(name: &str, known: &str) -> bool {
    name.chars().map(fold).eq(known.chars().map(fold))
}

struct Check(Kind);

impl Check {
    fn other<E: Error>(&self, found: &str) -> E {
        E::custom(format_args!("{found} where {} is expected", self.expected()))
    }

    fn expected(&self) -> &'static str {
        match self.0 {
            Kind::Any => "any value",
            Kind::Text => "a string",
            Kind::Integer => "a whole number below 2^63",
            Kind::Bytes => "base64",
            Kind::Texts => "a list of strings",
            Kind::Annotations => "an object of strings",
            Kind::Object(_) => "an object",
            Kind::Objects(_) => "a list of objects",
            Kind::Schema1 => "nothing",
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

    /// To Go `null` is no value, for every type.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        if matches!(self.0, Kind::Any) { Ok(()) } else { Err(self.other("a boolean")) }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match self.0 {
            Kind::Any => Ok(()),
            Kind::Integer if i64::try_from(value).is_ok() => Ok(()),
            _ => Err(self.other("a number")),
        }
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        if matches!(self.0, Kind::Any | Kind::Integer) { Ok(()) } else { Err(self.other("a number")) }
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        if matches!(self.0, Kind::Any) { Ok(()) } else { Err(self.other("a number")) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.0 {
            Kind::Any | Kind::Text => Ok(()),
            Kind::Bytes if is_base64(text) => Ok(()),
            _ => Err(self.other("a string")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let kind = match self.0 {
            Kind::Any => Kind::Any,
            Kind::Texts => Kind::Text,
            Kind::Objects(members) => Kind::Object(members),
            _ => return Err(self.other("a list")),
        };
        while items.next_element_seed(Check(kind))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let members = match self.0 {
            Kind::Any => return each(&mut object, Kind::Any),
            Kind::Annotations => return each(&mut object, Kind::Text),
            Kind::Object(members) => members,
            _ => return Err(self.other("an object")),
        };
        let mut seen = vec![false; members.len()];
        while let Some(name) = object.next_key::<String>()? {
            let Some(at) = members.iter().position(|(known, _)| is_read_as(&name, known)) else {
                object.next_value_seed(Check(Kind::Any))?;
                continue;
            };
            let (known, kind) = members[at];
            object.next_value_seed(Named {
                name,
                known,
                kind,
                again: std::mem::replace(&mut seen[at], true),
            })?;
        }
        Ok(())
    }
}

fn each<'de, A: MapAccess<'de>>(object: &mut A, kind: Kind) -> Result<(), A::Error> {
    while object.next_key::<String>()?.is_some() {
        object.next_value_seed(Check(kind))?;
    }
    Ok(())
}

/// The value of a member that a reader takes for a known one.
struct Named {
    name: String,
    known: &'static str,
    kind: Kind,
    again: bool,
}

impl<'de> DeserializeSeed<'de> for Named {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { name, known, kind, again } = self;
        if name != known {
            let name = name.escape_debug();
            return Err(D::Error::custom(format_args!(
                "member `{name}` is read as `{known}` where case is ignored"
            )));
        }
        match kind {
            _ if again => Err(D::Error::custom(format_args!("member `{known}` comes twice"))),
            Kind::Schema1 => {
                Err(D::Error::custom(format_args!("member `{known}` is of schema 1, not of schema 2")))
            }
            kind => Check(kind).deserialize(deserializer),
        }
    }
}

/// What Go's `StdEncoding` decodes: it passes over line breaks.
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
    fn a1_members_that_go_takes_for_known_ones_are_refused_at_every_depth() {
        for (text, name) in [
            (r#"{"layers":[],"Layers":[]}"#, "`Layers` is read as `layers`"),
            (r#"{"layer\u017f":[]}"#, "is read as `layers`"),
            ("{\"Subject\":null}", "is read as `subject`"),
            (r#"{"config":{"mediatype":""}}"#, "is read as `mediaType`"),
            (r#"{"layers":[{},{"SIZE":1}]}"#, "is read as `size`"),
            (r#"{"manifests":[{"platform":{"O\u017f":""}}]}"#, "is read as `os`"),
            (r#"{"subject":{"annotations":{},"annotationſ":{}}}"#, "is read as `annotations`"),
            (r#"{"FSLayers":[]}"#, "is read as `fsLayers`"),
            (r#"{"fsLayers":[]}"#, "of schema 1"),
            (r#"{"layers":[],"layers":[]}"#, "`layers` comes twice"),
            (r#"{"layers":[],"\u006cayers":[]}"#, "`layers` comes twice"),
            (r#"{"config":{"size":1,"size":2}}"#, "`size` comes twice"),
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
    fn a1_values_that_go_does_not_take_are_refused() {
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

//! JSON parsed as strictly as signatures require: no duplicate members at any depth, so that all readers see the same
//! document.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Error, Result};

/// Reads one document; `serde_json` bounds the depth to 128.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice::<NoDuplicates>(bytes)?;
    serde_json::from_slice(bytes)
}

/// Base64 with the standard alphabet, padded, without stray bits: each value has one encoding.
pub(crate) fn base64(name: &'static str, text: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|_| Error::Base64(name))
}

/// Base64 of a hash or of another value of fixed length.
pub(crate) fn base64_array<const LEN: usize>(name: &'static str, text: &str) -> Result<[u8; LEN]> {
    base64(name, text)?.try_into().map_err(|_| Error::Base64(name))
}

/// A non-negative protobuf `int64`: a decimal string, or a number as some writers produce it (protobuf JSON mapping).
/// No sign, no leading zero, no exponent.
pub(crate) fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u64, D::Error> {
    deserializer.deserialize_any(Count)
}

struct Count;

impl Visitor<'_> for Count {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count of 63 bits, as decimal digits")
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> std::result::Result<u64, E> {
        if i64::try_from(value).is_ok() { Ok(value) } else { Err(E::custom("a count beyond 63 bits")) }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<u64, E> {
        match text.parse::<u64>() {
            Ok(value) if value.to_string() == text => self.visit_u64(value),
            _ => Err(E::custom("not a count in decimal form")),
        }
    }
}

/// Any value, checked only for duplicate members.
struct NoDuplicates;

impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for NoDuplicates {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> std::result::Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> std::result::Result<Self, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if seen.contains(&name) {
                let shown = name.escape_debug();
                return Err(serde::de::Error::custom(format_args!("duplicate member `{shown}`")));
            }
            seen.insert(name);
            members.next_value::<Self>()?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[derive(Deserialize)]
    struct Counted {
        #[serde(deserialize_with = "int64")]
        n: u64,
    }

    #[test]
    fn a_duplicate_member_is_refused_at_any_depth() {
        assert!(parse::<Value>(br#"{"a":{"b":1},"b":[{"b":1.5},null,true,-1,"b"]}"#).is_ok());
        for twice in [r#"{"a":1,"a":1}"#, r#"[{"x":{"a":1,"b":2,"a":1}}]"#, r#"{"a":1,"\u0061":2}"#] {
            let error = parse::<Value>(twice.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("duplicate member"), "{error}");
        }
        assert!(parse::<Value>("[".repeat(1000).as_bytes()).is_err());
    }

    #[test]
    fn counts_are_strings_or_numbers_in_one_form() {
        for (text, value) in [(r#""0""#, 0), ("7", 7), (r#""9223372036854775807""#, i64::MAX as u64)] {
            assert_eq!(parse::<Counted>(format!(r#"{{"n":{text}}}"#).as_bytes()).unwrap().n, value);
        }
        for text in
            [r#""01""#, r#""+1""#, r#""-1""#, "-1", "1.0", "1e3", r#""9223372036854775808""#, r#""""#, "null"]
        {
            assert!(parse::<Counted>(format!(r#"{{"n":{text}}}"#).as_bytes()).is_err(), "{text}");
        }
    }
}

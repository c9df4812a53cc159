//! The schema of a package's values. A chart's own schema is for all values, including its defaults; a bundle's schema is
//! for the user's values, which may be empty. So the bundle omits the requirements of the chart's schema. No check is
//! lost: rendering still validates the values against the chart's own schema.

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder};
use helm::Chart;
use serde_json::Value;

use super::Error;
use super::config::OfferText;

/// The schema of a chart without a schema: any map.
const ANY_MAP: &[u8] = br#"{"type":"object"}"#;
const MOST_BYTES: usize = 8 << 20;

/// The schema in gzip without a time, then base64, like upstream's generator.
pub(super) fn packed(offer: &OfferText, name: &str, chart: &Chart, base: &Path) -> Result<String, Error> {
    let refused = || Error::Schema(name.to_owned());
    let read = |text: &[u8]| match text.len() {
        ..=MOST_BYTES => serde_json::from_slice::<Value>(text).map_err(|_| refused()),
        _ => Err(refused()),
    };
    let text = if let Some(path) = &offer.schema {
        let path = base.join(path);
        let text = input::read(&path, input::MAX_SIZE).map_err(|source| Error::Read { path, source })?;
        read(&text)?;
        text
    } else {
        let own = chart.schema().unwrap_or(ANY_MAP);
        let schema = read(own)?;
        let mut relaxed = schema.clone();
        relax(&mut relaxed);
        if relaxed == schema { own.to_vec() } else { serde_json::to_vec(&relaxed).map_err(|_| refused())? }
    };
    let mut writer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    writer.write_all(&text).map_err(|_| refused())?;
    Ok(STANDARD.encode(writer.finish().map_err(|_| refused())?))
}

/// Removes the rules from a schema that values without defaults may violate. All values that were valid before stay valid.
/// Lists are not merged with defaults, so the rules for their items are kept.
///
/// The JSON parser limits the depth of this recursion.
fn relax(schema: &mut Value) {
    const WHOLE: [&str; 8] = [
        "minProperties",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "not",
        "if",
        "then",
        "else",
    ];
    let Value::Object(table) = schema else { return };
    table.remove("required");
    for name in WHOLE {
        table.remove(name);
    }
    // Without their `required` rules, several alternatives would match.
    if table.get("oneOf").is_some_and(|all| all.to_string().contains("\"required\":")) {
        table.remove("oneOf");
    }
    for (name, below) in table.iter_mut() {
        match (name.as_str(), below) {
            ("properties" | "patternProperties" | "definitions" | "$defs", Value::Object(all)) => {
                all.values_mut().for_each(relax);
            }
            ("allOf" | "anyOf", Value::Array(all)) => all.iter_mut().for_each(relax),
            ("additionalProperties", below) => relax(below),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_with_defaults_are_not_required() {
        let mut schema = json!({
            "required": ["speaker", "required"],
            "properties": {
                "required": { "type": "boolean" },
                "speaker": { "$ref": "#/definitions/component" },
                "ports": { "items": { "type": "object", "required": ["port"] } },
                "tag": { "oneOf": [{ "type": "string" }, { "type": "integer" }] },
                "tls": { "oneOf": [{ "required": ["key"] }, { "required": ["secret"] }], "type": "object" },
            },
            "definitions": { "component": { "allOf": [{ "required": ["image"] }], "additionalProperties": false } },
            "if": { "properties": { "a": { "const": 1 } } }, "then": { "required": ["b"] },
        });
        relax(&mut schema);
        let expected = json!({
            "properties": {
                "required": { "type": "boolean" },
                "speaker": { "$ref": "#/definitions/component" },
                "ports": { "items": { "type": "object", "required": ["port"] } },
                "tag": { "oneOf": [{ "type": "string" }, { "type": "integer" }] },
                "tls": { "type": "object" },
            },
            "definitions": { "component": { "allOf": [{}], "additionalProperties": false } },
        });
        assert_eq!(schema, expected);
    }
}

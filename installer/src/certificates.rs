//! Certificates in manifests: one that has expired, or soon will, does not overwrite its replacement.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

const PEM: &str = "-----BEGIN ";
/// The same text in base64.
const ENCODED: &str = "LS0tLS1CRUdJTi";

/// Whether an object contains a certificate with less than a third of its validity left, as PEM or as base64 of PEM.
pub(crate) fn are_due(object: &Value, now: i64) -> bool {
    match object {
        Value::String(text) if text.trim_start().starts_with(ENCODED) => {
            let plain: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let decoded = STANDARD.decode(plain).unwrap_or_default();
            helm::is_due(&String::from_utf8_lossy(&decoded), now)
        }
        Value::String(text) => text.contains(PEM) && helm::is_due(text, now),
        Value::Array(items) => items.iter().any(|item| are_due(item, now)),
        Value::Object(fields) => fields.values().any(|value| are_due(value, now)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

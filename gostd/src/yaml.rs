//! YAML for everything that airlock passes to Kubernetes, read and written as `sigs.k8s.io/yaml` does: go-yaml v2 plus
//! JSON. A YAML 1.2 reader would return other values for the same text: here `yes` is true and `0777` is 511.
//!
//! - Scalars are YAML 1.1: `y`, `on`, `~`, octal numbers, `1_000`; timestamps and `1:20` remain strings.
//! - Keys are converted to strings; a null key is an error. The last of several equal keys wins, unless reading is
//!   [strict](parse_strict).
//! - `<<` merges at its position: it overwrites the keys before it, as in go-yaml v2.
//! - Aliases are expanded within [`Limits::value_nodes`], [`Limits::value_depth`] and go-yaml's own limit on aliasing.
//! - Numbers are those of the JSON text: whole numbers that fit 64 bits are integers.
//!
//! ```
//! use gostd::{Limits, yaml};
//!
//! let value = yaml::parse("on: [yes, 0777, 1.0, 1:20]", &Limits::default())?;
//! assert_eq!(value, serde_json::json!({"true": [true, 511, 1, "1:20"]}));
//! # Ok::<(), yaml::Error>(())
//! ```

mod decode;
mod detour;
mod error;
mod indent;
mod order;
mod reader;
mod scalar;
mod style;
mod text;
mod timestamp;
mod writer;

use std::borrow::Cow;

use crate::budget::{Budget, Failure};
use crate::json::tree::{Target, Typed, Walk, walk};
use crate::limits::Limits;
use crate::value::Value;
use decode::{Duplicates, decode};
pub use error::{Error, Problem};
use indent::repairing;
use reader::Reader;
pub use writer::Dialect;
use writer::Writer;

/// Reads the first document of `text`; text without a document is null.
///
/// ```
/// use gostd::{Limits, yaml};
///
/// let text = "base: &base {cpu: 1}\nlimits: {<<: *base, memory: 1Gi}\n---\nsecond document";
/// let value = yaml::parse(text, &Limits::default())?;
/// assert_eq!(value["limits"], serde_json::json!({"cpu": 1, "memory": "1Gi"}));
/// # Ok::<(), yaml::Error>(())
/// ```
///
/// # Errors
/// The document is not valid YAML, has no JSON form, or exceeds a limit.
pub fn parse(text: &str, limits: &Limits) -> Result<serde_json::Value, Error> {
    first(text, Duplicates::Last, limits)
}

/// Reads the first document of `text` and rejects duplicate keys, even those from `<<`.
///
/// ```
/// use gostd::{Limits, yaml};
///
/// assert!(yaml::parse("a: 1\na: 2", &Limits::default()).is_ok());
/// let error = yaml::parse_strict("a: 1\na: 2", &Limits::default()).unwrap_err();
/// assert_eq!(error.to_string(), r#"line 2, column 1: key "a" already set in map"#);
/// ```
///
/// # Errors
/// As [`parse`], and on a duplicate key.
pub fn parse_strict(text: &str, limits: &Limits) -> Result<serde_json::Value, Error> {
    first(text, Duplicates::Rejected, limits)
}

/// Reads all documents of `text`; a document without content is null. The limits apply to each document.
///
/// ```
/// use gostd::{Limits, yaml};
///
/// let all = yaml::documents("a: 1\n---\n# nothing\n---\n- b\n", &Limits::default())?;
/// assert_eq!(all, [serde_json::json!({"a": 1}), serde_json::json!(null), serde_json::json!(["b"])]);
/// # Ok::<(), yaml::Error>(())
/// ```
///
/// # Errors
/// A document is not valid YAML, has no JSON form, or exceeds a limit.
pub fn documents(text: &str, limits: &Limits) -> Result<Vec<serde_json::Value>, Error> {
    repairing(&prepare(text), |text| {
        let mut reader = Reader::new(text, limits)?;
        let mut all = Vec::new();
        while let Some(nodes) = reader.next()? {
            all.push(decode(&nodes, Duplicates::Last, limits)?);
        }
        Ok(all)
    })
}

/// Writes `value` as `sigs.k8s.io/yaml.Marshal` does, with a line break at the end.
///
/// Where Marshal itself fails (a string with U+007F, a key over 1022 characters) or loses data (U+0085), this writes
/// text that reads back as the same value. Two things do not read back: a key `<<`, which Marshal writes so that it
/// merges, and text with U+2028, U+2029 or U+FEFF, which the reader treats differently.
///
/// ```
/// let value = serde_json::json!({"a10": "yes", "a2": [1.5, "x: y", "two\nlines\n"]});
/// assert_eq!(gostd::yaml::write(&value), "a2:\n- 1.5\n- 'x: y'\n- |\n  two\n  lines\na10: \"yes\"\n");
/// ```
#[must_use]
pub fn write(value: &serde_json::Value) -> String {
    let mut writer = Writer::new(Dialect::V2, None);
    let unbounded =
        Walk { before: Dialect::V2.order(), keeps_fields: false, depth: usize::MAX, step: &|_| Ok(()) };
    // Without limits, and with JSON's numbers only, nothing can fail.
    walk(value, unbounded, &mut writer).and_then(|()| writer.finish()).unwrap_or_default()
}

/// Reads the first document of `text` as a template value; numbers are float64.
///
/// # Errors
/// As [`parse`].
pub fn parse_value(text: &str, limits: &Limits) -> Result<Value, Error> {
    first(text, Duplicates::Last, limits)
}

/// Reads the first document of `text` with its numbers as written: 1 is an integer, 1.0 is not.
///
/// # Errors
/// As [`parse`].
pub fn parse_typed(text: &str, limits: &Limits) -> Result<Value, Error> {
    first(text, Duplicates::Last, limits).map(|Typed(value)| value)
}

/// Writes a template value, with a line break at the end.
///
/// # Errors
/// [`Failure::Message`] with Go's error text, or [`Failure::Limit`].
pub fn write_value(value: &Value, dialect: Dialect, scope: &Budget<'_>) -> Result<String, Failure> {
    let mut writer = Writer::new(dialect, Some(scope));
    let step = |nodes| scope.step(nodes);
    let bounded =
        Walk { before: dialect.order(), keeps_fields: false, depth: scope.limits.value_depth, step: &step };
    walk(value.clone(), bounded, &mut writer)?;
    writer.finish()
}

fn first<T: Target>(text: &str, duplicates: Duplicates, limits: &Limits) -> Result<T, Error> {
    repairing(first_document(&prepare(text)), |text| match Reader::new(text, limits)?.next()? {
        Some(nodes) => decode(&nodes, duplicates, limits),
        None => Ok(T::null()),
    })
}

/// The text up to the `...` that ends its first document. libyaml does not read the text after it.
fn first_document(text: &str) -> &str {
    let (mut at, mut has_begun, mut has_content) = (0, false, false);
    for line in text.split_inclusive('\n') {
        let rest = line.strip_prefix("...");
        if has_begun && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n'])) {
            return text.get(..at + 3).unwrap_or(text);
        }
        if has_begun && !has_content && line.starts_with('%') {
            // A directive after a `---` without content begins the next document.
            return text.get(..at).unwrap_or(text);
        }
        let is_content = !line.trim().is_empty() && !line.starts_with(['#', '%']);
        has_content |= is_content && line.trim_end() != "---";
        has_begun |= is_content;
        at += line.len();
    }
    text
}

/// Converts all YAML 1.1 line breaks to line feeds, as libyaml does, and removes a byte order mark.
fn prepare(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains(['\r', '\u{85}']) {
        Cow::Owned(text.replace("\r\n", "\n").replace(['\r', '\u{85}'], "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests;

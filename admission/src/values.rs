//! Validates a package's values against the schema in its bundle.
//!
//! Upstream uses gojsonschema, which supports the drafts 4, 6 and 7 and treats any other as a mixture of them. So the
//! draft that a schema declares is ignored, and all schemas are read as draft 7.

mod messages;

use std::error::Error as StdError;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use error_class::{Class, Classified};
use flate2::read::MultiGzDecoder;
use gostd::{Limits, yaml};
use jsonschema::{Draft, PatternOptions, Retrieve, Uri, ValidationOptions};
use serde_json::{Map, Value};

/// The largest accepted schema. The largest known one has 241 kB.
const MAX_BYTES: u64 = 8 << 20;

/// Values cannot be validated, or are invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The schema is not base64.
    #[error("the schema is not base64")]
    Base64(#[source] base64::DecodeError),
    /// The schema does not begin with the magic bytes of gzip: usually it is missing.
    #[error("the schema is not compressed")]
    NotGzip,
    /// The compressed schema is corrupt.
    #[error("the schema cannot be decompressed")]
    Gzip(#[source] std::io::Error),
    /// The schema is too large.
    #[error("the schema has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// The schema is not JSON.
    #[error("the schema is not JSON")]
    Json(#[source] serde_json::Error),
    /// The schema is not valid in draft 7.
    #[error("the schema cannot be used: {0}")]
    Schema(String),
    /// The values are not YAML, or not a map.
    #[error("the values are not YAML")]
    Yaml(#[source] yaml::Error),
    /// Validation would exceed the limits.
    #[error("the values cannot be validated within the limits")]
    Bounds(#[source] schema_bounds::Exceeded),
    /// The values do not match the schema. The violations have gojsonschema's texts.
    #[error("the values do not match the schema")]
    Invalid(Vec<String>),
}

impl Error {
    /// The message of upstream's webhook.
    #[must_use]
    pub fn upstream_message(&self) -> String {
        let chain = |error: &dyn StdError| error.to_string();
        match self {
            Self::Base64(error) => format!("error decoding configurations {}", chain(error)),
            Self::NotGzip => "error when uncompressing configurations EOF".to_owned(),
            Self::Gzip(error) => format!("error reading configurations {}", chain(error)),
            Self::TooLarge => format!("error reading configurations {self}"),
            Self::Json(error) => format!("error compiling schema {}", chain(error)),
            Self::Schema(reason) => format!("error compiling schema {reason}"),
            Self::Yaml(error) => {
                format!("error converting package configurations to yaml {}", chain(error))
            }
            Self::Bounds(error) => format!("error validating configurations {}", chain(error)),
            Self::Invalid(faults) => {
                let lines: String = faults.iter().map(|fault| format!("- {fault}\n")).collect();
                format!("error validating configurations {lines}")
            }
        }
    }
}

/// Validates a package's configuration, a YAML document as text, and returns its values.
///
/// # Errors
/// [`Error`]. Without a schema, no values are valid.
pub fn check(schema: &str, config: Option<&str>) -> Result<Value, Error> {
    let mut schema = unpack(schema)?;
    if let Value::Object(table) = &mut schema {
        table.remove("$schema");
    }
    let values = read(config)?;
    let limits = Limits::default();
    schema_bounds::check(&schema, &values, &limits).map_err(Error::Bounds)?;
    let patterns = PatternOptions::regex().size_limit(limits.regex_bytes).dfa_size_limit(limits.regex_bytes);
    let options: ValidationOptions<'_> = jsonschema::options()
        .with_draft(Draft::Draft7)
        .with_retriever(NoRetrieval)
        .with_pattern_options(patterns);
    let validator = options.build(&schema).map_err(|error| Error::Schema(error.to_string()))?;
    let mut faults = Vec::new();
    for error in validator.iter_errors(&values) {
        messages::describe(&error, &schema, &mut faults);
    }
    if faults.is_empty() { Ok(values) } else { Err(Error::Invalid(faults)) }
}

/// The values of a configuration. If it is absent or null, they are an empty map.
///
/// # Errors
/// [`Error::Yaml`].
pub fn read(config: Option<&str>) -> Result<Value, Error> {
    match yaml::parse(config.unwrap_or_default(), &Limits::default()).map_err(Error::Yaml)? {
        Value::Null => Ok(Value::Object(Map::new())),
        values => Ok(values),
    }
}

/// Decodes a schema from a bundle: base64 of gzip of JSON.
///
/// # Errors
/// [`Error::Base64`], [`Error::NotGzip`], [`Error::Gzip`], [`Error::TooLarge`], [`Error::Json`].
pub fn unpack(schema: &str) -> Result<Value, Error> {
    let packed = STANDARD.decode(schema).map_err(Error::Base64)?;
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return Err(Error::NotGzip);
    }
    let mut text = Vec::new();
    let mut reader = MultiGzDecoder::new(packed.as_slice()).take(MAX_BYTES + 1);
    reader.read_to_end(&mut text).map_err(Error::Gzip)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Error::TooLarge);
    }
    serde_json::from_slice(&text).map_err(Error::Json)
}

/// Rejects references to anything outside of the schema.
struct NoRetrieval;

impl Retrieve for NoRetrieval {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn StdError + Send + Sync>> {
        Err(format!("{uri} is outside the schema").into())
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::Base64(_)
            | Self::NotGzip
            | Self::Gzip(_)
            | Self::TooLarge
            | Self::Json(_)
            | Self::Schema(_) => Class::Other,
            Self::Yaml(_) | Self::Invalid(_) => Class::Usage,
            Self::Bounds(error) => error.class(),
        }
    }
}

//! in-toto statements about artifacts (in-toto/attestation `spec/v1/statement.md`). Version 0.1, which cosign still
//! writes for attestations, is also parsed.

use std::collections::BTreeMap;

use oci::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, ImageName, Result, json};

/// A signature, as `cosign sign` writes it.
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// Build provenance (SLSA provenance 1.0).
pub const SLSA_PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// A bill of materials in SPDX.
pub const SPDX: &str = "https://spdx.dev/Document";
/// A bill of materials in CycloneDX.
pub const CYCLONE_DX: &str = "https://cyclonedx.org/bom";
/// A vulnerability scan, as `cosign attest --type vuln`.
pub const VULNERABILITIES: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";
/// The summary of a verification (SLSA verification summary 1.0).
pub const VERIFICATION_SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
/// Any other content, as `cosign attest --type custom`.
pub const CUSTOM: &str = "https://cosign.sigstore.dev/attestation/v1";

/// The type names of `cosign attest --type` (cosign `pkg/cosign/attestation` and
/// `cmd/cosign/cli/options/predicate.go`), and names for a signature and a verification summary.
pub const TYPE_NAMES: [(&str, &str); 11] = [
    ("signature", COSIGN_SIGN),
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", SLSA_PROVENANCE),
    ("spdx", SPDX),
    ("spdxjson", SPDX),
    ("cyclonedx", CYCLONE_DX),
    ("vuln", VULNERABILITIES),
    ("vsa", VERIFICATION_SUMMARY),
    ("openvex", "https://openvex.dev/ns"),
    ("custom", CUSTOM),
];

/// The predicate type for a name of [`TYPE_NAMES`] or a URI; none for any other text.
#[must_use]
pub fn predicate_type(text: &str) -> Option<&str> {
    let known = TYPE_NAMES.iter().find(|(name, _)| *name == text);
    let is_uri = text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty()
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            && !rest.is_empty()
            && rest.chars().all(|c| c.is_ascii_graphic())
    });
    known.map(|(_, uri)| *uri).or_else(|| is_uri.then_some(text))
}

const TYPE: &str = "https://in-toto.io/Statement/v1";
const OLD_TYPE: &str = "https://in-toto.io/Statement/v0.1";

const NAME: &str = "name";
const SEQUENCE: &str = "sequence";
const CLASS: &str = "class";

/// A statement about artifacts. Nothing in it is trusted unless it is within a [`crate::Verified`].
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    subjects: Vec<Subject>,
    predicate_type: String,
    predicate: Option<Value>,
}

/// One artifact, by digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    digest: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, Value>,
}

/// Readers must ignore unknown members (in-toto `spec/v1/README.md`, "Parsing rules").
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate: Option<Value>,
}

impl Statement {
    /// Creates a statement. Cosign requires some predicate; without one, `{}` is written.
    #[must_use]
    pub fn new(subjects: Vec<Subject>, predicate_type: &str, predicate: Option<Value>) -> Self {
        Self { subjects, predicate_type: predicate_type.to_owned(), predicate }
    }

    /// Creates the statement that an image is signed.
    #[must_use]
    pub fn signature(subject: Subject) -> Self {
        Self::new(vec![subject], COSIGN_SIGN, None)
    }

    /// Its JSON, version 1.
    ///
    /// # Errors
    /// Never for values of these types, although `serde_json` returns a `Result`.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let document = Document {
            kind: TYPE.to_owned(),
            subject: self.subjects.clone(),
            predicate_type: self.predicate_type.clone(),
            predicate: Some(self.predicate.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new()))),
        };
        serde_json::to_vec(&document).map_err(Error::Statement)
    }

    /// Parses a statement whose signature has been verified.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let document: Document = json::parse(bytes).map_err(Error::Statement)?;
        if document.kind != TYPE && document.kind != OLD_TYPE {
            return Err(Error::StatementKind(document.kind));
        }
        if document.subject.is_empty() {
            return Err(Error::NoSubject);
        }
        Ok(Self {
            subjects: document.subject,
            predicate_type: document.predicate_type,
            predicate: document.predicate,
        })
    }

    /// The artifacts that it is about.
    #[must_use]
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// The type of its predicate.
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// Its predicate; cosign 3.0.0 to 3.0.4 left it out of signatures.
    #[must_use]
    pub fn predicate(&self) -> Option<&Value> {
        self.predicate.as_ref()
    }
}

impl Subject {
    /// An image. The name is written twice: in in-toto's field, and as an annotation, which `cosign verify -a
    /// name=NAME` checks.
    #[must_use]
    pub fn image(digest: &Digest, name: &ImageName) -> Self {
        let name = name.to_string();
        let annotations = BTreeMap::from([(NAME.to_owned(), Value::from(name.as_str()))]);
        Self::new(Some(name), digest, annotations)
    }

    pub(crate) fn new(name: Option<String>, digest: &Digest, annotations: BTreeMap<String, Value>) -> Self {
        let digest = BTreeMap::from([(digest.algorithm().to_string(), digest.hex().to_owned())]);
        Self { name, digest, annotations }
    }

    /// Adds the delivery's sequence number, which only increases.
    #[must_use]
    pub fn with_sequence(self, sequence: u64) -> Self {
        self.with(SEQUENCE, &sequence.to_string())
    }

    /// Adds the class of the content, a marking.
    #[must_use]
    pub fn with_class(self, class: &str) -> Self {
        self.with(CLASS, class)
    }

    /// Adds an annotation.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.into());
        self
    }

    /// Whether it is this artifact, by the algorithm of `digest`; other algorithms are ignored.
    #[must_use]
    pub fn is(&self, digest: &Digest) -> bool {
        self.digest(digest.algorithm()) == Some(digest.hex())
    }

    pub(crate) fn digest(&self, algorithm: oci::Algorithm) -> Option<&str> {
        self.digest.get(algorithm.as_str()).map(String::as_str)
    }

    /// Every stated name: in-toto's, then the annotation.
    ///
    /// # Errors
    /// [`Error::Annotation`] when the annotation is not text.
    pub fn names(&self) -> Result<Vec<&str>> {
        Ok(self.name.as_deref().into_iter().chain(self.text(NAME)?).collect())
    }

    /// The delivery's sequence number, if stated.
    ///
    /// # Errors
    /// [`Error::Annotation`] when it is not a number in decimal form.
    pub fn sequence(&self) -> Result<Option<u64>> {
        let Some(text) = self.text(SEQUENCE)? else { return Ok(None) };
        match text.parse::<u64>() {
            Ok(number) if number.to_string() == text => Ok(Some(number)),
            _ => Err(Error::Annotation(SEQUENCE)),
        }
    }

    /// The class of the content, if stated.
    ///
    /// # Errors
    /// [`Error::Annotation`] when it is not text.
    pub fn class(&self) -> Result<Option<&str>> {
        self.text(CLASS)
    }

    /// All annotations.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<String, Value> {
        &self.annotations
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>> {
        match self.annotations.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Error::Annotation(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_round_trips() {
        let digest = Digest::sha256(b"image");
        let subject = Subject::image(&digest, &"r.example/app".parse().unwrap());
        let subject = subject.with_sequence(7).with_class("internal");
        let statement = Statement::new(vec![subject], CUSTOM, Some(serde_json::json!({ "Data": "x" })));
        let read = Statement::parse(&statement.to_json().unwrap()).unwrap();
        assert_eq!(read, statement);
        let subject = &read.subjects()[0];
        assert!(subject.is(&digest) && !subject.is(&Digest::sha256(b"")));
        assert_eq!(subject.names().unwrap(), ["r.example/app", "r.example/app"]);
        assert_eq!((subject.sequence().unwrap(), subject.class().unwrap()), (Some(7), Some("internal")));
    }

    #[test]
    fn annotations_of_airlock_have_one_form() {
        let subject = || Subject::new(None, &Digest::sha256(b""), BTreeMap::new());
        for number in ["", "07", "-1", "+7", "1e3", "18446744073709551616"] {
            let error = subject().with(SEQUENCE, number).sequence();
            assert!(matches!(error, Err(Error::Annotation(SEQUENCE))), "{number}");
        }
        let mut odd = subject();
        odd.annotations.insert(NAME.to_owned(), 1.into());
        assert!(matches!(odd.names(), Err(Error::Annotation(NAME))));
        assert!(subject().names().unwrap().is_empty() && subject().sequence().unwrap().is_none());
    }
}

//! The report of the values that a signature does not cover.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::Serialize;

/// The reason why a value is not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum UncoveredReason {
    /// The signer excluded it, by the signed annotation of the manifest.
    Excluded,
    /// The contract leaves it out in every manifest.
    Always,
    /// An annotation, which the contract does not sign.
    Annotation,
    /// A key that the kind does not have.
    Unknown,
}

impl fmt::Display for UncoveredReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded => "left out by the signer",
            Self::Always => "never signed",
            Self::Annotation => "an annotation, never signed",
            Self::Unknown => "an unknown key",
        })
    }
}

/// A value of the manifest that anyone could have changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uncovered {
    path: String,
    #[serde(rename = "why")]
    reason: UncoveredReason,
    sha256: String,
}

impl Uncovered {
    /// `json`: the value as JSON with sorted keys and without white space.
    pub(super) fn new(path: String, reason: UncoveredReason, json: &str) -> Self {
        Self { path, reason, sha256: hex(digest(&SHA256, json.as_bytes()).as_ref()) }
    }

    /// Its path, as jq would write it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The reason why it is not covered.
    #[must_use]
    pub fn reason(&self) -> UncoveredReason {
        self.reason
    }

    /// SHA-256 in hex of the value as JSON with sorted keys, without white space, `<`, `>` and `&` escaped.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sha256:{} ({})", self.path, self.sha256, self.reason)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! What a signature does not cover, for people and for programs.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::Serialize;

/// Why a value is not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Why {
    /// The signer chose so, by the signed annotation of the manifest.
    Excluded,
    /// The contract leaves it out of every manifest.
    Always,
    /// An annotation, which the contract does not sign.
    Annotation,
    /// The kind has no such key.
    Unknown,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded => "left out by the signer",
            Self::Always => "never signed",
            Self::Annotation => "an annotation, never signed",
            Self::Unknown => "an unknown key",
        })
    }
}

/// A value of the manifest that anyone could have put there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uncovered {
    path: String,
    why: Why,
    sha256: String,
}

impl Uncovered {
    /// `json`: the value as JSON with sorted keys and without white space.
    pub(super) fn new(path: String, why: Why, json: &str) -> Self {
        Self { path, why, sha256: hex(digest(&SHA256, json.as_bytes()).as_ref()) }
    }

    /// Where it stands, as jq would write it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Why it is not covered.
    #[must_use]
    pub fn why(&self) -> Why {
        self.why
    }

    /// SHA-256 in hex of the value as JSON with sorted keys, without white space, `<`, `>` and `&` escaped.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sha256:{} ({})", self.path, self.sha256, self.why)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

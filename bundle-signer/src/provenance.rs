//! The provenance file of a packaged Helm chart, `NAME-VERSION.tgz.prov`, which identifies the signer of the chart.
//!
//! It is a clear-signed text of two parts, separated by a line of three dots: `Chart.yaml`, and the SHA-256 of the archive
//! by its file name. The checks are those of `helm verify --keyring`: first the signature, then the digest under the
//! chart's own name. In addition, no file may be listed twice.

use std::collections::BTreeMap;

use error_class::{Class, Classified};
use gostd::{Limits, yaml};
use oci::Digest;
use serde::Deserialize;

use crate::openpgp::{self, Defect, Keyring, SignedBy};

/// The separator between the two parts.
const SEPARATOR: &str = "\n...\n";

/// The reason why the provenance of a chart is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvenanceError {
    /// The keyring cannot be read.
    #[error("the keyring cannot be used")]
    Keyring(#[source] Defect),
    /// Not signed by a key of the keyring.
    #[error("the provenance is not signed by a key of the keyring")]
    Signature(#[source] Defect),
    /// Signed, but not a provenance file.
    #[error("the signed text is not a chart's provenance: {0}")]
    Form(&'static str),
    /// For another file.
    #[error("the provenance is for {}, not for `{expected}`", found.join(", "))]
    OtherFile {
        /// The files that it lists.
        found: Vec<String>,
        /// The chart's file.
        expected: String,
    },
    /// For another content of the file.
    #[error("the chart `{file}` has digest `{found}`, but its provenance has `{expected}`")]
    OtherDigest {
        /// The chart's file.
        file: String,
        /// Its digest.
        found: String,
        /// The signed digest.
        expected: String,
    },
}

impl ProvenanceError {
    /// How to fix the error, if known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Keyring(defect) | Self::Signature(defect) => defect.hint(),
            Self::OtherDigest { .. } => {
                Some("get the chart and its `.prov` file from the same source, or do not use the chart")
            }
            Self::Form(_) | Self::OtherFile { .. } => None,
        }
    }
}

#[derive(Deserialize)]
struct Sums {
    files: BTreeMap<String, String>,
}

/// Verifies the provenance of the archive `file`, which has this digest, at the time `now` (seconds since 1970).
///
/// # Errors
/// [`ProvenanceError`].
pub fn verify(
    text: &[u8],
    keyring: &[u8],
    file: &str,
    digest: &Digest,
    now: u64,
) -> Result<SignedBy, ProvenanceError> {
    let keyring = Keyring::parse(keyring).map_err(ProvenanceError::Keyring)?;
    let (text, signed_by) = openpgp::verify(text, &keyring, now).map_err(ProvenanceError::Signature)?;
    let mut parts = text.split(SEPARATOR);
    let (Some(_), Some(sums), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(ProvenanceError::Form("it does not have two parts"));
    };
    let files = || ProvenanceError::Form("it has no list of files");
    let strict = yaml::parse_strict(sums, &Limits::default());
    let value = strict.map_err(|_| match yaml::parse(sums, &Limits::default()) {
        Ok(_) => ProvenanceError::Form("it lists a file twice"),
        Err(_) => files(),
    })?;
    let sums: Sums = serde_json::from_value(value).map_err(|_| files())?;
    if sums.files.is_empty() {
        return Err(files());
    }
    let Some(expected) = sums.files.get(file) else {
        let found = sums.files.keys().map(|name| format!("`{name}`")).collect();
        return Err(ProvenanceError::OtherFile { found, expected: file.to_owned() });
    };
    let found = digest.to_string();
    if *expected != found {
        return Err(ProvenanceError::OtherDigest {
            file: file.to_owned(),
            found,
            expected: expected.clone(),
        });
    }
    Ok(signed_by)
}

impl Classified for ProvenanceError {
    fn class(&self) -> Class {
        match self {
            Self::Keyring(_) => Class::Usage,
            Self::Signature(_) | Self::Form(_) | Self::OtherFile { .. } | Self::OtherDigest { .. } => {
                Class::Refused
            }
        }
    }
}

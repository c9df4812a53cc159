//! The manifests of EKS Anywhere with embedded signatures: `PackageBundle`, `Bundles`, and the `Release` of EKS Distro.
//! They are verified byte for byte as AWS's programs do. The verification is stricter where those programs accept text
//! that two readers read differently, or hash a constant because a selector failed.
//!
//! AWS's signatures leave out much: registry and repository of every chart, nearly every image of `Bundles`, all
//! components of a `Release`. So only [`Covered`], the signed part, is verified, and everything else is reported as
//! [`Uncovered`]. Uncovered values need another proof of authenticity.
//!
//! - `document`: bytes to a value; `shape`, `types`: the value as Go's types would write it again
//! - `path`: selectors; `contract`: the signed part; `coverage`: the unsigned part
//! - `keys`: AWS's keys; `controller_version`: the label for the minimum version of the controller; `sign`: our own
//!   package bundles
//!
//! `manifest + TrustFile -> Verified<Covered> + [Uncovered]`

mod contract;
mod controller_version;
mod coverage;
mod document;
mod keys;
mod path;
mod refusal;
mod shape;
mod sign;
mod types;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

pub use contract::Covered;
use contract::{
    BUNDLES, BUNDLES_SIGNATURE, Contract, MORE_SIGNATURES, PACKAGE_BUNDLE, Parts, RELEASE, SIGNATURE,
};
pub use controller_version::{MIN_CONTROLLER_VERSION, label as min_controller_version_label};
pub use coverage::{Uncovered, UncoveredReason};
pub use document::MAX_LEN;
pub use keys::{bundles_keys, distro_keys, package_keys};
pub use refusal::Refusal;
pub use sign::{Coverage, SignedBundle, cosign_bundle, sign_bundle};

use crate::verify::{Insufficient, verify_manifest};
use crate::{PublicKey, Result, TrustFile, Verified};

/// The largest number of signatures of one manifest that are verified.
const MAX_SIGNATURES: usize = 32;

/// A manifest with a valid signature, and the values that the signature does not cover.
#[derive(Debug)]
pub struct Manifest {
    signed: Verified<Covered>,
    by: Vec<String>,
    whole: Value,
    uncovered: Vec<Uncovered>,
}

impl Manifest {
    /// The names of all keys whose signatures counted, in the trust file's order.
    #[must_use]
    pub fn by(&self) -> &[String] {
        &self.by
    }

    /// The signed part, and its signer.
    #[must_use]
    pub fn signed(&self) -> &Verified<Covered> {
        &self.signed
    }

    /// The whole manifest as it was read, with the values that the signature does not cover.
    #[must_use]
    pub fn whole(&self) -> &Value {
        &self.whole
    }

    /// The values that the signature does not cover, sorted by path.
    #[must_use]
    pub fn uncovered(&self) -> &[Uncovered] {
        &self.uncovered
    }

    /// Like [`Self::uncovered`], by value.
    #[must_use]
    pub fn into_uncovered(self) -> Vec<Uncovered> {
        self.uncovered
    }
}

/// Verifies a `PackageBundle`, as the package controller's webhook does. AWS's keys: [`package_keys`].
///
/// # Errors
/// When it is malformed or ambiguous, or no key of `trust` signed it.
pub fn verify_package_bundle(text: &[u8], trust: &TrustFile) -> Result<Manifest> {
    UnverifiedManifest::read(text)?.verify_package_bundle(trust)
}

/// Verifies `Bundles`, as `eksctl anywhere` does. AWS's key: [`bundles_keys`].
///
/// # Errors
/// When it is malformed or ambiguous, or no key of `trust` signed it.
pub fn verify_bundles(text: &[u8], trust: &TrustFile) -> Result<Manifest> {
    UnverifiedManifest::read(text)?.verify_bundles(trust)
}

/// Verifies a `Release` of EKS Distro by its signature, which is in an annotation of `bundles`. That annotation is not
/// signed, but this does no harm: it is itself a signature. AWS's key: [`distro_keys`].
///
/// # Errors
/// When either is malformed or ambiguous, or no key of `trust` signed the release.
pub fn verify_release(text: &[u8], bundles: &[u8], trust: &TrustFile) -> Result<Manifest> {
    UnverifiedManifest::read(text)?.verify_release(bundles, trust)
}

/// A manifest that is read, but not verified: only its kind may be used.
#[derive(Debug)]
pub struct UnverifiedManifest(Value);

impl UnverifiedManifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is malformed or ambiguous.
    pub fn read(text: &[u8]) -> Result<Self> {
        document::read(text).map(Self)
    }

    /// Its kind, as written; empty if it has none.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.get("kind").and_then(Value::as_str).unwrap_or_default()
    }

    /// Like [`verify_package_bundle`].
    ///
    /// # Errors
    /// When it is malformed, or no key of `trust` signed it.
    pub fn verify_package_bundle(self, trust: &TrustFile) -> Result<Manifest> {
        let signature = contract::annotation(&self.0, SIGNATURE).unwrap_or_default().to_owned();
        let signature = Annotation { name: SIGNATURE, value: &signature };
        controller_version::check_label(verify(&PACKAGE_BUNDLE, self.0, signature, trust)?)
    }

    /// Like [`verify_bundles`].
    ///
    /// # Errors
    /// When it is malformed, or no key of `trust` signed it.
    pub fn verify_bundles(self, trust: &TrustFile) -> Result<Manifest> {
        let signature = contract::annotation(&self.0, BUNDLES_SIGNATURE).unwrap_or_default().to_owned();
        verify(&BUNDLES, self.0, Annotation { name: BUNDLES_SIGNATURE, value: &signature }, trust)
    }

    /// Like [`verify_release`].
    ///
    /// # Errors
    /// When it or `bundles` is malformed, or no key of `trust` signed it.
    pub fn verify_release(self, bundles: &[u8], trust: &TrustFile) -> Result<Manifest> {
        let typed = RELEASE.typed(&self.0)?.value;
        let channel = typed.get("spec").and_then(|spec| spec.get("channel")).and_then(Value::as_str);
        let name = format!("distro.eks.amazonaws.com/signature-{}", channel.unwrap_or_default());
        let bundles = BUNDLES.typed(&document::read(bundles)?)?.value;
        let value = contract::annotation(&bundles, &name).unwrap_or_default();
        verify(&RELEASE, self.0, Annotation { name: &name, value }, trust)
    }
}

/// An annotation with signatures.
#[derive(Clone, Copy)]
struct Annotation<'a> {
    name: &'a str,
    /// The signatures: base64, separated by white space.
    value: &'a str,
}

fn verify(
    contract: &Contract,
    whole: Value,
    signature: Annotation<'_>,
    trust: &TrustFile,
) -> Result<Manifest> {
    keys::refuse_test_key(trust)?;
    verify_by(contract, whole, signature, trust)
}

/// Like [`verify`], with any key. Only tests may call it with the public test key.
fn verify_by(
    contract: &Contract,
    whole: Value,
    signature: Annotation<'_>,
    trust: &TrustFile,
) -> Result<Manifest> {
    let Parts { covered, uncovered } = contract.apart(&whole)?;
    if signature.value.is_empty() {
        return Err(Refusal::MissingSignature(signature.name.to_owned()).into());
    }
    let more = contract::annotation(&whole, MORE_SIGNATURES).unwrap_or_default();
    let signatures = signatures(&[signature, Annotation { name: MORE_SIGNATURES, value: more }])?;
    let test = PublicKey::from_pem(keys::TEST)?;
    match verify_manifest(trust, &contract.content, covered, &signatures) {
        Ok((signed, by)) => Ok(Manifest { signed, by, whole, uncovered }),
        Err(Insufficient { covered, reasons }) if reasons.is_empty() => {
            let is_test = |signature: &Vec<u8>| test.verifies(covered.bytes(), signature);
            if signatures.iter().any(is_test) {
                return Err(Refusal::TestKey.into());
            }
            Err(Refusal::BadSignature(coverage::hex(&covered.sha256())).into())
        }
        Err(Insufficient { reasons, .. }) => {
            let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
            let content = contract.content.to_string();
            Err(Refusal::NotAccepted { content, reasons: reasons.join("; ") }.into())
        }
    }
}

/// The signatures in some annotations.
fn signatures(annotations: &[Annotation<'_>]) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for Annotation { name, value } in annotations {
        for text in value.split_ascii_whitespace() {
            if found.len() == MAX_SIGNATURES {
                return Err(Refusal::TooManySignatures(MAX_SIGNATURES).into());
            }
            found.push(STANDARD.decode(text).map_err(|_| Refusal::SignatureText((*name).to_owned()))?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;

//! Signatures and attestations of an image: found in the image's repository, and judged by a trust file.
//!
//! Works the same for a store and for a registry. A failed request is an error, never "unsigned".
//!
//! - `search`: finds candidates; `judge`: decides; `shape`: which manifests are evidence
//! - `gate`, `upstream`: the policies that need evidence; `signing`: writes signatures; `tag_update`: merges incoming
//!   signatures with existing ones

mod blocking;
mod class;
pub mod gate;
mod judge;
mod search;
pub mod shape;
pub mod signing;
mod source;
pub mod tag_update;
pub mod upstream;

use bundle_signer::{Error as Signer, Evidence, keyless};
use oci::{Descriptor, Digest, Manifest, Selector};
use serde::Serialize;

pub use self::judge::{Counted, Judgement, Question, RefusalReason, Refused, Until, Verdict, judged};
pub use self::search::{Bounds, Next, Searched, Visitor, search};
pub use self::source::{Contents, EvidenceSource};

/// The errors of reading and writing evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request to the registry failed.
    #[error("the request to the registry failed")]
    Client(#[source] registry::client::Error),
    /// The store failed.
    #[error("an operation on the store failed")]
    Store(#[from] store::Error),
    /// A file of the store cannot be read.
    #[error("cannot read `{digest}` in the store")]
    Read {
        /// The blob.
        digest: Digest,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// A file that the user named cannot be read.
    #[error("cannot read `{path}`", path = path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// The key or signer that is required for upstream signatures cannot be used.
    #[error("the required signer for upstream signatures cannot be used")]
    Requirement(#[source] Signer),
    /// An identity or a trusted root cannot be used.
    #[error("the required identity for upstream signatures cannot be used")]
    Keyless(#[source] Box<bundle_signer::keyless::Error>),
    /// The image does not exist.
    #[error("`{0}` does not exist")]
    NotFound(String),
    /// The content of a blob does not match its digest.
    #[error("the content of `{0}` does not match its digest")]
    Content(Digest),
    /// A manifest cannot be read or created.
    #[error("a manifest is malformed")]
    Oci(#[source] oci::Error),
    /// Concurrent writers overwrote cosign's tag repeatedly.
    #[error(
        "other clients keep overwriting the tag `{0}`, and the signature was lost; sign again when they are done"
    )]
    Overwritten(oci::Tag),
    /// Signing failed.
    #[error("signing failed")]
    Sign(#[source] Signer),
    /// A task ended unexpectedly.
    #[error("internal error: a task that uses the store ended unexpectedly")]
    Died,
}

/// Something that may be a signature.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where it was found: a tag, or a referrer's digest.
    pub at: String,
    /// Its layer, with annotations.
    pub layer: Descriptor,
    bytes: Vec<u8>,
    kind: Encoding,
}

#[derive(Clone, Debug)]
enum Encoding {
    SimpleSigning(String),
    Envelope,
    Bundle,
}

impl Candidate {
    /// The evidence to verify.
    #[must_use]
    pub fn evidence(&self) -> Evidence<'_> {
        match &self.kind {
            Encoding::SimpleSigning(_) | Encoding::Envelope if keyless::is_keyless(&self.layer) => {
                Evidence::Certified(&self.layer, &self.bytes)
            }
            Encoding::SimpleSigning(signature) => Evidence::SimpleSigning { payload: &self.bytes, signature },
            Encoding::Envelope => Evidence::Envelope(&self.bytes),
            Encoding::Bundle => Evidence::Bundle(&self.bytes),
        }
    }

    /// The payload, envelope or bundle.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A candidate that was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Where it was found.
    pub at: String,
    /// The reason.
    #[serde(rename = "why")]
    pub reason: String,
}

/// Resolves a selector to its digest and its manifest.
///
/// # Errors
/// [`Error::NotFound`], or when the source cannot be read.
pub async fn resolve(source: &EvidenceSource, selector: &Selector) -> Result<(Digest, Manifest), Error> {
    let manifest = source.manifest(selector).await?;
    let manifest = manifest.ok_or_else(|| Error::NotFound(source.reference(selector)))?;
    let digest = match selector {
        Selector::Digest(digest) => digest.clone(),
        Selector::Tag(_) => manifest.digest(),
    };
    Ok((digest, manifest))
}

/// An error with its causes, in one line.
#[must_use]
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}

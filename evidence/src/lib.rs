//! Signatures and attestations about an image: found where the image is, and judged by a trust file.
//!
//! The same for a store and for a registry. What cannot be asked is an error, never "unsigned".
//!
//! - `search`: finds; `judge`: decides; `shape`: what is evidence at all
//! - `gate`, `upstream`: questions; `signing`: writes; `gathered`: what becomes of signatures when others come in

mod class;
pub mod gate;
pub mod gathered;
mod judge;
mod search;
pub mod shape;
pub mod signing;
mod source;
pub mod upstream;

use bundle_signer::{Error as Signer, Evidence, keyless};
use oci::{Descriptor, Digest, Manifest, Selector};
use serde::Serialize;

pub use self::judge::{Counted, Judging, Question, RefusalReason, Refused, Until, Verdict, judged};
pub use self::search::{Bounds, Listener, Next, Searched, search};
pub use self::source::{Contents, EvidenceSource};

/// Why evidence cannot be had or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry gave no answer.
    #[error("the registry could not be asked")]
    Client(#[source] registry::client::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// A file of the store cannot be read.
    #[error("cannot read `{digest}` in the store")]
    Read {
        /// Which blob.
        digest: Digest,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file that was named cannot be read.
    #[error("cannot read `{path}`", path = path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A key by which upstream is to have signed cannot be used.
    #[error("the key for upstream's signatures cannot be used")]
    Demand(#[source] Signer),
    /// An identity or a trusted root cannot be used.
    #[error("the identity for upstream's signatures cannot be used")]
    Keyless(#[source] Box<bundle_signer::keyless::Error>),
    /// There is no such image.
    #[error("`{0}` does not exist")]
    NotFound(String),
    /// A blob is not what its digest says.
    #[error("the content of `{0}` is not what its digest says")]
    Content(Digest),
    /// A manifest cannot be read or made.
    #[error("a manifest is malformed")]
    Oci(#[source] oci::Error),
    /// Others wrote to cosign's tag at the same time, again and again.
    #[error(
        "others write to the tag `{0}` at the same time, and the signature is not there; sign again when they are done"
    )]
    Overwritten(oci::Tag),
    /// It cannot be signed.
    #[error("it cannot be signed")]
    Sign(#[source] Signer),
}

/// Something that may be a signature.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where: a tag, or a referrer's digest.
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
    /// The same, to be checked.
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

/// Something that was passed over unread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Where.
    pub at: String,
    /// Why.
    pub why: String,
}

/// What a reference means: its digest and its manifest.
///
/// # Errors
/// [`Error::NotFound`], or when the place cannot be asked.
pub async fn resolve(place: &EvidenceSource, selector: &Selector) -> Result<(Digest, Manifest), Error> {
    let manifest = place.manifest(selector).await?;
    let manifest = manifest.ok_or_else(|| Error::NotFound(place.named(selector)))?;
    let digest = match selector {
        Selector::Digest(digest) => digest.clone(),
        Selector::Tag(_) => manifest.digest(),
    };
    Ok((digest, manifest))
}

/// An error and its causes, in one line.
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

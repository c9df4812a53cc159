//! Signatures and attestations about an image: found where the image is, and judged by a trust file.
//!
//! The same for a store and for a registry. What cannot be asked is an error, never "unsigned".

pub mod gate;
mod judge;
mod place;
pub mod shape;
pub mod signing;
pub mod upstream;

use bundle_signer::{Error as Signer, Evidence, Limits, attached, referrer};
use oci::{Descriptor, Digest, Manifest, Selector, Tag};
use serde::Serialize;

pub use self::judge::{Counted, Fault, Question, Refused, Verdict, judge};
pub use self::place::Place;

/// Referrers of one image that are read; with more, nothing is decided.
const MOST_REFERRERS: usize = 100;

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
    /// More referrers than are read.
    #[error("`{image}` has {found} referrers, more than the {MOST_REFERRERS} that are read")]
    TooManyReferrers {
        /// The image.
        image: Digest,
        /// How many there are.
        found: usize,
    },
    /// It cannot be signed.
    #[error("it cannot be signed")]
    Sign(#[source] Signer),
}

/// Something that may be a signature.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where: a tag, or a referrer's digest.
    pub at: String,
    /// Its layer, with annotations.
    pub layer: Descriptor,
    bytes: Vec<u8>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    SimpleSigning(String),
    Envelope,
    Bundle,
}

impl Found {
    /// The same, to be checked.
    #[must_use]
    pub fn evidence(&self) -> Evidence<'_> {
        match &self.kind {
            Kind::SimpleSigning(signature) => Evidence::SimpleSigning { payload: &self.bytes, signature },
            Kind::Envelope => Evidence::Envelope(&self.bytes),
            Kind::Bundle => Evidence::Bundle(&self.bytes),
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

/// All that was found about an image.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// To be judged.
    pub found: Vec<Found>,
    /// Unreadable.
    pub skipped: Vec<Skipped>,
}

/// Finds what is said about an image, under cosign's tags and as referrers.
///
/// # Errors
/// When the place cannot be asked, or has more than is read.
pub async fn collect(place: &Place, image: &Digest, limits: &Limits) -> Result<Collected, Error> {
    let mut collected = Collected::default();
    for suffix in ["sig", "att"] {
        let Ok(tag) = Tag::of_attachment(image, suffix) else { continue };
        let at = tag.to_string();
        let Some(manifest) = place.manifest(&Selector::Tag(tag)).await? else { continue };
        let layers = match suffix {
            "sig" => attached::signatures(&manifest, limits),
            _ => attached::attestations(&manifest, limits),
        };
        match layers {
            Err(error) => collected.skip(at, &error),
            Ok(layers) => {
                for layer in layers.found {
                    let bytes = place.blob(&layer.blob).await?;
                    let kind =
                        if suffix == "sig" { Kind::SimpleSigning(layer.signature) } else { Kind::Envelope };
                    collected.found.push(Found { at: at.clone(), layer: layer.blob, bytes, kind });
                }
                if layers.skipped > 0 {
                    let why = format!("{} layers are no signatures, or too large", layers.skipped);
                    collected.skipped.push(Skipped { at, why });
                }
            }
        }
    }
    let referrers = place.referrers(image).await?;
    if referrers.len() > MOST_REFERRERS {
        return Err(Error::TooManyReferrers { image: image.clone(), found: referrers.len() });
    }
    for listed in referrers {
        refers(place, image, &listed.digest, limits, &mut collected).await?;
    }
    Ok(collected)
}

async fn refers(
    place: &Place,
    image: &Digest,
    referrer: &Digest,
    limits: &Limits,
    collected: &mut Collected,
) -> Result<(), Error> {
    let at = referrer.to_string();
    let Some(manifest) = place.manifest(&Selector::Digest(referrer.clone())).await? else {
        collected.skipped.push(Skipped { at, why: "it is listed, but not there".to_owned() });
        return Ok(());
    };
    match referrer::bundle_of(&manifest, image, limits) {
        Ok(None) => {}
        Err(error) => collected.skip(at, &error),
        Ok(Some(layer)) => {
            let bytes = place.blob(layer).await?;
            collected.found.push(Found { at, layer: layer.clone(), bytes, kind: Kind::Bundle });
        }
    }
    Ok(())
}

impl Collected {
    fn skip(&mut self, at: String, error: &Signer) {
        self.skipped.push(Skipped { at, why: error.to_string() });
    }
}

/// What a reference means: its digest and its manifest.
///
/// # Errors
/// [`Error::NotFound`], or when the place cannot be asked.
pub async fn resolve(place: &Place, selector: &Selector) -> Result<(Digest, Manifest), Error> {
    let manifest = place.manifest(selector).await?;
    let manifest = manifest.ok_or_else(|| Error::NotFound(format!("{place}, {selector}")))?;
    let digest = match selector {
        Selector::Digest(digest) => digest.clone(),
        Selector::Tag(_) => manifest.digest(),
    };
    Ok((digest, manifest))
}

//! Signatures and attestations written beside an image, in both of cosign's formats. What is there stays.

use std::collections::BTreeMap;

use bundle_signer::{
    Envelope, Error as Signer, Format, ImageName, Limits, NameRule, PrivateKey, Statement, Subject,
    TrustFile, attached, bundle, referrer, simple_signing, statement, verify_image,
};
use oci::{Descriptor, Digest, Manifest, Selector, Tag};
use serde::Serialize;
use serde_json::Value;

use super::{Bounds, Candidate, Error, EvidenceSource, Next, search};

/// What to say of an image, and how to write it down.
pub struct Order<'a> {
    /// Who says it.
    pub key: &'a PrivateKey,
    /// The image's name.
    pub name: &'a ImageName,
    /// What is signed beside it.
    pub annotations: &'a BTreeMap<String, String>,
    /// What kind of thing is said.
    pub predicate_type: &'a str,
    /// What is said; nothing for a signature.
    pub predicate: Option<&'a Value>,
    /// Under cosign's tags.
    pub legacy: bool,
    /// As a referrer.
    pub bundle: bool,
    /// When, in RFC 3339, for people.
    pub created: &'a str,
}

/// Something that was written, or was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// The image.
    pub image: Digest,
    /// `legacy` or `bundle`.
    pub format: &'static str,
    /// The tag, or the referrer's digest.
    pub at: String,
    /// Whether the same was signed by the same key before, so that nothing was written.
    pub present: bool,
}

/// The images that a reference comes to: itself and, if asked for, all below it that are there; and how many
/// are not.
///
/// # Errors
/// When the place cannot be asked.
pub async fn targets(
    place: &EvidenceSource,
    root: (Digest, Manifest),
    recursive: bool,
) -> Result<(Vec<Descriptor>, usize), Error> {
    let (mut open, mut found, mut absent) = (vec![root], Vec::<Descriptor>::new(), 0);
    while let Some((digest, manifest)) = open.pop() {
        if found.iter().any(|known| known.digest == digest) {
            continue;
        }
        let size = manifest.bytes().len() as u64;
        found.push(Descriptor::new(manifest.media_type().clone(), digest, size));
        let children = manifest.children().iter().filter(|child| recursive && child.media_type.is_manifest());
        for child in children {
            match place.manifest(&Selector::Digest(child.digest.clone())).await? {
                Some(manifest) => open.push((child.digest.clone(), manifest)),
                None => absent += 1,
            }
        }
    }
    Ok((found, absent))
}

/// How often it is signed again under a tag that others write at the same time.
const TRIES: usize = 5;

/// Signs an image, or attests something of it.
///
/// # Errors
/// When the place cannot be asked or written, or cosign's tag is full.
pub async fn sign(
    place: &EvidenceSource,
    image: &Descriptor,
    order: &Order<'_>,
) -> Result<Vec<Written>, Error> {
    let said = order.said(place, &image.digest).await?;
    let mut written = Vec::new();
    if order.legacy {
        written.push(Box::pin(legacy(place, image, order, said.legacy)).await?);
    }
    if order.bundle {
        written.push(bundled(place, image, order, said.bundle).await?);
    }
    Ok(written)
}

/// Where the same is said by the same key, in each format.
#[derive(Default)]
struct Said {
    legacy: Option<String>,
    bundle: Option<String>,
}

impl Order<'_> {
    fn is_signature(&self) -> bool {
        self.predicate_type == statement::COSIGN_SIGN
    }

    fn statement(&self, image: &Digest) -> Statement {
        let subject = Subject::image(image, self.name);
        let annotated =
            self.annotations.iter().fold(subject, |subject, (name, value)| subject.with(name, value));
        Statement::new(vec![annotated], self.predicate_type, self.predicate.cloned())
    }

    fn payload(&self, image: &Digest) -> simple_signing::Payload {
        let payload = simple_signing::Payload::new(image.clone(), self.name);
        self.annotations.iter().fold(payload, |payload, (name, value)| payload.with(name, value))
    }

    fn envelope(&self, image: &Digest) -> Result<Envelope, Error> {
        let statement = self.statement(image).to_json().map_err(Error::Sign)?;
        Envelope::sign(statement, |bytes| self.key.sign(bytes)).map_err(Error::Sign)
    }

    async fn said(&self, place: &EvidenceSource, image: &Digest) -> Result<Said, Error> {
        let own = self.key.public_key().map_err(Error::Sign)?;
        let own = TrustFile::new(vec![("own".to_owned(), own)]).map_err(Error::Sign)?;
        // An own statement carries the name once more as an annotation.
        let statement = self.statement(image);
        let payload = self.payload(image).to_bytes().map_err(Error::Sign)?;
        let same = |found: &Candidate| {
            let expected = bundle_signer::Expectation {
                digest: image,
                name: self.name,
                name_rule: NameRule::Required,
                predicate_type: self.predicate_type,
                formats: &[Format::SimpleSigning, Format::Envelope, Format::Bundle],
                keys: &own,
                role: &|_| true,
                log: bundle_signer::LogRule::NotAsked,
                limits: Limits::default(),
            };
            verify_image(&found.evidence(), &expected).is_ok_and(|verified| match found.evidence().format() {
                Format::SimpleSigning => found.bytes() == payload,
                Format::Envelope | Format::Bundle => {
                    let said = verified.get().statement();
                    let empty = Value::Object(serde_json::Map::new());
                    said.subjects() == statement.subjects()
                        && said.predicate().unwrap_or(&empty) == statement.predicate().unwrap_or(&empty)
                }
            })
        };
        let mut said = Said::default();
        let mut hear = |found: &Candidate| {
            let slot = match found.evidence().format() {
                Format::Bundle => &mut said.bundle,
                Format::SimpleSigning | Format::Envelope => &mut said.legacy,
            };
            if slot.is_none() && same(found) {
                *slot = Some(found.at.clone());
            }
            let all = (said.legacy.is_some() || !self.legacy) && (said.bundle.is_some() || !self.bundle);
            if all { Next::Enough } else { Next::More }
        };
        let searched = search(place, image, &Bounds::default(), &mut hear).await;
        match searched.trouble {
            Some(error) => Err(error),
            None => Ok(said),
        }
    }
}

async fn legacy(
    place: &EvidenceSource,
    image: &Descriptor,
    order: &Order<'_>,
    said: Option<String>,
) -> Result<Written, Error> {
    let suffix = if order.is_signature() { "sig" } else { "att" };
    let tag = Tag::of_attachment(&image.digest, suffix).map_err(Error::Oci)?;
    let (image, format) = (image.digest.clone(), "legacy");
    if let Some(at) = said {
        return Ok(Written { image, format, at, present: true });
    }
    let selector = Selector::Tag(tag.clone());
    // Signers of one store take turns; in a registry, where nobody can, it is read again whether the signature is there.
    let _turn = match place {
        EvidenceSource::Store(store, _) => Some(tokio::task::block_in_place(|| store.take_turn())?),
        EvidenceSource::Registry(..) | EvidenceSource::Shipment(..) => None,
    };
    let limits = Limits::default();
    let (blob, signature) = if order.is_signature() {
        let payload = order.payload(&image).to_bytes().map_err(Error::Sign)?;
        let signature = order.key.sign(&payload).map_err(Error::Sign)?;
        (payload, Some(signature))
    } else {
        let envelope = order.envelope(&image)?.to_json().into_bytes();
        within(envelope.len())?;
        (envelope, None)
    };
    let mut present = place.manifest(&selector).await?;
    for _ in 0..TRIES {
        let attachment = match &signature {
            Some(signature) => attached::sign(present.as_ref(), &blob, signature, &limits),
            None => attached::attest(present.as_ref(), &blob, order.predicate_type, &limits),
        };
        let attachment = attachment.map_err(Error::Sign)?;
        place.put_blob(blob.clone()).await?;
        place.put_blob(attachment.config).await?;
        place.put_manifest(&selector, &attachment.manifest).await?;
        present = place.manifest(&selector).await?;
        let lacks =
            |there: &Manifest| attached::lacking(there, &attachment.manifest).map(|layers| layers.len());
        if present.as_ref().is_some_and(|there| matches!(lacks(there), Ok(0))) {
            return Ok(Written { image, format, at: tag.to_string(), present: false });
        }
    }
    Err(Error::Overwritten(tag))
}

fn within(len: usize) -> Result<(), Error> {
    if len > Limits::default().len { Err(Error::Sign(Signer::EvidenceTooLarge(len))) } else { Ok(()) }
}

async fn bundled(
    place: &EvidenceSource,
    image: &Descriptor,
    order: &Order<'_>,
    said: Option<String>,
) -> Result<Written, Error> {
    let (digest, format) = (image.digest.clone(), "bundle");
    if let Some(at) = said {
        return Ok(Written { image: digest, format, at, present: true });
    }
    let public = order.key.public_key().map_err(Error::Sign)?;
    let bytes = bundle::attestation(&public, &order.envelope(&digest)?, &[]);
    // What would not be read is not written.
    within(bytes.len())?;
    let manifest = referrer::manifest(&bytes, image, order.predicate_type, order.created);
    let manifest = manifest.map_err(Error::Sign)?;
    place.put_blob(bytes).await?;
    place.put_blob(referrer::CONFIG.to_vec()).await?;
    let id = manifest.digest();
    place.put_manifest(&Selector::Digest(id.clone()), &manifest).await?;
    Ok(Written { image: digest, format, at: id.to_string(), present: false })
}

//! Writes signatures and attestations of an image, in both of cosign's formats. Existing ones are kept.

use std::collections::BTreeMap;

use bundle_signer::{
    Envelope, Error as Signer, Format, ImageName, Limits, NameRule, PrivateKey, Statement, Subject,
    TrustFile, attached, bundle, referrer, simple_signing, statement, verify_image,
};
use oci::{Descriptor, Digest, Manifest, Selector, Tag};
use serde::Serialize;
use serde_json::Value;

use super::{Bounds, Candidate, Error, EvidenceSource, Next, search};

/// What to sign or attest for an image, and in which formats.
pub struct SignRequest<'a> {
    /// The signing key.
    pub key: &'a PrivateKey,
    /// The image's name.
    pub name: &'a ImageName,
    /// Annotations to sign with it.
    pub annotations: &'a BTreeMap<String, String>,
    /// The predicate type.
    pub predicate_type: &'a str,
    /// The predicate; none for a signature.
    pub predicate: Option<&'a Value>,
    /// Whether to write it under cosign's tags.
    pub legacy: bool,
    /// Whether to write it as a referrer.
    pub bundle: bool,
    /// The time of creation in RFC 3339, for information only.
    pub created: &'a str,
}

/// A signature or attestation that was written or already existed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// The image.
    pub image: Digest,
    /// `legacy` or `bundle`.
    pub format: &'static str,
    /// The tag, or the referrer's digest.
    pub at: String,
    /// Whether the same key had already signed the same statement, so that nothing was written.
    pub present: bool,
}

/// The images to sign for a reference: the manifest itself and, if `recursive`, all manifests below it that exist; and the
/// number of those that do not exist.
///
/// # Errors
/// When the source cannot be read.
pub async fn targets(
    source: &EvidenceSource,
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
            match source.manifest(&Selector::Digest(child.digest.clone())).await? {
                Some(manifest) => open.push((child.digest.clone(), manifest)),
                None => absent += 1,
            }
        }
    }
    Ok((found, absent))
}

/// The number of attempts to write a tag that others write at the same time.
const TRIES: usize = 5;

/// Signs an image, or attests a statement about it.
///
/// # Errors
/// When the source cannot be read or written, or cosign's tag is full.
pub async fn sign(
    source: &EvidenceSource,
    image: &Descriptor,
    request: &SignRequest<'_>,
) -> Result<Vec<Written>, Error> {
    let existing = request.existing(source, &image.digest).await?;
    let mut written = Vec::new();
    if request.legacy {
        written.push(Box::pin(legacy(source, image, request, existing.legacy)).await?);
    }
    if request.bundle {
        written.push(bundled(source, image, request, existing.bundle).await?);
    }
    Ok(written)
}

/// Where the same statement by the same key already exists, in each format.
#[derive(Default)]
struct Existing {
    legacy: Option<String>,
    bundle: Option<String>,
}

impl SignRequest<'_> {
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

    async fn existing(&self, source: &EvidenceSource, image: &Digest) -> Result<Existing, Error> {
        let own = self.key.public_key().map_err(Error::Sign)?;
        let own = TrustFile::new(vec![("own".to_owned(), own)]).map_err(Error::Sign)?;
        // A statement by airlock also contains the name as an annotation.
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
                log: bundle_signer::LogRule::Ignored,
                limits: Limits::default(),
            };
            verify_image(&found.evidence(), &expected).is_ok_and(|verified| match found.evidence().format() {
                Format::SimpleSigning => found.bytes() == payload,
                Format::Envelope | Format::Bundle => {
                    let found = verified.get().statement();
                    let empty = Value::Object(serde_json::Map::new());
                    found.subjects() == statement.subjects()
                        && found.predicate().unwrap_or(&empty) == statement.predicate().unwrap_or(&empty)
                }
            })
        };
        let mut existing = Existing::default();
        let mut visit = |found: &Candidate| {
            let slot = match found.evidence().format() {
                Format::Bundle => &mut existing.bundle,
                Format::SimpleSigning | Format::Envelope => &mut existing.legacy,
            };
            if slot.is_none() && same(found) {
                *slot = Some(found.at.clone());
            }
            let all =
                (existing.legacy.is_some() || !self.legacy) && (existing.bundle.is_some() || !self.bundle);
            if all { Next::Enough } else { Next::More }
        };
        let searched = search(source, image, &Bounds::default(), &mut visit).await;
        match searched.outage {
            Some(error) => Err(error),
            None => Ok(existing),
        }
    }
}

async fn legacy(
    source: &EvidenceSource,
    image: &Descriptor,
    request: &SignRequest<'_>,
    existing: Option<String>,
) -> Result<Written, Error> {
    let suffix = if request.is_signature() { "sig" } else { "att" };
    let tag = Tag::of_attachment(&image.digest, suffix).map_err(Error::Oci)?;
    let (image, format) = (image.digest.clone(), "legacy");
    if let Some(at) = existing {
        return Ok(Written { image, format, at, present: true });
    }
    let selector = Selector::Tag(tag.clone());
    // Signers of one store lock it. A registry has no locks, so the tag is read again to check for the signature.
    let lock = source.lock().await?;
    let limits = Limits::default();
    let (blob, signature) = if request.is_signature() {
        let payload = request.payload(&image).to_bytes().map_err(Error::Sign)?;
        let signature = request.key.sign(&payload).map_err(Error::Sign)?;
        (payload, Some(signature))
    } else {
        let envelope = request.envelope(&image)?.to_json().into_bytes();
        check_size(envelope.len())?;
        (envelope, None)
    };
    let mut present = source.manifest(&selector).await?;
    for _ in 0..TRIES {
        let attachment = match &signature {
            Some(signature) => attached::sign(present.as_ref(), &blob, signature, &limits),
            None => attached::attest(present.as_ref(), &blob, request.predicate_type, &limits),
        };
        let attachment = attachment.map_err(Error::Sign)?;
        source.put_blob(blob.clone()).await?;
        source.put_blob(attachment.config).await?;
        source.put_manifest_under(lock.as_ref(), &selector, &attachment.manifest).await?;
        present = source.manifest(&selector).await?;
        let lacks =
            |found: &Manifest| attached::lacking(found, &attachment.manifest).map(|layers| layers.len());
        if present.as_ref().is_some_and(|found| matches!(lacks(found), Ok(0))) {
            return Ok(Written { image, format, at: tag.to_string(), present: false });
        }
    }
    Err(Error::Overwritten(tag))
}

fn check_size(len: usize) -> Result<(), Error> {
    if len > Limits::default().len { Err(Error::Sign(Signer::EvidenceTooLarge(len))) } else { Ok(()) }
}

async fn bundled(
    source: &EvidenceSource,
    image: &Descriptor,
    request: &SignRequest<'_>,
    existing: Option<String>,
) -> Result<Written, Error> {
    let (digest, format) = (image.digest.clone(), "bundle");
    if let Some(at) = existing {
        return Ok(Written { image: digest, format, at, present: true });
    }
    let public = request.key.public_key().map_err(Error::Sign)?;
    let bytes = bundle::attestation(&public, &request.envelope(&digest)?, &[]);
    // A bundle that is too large to be read is not written.
    check_size(bytes.len())?;
    let manifest = referrer::manifest(&bytes, image, request.predicate_type, request.created);
    let manifest = manifest.map_err(Error::Sign)?;
    source.put_blob(bytes).await?;
    source.put_blob(referrer::CONFIG.to_vec()).await?;
    let id = manifest.digest();
    source.put_manifest(&Selector::Digest(id.clone()), &manifest).await?;
    Ok(Written { image: digest, format, at: id.to_string(), present: false })
}

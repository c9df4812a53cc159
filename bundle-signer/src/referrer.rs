//! The OCI 1.1 manifest by which a registry lists a sigstore bundle as a referrer of its image, as cosign 3 writes it
//! (cosign `pkg/oci/remote/write.go`; image specification, "Guidelines for Artifact Usage").

use std::collections::BTreeMap;

use oci::{Content, Descriptor, Digest, ImageManifest, Manifest, media_type};

use crate::attached::{kind, to_manifest};
use crate::{Error, Limits, Result, bundle, dsse, simple_signing};

/// The configuration blob, which the registry must also hold.
pub const CONFIG: &[u8] = b"{}";

/// The layers of notation signatures, and their names (notaryproject `signature-specification.md`).
const NOTATION_LAYERS: [(&str, &str); 2] = [("application/jose+json", "JWS"), ("application/cose", "COSE")];
/// Artifact types under which evidence is listed.
pub const ARTIFACT_TYPES: [&str; 3] = [
    bundle::MEDIA_TYPE,
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "application/vnd.dev.cosign.artifact.att.v1+json",
];

const CONTENT: &str = "dev.sigstore.bundle.content";
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
const CREATED: &str = "org.opencontainers.image.created";

/// The manifest of a bundle with a statement about `subject`. `created` is a time in RFC 3339, for display; the
/// predicate type is only for searching.
///
/// # Errors
/// Never for values of these types, although the called functions return a `Result`.
pub fn manifest(
    bundle_bytes: &[u8],
    subject: &Descriptor,
    predicate_type: &str,
    created: &str,
) -> Result<Manifest> {
    let config = Descriptor {
        artifact_type: Some(bundle::MEDIA_TYPE.to_owned()),
        ..Descriptor::new(kind(media_type::OCI_EMPTY)?, Digest::sha256(CONFIG), CONFIG.len() as u64)
    };
    let layer =
        Descriptor::new(kind(bundle::MEDIA_TYPE)?, Digest::sha256(bundle_bytes), bundle_bytes.len() as u64);
    let annotations = [(CONTENT, "dsse-envelope"), (PREDICATE_TYPE, predicate_type), (CREATED, created)];
    to_manifest(&ImageManifest {
        schema_version: 2,
        media_type: Some(kind(media_type::OCI_MANIFEST)?),
        artifact_type: Some(bundle::MEDIA_TYPE.to_owned()),
        config,
        layers: vec![layer],
        subject: Some(Descriptor::new(subject.media_type.clone(), subject.digest.clone(), subject.size)),
        annotations: BTreeMap::from(annotations.map(|(name, value)| (name.to_owned(), value.to_owned()))),
    })
}

/// The content of a referrer that may be evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferrerContent<'a> {
    /// A bundle.
    Bundle(&'a Descriptor),
    /// Layers as under cosign's tags, which cosign writes with `--registry-referrers-mode=oci-1-1`.
    Layers,
    /// Something else.
    Other,
}

/// The content of a referrer of `subject`. The media types of the layers decide, because some registries list another
/// artifact type than the manifest has.
///
/// # Errors
/// [`Error::OtherSubject`] for evidence that the registry lists under the wrong image, [`Error::ReferrerLayers`] unless
/// it is exactly one bundle, [`Error::EvidenceTooLarge`], [`Error::Notation`] for signatures of the Notary Project.
pub fn read<'a>(manifest: &'a Manifest, subject: &Digest, limits: &Limits) -> Result<ReferrerContent<'a>> {
    let Content::Image(image) = manifest.content() else { return Ok(ReferrerContent::Other) };
    let has = |kind: &str| image.layers.iter().any(|layer| layer.media_type == kind);
    let notation = NOTATION_LAYERS.into_iter().find(|(kind, _)| has(kind));
    let (bundled, layered) =
        (has(bundle::MEDIA_TYPE), has(simple_signing::MEDIA_TYPE) || has(dsse::MEDIA_TYPE));
    if !bundled && !layered && notation.is_none() {
        return Ok(ReferrerContent::Other);
    }
    if image.subject.as_ref().map(|found| &found.digest) != Some(subject) {
        return Err(Error::OtherSubject { expected: subject.to_string() });
    }
    if let Some((_, name)) = notation.filter(|_| !bundled && !layered) {
        return Err(Error::Notation(name));
    }
    if !bundled {
        return Ok(ReferrerContent::Layers);
    }
    let [layer] = image.layers.as_slice() else {
        return Err(Error::ReferrerLayers(image.layers.len()));
    };
    match usize::try_from(layer.size) {
        Ok(size) if size <= limits.len => Ok(ReferrerContent::Bundle(layer)),
        size => Err(Error::EvidenceTooLarge(size.unwrap_or(usize::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::COSIGN_SIGN;

    #[test]
    fn a_referrer_has_cosigns_members() {
        let digest = Digest::sha256(b"image");
        let subject = Descriptor::new(kind(media_type::OCI_MANIFEST).unwrap(), digest.clone(), 5);
        let manifest = manifest(b"bundle", &subject, COSIGN_SIGN, "2026-11-21T08:09:24Z").unwrap();
        let found: serde_json::Value = serde_json::from_slice(manifest.bytes()).unwrap();
        let kind = bundle::MEDIA_TYPE;
        let expected = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "artifactType": kind,
                "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" },
            "layers": [{ "mediaType": kind, "size": 6, "digest": Digest::sha256(b"bundle") }],
            "annotations": { "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": COSIGN_SIGN,
                "org.opencontainers.image.created": "2026-11-21T08:09:24Z" },
            "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 5, "digest": digest },
            "artifactType": kind,
        });
        assert_eq!(found, expected);
        let limits = Limits::default();
        assert!(
            matches!(read(&manifest, &digest, &limits), Ok(ReferrerContent::Bundle(layer)) if layer.size == 6)
        );
        let other = read(&manifest, &Digest::sha256(b""), &limits);
        assert!(matches!(other, Err(Error::OtherSubject { .. })));
        let small = read(&manifest, &digest, &Limits { len: 5, ..limits });
        assert!(matches!(small, Err(Error::EvidenceTooLarge(6))));
    }

    #[test]
    fn other_referrers_of_an_image_are_ignored() {
        let digest = Digest::sha256(b"image");
        let subject = Descriptor::new(kind(media_type::OCI_MANIFEST).unwrap(), digest.clone(), 5);
        let whole = manifest(b"bundle", &subject, COSIGN_SIGN, "").unwrap();
        let Content::Image(image) = whole.content() else { panic!("an image") };
        let mut other = image.clone();
        other.layers[0].media_type = kind("text/plain").unwrap();
        let limits = Limits::default();
        assert_eq!(read(&to_manifest(&other).unwrap(), &digest, &limits).unwrap(), ReferrerContent::Other);
        other.layers[0].media_type = kind("application/jose+json").unwrap();
        let notation = to_manifest(&other).unwrap();
        assert!(matches!(read(&notation, &digest, &limits), Err(Error::Notation("JWS"))));
        other.layers[0].media_type = kind(simple_signing::MEDIA_TYPE).unwrap();
        assert_eq!(read(&to_manifest(&other).unwrap(), &digest, &limits).unwrap(), ReferrerContent::Layers);
        let mut two = image.clone();
        two.layers.push(two.layers[0].clone());
        let two = to_manifest(&two).unwrap();
        assert!(matches!(read(&two, &digest, &limits), Err(Error::ReferrerLayers(2))));
    }
}

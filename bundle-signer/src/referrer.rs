//! The OCI 1.1 manifest by which a registry lists a sigstore bundle under the image that it is about, as cosign 3
//! writes it (cosign `pkg/oci/remote/write.go`; image specification, "Guidelines for Artifact Usage").

use std::collections::BTreeMap;

use oci::{Content, Descriptor, Digest, ImageManifest, Manifest, media_type};

use crate::attached::{kind, to_manifest};
use crate::{Error, Limits, Result, bundle};

/// The configuration blob, which a registry has to hold as well.
pub const CONFIG: &[u8] = b"{}";

const CONTENT: &str = "dev.sigstore.bundle.content";
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
const CREATED: &str = "org.opencontainers.image.created";

/// The manifest of a bundle with a statement about `subject`. `created` is RFC 3339 time, for people; the predicate
/// type, too, stands here only for searching.
///
/// # Errors
/// Never for values of these types; the types within do not say so.
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

/// The bundle in a referrer of `subject`; none when the referrer is something else. What tells is the layer's media
/// type, because some registries list another artifact type than the manifest has.
///
/// # Errors
/// [`Error::OtherSubject`] for a bundle that the registry lists under the wrong image,
/// [`Error::ReferrerLayers`] unless there is one layer, [`Error::EvidenceTooLarge`].
pub fn bundle_of<'a>(
    manifest: &'a Manifest,
    subject: &Digest,
    limits: &Limits,
) -> Result<Option<&'a Descriptor>> {
    let Content::Image(image) = manifest.content() else { return Ok(None) };
    if !image.layers.iter().any(|layer| layer.media_type == bundle::MEDIA_TYPE) {
        return Ok(None);
    }
    if image.subject.as_ref().map(|found| &found.digest) != Some(subject) {
        return Err(Error::OtherSubject { expected: subject.to_string() });
    }
    let [layer] = image.layers.as_slice() else {
        return Err(Error::ReferrerLayers(image.layers.len()));
    };
    match usize::try_from(layer.size) {
        Ok(size) if size <= limits.len => Ok(Some(layer)),
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
        assert_eq!(bundle_of(&manifest, &digest, &limits).unwrap().unwrap().size, 6);
        let other = bundle_of(&manifest, &Digest::sha256(b""), &limits);
        assert!(matches!(other, Err(Error::OtherSubject { .. })));
        let small = bundle_of(&manifest, &digest, &Limits { len: 5, ..limits });
        assert!(matches!(small, Err(Error::EvidenceTooLarge(6))));
    }

    #[test]
    fn what_else_refers_to_an_image_is_passed_over() {
        let digest = Digest::sha256(b"image");
        let subject = Descriptor::new(kind(media_type::OCI_MANIFEST).unwrap(), digest.clone(), 5);
        let whole = manifest(b"bundle", &subject, COSIGN_SIGN, "").unwrap();
        let Content::Image(image) = whole.content() else { panic!("an image") };
        let mut other = image.clone();
        other.layers[0].media_type = kind("text/plain").unwrap();
        let limits = Limits::default();
        assert!(bundle_of(&to_manifest(&other).unwrap(), &digest, &limits).unwrap().is_none());
        let mut two = image.clone();
        two.layers.push(two.layers[0].clone());
        let two = to_manifest(&two).unwrap();
        assert!(matches!(bundle_of(&two, &digest, &limits), Err(Error::ReferrerLayers(2))));
    }
}

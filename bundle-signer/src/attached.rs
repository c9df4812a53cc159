//! The manifests under the tags `sha256-HEX.sig` and `sha256-HEX.att`, in which every layer is a signature or an
//! attestation (cosign `specs/SIGNATURE_SPEC.md`, "Storage"). They are read, and written by adding a layer.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use oci::{Content, Descriptor, Digest, ImageManifest, Manifest, MediaType, media_type};

use crate::{Error, Limits, Result, dsse, simple_signing};

/// The annotation that holds the signature. Cosign's other annotations begin with `dev.sigstore.cosign/`.
pub(crate) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// Only for searching; the authoritative type is in the envelope.
const PREDICATE_TYPE: &str = "predicateType";

/// A layer that may be evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The payload or envelope.
    pub blob: Descriptor,
    /// The signature over it in base64; empty for an envelope, which contains its signature.
    pub signature: String,
}

/// The layers of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Layers of the expected kind, in order.
    pub found: Vec<Layer>,
    /// The number of other layers: of another kind, without a signature, or too large.
    pub skipped: usize,
}

/// A manifest to store under the tag, and the configuration blob that it references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The manifest.
    pub manifest: Manifest,
    /// The configuration.
    pub config: Vec<u8>,
}

/// The signatures in a `.sig` manifest, with no limit but the manifest's size.
///
/// # Errors
/// [`Error::NotAttached`] for an index.
pub fn signatures(manifest: &Manifest, limits: &Limits) -> Result<Layers> {
    read(manifest, simple_signing::MEDIA_TYPE, limits)
}

/// The attestations in an `.att` manifest, with no limit but the manifest's size.
///
/// # Errors
/// [`Error::NotAttached`] for an index.
pub fn attestations(manifest: &Manifest, limits: &Limits) -> Result<Layers> {
    read(manifest, dsse::MEDIA_TYPE, limits)
}

fn read(manifest: &Manifest, kind: &str, limits: &Limits) -> Result<Layers> {
    let image = image(manifest)?;
    let layer = |blob: &Descriptor| {
        let fits = blob.media_type == kind && usize::try_from(blob.size).is_ok_and(|size| size <= limits.len);
        let signature = blob.annotations.get(SIGNATURE).filter(|_| fits)?.clone();
        Some(Layer { blob: blob.clone(), signature })
    };
    let found: Vec<_> = image.layers.iter().filter_map(layer).collect();
    Ok(Layers { skipped: image.layers.len() - found.len(), found })
}

fn image(manifest: &Manifest) -> Result<&ImageManifest> {
    match manifest.content() {
        Content::Image(image) => Ok(image),
        Content::Index(_) => Err(Error::NotAttached),
    }
}

/// Adds a signature to the manifest under the tag, if one exists. Existing layers stay unchanged, and an existing
/// signature is not added again.
///
/// # Errors
/// [`Error::NotAttached`] when the tag points to something else, [`Error::TooManyLayers`] when the manifest is full.
pub fn sign(
    present: Option<&Manifest>,
    payload: &[u8],
    signature: &[u8],
    limits: &Limits,
) -> Result<Attachment> {
    let mut layer =
        Descriptor::new(kind(simple_signing::MEDIA_TYPE)?, Digest::sha256(payload), payload.len() as u64);
    layer.annotations.insert(SIGNATURE.to_owned(), STANDARD.encode(signature));
    add(present, vec![layer], limits)
}

/// Adds an attestation, in an envelope, to the manifest under the tag, as [`sign`] does.
///
/// # Errors
/// [`Error::NotAttached`] when the tag points to something else, [`Error::TooManyLayers`] when the manifest is full.
pub fn attest(
    present: Option<&Manifest>,
    envelope: &[u8],
    predicate_type: &str,
    limits: &Limits,
) -> Result<Attachment> {
    let mut layer = Descriptor::new(kind(dsse::MEDIA_TYPE)?, Digest::sha256(envelope), envelope.len() as u64);
    layer.annotations.insert(SIGNATURE.to_owned(), String::new());
    layer.annotations.insert(PREDICATE_TYPE.to_owned(), predicate_type.to_owned());
    add(present, vec![layer], limits)
}

/// The layers of `other` that `manifest` lacks.
///
/// # Errors
/// [`Error::NotAttached`] for an index.
pub fn lacking<'a>(manifest: &Manifest, other: &'a Manifest) -> Result<Vec<&'a Descriptor>> {
    let known = &image(manifest)?.layers;
    Ok(image(other)?.layers.iter().filter(|layer| !known.contains(layer)).collect())
}

/// Merges two such manifests: the layers of the first stay unchanged, followed by those of the other that it lacks.
///
/// # Errors
/// [`Error::NotAttached`] for an index, [`Error::TooManyLayers`] when the result has too many layers.
pub fn join(manifest: &Manifest, other: &Manifest, limits: &Limits) -> Result<Attachment> {
    let more = lacking(manifest, other)?.into_iter().cloned().collect();
    add(Some(manifest), more, limits)
}

fn add(present: Option<&Manifest>, more: Vec<Descriptor>, limits: &Limits) -> Result<Attachment> {
    let mut layers = match present {
        Some(manifest) => image(manifest)?.layers.clone(),
        None => Vec::new(),
    };
    for layer in more {
        if !layers.contains(&layer) {
            layers.push(layer);
        }
    }
    if layers.len() > limits.layers {
        return Err(Error::TooManyLayers(layers.len()));
    }
    let config = config(&layers)?;
    let descriptor = |blob: &[u8]| {
        Ok::<_, Error>(Descriptor::new(
            kind(media_type::OCI_CONFIG)?,
            Digest::sha256(blob),
            blob.len() as u64,
        ))
    };
    let image = ImageManifest {
        schema_version: 2,
        media_type: Some(kind(media_type::OCI_MANIFEST)?),
        artifact_type: None,
        config: descriptor(&config)?,
        layers,
        subject: None,
        annotations: present.map_or_else(BTreeMap::new, |manifest| manifest.annotations().clone()),
    };
    Ok(Attachment { manifest: to_manifest(&image)?, config })
}

/// A configuration as go-containerregistry creates it: only one history line and one digest for each layer.
/// The layers are not compressed, so their digests are those of the descriptors.
fn config(layers: &[Descriptor]) -> Result<Vec<u8>> {
    const CREATED: &str = "0001-01-01T00:00:00Z";
    let history: Vec<_> = layers.iter().map(|_| serde_json::json!({ "created": CREATED })).collect();
    let digests: Vec<_> = layers.iter().map(|layer| &layer.digest).collect();
    let config = serde_json::json!({
        "architecture": "", "created": CREATED, "history": history, "os": "",
        "rootfs": { "type": "layers", "diff_ids": digests }, "config": {},
    });
    serde_json::to_vec(&config).map_err(|source| Error::Manifest(oci::Error::ManifestJson(source)))
}

/// Parses a constant media type.
pub(crate) fn kind(text: &str) -> Result<MediaType> {
    text.parse().map_err(Error::Manifest)
}

pub(crate) fn to_manifest(image: &ImageManifest) -> Result<Manifest> {
    let bytes =
        serde_json::to_vec(image).map_err(|source| Error::Manifest(oci::Error::ManifestJson(source)))?;
    Manifest::parse(Bytes::from(bytes), None).map_err(Error::Manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_added_and_none_is_lost() {
        let limits = Limits { layers: 3, ..Limits::default() };
        let mut attachment = sign(None, b"payload", b"one", &limits).unwrap();
        for signature in [b"two", b"two", b"six"] {
            attachment = sign(Some(&attachment.manifest), b"payload", signature, &limits).unwrap();
        }
        let layers = signatures(&attachment.manifest, &limits).unwrap();
        let found: Vec<_> = layers.found.iter().map(|layer| layer.signature.as_str()).collect();
        assert_eq!(found, ["b25l", "dHdv", "c2l4"]);
        assert_eq!(attachment.manifest.blobs().next().unwrap().digest, Digest::sha256(&attachment.config));
        let full = sign(Some(&attachment.manifest), b"payload", b"ten", &limits);
        assert!(matches!(full, Err(Error::TooManyLayers(4))));
        let fewer = Limits { layers: 2, ..limits };
        assert_eq!(signatures(&attachment.manifest, &fewer).unwrap().found.len(), 3);
    }

    #[test]
    fn two_signature_manifests_are_merged_into_one_with_all_signatures() {
        let limits = Limits { layers: 3, ..Limits::default() };
        let of = |signatures: &[&[u8]]| {
            let mut manifest = None;
            for signature in signatures {
                manifest = Some(sign(manifest.as_ref(), b"payload", signature, &limits).unwrap().manifest);
            }
            manifest.unwrap()
        };
        let (local, upstream) = (of(&[b"ours", b"both"]), of(&[b"both", b"new"]));
        let joined = join(&local, &upstream, &limits).unwrap();
        assert_eq!(joined.manifest.blobs().count(), 4, "a configuration and three layers");
        for part in [&local, &upstream] {
            assert!(lacking(&joined.manifest, part).unwrap().is_empty());
        }
        assert_eq!(join(&joined.manifest, &upstream, &limits).unwrap(), joined);
        let full = join(&joined.manifest, &of(&[b"more"]), &limits);
        assert!(matches!(full, Err(Error::TooManyLayers(4))));
    }

    #[test]
    fn layers_other_than_signatures_are_counted_and_kept() {
        let limits = Limits::default();
        let first = sign(None, b"payload", b"one", &limits).unwrap().manifest;
        let mut odd = image(&first).unwrap().clone();
        odd.layers[0].annotations.insert("dev.sigstore.cosign/bundle".to_owned(), "{}".to_owned());
        odd.layers.push(Descriptor { annotations: BTreeMap::new(), ..odd.layers[0].clone() });
        odd.layers.push(Descriptor { media_type: kind(dsse::MEDIA_TYPE).unwrap(), ..odd.layers[0].clone() });
        odd.layers.push(Descriptor { size: 1 << 40, ..odd.layers[0].clone() });
        let manifest = to_manifest(&odd).unwrap();
        assert_eq!(signatures(&manifest, &limits).unwrap().skipped, 3);
        assert_eq!(attestations(&manifest, &limits).unwrap().found.len(), 1);
        let more = sign(Some(&manifest), b"payload", b"two", &limits).unwrap().manifest;
        assert_eq!(image(&more).unwrap().layers[..4], odd.layers[..]);
        let index = Manifest::parse(Bytes::from_static(br#"{"schemaVersion":2,"manifests":[]}"#), None);
        let index = index.unwrap();
        assert!(matches!(signatures(&index, &limits), Err(Error::NotAttached)));
        assert!(matches!(sign(Some(&index), b"", b"", &limits), Err(Error::NotAttached)));
    }
}

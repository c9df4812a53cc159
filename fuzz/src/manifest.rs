//! Any bytes as a manifest and an index, sent as each type, and all that is asked of one.

use bundle_signer::{Limits, attached, referrer};
use oci::{Digest, Manifest, MediaType, media_type};

/// One run.
pub fn run(bytes: &[u8]) {
    let types = [media_type::OCI_MANIFEST, media_type::OCI_INDEX].map(|text| text.parse::<MediaType>().ok());
    for sent_as in types.iter().map(Option::as_ref).chain([None]) {
        let Ok(manifest) = Manifest::parse(bytes.to_vec().into(), sent_as) else { continue };
        assert_eq!(manifest.digest(), Digest::sha256(bytes));
        let own = manifest.referrer_descriptor(manifest.digest());
        assert_eq!(own.size, bytes.len() as u64);
        let _ = (manifest.blobs().count(), manifest.children().len(), manifest.artifact_type());
        let limits = Limits::default();
        let _ = (attached::signatures(&manifest, &limits), attached::attestations(&manifest, &limits));
        let _ = referrer::read(&manifest, &manifest.digest(), &limits);
    }
}

//! What airlock or cosign writes is found again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bundle_signer::statement::SPDX;
use bundle_signer::{PrivateKey, attached, referrer};
use evidence::signing::{SignRequest, sign};
use oci::{Manifest, Selector, Tag};
use serde_json::json;
use store::Change;

use crate::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_signers_of_one_image_lose_no_signature() {
    let rig = Arc::new(Rig::new());
    let signers: Vec<_> = (0..6)
        .map(|_| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.sign_with(&PrivateKey::generate().unwrap()).await })
        })
        .collect();
    for signer in signers {
        signer.await.unwrap();
    }
    let tag = Selector::Tag(Tag::of_attachment(&rig.image.digest, "sig").unwrap());
    let attachment = rig.source().manifest(&tag).await.unwrap().unwrap();
    assert_eq!(attachment.blobs().count(), 1 + 6, "a configuration and six signatures");
}

#[tokio::test(flavor = "multi_thread")]
async fn r6_what_is_written_is_read_and_what_is_too_large_is_not_written() {
    let rig = Rig::new();
    let large = json!({ "name": "x".repeat(1_600_000) });
    rig.sign("bundle", Some(&large)).await;
    rig.sign("legacy", Some(&large)).await;
    let verdict = rig.verdict(&rig.source(), SPDX).await;
    assert_eq!(verdict.signatures.len(), 2, "{:?} {:?}", verdict.skipped, verdict.refused);
    let mut present: Option<Manifest> = None;
    for number in 0..60_u32 {
        let attached =
            attached::sign(present.as_ref(), b"{}", &number.to_be_bytes(), &bundle_signer::Limits::default());
        present = Some(attached.unwrap().manifest);
    }
    assert_eq!(
        attached::signatures(&present.unwrap(), &bundle_signer::Limits::default()).unwrap().found.len(),
        60
    );
    let request = SignRequest {
        key: &rig.key,
        name: &rig.name,
        annotations: &BTreeMap::new(),
        predicate_type: SPDX,
        predicate: Some(&json!("x".repeat(9_000_000))),
        legacy: false,
        bundle: true,
        created: "",
    };
    let refused = sign(&rig.source(), &rig.image, &request).await.unwrap_err();
    assert!(matches!(refused, evidence::Error::Sign(bundle_signer::Error::EvidenceTooLarge(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_cosigns_referrers_mode_is_read_like_its_tags() {
    let rig = Rig::new();
    let (_, signed) = rig.sign_under_tag().await;
    rig.store
        .commit(vec![Change::DeleteManifest { repository: rig.repository.clone(), digest: signed.digest() }])
        .unwrap();
    assert!(!rig.ask().await.is_satisfied());
    let layers: Vec<_> = signed.blobs().skip(1).cloned().collect();
    rig.referrer("application/vnd.dev.cosign.artifact.sig.v1+json", &layers, 0);
    assert!(rig.ask().await.is_satisfied());
    // It is not a referrer of this image, because it has no such subject.
    assert!(matches!(
        referrer::read(&signed, &rig.image.digest, &bundle_signer::Limits::default()),
        Err(bundle_signer::Error::OtherSubject { .. })
    ));
}

//! What is pushed beside an image hides no signature.

use bundle_signer::statement::{COSIGN_SIGN, SPDX};
use bundle_signer::{bundle, referrer, simple_signing};
use evidence::Bounds;
use oci::{Descriptor, Digest, Tag};
use serde_json::json;
use store::{Change, NamingLimits};

use crate::{Rig, TYPE};

#[tokio::test(flavor = "multi_thread")]
async fn a9_broken_and_foreign_referrers_hide_no_signature_and_are_reported() {
    let rig = Rig::new();
    rig.sign("bundle", None).await;
    let good = rig.blob(b"{}", bundle::MEDIA_TYPE);
    // A store rejects manifests with wrong sizes of its blobs, so these reference blobs that it does not have.
    let absent = Descriptor { digest: Digest::sha256(b"absent"), ..good.clone() };
    let wrong = Descriptor { size: 7, ..absent.clone() };
    let huge = Descriptor { size: 1 << 40, ..absent.clone() };
    let tar = rig.blob(b"\x1f\x8b\x08 no text", bundle::MEDIA_TYPE);
    let jws = rig.blob(b"{}", "application/jose+json");
    for (number, layers) in
        [&[wrong][..], &[absent], &[huge], &[tar], &[good.clone(), good.clone()], &[good], &[jws]]
            .iter()
            .enumerate()
    {
        rig.referrer(bundle::MEDIA_TYPE, layers, number);
    }
    assert!(rig.ask().await.is_satisfied());
    let verdict = rig.verdict(&rig.source(), COSIGN_SIGN).await;
    assert!(verdict.decision.satisfied);
    assert_eq!(verdict.skipped.len(), 6, "{:?}", verdict.skipped);
    assert!(verdict.skipped.iter().any(|skipped| skipped.reason.contains("notation signatures (JWS)")));
    assert_eq!(verdict.refused.len(), 1, "{:?}", verdict.refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_hundreds_of_referrers_hide_no_signature() {
    let rig = Rig::new();
    rig.sign("bundle", None).await;
    for number in 0..300 {
        let text = format!("{{\"n\":{number}}}");
        let (kind, list) =
            if number % 2 == 0 { (bundle::MEDIA_TYPE, bundle::MEDIA_TYPE) } else { ("text/plain", "a/b") };
        rig.referrer(list, &[rig.blob(text.as_bytes(), kind)], number);
    }
    let verdict = rig.verdict(&rig.source(), COSIGN_SIGN).await;
    assert!(verdict.decision.satisfied && rig.ask().await.is_satisfied());
    assert!(verdict.refused.len() <= 64, "the report is bounded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_thousands_of_layers_under_the_tag_hide_no_signature() {
    let rig = Rig::new();
    let (tag, signed) = rig.sign_under_tag().await;
    let mut value: serde_json::Value = serde_json::from_slice(signed.bytes()).unwrap();
    let own = value["layers"][0].clone();
    let junk = |number: usize| {
        let mut layer = own.clone();
        layer["annotations"]["dev.cosignproject.cosign/signature"] = format!("AA{number:06}").into();
        layer
    };
    let mut layers: Vec<_> = (0..3000).map(junk).collect();
    // A layer that does not exist, and the signature at the end.
    layers.push(json!({ "mediaType": own["mediaType"], "digest": Digest::sha256(b"absent"), "size": 3,
            "annotations": { "dev.cosignproject.cosign/signature": "" } }));
    layers.push(own.clone());
    value["layers"] = layers.into();
    rig.manifest(&value, Some(tag));
    assert!(rig.ask().await.is_satisfied());
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_full_tags_do_not_hide_a_signature_among_the_referrers() {
    let rig = Rig::new();
    rig.sign("bundle", None).await;
    for (suffix, kind) in
        [("sig", simple_signing::MEDIA_TYPE), ("att", "application/vnd.dsse.envelope.v1+json")]
    {
        let config = rig.blob(b"{}", "application/vnd.oci.empty.v1+json");
        let layer = |number: u32| {
            json!({ "mediaType": kind, "digest": Digest::sha256(&number.to_be_bytes()), "size": 3,
                    "annotations": { "dev.cosignproject.cosign/signature": "AA" } })
        };
        let layers: Vec<_> = (0..12_000).map(layer).collect();
        let value = json!({ "schemaVersion": 2, "mediaType": TYPE, "config": config, "layers": layers });
        rig.manifest(&value, Some(Tag::of_attachment(&rig.image.digest, suffix).unwrap()));
    }
    assert!(rig.ask().await.is_satisfied());
}

/// A user pushes as much as the registry allows.
#[tokio::test(flavor = "multi_thread")]
async fn a9_everything_that_one_user_may_push_hides_no_signature() {
    let (most, bounds) = (NamingLimits::default(), Bounds::default());
    assert!(7 * 2 * most.manifests < bounds.items as u64 && 7 * most.bytes < bounds.bytes);
    assert!(referrer::ARTIFACT_TYPES.iter().all(|kind| store::is_statement(kind)));
    let rig = Rig::new();
    let large = json!({ "name": "x".repeat(1_600_000) });
    rig.sign("bundle", Some(&large)).await;
    rig.sign("bundle", None).await;
    let junk =
        |size: usize| rig.blob(format!("{{\"a\":\"{}\"}}", "x".repeat(size)).as_bytes(), bundle::MEDIA_TYPE);
    let (small, middle) = (junk(9), junk(1_000_000));
    let mut changes = Vec::new();
    for number in 0..most.manifests {
        let layer = if number < most.bytes / 1_100_000 { &middle } else { &small };
        // Half of them have an artifact type other than evidence, for which more bytes are allowed.
        let kind = if number % 2 == 0 { bundle::MEDIA_TYPE } else { "application/vnd.example" };
        let manifest = rig.referring(kind, std::slice::from_ref(layer), usize::try_from(number).unwrap());
        let (repository, digest) = (rig.repository.clone(), manifest.digest());
        changes.push(Change::PutManifest { repository, digest, manifest });
    }
    rig.store.commit(changes).unwrap();
    assert!(rig.ask().await.is_satisfied());
    let verdict = rig.verdict(&rig.source(), SPDX).await;
    assert_eq!(verdict.signatures.len(), 1, "{:?}", verdict.skipped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_an_unsigned_image_is_refused_with_the_reasons() {
    let rig = Rig::new();
    rig.referrer(bundle::MEDIA_TYPE, &[rig.blob(b"{\"a\":1}", bundle::MEDIA_TYPE)], 0);
    let decision = rig.ask().await;
    assert!(!decision.is_satisfied() && decision.unmet[0].contains("no valid signature"), "{decision:?}");
}

//! Signatures that airlock writes, and arbitrary bytes.

use bundle_signer::eksa::{Coverage, Refusal, package_keys, sign_bundle, verify_package_bundle};
use bundle_signer::trust::ContentKind;
use bundle_signer::{PrivateKey, TrustFile};
use gostd::yaml;
use proptest::prelude::*;
use serde_json::json;

use crate::{AWS, BUNDLES, parse, refusal};

fn own() -> (PrivateKey, TrustFile) {
    let key = PrivateKey::generate().unwrap();
    let trust = TrustFile::new(vec![("own".into(), key.public_key().unwrap())])
        .unwrap()
        .limited_to(&[ContentKind::PackageBundle]);
    (key, trust)
}

#[test]
fn our_own_signature_covers_the_source_by_default() {
    let (key, trust) = own();
    let full = sign_bundle(AWS, Coverage::Full, &key).unwrap();
    assert!(full.uncovered().is_empty());
    let like_aws = sign_bundle(AWS, Coverage::WithoutSource, &key).unwrap();
    assert_eq!(
        like_aws.uncovered(),
        verify_package_bundle(AWS, &package_keys().unwrap()).unwrap().uncovered()
    );
    let moved = |text: &str| text.replace("repository: metallb/metallb", "repository: evil/metallb");
    assert_ne!(moved(full.yaml()), full.yaml());
    assert!(verify_package_bundle(full.yaml().as_bytes(), &trust).is_ok());
    assert!(verify_package_bundle(moved(full.yaml()).as_bytes(), &trust).is_err());
    assert!(verify_package_bundle(moved(like_aws.yaml()).as_bytes(), &trust).is_ok());
    assert!(verify_package_bundle(full.yaml().as_bytes(), &package_keys().unwrap()).is_err());
    // Signed again, it has only the new signature, over the same bytes.
    let again = sign_bundle(like_aws.yaml().as_bytes(), Coverage::Full, &key).unwrap();
    let bytes =
        |text: &str| verify_package_bundle(text.as_bytes(), &trust).unwrap().signed().get().bytes().to_vec();
    assert_eq!(bytes(again.yaml()), bytes(full.yaml()));
}

#[test]
fn a_bundle_with_values_that_no_signature_covers_is_not_signed() {
    let (key, _) = own();
    let mut value = parse(AWS);
    value["spec"]["packages"][0]["extra"] = "x".into();
    let refused = refusal(sign_bundle(yaml::write(&value).as_bytes(), Coverage::Full, &key));
    assert!(matches!(refused, Refusal::UnknownKey(path) if path == ".spec.packages[0].extra"));
    assert!(matches!(refusal(sign_bundle(BUNDLES.as_bytes(), Coverage::Full, &key)), Refusal::Kind { .. }));
}

#[test]
fn status_and_generated_fields_are_dropped_before_signing() {
    let (key, _) = own();
    let mut value = parse(AWS);
    value["status"] = json!({"state": "available"});
    value["metadata"]["uid"] = "x".into();
    value["metadata"]["creationTimestamp"] = "2022-01-01T00:00:00Z".into();
    let signed = sign_bundle(yaml::write(&value).as_bytes(), Coverage::Full, &key).unwrap();
    assert!(signed.uncovered().is_empty());
    assert!(!signed.yaml().contains("uid") && !signed.yaml().contains("status"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(verify_package_bundle(&bytes, &package_keys().unwrap()).is_err());
    }

    #[test]
    fn a_changed_byte_of_the_text_never_panics_and_never_changes_the_covered_part(
        at in 0..AWS.len(), byte in any::<u8>(),
    ) {
        let trust = package_keys().unwrap();
        let mut text = AWS.to_vec();
        text[at] = byte;
        if let Ok(manifest) = verify_package_bundle(&text, &trust) {
            let good = verify_package_bundle(AWS, &trust).unwrap();
            prop_assert_eq!(manifest.signed().get().bytes(), good.signed().get().bytes());
        }
    }

    #[test]
    fn any_printable_text_can_be_signed_and_verified(texts in proptest::collection::vec("[ -~]{0,120}", 6)) {
        let (key, trust) = own();
        let draft = json!({
            "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundle",
            "metadata": {"name": texts[0], "labels": {&texts[1]: texts[2]}},
            "spec": {"packages": [{"name": texts[3], "source": {"repository": texts[4], "versions": [
                {"name": texts[5], "digest": "sha256:0"}]}}]},
        });
        let signed = sign_bundle(&serde_json::to_vec(&draft).unwrap(), Coverage::Full, &key).unwrap();
        prop_assert!(verify_package_bundle(signed.yaml().as_bytes(), &trust).is_ok());
    }
}

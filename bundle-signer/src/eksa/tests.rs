//! The contracts, tested against manifests that AWS's own programs signed, including samples by the public test key.

use gostd::{Limits, yaml};
use serde_json::json;

use super::contract::EXCLUDES;
use super::shape::{Field, Omit, Shape};
use super::*;
use crate::trust::ContentKind;
use crate::{Error, PrivateKey};

const TEST_KEY_SAMPLE: &[u8] = include_bytes!("../../tests/data/test-key.yaml");

/// Verifies a manifest with the test key, which only tests may trust.
fn by_test_key(contract: &Contract, text: &[u8]) -> Result<Manifest> {
    let trust =
        TrustFile::from_public_key("test", keys::TEST).unwrap().limited_to(&[ContentKind::PackageBundle]);
    let manifest = document::read(text)?;
    let signature = contract::annotation(&manifest, SIGNATURE).unwrap_or_default().to_owned();
    verify_by(contract, manifest, Annotation { name: SIGNATURE, value: &signature }, &trust)
}

fn shared(name: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("AIRLOCK_SHARED")
        .map_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
    let file = std::fs::read(root.join("fixtures/eksa/signed").join(name)).ok();
    if file.is_none() {
        println!("skipped: the shared fixture {name} is missing");
    }
    file
}

fn digest_of(manifest: &Manifest) -> String {
    STANDARD.encode(manifest.signed().get().sha256())
}

fn refusal<T>(result: Result<T>) -> Refusal {
    match result.map(|_| ()).unwrap_err() {
        Error::Eksa(refusal) => refusal,
        other => panic!("{other}"),
    }
}

#[test]
fn the_upstream_samples_verify_with_the_test_key_and_with_no_other() {
    let minimum = by_test_key(&PACKAGE_BUNDLE, TEST_KEY_SAMPLE).unwrap();
    assert_eq!(digest_of(&minimum), "7+j3ip532FE22DHAW1sZPCNskMRWOFx2Pi4Zl82uXWc=");
    let paths: Vec<_> = minimum.uncovered().iter().map(Uncovered::path).collect();
    assert_eq!(
        paths,
        [
            ".spec.minControllerVersion",
            ".spec.packages[0].source.registry",
            ".spec.packages[0].source.repository"
        ]
    );
    for (name, digest) in [
        ("packagebundle_valid.yaml.signed", "AKcanBRKGiPKzjybSzY2wC3hU+jzeeY4sEMGLsfH2RY="),
        ("packagebundle_minControllerVersion.yaml.signed", "7+j3ip532FE22DHAW1sZPCNskMRWOFx2Pi4Zl82uXWc="),
        ("bundle_one.yaml.signed", "14+gmt3os1uFRfc1s7qomOE6T9hpcPcLPJnISH349bM="),
        ("bundle_two.yaml.signed", "WLNiMXD6chUGfWrGY1Ytip5xbAB1OCcvK2q4uw/EyHc="),
    ] {
        let Some(text) = shared(name) else { continue };
        assert_eq!(digest_of(&by_test_key(&PACKAGE_BUNDLE, &text).unwrap()), digest, "{name}");
        let refused = refusal(verify_package_bundle(&text, &package_keys().unwrap()));
        assert!(matches!(refused, Refusal::TestKey), "{name}: {refused}");
    }
}

#[test]
fn the_test_key_is_refused_whoever_trusts_it() {
    let trust =
        TrustFile::from_public_key("mine", keys::TEST).unwrap().limited_to(&[ContentKind::PackageBundle]);
    assert!(matches!(refusal(verify_package_bundle(TEST_KEY_SAMPLE, &trust)), Refusal::TestKey));
    let refused = refusal(verify_package_bundle(TEST_KEY_SAMPLE, &package_keys().unwrap()));
    assert!(matches!(refused, Refusal::TestKey));
}

#[test]
fn the_canonical_bytes_are_the_published_ones() {
    let text = br#"{apiVersion: packages.eks.amazonaws.com/v1alpha1, kind: PackageBundle, status: {state: available},
        metadata: {name: 1-21, namespace: eks-anywhere-packages-system, uid: x, annotations: {other: x,
        eksa.aws.com/excludes: LnNwZWMucGFja2FnZXNbXS5zb3VyY2UucmVnaXN0cnkKLnNwZWMucGFja2FnZXNbXS5zb3VyY2UucmVwb3NpdG9yeQo=}},
        spec: {packages: [{name: Package, source: {registry: x, versions: [{name: test, images: [], schema: "",
        digest: "sha256:eaa07ae1c06ffb563fe3c16cdb317f7ac31c8f829d5f1f32442f0e5ab982c3e7"}]}, workloadonly: false}]}}"#;
    let parts = PACKAGE_BUNDLE.apart(&document::read(text).unwrap()).unwrap();
    let expected = "\
apiVersion: packages.eks.amazonaws.com/v1alpha1
kind: PackageBundle
metadata:
  annotations:
    eksa.aws.com/excludes: LnNwZWMucGFja2FnZXNbXS5zb3VyY2UucmVnaXN0cnkKLnNwZWMucGFja2FnZXNbXS5zb3VyY2UucmVwb3NpdG9yeQo=
  name: 1-21
  namespace: eks-anywhere-packages-system
spec:
  packages:
  - name: Package
    source:
      versions:
      - digest: sha256:eaa07ae1c06ffb563fe3c16cdb317f7ac31c8f829d5f1f32442f0e5ab982c3e7
        name: test
";
    assert_eq!(String::from_utf8(parts.covered.bytes().to_vec()).unwrap(), expected);
    assert_eq!(STANDARD.encode(parts.covered.sha256()), "AKcanBRKGiPKzjybSzY2wC3hU+jzeeY4sEMGLsfH2RY=");
    let uncovered: Vec<_> =
        parts.uncovered.iter().map(|uncovered| (uncovered.path(), uncovered.reason())).collect();
    assert_eq!(
        uncovered,
        [
            (".metadata.annotations.other", UncoveredReason::Annotation),
            (".metadata.uid", UncoveredReason::Always),
            (".spec.packages[0].source.registry", UncoveredReason::Excluded),
            (".status", UncoveredReason::Always),
        ]
    );
}

/// The controller's verifier accepts any kind; its sample of another kind has an empty map of annotations.
#[test]
fn the_pod_sample_verifies_with_the_test_key() {
    const fn field(name: &'static str, shape: Shape) -> Field {
        Field { name, shape, omit: Omit::Empty }
    }
    const PORT: Shape = Shape::Record(&[field("containerPort", Shape::Integer)]);
    const CONTAINER: Shape = Shape::Record(&[
        field("name", Shape::Text),
        field("image", Shape::Text),
        field("ports", Shape::List(&PORT)),
        field("resources", Shape::Record(&[])),
    ]);
    const POD: &[Field] = &[
        field("apiVersion", Shape::Text),
        field("kind", Shape::Text),
        field("metadata", types::METADATA),
        field("spec", Shape::Record(&[field("containers", Shape::List(&CONTAINER))])),
    ];
    let contract = Contract { api_version: "v1", kind: "Pod", fields: POD, ..PACKAGE_BUNDLE };
    let Some(text) = shared("pod_valid.yaml.signed") else { return };
    let pod = by_test_key(&contract, &text).unwrap();
    assert_eq!(digest_of(&pod), "yRMDhKAwYcFr1C7+qRx/zmrs4ASV4l4sQ12Lrch6rUQ=");
}

#[test]
fn awss_keys_are_the_published_ones() {
    let hints =
        |trust: TrustFile| trust.keys().iter().map(|trusted| trusted.key().to_pem()).collect::<Vec<_>>();
    assert_eq!(hints(package_keys().unwrap()).len(), 2);
    assert_eq!(hints(bundles_keys().unwrap()).len(), 1);
    assert_eq!(hints(distro_keys().unwrap()).len(), 1);
}

fn package_bundle(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = yaml::parse(std::str::from_utf8(TEST_KEY_SAMPLE).unwrap(), &Limits::default()).unwrap();
    change(&mut value);
    yaml::write(&value).into_bytes()
}

fn with_excludes(excludes: &str) -> Refusal {
    let text = package_bundle(|value| value["metadata"]["annotations"][EXCLUDES] = excludes.into());
    refusal(by_test_key(&PACKAGE_BUNDLE, &text))
}

/// For each of these selectors at which jq fails, the controller would hash the constant `{}` and a line feed.
#[test]
fn selectors_that_fail_are_refused() {
    for selector in
        [".spec.minControllerVersion[]", ".spec.packages[].name[]", ".spec.packages.name", ".kind.a"]
    {
        let refused = with_excludes(&STANDARD.encode(selector));
        assert!(matches!(refused, Refusal::SelectorMismatch { .. }), "{selector}: {refused}");
    }
    for selector in
        ["import \"x\";", ".", ".a | .b", ".spec?", ".a, .b", ".spec.packages[0]", ".metadata) | (.x"]
    {
        let refused = with_excludes(&STANDARD.encode(format!(".status\n{selector}\n")));
        assert!(matches!(&refused, Refusal::Selector(text) if text == selector), "{selector}: {refused}");
    }
    for text in ["?", "LnN0YXR1cw", "LnN0YXR1cw=", "/w==", "LnN0YXR1cx=="] {
        assert!(matches!(with_excludes(text), Refusal::Excludes(EXCLUDES)), "{text}");
    }
    let text = package_bundle(|value| value["spec"]["packages"] = Value::Null);
    assert!(matches!(refusal(by_test_key(&PACKAGE_BUNDLE, &text)), Refusal::SelectorMismatch { .. }));
}

#[test]
fn the_constant_that_a_failing_selector_hashes_to_is_not_accepted() {
    let key = PrivateKey::generate().unwrap();
    let trust = TrustFile::new(vec![("own".into(), key.public_key().unwrap())])
        .unwrap()
        .limited_to(&[ContentKind::PackageBundle]);
    let signature = STANDARD.encode(key.sign(b"{}\n").unwrap());
    let text = package_bundle(|value| {
        value["metadata"]["annotations"] =
            json!({EXCLUDES: STANDARD.encode(".kind[]"), SIGNATURE: signature});
    });
    assert!(matches!(refusal(verify_package_bundle(&text, &trust)), Refusal::SelectorMismatch { .. }));
}

#[test]
fn selectors_that_exclude_everything_are_reported() {
    let key = PrivateKey::generate().unwrap();
    let trust = TrustFile::new(vec![("own".into(), key.public_key().unwrap())])
        .unwrap()
        .limited_to(&[ContentKind::PackageBundle]);
    let draft = package_bundle(|value| {
        value["metadata"]["annotations"] = json!({EXCLUDES: STANDARD.encode(".spec\n.metadata.name")});
    });
    let covered = PACKAGE_BUNDLE.apart(&document::read(&draft).unwrap()).unwrap().covered;
    let signature = STANDARD.encode(key.sign(covered.bytes()).unwrap());
    let mut signed = yaml::parse(std::str::from_utf8(&draft).unwrap(), &Limits::default()).unwrap();
    signed["metadata"]["annotations"][SIGNATURE] = signature.into();
    let manifest = verify_package_bundle(yaml::write(&signed).as_bytes(), &trust).unwrap();
    let uncovered: Vec<_> =
        manifest.uncovered().iter().map(|uncovered| (uncovered.path(), uncovered.reason())).collect();
    assert_eq!(
        uncovered,
        [(".metadata.name", UncoveredReason::Excluded), (".spec", UncoveredReason::Excluded)]
    );
    assert_eq!(manifest.signed().get().object().get("spec"), None);
}

#[test]
fn each_defect_has_its_error() {
    let sample = std::str::from_utf8(TEST_KEY_SAMPLE).unwrap();
    let of = |text: String| refusal(by_test_key(&PACKAGE_BUNDLE, text.as_bytes()));
    let replaced = |from: &str, to: &str| {
        assert!(sample.contains(from), "{from}");
        of(sample.replacen(from, to, 1))
    };
    assert!(matches!(replaced("name: Package", "name: Pack\u{e4}ge"), Refusal::NotAscii(12)));
    assert!(matches!(replaced("name: Package", "name: Package # \u{2028}"), Refusal::NotAscii(12)));
    assert!(
        matches!(replaced("name: Package", "name: \"Pack\\u00e4ge\""), Refusal::Unprintable(at) if at == ".spec.packages[0].name")
    );
    assert!(matches!(replaced("name: Package", "name: \"\\x7f\""), Refusal::Unprintable(_)));
    assert!(
        matches!(replaced("name: Package", "name: \"Pack\\tage\""), Refusal::LineBreak(at) if at == ".spec.packages[0].name")
    );
    assert!(matches!(replaced("name: Package", "name: \"Pack\\nage\""), Refusal::LineBreak(_)));
    assert!(matches!(replaced("name: Package", "name: &a Package"), Refusal::Anchors));
    assert!(matches!(replaced("spec:", "x: &a {}\nspec:"), Refusal::Anchors));
    assert!(matches!(replaced("- name: Package", "- <<: {}\n      name: Package"), Refusal::Anchors));
    assert!(matches!(replaced("kind: ", "kind: Other\nkind: "), Refusal::Yaml(_)));
    assert!(matches!(replaced("name: Package", "name: Package\n      name: Package"), Refusal::Yaml(_)));
    assert!(matches!(replaced("spec:", "spec: ["), Refusal::Yaml(_)));
    assert!(matches!(of(format!("{sample}---\na: 1\n")), Refusal::Documents(2)));
    assert!(matches!(of(String::new()), Refusal::Documents(0)));
    assert!(matches!(replaced("PackageBundle", "Bundles"), Refusal::Kind { field: "kind", .. }));
    assert!(matches!(replaced("v1alpha1", "v1"), Refusal::Kind { field: "apiVersion", .. }));
    assert!(matches!(replaced("packages:", "Packages:"), Refusal::KeyCase { expected: "packages", .. }));
    assert!(
        matches!(replaced("name: Package", "name: 1"), Refusal::Type { at, .. } if at == ".spec.packages[0].name")
    );
    assert!(matches!(
        replaced("name: Package", "name: Package\n      workloadonly: x"),
        Refusal::Type { .. }
    ));
    assert!(matches!(
        replaced("metadata:", "metadata:\n  generation: 9007199254740993"),
        Refusal::Type { .. }
    ));
    assert!(matches!(
        replaced("metadata:", "metadata:\n  creationTimestamp: yesterday"),
        Refusal::Type { .. }
    ));
    assert!(matches!(replaced("eksa.aws.com/signature", "eksa.aws.com/sig"), Refusal::MissingSignature(_)));
    assert!(matches!(replaced("signature: ME", "signature: '?"), Refusal::Yaml(_)));
    assert!(matches!(replaced("signature: ME", "signature: M"), Refusal::SignatureText(_)));
    assert!(matches!(replaced("name: Package", "name: package"), Refusal::BadSignature(_)));
}

#[test]
fn huge_documents_are_refused_before_they_are_built() {
    let of = |text: &str| refusal(by_test_key(&PACKAGE_BUNDLE, text.as_bytes()));
    assert!(matches!(of(&" ".repeat(MAX_LEN + 1)), Refusal::TooLarge(_)));
    assert!(matches!(of(&"[".repeat(100_000)), Refusal::Bound(_) | Refusal::Yaml(_)));
    assert!(matches!(
        of(&format!("a: {}1{}", "[".repeat(70), "]".repeat(70))),
        Refusal::Bound(_) | Refusal::Yaml(_)
    ));
    assert!(matches!(of(&"- a\n".repeat(300_000)), Refusal::Bound(_)));
    assert!(matches!(of(&"---\na: 1\n".repeat(100)), Refusal::Documents(_)));
    let laughs = "a: &a [x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\n";
    assert!(matches!(of(laughs), Refusal::Anchors));
}

#[test]
fn selectors_with_too_many_matches_are_refused() {
    let excludes = ".spec.packages[].name\n".repeat(300);
    let text = package_bundle(|value| {
        value["metadata"]["annotations"][EXCLUDES] = STANDARD.encode(excludes).into();
        value["spec"]["packages"] = vec![json!({}); 1000].into();
    });
    assert!(matches!(refusal(by_test_key(&PACKAGE_BUNDLE, &text)), Refusal::TooManyMatches(_)));
}

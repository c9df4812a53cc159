//! Bundles of EKS Anywhere and releases of EKS Distro.

use bundle_signer::Error;
use bundle_signer::eksa::{
    Manifest, Refusal, Uncovered, UncoveredReason, bundles_keys, distro_keys, verify_bundles, verify_release,
};
use gostd::yaml;
use serde_json::{Value, json};

use crate::{BUNDLES, fixtures, parse, refusal};

/// `pkg/validations/cluster_test.go` of aws/eks-anywhere.
const NAMED_BUNDLES: &str = "\
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Bundles
metadata:
  annotations:
    anywhere.eks.amazonaws.com/signature: MEQCICjq1rZmhH0FYOlruZmh6QADCrr5ccrN6hE7Lu0vaXGrAiBhV+kfh64sqLblBt98DvIfHMerEqJVhHzpGy1YJthZQw==
  name: bundles-1
spec:
  number: 1
  versionsBundles:
  - kubeVersion: \"1.31\"
    endOfStandardSupport: \"2026-12-31\"
    eksD:
      name: \"test\"
      channel: \"1-31\"
      manifestUrl: \"https://distro.eks.amazonaws.com/kubernetes-1-31/kubernetes-1-31-eks-1.yaml\"
";

const RELEASE: &str = "\
apiVersion: distro.eks.amazonaws.com/v1alpha1
kind: Release
metadata:
  name: kubernetes-1-28-46
  namespace: eksa-system
spec:
  channel: 1-28
  number: 46
status:
  components:
  - name: metrics-server
    gitTag: v0.7.2
    assets:
    - name: metrics-server-image
";

fn bundles(value: &Value) -> Result<Manifest, Error> {
    verify_bundles(yaml::write(value).as_bytes(), &bundles_keys().unwrap())
}

#[test]
fn the_bundles_manifests_of_aws_are_accepted() {
    let manifest = verify_bundles(BUNDLES.as_bytes(), &bundles_keys().unwrap()).unwrap();
    let canonical = r#"{"apiVersion":"anywhere.eks.amazonaws.com/v1alpha1","kind":"Bundles","metadata":{},"spec":{"cliMaxVersion":"","cliMinVersion":"","number":1,"versionsBundles":[{"eksD":{"ami":{"bottlerocket":{}},"containerd":{},"crictl":{},"etcdadm":{},"imagebuilder":{},"kindNode":{},"ova":{"bottlerocket":{}},"raw":{"bottlerocket":{}}},"kubeVersion":"1.31"}]}}"#;
    assert_eq!(std::str::from_utf8(manifest.signed().get().bytes()).unwrap(), canonical);
    let uncovered: Vec<_> = manifest.uncovered().iter().map(Uncovered::path).collect();
    assert_eq!(uncovered, [r#".metadata.annotations["distro.eks.amazonaws.com/signature-1-28"]"#]);
    let manifest = verify_bundles(NAMED_BUNDLES.as_bytes(), &bundles_keys().unwrap()).unwrap();
    let uncovered: Vec<_> = manifest.uncovered().iter().map(Uncovered::path).collect();
    assert_eq!(uncovered, [".spec.versionsBundles[0].eksD.manifestUrl"]);
}

#[test]
fn every_change_in_bundles_is_refused_or_reported() {
    let good = parse(NAMED_BUNDLES.as_bytes());
    let first = "/spec/versionsBundles/0";
    for (pointer, value) in [
        ("/metadata/name", json!("bundles-2")),
        ("/spec/number", json!(2)),
        ("/spec/cliMinVersion", json!("v0.1.0")),
        (&format!("{first}/kubeVersion"), json!("1.32")),
        (&format!("{first}/endOfStandardSupport"), json!("2027-12-31")),
        (&format!("{first}/eksD/name"), json!("a<b>&c")),
        (&format!("{first}/eksD/kindNode"), json!({"uri": "x"})),
        (&format!("{first}/eksD/ova"), json!({"bottlerocket": {"arch": ["amd64"]}})),
        (&format!("{first}/eksD/containerd"), json!({"sha256": "x"})),
        (&format!("{first}/aws"), json!({})),
    ] {
        let mut changed = good.clone();
        set(&mut changed, pointer, value);
        let refused = refusal(bundles(&changed));
        assert!(matches!(refused, Refusal::BadSignature(_)), "{pointer}: {refused}");
    }
    for member in [
        "bootstrap",
        "bottlerocketBootstrapContainers",
        "bottlerocketHostContainers",
        "certManager",
        "cilium",
        "cloudStack",
        "clusterAPI",
        "controlPlane",
        "docker",
        "eksa",
        "eksD/components",
        "eksD/manifestUrl",
        "etcdadmBootstrap",
        "etcdadmController",
        "flux",
        "haproxy",
        "kindnetd",
        "nutanix",
        "packageController",
        "snow",
        "tinkerbell",
        "upgrader",
        "vSphere",
    ] {
        let mut changed = good.clone();
        set(&mut changed, &format!("{first}/{member}"), json!("other"));
        let path = format!(".spec.versionsBundles[0].{}", member.replace('/', "."));
        let uncovered = bundles(&changed).unwrap().into_uncovered();
        let is_reported =
            |value: &Uncovered| value.path() == path && value.reason() == UncoveredReason::Always;
        assert!(uncovered.iter().any(is_reported), "{member}");
    }
    let mut empty = good.clone();
    set(&mut empty, "/spec/versionsBundles", Value::Null);
    assert!(matches!(refusal(bundles(&empty)), Refusal::SelectorMismatch { .. }));
}

fn set(value: &mut Value, pointer: &str, new: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[name] = new;
}

#[test]
fn the_release_of_aws_is_accepted_and_none_of_its_components_is_covered() {
    let trust = distro_keys().unwrap();
    let verify = |release: &str| verify_release(release.as_bytes(), BUNDLES.as_bytes(), &trust);
    let manifest = verify(RELEASE).unwrap();
    let canonical = r#"{"apiVersion":"distro.eks.amazonaws.com/v1alpha1","kind":"Release","metadata":{"name":"kubernetes-1-28-46"},"spec":{"channel":"1-28","number":46}}"#;
    assert_eq!(std::str::from_utf8(manifest.signed().get().bytes()).unwrap(), canonical);
    let uncovered = |manifest: &Manifest| {
        manifest.uncovered().iter().map(|value| value.path().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(uncovered(&manifest), [".metadata.namespace", ".status"]);
    assert!(verify(&RELEASE.replace("metrics-server-image", "evil")).is_ok());
    for (from, to) in [("46\n  namespace", "47\n  namespace"), ("number: 46", "number: 47")] {
        assert!(RELEASE.contains(from));
        assert!(matches!(refusal(verify(&RELEASE.replace(from, to))), Refusal::BadSignature(_)));
    }
    let other = refusal(verify(&RELEASE.replace("channel: 1-28", "channel: 1-29")));
    assert!(matches!(other, Refusal::MissingSignature(name) if name.ends_with("signature-1-29")));
}

#[test]
fn the_shared_manifests_are_parsed_although_their_signatures_are_not_published() {
    let Some(folder) = fixtures("eksa/manifests") else { return };
    let verify = |name: &str| {
        refusal(verify_bundles(&std::fs::read(folder.join(name)).unwrap(), &bundles_keys().unwrap()))
    };
    assert!(matches!(verify("bundles-main.yaml"), Refusal::MissingSignature(_)));
    // It has `cloudStack` twice in each version.
    assert!(matches!(verify("bundles-small.yaml"), Refusal::Yaml(_)));
    let folder = fixtures("eksd").unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read(&path).unwrap();
        let refused = refusal(verify_release(&text, BUNDLES.as_bytes(), &distro_keys().unwrap()));
        assert!(matches!(refused, Refusal::MissingSignature(_)), "{}: {refused}", path.display());
    }
}

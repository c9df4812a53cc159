//! Arbitrary input never causes a panic.

use bundle_signer::keyless::{
    Artifact, Evidence, Identity, Inclusion, LogEntry, TrustedRoot, verify, verify_layer,
};
use oci::{Descriptor, Digest};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use crate::fixtures::{BLOB_V1, GITHUB_LOGIN, GOOD, Instance, STATEMENT_V2, read, root, root_json};

/// Pointers to every value in a JSON document.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(number, one)| pointers(one, &format!("{at}/{number}"), all));
        }
        Value::Object(map) => {
            map.iter()
                .for_each(|(name, one)| pointers(one, &format!("{at}/{}", name.replace('/', "~1")), all));
        }
        _ => {}
    }
}

fn choose(json: &mut Value, index: Index) -> &mut Value {
    let mut all = Vec::new();
    pointers(json, "", &mut all);
    json.pointer_mut(index.get::<String>(&all)).unwrap()
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(|number| Value::from(number.to_string())),
        "[ -~]{0,40}".prop_map(Value::from),
        "[A-Za-z0-9+/]{0,120}={0,2}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| {
            use base64::Engine as _;
            Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
        }),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::from))
}

/// If the value is base64, changes one byte of the encoded content: DER, a proof, a body.
fn change_within(value: &mut Value, at: Index, with: u8) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let decoded = value.as_str().and_then(|text| STANDARD.decode(text).ok());
    if let Some(mut bytes) = decoded.filter(|bytes| !bytes.is_empty()) {
        let at = at.index(bytes.len());
        bytes[at] = with;
        *value = Value::from(STANDARD.encode(bytes));
    }
}

/// Whether `part` contains only claims of `whole`. A change can remove a proof if another one suffices.
fn is_part(part: &Evidence, whole: &Evidence) -> bool {
    let entry = |one: &LogEntry, other: &LogEntry| {
        (one.rekor, &one.log_id, one.index) == (other.rekor, &other.log_id, other.index)
            && (one.integrated.is_none() || one.integrated == other.integrated)
            && (one.inclusion == Inclusion::Promise || one.inclusion == other.inclusion)
    };
    part.to_string().split(", entry ").next() == whole.to_string().split(", entry ").next()
        && part.certificate() == whole.certificate()
        && (part.signed(), part.payload()) == (whole.signed(), whole.payload())
        && part.times().iter().all(|at| whole.times().contains(at))
        && part.entries().iter().all(|one| whole.entries().iter().any(|other| entry(one, other)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let identity = Identity::pattern(".*", GITHUB_LOGIN).unwrap();
        prop_assert!(verify(&bytes, Artifact::Bytes(&bytes), &identity, &root(Instance::Public)).is_err());
        prop_assert!(TrustedRoot::from_json(&bytes).is_err());
    }

    #[test]
    fn a_changed_bundle_never_panics(
        which in 0..GOOD.len(), index in any::<Index>(), value in anything(), at in any::<Index>(), with: u8,
        within: bool,
    ) {
        let good = GOOD[which];
        let outcome = good.changed(|json| {
            let chosen = choose(json, index);
            if within { change_within(chosen, at, with) } else { *chosen = value }
        });
        if let Ok(evidence) = outcome {
            prop_assert!(is_part(&evidence, &good.with_root(&root(good.instance)).unwrap()), "{evidence:?}");
        }
    }

    #[test]
    fn a_changed_root_never_panics(
        index in any::<Index>(), value in anything(), at in any::<Index>(), with: u8, within: bool,
    ) {
        let mut json: Value = serde_json::from_str(root_json(Instance::Staging)).unwrap();
        let chosen = choose(&mut json, index);
        if within { change_within(chosen, at, with) } else { *chosen = value }
        if let Ok(root) = TrustedRoot::from_json(json.to_string().as_bytes()) {
            prop_assert!(!root.services().is_empty());
            STATEMENT_V2.with_root(&root).ok();
        }
    }

    #[test]
    fn arbitrary_annotations_never_panic(
        which in any::<Index>(), text in "\\PC{0,200}", cut in any::<Index>(), payload in prop::collection::vec(any::<u8>(), 0..200),
        own: bool, envelope: bool,
    ) {
        let mut layer: Descriptor = serde_json::from_slice(&read("cosign2-image.layer.json")).unwrap();
        if envelope {
            layer.media_type = "application/vnd.dsse.envelope.v1+json".parse().unwrap();
        }
        let names: Vec<_> = layer.annotations.keys().cloned().collect();
        let value = layer.annotations.get_mut(which.get(&names)).unwrap();
        let at = cut.index(value.len());
        // All of it is ASCII.
        value.replace_range(at.., &text);
        let payload = if own { read("cosign2-image.payload.json") } else { payload };
        let digest = Digest::sha256(b"other");
        prop_assert!(verify_layer(&layer, &payload, &digest, &BLOB_V1.identity(), &root(Instance::Public)).is_err());
    }

    #[test]
    fn arbitrary_patterns_never_panic(pattern in "\\PC{0,60}", subject in "\\PC{0,60}") {
        if let Ok(identity) = Identity::pattern(&pattern, GITHUB_LOGIN) {
            prop_assert_eq!(identity.subject().text(), pattern.as_str());
        }
        Identity::exact(&subject, &pattern).ok();
    }
}

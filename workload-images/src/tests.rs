//! Every image of every kind is found, and a pinned object is pinned everywhere.

use proptest::prelude::*;

use super::*;

fn pod_spec(tag: &str) -> Value {
    json!({
        "initContainers": [{"name": "i", "image": format!("r.example/i:{tag}")}],
        "containers": [
            {"name": "c", "image": format!("nginx:{tag}"), "imagePullPolicy": "Never"},
            {"name": "none"},
        ],
        "ephemeralContainers": [{"name": "e", "image": format!("r.example/e:{tag}")}],
        "volumes": [
            {"name": "d", "emptyDir": {}},
            {"name": "v", "image": {"reference": format!("r.example/v:{tag}"), "pullPolicy": "Always"}},
        ],
    })
}

fn object(group: &str, kind: &str, spec: &Value) -> Value {
    let mut value = spec.clone();
    for part in spec_of(group, kind).unwrap().split('/').skip(1).collect::<Vec<_>>().into_iter().rev() {
        value = json!({ part: value });
    }
    value
}

fn fixed() -> impl Fn(&Reference) -> Option<Digest> {
    |_| Some(Digest::sha256(b"x"))
}

/// Applies a patch that only tests and replaces.
fn apply(object: &Value, patch: &[Operation]) -> Value {
    let mut object = object.clone();
    for step in patch {
        let value = object.pointer_mut(&step.path).unwrap();
        match step.op {
            "test" => assert_eq!(*value, step.value),
            "replace" => value.clone_from(&step.value),
            other => panic!("{other}"),
        }
    }
    object
}

#[test]
fn all_four_image_uses_are_found_in_all_nine_kinds() {
    for (group, kind, _) in KINDS {
        let object = object(group, kind, &pod_spec("1"));
        let found = images(group, kind, &object).unwrap();
        let names: Vec<_> = found.iter().map(|used| (used.kind, used.name.as_str())).collect();
        let expected = [
            (ContainerKind::InitContainer, "i"),
            (ContainerKind::Container, "c"),
            (ContainerKind::EphemeralContainer, "e"),
            (ContainerKind::Volume, "v"),
        ];
        assert_eq!(names, expected, "{kind}");
        let pinned = apply(&object, &pin(&found, &fixed()).unwrap());
        for used in images(group, kind, &pinned).unwrap() {
            assert!(used.image.parse::<Reference>().unwrap().digest().is_some(), "{kind}: {}", used.image);
            assert!(used.image.contains(":1@sha256:"), "{}", used.image);
        }
    }
}

#[test]
fn kinds_without_a_pod_spec_and_the_same_kinds_in_other_groups_have_no_images() {
    let object = object("apps", "Deployment", &pod_spec("1"));
    assert!(makes_pods("batch", "CronJob") && !makes_pods("apps", "CronJob"));
    assert_eq!(images("example.com", "Deployment", &object).unwrap(), []);
    assert_eq!(images("", "Pod", &json!({"metadata": {}})).unwrap(), []);
}

#[test]
fn an_object_without_the_structure_of_its_kind_is_rejected() {
    for (spec, at) in [
        (json!([]), "/spec"),
        (json!({"containers": {}}), "/spec/containers"),
        (json!({"containers": ["nginx"]}), "/spec/containers/0"),
        (json!({"containers": [{"image": ["nginx"]}]}), "/spec/containers/0/image"),
        (json!({"volumes": [{"image": "nginx"}]}), "/spec/volumes/0/image"),
        (json!({"volumes": [{"image": {"reference": 5}}]}), "/spec/volumes/0/image/reference"),
    ] {
        let error = images("", "Pod", &json!({"spec": spec})).unwrap_err();
        assert!(matches!(&error, Error::Shape(found) if found == at), "{at}: {error}");
    }
    let many: Vec<_> = (0..=MAX_IMAGES).map(|_| json!({"image": "a"})).collect();
    assert!(matches!(images("", "Pod", &json!({"spec": {"containers": many}})), Err(Error::TooMany)));
}

#[test]
fn only_an_object_with_the_same_images_is_not_verified_again() {
    let verified = |old: &Value, new: &Value| {
        let wrap = |spec: &Value| json!({"spec": {"replicas": 1, "template": {"spec": spec}}});
        images_to_verify("apps", "Deployment", Some(&wrap(old)), &wrap(new)).unwrap().len()
    };
    let (old, mut new) = (pod_spec("1"), pod_spec("1"));
    assert_eq!(verified(&old, &new), 0);
    new["containers"][0]["image"] = json!("nginx:2");
    assert_eq!(verified(&old, &new), 4);
    // The same image in another container is a new use.
    let mut moved = pod_spec("1");
    moved["containers"][1]["image"] = json!("r.example/i:1");
    assert_eq!(verified(&old, &moved), 5);
    assert_eq!(verified(&json!({"containers": "broken"}), &old), 4);
    assert_eq!(images_to_verify("", "Pod", None, &json!({"spec": old})).unwrap().len(), 4);
}

#[test]
fn one_unknown_tag_leaves_the_whole_object_unpinned() {
    let uses = images("", "Pod", &json!({"spec": pod_spec("1")})).unwrap();
    let some = |reference: &Reference| (reference.repository().as_str() != "e").then(|| Digest::sha256(b"x"));
    let error = pin(&uses, &some).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`r.example/e:1` at `/spec/ephemeralContainers/0/image` has no digest, and the digest of its tag is not known"
    );
    let bad = ImageUse {
        pointer: "/p".to_owned(),
        kind: ContainerKind::Container,
        name: String::new(),
        image: "UP ER".to_owned(),
    };
    assert!(matches!(pin(&[bad], &fixed()), Err(Error::Name { .. })));
}

proptest! {
    #[test]
    fn pinning_twice_changes_nothing_more(tag in "[a-z0-9]{1,8}", kind in 0_usize..9, digested in any::<bool>()) {
        let (group, kind, _) = KINDS[kind];
        let tag = if digested { format!("{tag}@{}", Digest::sha256(b"y")) } else { tag };
        let object = object(group, kind, &pod_spec(&tag));
        let once = apply(&object, &pin(&images(group, kind, &object).unwrap(), &fixed()).unwrap());
        let again = pin(&images(group, kind, &once).unwrap(), &fixed()).unwrap();
        prop_assert!(again.is_empty());
        prop_assert_eq!(digested, once == object);
    }

    #[test]
    fn no_object_makes_it_panic(text in "[\\[\\]{}\":,a-z0-9/]{0,60}", kind in 0_usize..9) {
        let (group, kind, at) = KINDS[kind];
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        for name in ["containers", "volumes"] {
            let mut spec = json!({ name: value });
            for part in at.split('/').skip(1).collect::<Vec<_>>().into_iter().rev() {
                spec = json!({ part: spec });
            }
            let _ = images(group, kind, &spec);
        }
        let _ = images(group, kind, &value);
    }
}

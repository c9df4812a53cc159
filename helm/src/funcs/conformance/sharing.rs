//! Tests that records cannot express: changes in place, shared maps, methods, and differences between Helm and Sprig.

use super::*;

fn map(entries: &[(&str, Value)]) -> Value {
    Value::map(entries.iter().cloned())
}

#[test]
fn set_and_unset_change_their_argument() {
    let shared = map(&[("a", Value::Int(1))]);
    call("set", &[shared.clone(), "b".into(), true.into()]).unwrap();
    call("unset", &[shared.clone(), "a".into()]).unwrap();
    assert_eq!(encode(&shared), json!(["map", "any", { "b": true }]));
}

#[test]
fn merge_changes_the_destination_and_shares_maps_of_the_source() {
    let inner = map(&[("x", "1".into())]);
    let (destination, source) = (map(&[("a", map(&[]))]), map(&[("b", inner.clone()), ("a", inner.clone())]));
    let merged = call("merge", &[destination.clone(), source]).unwrap();
    call("set", &[inner, "y".into(), "2".into()]).unwrap();
    // `b` is the source's own map; `a` existed before and received its entries.
    let all = json!(["map", "any", { "x": "1", "y": "2" }]);
    let was = json!(["map", "any", { "x": "1" }]);
    assert_eq!(encode(&merged), json!(["map", "any", { "a": was, "b": all }]));
    assert_eq!(encode(&destination), encode(&merged));
}

#[test]
fn deep_copy_shares_nothing() {
    let inner = map(&[("x", "1".into())]);
    let copied = call("deepCopy", &[Value::list(vec![inner.clone()])]).unwrap();
    call("set", &[inner, "x".into(), "2".into()]).unwrap();
    assert_eq!(encode(&copied), json!(["list", "any", [["map", "any", { "x": "1" }]]]));
}

#[test]
fn keys_and_values_come_in_one_order() {
    let source = map(&[("b", "2".into()), ("a", "1".into()), ("c", "3".into())]);
    let keys = call("keys", std::slice::from_ref(&source)).unwrap();
    assert_eq!(encode(&keys), json!(["list", "string", ["a", "b", "c"]]));
    assert_eq!(encode(&call("values", &[source]).unwrap()), json!(["list", "any", ["1", "2", "3"]]));
}

#[test]
fn no_host_is_resolved_and_no_environment_variable_is_read() {
    assert_eq!(encode(&call("getHostByName", &["localhost".into()]).unwrap()), json!(""));
    for name in ["env", "expandenv"] {
        assert!(crate::funcs::find(name).is_none());
    }
}

#[test]
fn versions_have_the_methods_of_their_go_type() {
    let version = |text: &str| Value::Object(Rc::new(Version::parse(text).unwrap()));
    let member = |on: &Value, name: &str, arguments: &[Value]| {
        let Value::Object(object) = on else { panic!("no object") };
        object.member(name, arguments).map(|found| found.map(|value| encode(&value)))
    };
    let read = version("v1.2.3-rc.1+b5");
    for (name, expected) in [
        ("Major", json!(["uint64", "1"])),
        ("Minor", json!(["uint64", "2"])),
        ("Patch", json!(["uint64", "3"])),
        ("Prerelease", json!("rc.1")),
        ("Metadata", json!("b5")),
        ("Original", json!("v1.2.3-rc.1+b5")),
        ("String", json!("1.2.3-rc.1+b5")),
        ("IncPatch", json!(["object", "semver.Version", "1.2.3"])),
        ("IncMinor", json!(["object", "semver.Version", "1.3.0"])),
        ("IncMajor", json!(["object", "semver.Version", "2.0.0"])),
    ] {
        assert_eq!(member(&read, name, &[]), Ok(Some(expected)), "{name}");
    }
    let other = version("1.2.3");
    assert_eq!(member(&read, "Compare", std::slice::from_ref(&other)), Ok(Some(json!(["int", "-1"]))));
    assert_eq!(member(&read, "LessThan", std::slice::from_ref(&other)), Ok(Some(json!(true))));
    assert_eq!(member(&read, "Equal", std::slice::from_ref(&other)), Ok(Some(json!(false))));
    assert_eq!(member(&read, "GreaterThan", &[other]), Ok(Some(json!(false))));
    assert_eq!(member(&read, "major", &[]), Ok(None));
    assert!(member(&read, "Compare", &["1.2.3".into()]).is_err());
    assert!(member(&read, "Major", &["1".into()]).is_err());
    let top = version("18446744073709551615.0.0");
    assert!(member(&top, "IncMajor", &[]).is_err());
}

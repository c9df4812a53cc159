//! Calls that a hostile chart could make are rejected with the name of the limit.

use super::*;

fn refused(limits: &Limits, name: &str, arguments: &[Value]) -> &'static str {
    match call_with(limits, name, arguments) {
        Err(Failure::Limit(limit)) => limit,
        Err(Failure::Message(text)) => panic!("{name} fails with {text}"),
        Ok(_) => panic!("{name} is not rejected"),
    }
}

fn text(count: usize) -> Value {
    "a".repeat(count).into()
}

/// A map that contains itself.
fn cycle() -> Value {
    let map = Value::map([("other", Value::Int(1))]);
    call("set", &[map.clone(), "self".into(), map.clone()]).unwrap();
    map
}

#[test]
fn text_that_multiplies_is_rejected_before_it_is_produced() {
    let limits = Limits { output_bytes: 1 << 20, ..Limits::default() };
    let huge = Value::Int(i64::MAX);
    for name in ["repeat", "indent", "nindent"] {
        assert_eq!(refused(&limits, name, &[huge.clone(), "x\ny".into()]), "output_bytes");
    }
    let (many, wide) = (text(10_000), text(10_000));
    assert_eq!(refused(&limits, "replace", &["a".into(), wide.clone(), many.clone()]), "output_bytes");
    assert_eq!(refused(&limits, "replace", &["".into(), wide.clone(), many.clone()]), "output_bytes");
    assert_eq!(
        refused(&limits, "regexReplaceAll", &["a".into(), many.clone(), wide.clone()]),
        "output_bytes"
    );
    assert_eq!(refused(&limits, "wrapWith", &[Value::Int(1), wide.clone(), many.clone()]), "output_bytes");
    let items = Value::list(vec!["".into(); 1000]);
    assert_eq!(refused(&limits, "join", &[wide, items]), "output_bytes");
}

#[test]
fn endless_ranges_are_rejected() {
    let limits = Limits { steps: 100_000, ..Limits::default() };
    let [zero, top, big] = [0, i64::MAX, i64::MAX - 1].map(Value::Int);
    assert_eq!(refused(&limits, "until", std::slice::from_ref(&top)), "steps");
    assert_eq!(refused(&limits, "seq", std::slice::from_ref(&big)), "steps");
    // In Go the counter wraps around here, and the loop never ends.
    assert_eq!(refused(&limits, "untilStep", &[zero, top, big]), "steps");
}

#[test]
fn comparing_each_with_each_is_accounted_for() {
    let limits = Limits { steps: 100_000, ..Limits::default() };
    let items = Value::list((0..1000).map(Value::Int).collect());
    assert_eq!(refused(&limits, "uniq", &[items]), "steps");
}

#[test]
fn maps_that_contain_themselves_do_not_recurse_forever() {
    let limits = Limits { value_depth: 100, ..Limits::default() };
    let run = || {
        assert_eq!(refused(&limits, "deepCopy", &[cycle()]), "value_depth");
        assert_eq!(refused(&limits, "deepEqual", &[cycle(), cycle()]), "value_depth");
        assert_eq!(refused(&limits, "merge", &[cycle(), cycle()]), "value_depth");
        assert_eq!(refused(&limits, "mergeOverwrite", &[cycle(), cycle()]), "value_depth");
    };
    run();
}

#[test]
fn default_depth_fits_a_small_stack() {
    let run = || {
        let limits = Limits::default();
        for name in ["deepEqual", "merge"] {
            assert_eq!(refused(&limits, name, &[cycle(), cycle()]), "value_depth");
        }
        assert_eq!(refused(&limits, "deepCopy", &[cycle()]), "value_depth");
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn large_expressions_are_rejected() {
    let limits = Limits::default();
    for pattern in ["((a{10}){10}){10}(\\pL{100}){10}", "(\\pL{1000}|\\pN{1000}|.{1000})"] {
        assert_eq!(refused(&limits, "regexMatch", &[pattern.into(), "a".into()]), "regex_bytes");
    }
    let starred = format!("{}a{}", "(".repeat(450), ")*".repeat(450));
    assert_eq!(encode(&call("mustRegexMatch", &[starred.into(), "a".into()]).unwrap()), json!(true));
    let deep = format!("{}a{}", "(".repeat(900), ")".repeat(900));
    assert_eq!(encode(&call("mustRegexMatch", &[deep.as_str().into(), "a".into()]).unwrap()), json!(true));
    let deeper = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(call("mustRegexMatch", &[deeper.as_str().into(), "a".into()]).is_err());
}

#[test]
fn slow_searches_are_rejected() {
    let limits = Limits { steps: 1_000_000, ..Limits::default() };
    let haystack = text(1 << 20);
    let arguments = ["(a|b|ab){50}c".into(), haystack.clone()];
    assert_eq!(refused(&limits, "regexMatch", &arguments), "steps");
    // Every search for the second alternative scans the whole rest.
    let quadratic = [".*c|a".into(), haystack, Value::Int(-1)];
    assert_eq!(refused(&limits, "regexFindAll", &quadratic), "steps");
}

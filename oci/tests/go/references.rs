//! Compares how airlock reads references with Docker's and containerd's own parser.

use std::path::Path;

use oci::Reference;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use crate::programs::found;

/// A reference's parts, as the Go program writes them.
fn parts(reference: &Reference) -> String {
    let (tag, digest) = (reference.tag(), reference.digest());
    let text = |part: Option<String>| part.unwrap_or_default();
    // containerd drops the tag if there is a digest.
    let tag = text(tag.filter(|_| digest.is_none()).map(ToString::to_string));
    format!("{} {} {tag} {}", reference.host(), reference.repository(), text(digest.map(ToString::to_string)))
}

fn texts() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        Just(String::new()),
        proptest::sample::select(
            &[
                "localhost/",
                "localhost:5000/",
                "LOCALHOST:5000/",
                "localhost:05000/",
                "localhost.:5000/",
                "docker.io/",
                "index.docker.io/",
                "registry-1.docker.io/",
                "Docker.io/",
                "r.example/",
                "r.example:443/",
                "R.example/",
                "127.0.0.1:5000/",
                "127.1/",
                "[::1]:5000/",
                "[0:0::1]:5000/",
                "r.example:0/",
                "r.example:99999/",
                "foo/",
                "Foo/",
                "a-b.c/",
                "-a.b/",
                "1.2/",
                "x_y/",
                "x_y.z/",
            ][..]
        )
        .prop_map(str::to_owned),
        "[a-zA-Z0-9.:-]{1,8}/",
    ];
    let path = prop_oneof![
        "[a-z0-9]{1,5}",
        "[a-z0-9._/-]{1,12}",
        "library/[a-z]{1,4}",
        "[a-zA-Z0-9._/]{0,8}",
        "[a-f0-9]{64}"
    ];
    let tag =
        prop_oneof![Just(String::new()), ":[a-zA-Z0-9_.-]{0,6}", ":[0-9]{1,5}", Just(":latest".to_owned())];
    let digest = prop_oneof![
        4 => Just(String::new()),
        1 => "@sha256:[a-f0-9]{64}",
        1 => "@sha512:[a-f0-9]{128}",
        1 => "@sha256:[a-fA-F0-9]{62,66}",
    ];
    (host, path, tag, digest).prop_map(|(host, path, tag, digest)| format!("{host}{path}{tag}{digest}"))
}

fn read_by_go(program: &Path, texts: &[String]) -> Vec<Option<String>> {
    let output = crate::tests::run(program, &["references"], texts.join("\n") + "\n");
    output.lines().map(|line| Some(line.to_owned()).filter(|line| line != "-")).collect()
}

#[test]
fn a11_docker_and_containerd_read_every_accepted_reference_in_the_same_way() {
    let Some(program) = found("bin/manifest-interop") else { return };
    let count = if std::env::var_os("AIRLOCK_TEST_LONG").is_some() { 20_000 } else { 3_000 };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut generated = Vec::new();
    while generated.len() < count {
        let text = texts().new_tree(&mut runner).unwrap().current();
        if !text.contains(['\n', '\r']) && !text.is_empty() {
            generated.push(text);
        }
    }
    let by_go = read_by_go(&program, &generated);
    assert_eq!(by_go.len(), generated.len());
    let (mut accepted, mut only_go) = (0, 0);
    for (text, by_go) in generated.iter().zip(by_go) {
        match (text.parse::<Reference>(), by_go) {
            (Ok(own), Some(by_go)) => {
                assert_eq!(parts(&own), by_go, "{text}");
                accepted += 1;
            }
            (Ok(own), None) => panic!("Docker rejects {text}, which airlock reads as {own}"),
            (Err(_), Some(_)) => only_go += 1,
            (Err(_), None) => {}
        }
    }
    assert!(
        accepted * 5 > generated.len() && only_go > 0,
        "{accepted} accepted, {only_go} rejected by airlock alone"
    );
}

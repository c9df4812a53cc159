//! Compares verdicts on package bundles with the verifier of EKS Anywhere's own package controller, in Go. Where it
//! accepts and we refuse, the refusal must be one of the stricter checks for ambiguous text; we never accept a bundle
//! that it refuses.

#[cfg(test)]
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../../tests/peers/programs.rs"]
mod programs;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::process::Command;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bundle_signer::eksa::{Coverage, Refusal, sign_bundle, verify_package_bundle};
    use bundle_signer::trust::ContentKind;
    use bundle_signer::{Error, PrivateKey, TrustFile};
    use gostd::{Limits, yaml};
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;
    use serde_json::{Value, json};

    use crate::programs::found;

    /// The controller's verdict on each text: `accepted HASH`, `refused HASH` or `error MESSAGE`.
    fn verdicts_of(program: &PathBuf, key: &str, texts: &[Vec<u8>]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (number, text) in texts.iter().enumerate() {
            std::fs::write(folder.path().join(number.to_string()), text).unwrap();
        }
        let names = (0..texts.len()).map(|number| number.to_string());
        let output = Command::new(program).arg(key).args(names).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<_> = lines.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
        assert_eq!(answers.len(), texts.len());
        answers
    }

    fn own() -> (PrivateKey, TrustFile, String) {
        let key = PrivateKey::generate().unwrap();
        let public = key.public_key().unwrap();
        let base64 = public.to_pem().lines().filter(|line| !line.starts_with('-')).collect();
        (
            key,
            TrustFile::new(vec![("own".into(), public)]).unwrap().limited_to(&[ContentKind::PackageBundle]),
            base64,
        )
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Compares verdicts and digests; counts the pairs of verdicts.
    fn compare(
        texts: &[Vec<u8>],
        answers: &[String],
        trust: &TrustFile,
    ) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for (text, theirs) in texts.iter().zip(answers) {
            let shown = String::from_utf8_lossy(text);
            let (verdict, hash) = theirs.split_once(' ').unwrap();
            let ours = match verify_package_bundle(text, trust) {
                Ok(manifest) => {
                    assert_eq!(
                        *theirs,
                        format!("accepted {}", hex(&manifest.signed().get().sha256())),
                        "{shown}"
                    );
                    "accepted".to_owned()
                }
                Err(Error::Eksa(Refusal::BadSignature(ours))) => {
                    assert_eq!((verdict, hash), ("refused", ours.as_str()), "{shown}");
                    "refused".to_owned()
                }
                Err(Error::Eksa(refusal)) => {
                    let name = format!("{refusal:?}");
                    let name = name.split(['(', ' ', '{']).next().unwrap().to_owned();
                    let stricter = [
                        "NotAscii",
                        "Unprintable",
                        "LineBreak",
                        "Anchors",
                        "Documents",
                        "Yaml",
                        "AmbiguousYaml",
                        "Kind",
                        "KeyCase",
                        "Type",
                        "Selector",
                        "SignatureText",
                    ];
                    assert!(verdict != "accepted" || stricter.contains(&name.as_str()), "{refusal}\n{shown}");
                    name
                }
                Err(other) => panic!("{other}"),
            };
            *counts.entry((ours, verdict.to_owned())).or_default() += 1;
        }
        counts
    }

    fn show(counts: &BTreeMap<(String, String), usize>) {
        for ((ours, theirs), count) in counts {
            println!("{count:5} airlock: {ours}, controller: {theirs}");
        }
    }

    /// A package bundle with every kind of content.
    fn draft() -> Value {
        json!({
            "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundle",
            "metadata": {
                "name": "v1-35-2026-03-12-1773300000", "namespace": "eksa-packages", "generateName": "g",
                "labels": {"a10": "1", "a2": "true", "b/c.d": ""}, "annotations": {"x/y": "z\nz"},
                "finalizers": ["f/g"], "deletionTimestamp": "2026-03-12T00:00:00Z", "deletionGracePeriodSeconds": 0,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": false},
                    {"apiVersion": "v1", "kind": "Pod", "name": "", "uid": "", "blockOwnerDeletion": true},
                ],
            },
            "spec": {"minControllerVersion": "v0.4.4", "packages": [
                {"name": "metallb", "workloadonly": true, "source": {
                    "registry": "public.ecr.aws", "repository": "metallb/metallb", "versions": [
                        {"name": "0.13.7-758df43f", "digest": "sha256:00", "schema": "H4sIAA==",
                         "dependencies": ["metallb-crds", "1.0"],
                         "images": [{"repository": "a", "digest": "sha256:01"}, {"repository": "", "digest": ""}]},
                        {"name": "1e3", "digest": "0x10"},
                    ]}},
                {"source": {"repository": "~", "versions": []}},
                {"name": "- a: b #c", "source": {"repository": "'", "versions": null}},
            ]},
        })
    }

    #[test]
    fn the_controller_accepts_what_we_sign_and_refuses_each_change_that_we_refuse() {
        let Some(program) = found("bin/eksa-verify") else { return };
        let (key, trust, public) = own();
        let mut texts = Vec::new();
        for coverage in [Coverage::Full, Coverage::WithoutSource] {
            let signed = sign_bundle(&serde_json::to_vec(&draft()).unwrap(), coverage, &key).unwrap();
            texts.push(signed.yaml().as_bytes().to_vec());
            let value = yaml::parse(signed.yaml(), &Limits::default()).unwrap();
            let mut pointers = Vec::new();
            pointers_of(&value, "", &mut pointers);
            for pointer in &pointers {
                changes(&value, pointer, &mut texts);
            }
        }
        let counts = compare(&texts, &verdicts_of(&program, &public, &texts), &trust);
        show(&counts);
        let of = |ours: &str, theirs: &str| counts.get(&(ours.into(), theirs.into())).copied().unwrap_or(0);
        assert!(of("accepted", "accepted") >= 90 && of("refused", "refused") >= 250);
    }

    /// If a selector fails, the controller hashes the error, which it writes as an empty map for every bundle: one
    /// signature over that map is valid for any bundle.
    #[test]
    fn the_constant_that_the_controller_hashes_when_a_selector_fails_is_refused_here() {
        let Some(program) = found("bin/eksa-verify") else { return };
        let (key, trust, public) = own();
        let mut bundle = draft();
        bundle["metadata"]["annotations"] = json!({
            "eksa.aws.com/excludes": STANDARD.encode(".kind[]"),
            "eksa.aws.com/signature": STANDARD.encode(key.sign(b"{}\n").unwrap()),
        });
        let texts = [yaml::write(&bundle).into_bytes()];
        assert!(verdicts_of(&program, &public, &texts)[0].starts_with("accepted "));
        let refused = verify_package_bundle(&texts[0], &trust).unwrap_err();
        assert!(matches!(refused, Error::Eksa(Refusal::SelectorMismatch { .. })), "{refused}");
    }

    fn pointers_of(value: &Value, here: &str, all: &mut Vec<String>) {
        let mut each = |name: &str, value| {
            pointers_of(value, &format!("{here}/{}", name.replace('~', "~0").replace('/', "~1")), all);
        };
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| each(name, value)),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(at, value)| each(&at.to_string(), value));
            }
            _ => {}
        }
        all.push(here.to_owned());
    }

    /// Another value, other types, nothing, one more key or element, a key in capitals.
    fn changes(value: &Value, pointer: &str, texts: &mut Vec<Vec<u8>>) {
        let others = [
            json!("other"),
            json!(""),
            Value::Null,
            json!({}),
            json!([]),
            json!(true),
            json!(1),
            json!([null]),
        ];
        for other in others {
            let mut changed = value.clone();
            *changed.pointer_mut(pointer).unwrap() = other;
            texts.push(yaml::write(&changed).into_bytes());
        }
        let mut changed = value.clone();
        match changed.pointer_mut(pointer).unwrap() {
            Value::Object(map) => {
                map.insert("more".into(), "x".into());
                if let Some(name) = map.keys().next().cloned() {
                    let moved = map.remove(&name).unwrap();
                    let mut capitals = changed.clone();
                    capitals.pointer_mut(pointer).unwrap()[name.to_uppercase()] = moved;
                    texts.push(yaml::write(&capitals).into_bytes());
                }
            }
            Value::Array(list) => list.reverse(),
            _ => return,
        }
        texts.push(yaml::write(&changed).into_bytes());
    }

    #[test]
    fn the_controller_and_we_agree_on_changed_text() {
        let Some(program) = found("bin/eksa-verify") else { return };
        let (key, trust, public) = own();
        let signed =
            sign_bundle(&serde_json::to_vec(&draft()).unwrap(), Coverage::WithoutSource, &key).unwrap();
        let good = signed.yaml();
        let mut runner = TestRunner::deterministic();
        let mut texts = Vec::new();
        let pieces = [
            "\"",
            "'",
            "#",
            " #",
            ":",
            ": ",
            "- ",
            "\n",
            "\n  ",
            " ",
            "\t",
            "&a ",
            "*a",
            "!!str ",
            "!!binary ",
            "|",
            ">-",
            "{",
            "}",
            "[",
            "]",
            ",",
            "? ",
            "<<: ",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "\\",
            "~",
            "null",
            "0",
            "\u{e9}",
            "\r",
            "@",
            "`",
            "0x1",
            "1_0",
            "yes",
        ];
        let strategy = (0..good.len(), 0..pieces.len(), 0..3usize);
        for _ in 0..600 {
            let (at, piece, gone) = strategy.new_tree(&mut runner).unwrap().current();
            let end = (at + gone).min(good.len());
            texts.push([&good[..at], pieces[piece], &good[end..]].concat().into_bytes());
        }
        let counts = compare(&texts, &verdicts_of(&program, &public, &texts), &trust);
        show(&counts);
    }

    #[test]
    fn the_controller_accepts_every_text_that_we_sign() {
        let Some(program) = found("bin/eksa-verify") else { return };
        let (key, trust, public) = own();
        let mut runner = TestRunner::deterministic();
        let text = proptest::prop_oneof![
            "[ -~]{0,12}",
            "[ -~]{70,200}",
            "[-+.0-9eExX_:]{1,8}",
            "[#:,&*!|>'\"%@`{}\\[\\]? -]{1,4}",
            "(true|yes|No|on|y|~|null|<<|=|\\.inf|-\\.INF|\\.nan|0o7|0x1F|1:20|2026-01-31|2026-1-3T1:2:3Z|---|\\.\\.\\.)",
            "[a-z]{1,9}( [a-z:#-]{1,9}){0,30}",
        ];
        let strategy = proptest::collection::vec(text, 8);
        let mut texts = Vec::new();
        for _ in 0..400 {
            let mut s = strategy.new_tree(&mut runner).unwrap().current();
            // As a key it is refused: go-yaml writes it in a form that is parsed as a merge key.
            s[1] = s[1].replace("<<", "<");
            let draft = json!({
                "apiVersion": "packages.eks.amazonaws.com/v1alpha1", "kind": "PackageBundle",
                "metadata": {"name": s[0], "labels": {&s[1]: s[2], "k": s[3]}, "finalizers": [s[4]]},
                "spec": {"packages": [{"name": s[5], "source": {"repository": s[6], "versions": [
                    {"name": s[7], "digest": s[1], "dependencies": [s[2], s[0]]}]}}]},
            });
            let signed = sign_bundle(&serde_json::to_vec(&draft).unwrap(), Coverage::Full, &key).unwrap();
            texts.push(signed.yaml().as_bytes().to_vec());
        }
        let answers = verdicts_of(&program, &public, &texts);
        for (text, answer) in texts.iter().zip(&answers) {
            assert!(answer.starts_with("accepted "), "{answer}\n{}", String::from_utf8_lossy(text));
        }
        show(&compare(&texts, &answers, &trust));
    }
}

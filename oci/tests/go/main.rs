//! Compares how airlock and Go programs read manifests and references. The tests generate inputs that are likely to be read
//! in two ways: both sides read the same, or airlock rejects the input.
//!
//! `AIRLOCK_TEST_LONG=1` generates 10,000 inputs instead of 1,000.

#[cfg(test)]
#[expect(dead_code, reason = "other test suites use the other functions")]
#[path = "../../../tests/peers/programs.rs"]
mod programs;

#[cfg(test)]
#[expect(unreachable_pub, reason = "in `fuzz/` this is a module of a library")]
#[path = "../../../fuzz/src/manifest_agreement.rs"]
mod agreement;

#[cfg(test)]
mod generator;

#[cfg(test)]
mod references;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use oci::{Content, Manifest};
    use serde_json::Value;

    use crate::agreement;
    use crate::generator::Generator;
    use crate::programs::found;

    fn generated() -> Vec<Vec<u8>> {
        let count = if std::env::var_os("AIRLOCK_TEST_LONG").is_some() { 10_000 } else { 1_000 };
        let mut generator = Generator::new(0x5eed);
        (0..count).map(|_| generator.manifest()).collect()
    }

    /// The output of a program for the given input.
    pub(crate) fn run(program: &std::path::Path, arguments: &[&str], input: String) -> String {
        let mut command = Command::new(program);
        let child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What Go reads from each manifest; none if Go rejects it.
    fn read_by_go(program: &std::path::Path, manifests: &[Vec<u8>]) -> Vec<Option<Value>> {
        let lines: Vec<_> = manifests.iter().map(|bytes| STANDARD.encode(bytes) + "\n").collect();
        let text = run(program, &[], lines.concat());
        let each = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        each.map(|value| Some(value).filter(|value| !value.is_null())).collect()
    }

    #[test]
    fn a1_go_reads_every_accepted_manifest_in_the_same_way() {
        let Some(program) = found("bin/manifest-interop") else { return };
        let manifests = generated();
        let by_go = read_by_go(&program, &manifests);
        assert_eq!(by_go.len(), manifests.len());
        let (mut accepted, mut only_go) = (0, 0);
        for (bytes, by_go) in manifests.iter().zip(by_go) {
            let shown = String::from_utf8_lossy(bytes);
            match (Manifest::parse(bytes.clone().into(), None), by_go) {
                (Ok(manifest), Some(by_go)) => {
                    let own = match manifest.content() {
                        Content::Image(image) => serde_json::to_value(image).unwrap(),
                        Content::Index(index) => serde_json::to_value(index).unwrap(),
                    };
                    assert_eq!(agreement::plain(own), agreement::plain(by_go), "{shown}");
                    accepted += 1;
                }
                (Ok(_), None) => panic!("Go rejects what airlock accepts: {shown}"),
                (Err(_), Some(_)) => only_go += 1,
                (Err(_), None) => {}
            }
        }
        // A reader that rejects everything would pass, too, and so would inputs without traps.
        assert!(
            accepted * 4 > manifests.len() && only_go * 10 > manifests.len(),
            "{accepted} accepted, {only_go} rejected by airlock alone"
        );
    }

    #[test]
    fn a1_the_rules_of_go_read_every_accepted_manifest_in_the_same_way() {
        for bytes in generated() {
            agreement::run(&bytes);
        }
    }

    #[test]
    fn a1_the_attack_that_once_succeeded_is_rejected() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let blob = |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"sha256:{hex}","size":1}}"#);
        let config = blob("application/vnd.oci.image.config.v1+json");
        let (signature, files) = (
            blob("application/vnd.dev.cosign.simplesigning.v1+json"),
            blob("application/vnd.oci.image.layer.v1.tar+gzip"),
        );
        for name in ["Layers", "LAYERS", "layer\u{17f}", "layer\\u017f", "layers"] {
            let text = format!(
                r#"{{"schemaVersion":2,"config":{config},"layers":[{signature}],"{name}":[{files}]}}"#
            );
            assert!(Manifest::parse(text.into_bytes().into(), None).is_err(), "{name}");
        }
    }
}

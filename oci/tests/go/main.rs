//! Manifests and references as airlock reads them and as Go's programs do: for each of many that were made to be read in
//! two ways both read the same, or airlock refuses.
//!
//! `AIRLOCK_TEST_LONG=1` makes 10,000 of them instead of 1,000.

#[cfg(test)]
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../../../tests/peers/programs.rs"]
mod programs;

#[cfg(test)]
#[expect(unreachable_pub, reason = "in `fuzz/` it is a module of a library")]
#[path = "../../../fuzz/src/manifest_agreement.rs"]
mod agreement;

#[cfg(test)]
mod making;

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
    use crate::making::Making;
    use crate::programs::found;

    fn made() -> Vec<Vec<u8>> {
        let count = if std::env::var_os("AIRLOCK_TEST_LONG").is_some() { 10_000 } else { 1_000 };
        let mut making = Making::new(0x5eed);
        (0..count).map(|_| making.manifest()).collect()
    }

    /// What a program writes for what it is given.
    pub(crate) fn run(program: &std::path::Path, arguments: &[&str], given: String) -> String {
        let mut command = Command::new(program);
        let child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let mut input = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || input.write_all(given.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What Go makes of each; none where it refuses it.
    fn read_by_go(program: &std::path::Path, manifests: &[Vec<u8>]) -> Vec<Option<Value>> {
        let lines: Vec<_> = manifests.iter().map(|bytes| STANDARD.encode(bytes) + "\n").collect();
        let text = run(program, &[], lines.concat());
        let each = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        each.map(|value| Some(value).filter(|value| !value.is_null())).collect()
    }

    #[test]
    fn a1_what_airlock_reads_go_reads_alike() {
        let Some(program) = found("bin/manifest-interop") else { return };
        let manifests = made();
        let by_go = read_by_go(&program, &manifests);
        assert_eq!(by_go.len(), manifests.len());
        let (mut taken, mut only_go) = (0, 0);
        for (bytes, by_go) in manifests.iter().zip(by_go) {
            let shown = String::from_utf8_lossy(bytes);
            match (Manifest::parse(bytes.clone().into(), None), by_go) {
                (Ok(manifest), Some(by_go)) => {
                    let own = match manifest.content() {
                        Content::Image(image) => serde_json::to_value(image).unwrap(),
                        Content::Index(index) => serde_json::to_value(index).unwrap(),
                    };
                    assert_eq!(agreement::plain(own), agreement::plain(by_go), "{shown}");
                    taken += 1;
                }
                (Ok(_), None) => panic!("Go refuses what airlock takes: {shown}"),
                (Err(_), Some(_)) => only_go += 1,
                (Err(_), None) => {}
            }
        }
        // A reader that refuses everything would agree, too, and so would a corpus without a trap.
        assert!(
            taken * 4 > manifests.len() && only_go * 10 > manifests.len(),
            "{taken} taken, {only_go} refused"
        );
    }

    #[test]
    fn a1_what_airlock_reads_the_rules_of_go_read_alike() {
        for bytes in made() {
            agreement::run(&bytes);
        }
    }

    #[test]
    fn a1_the_attack_that_got_through_is_refused() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let blob = |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"sha256:{hex}","size":1}}"#);
        let config = blob("application/vnd.oci.image.config.v1+json");
        let (said, files) = (
            blob("application/vnd.dev.cosign.simplesigning.v1+json"),
            blob("application/vnd.oci.image.layer.v1.tar+gzip"),
        );
        for name in ["Layers", "LAYERS", "layer\u{17f}", "layer\\u017f", "layers"] {
            let text =
                format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{said}],"{name}":[{files}]}}"#);
            assert!(Manifest::parse(text.into_bytes().into(), None).is_err(), "{name}");
        }
    }
}

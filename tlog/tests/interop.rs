//! Interoperability with golang.org/x/mod/sumdb: it accepts our logs, and we accept its logs.

#[cfg(test)]
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../../tests/peers/programs.rs"]
mod programs;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use tlog::note::KeyKind;
    use tlog::{Folder, Log, Policy, Proof, SigningKey, check};

    use crate::programs::found;

    fn run(program: &Path, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(program).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    #[test]
    fn go_accepts_our_log_its_proofs_and_its_growth() {
        let Some(program) = found("bin/tlog-interop") else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let key = SigningKey::new("log.example", KeyKind::Ed25519, &SigningKey::generate().unwrap()).unwrap();
        let vkey = key.verifier().to_string();
        let log = Log::create(&path, key).unwrap();
        let entry = |number: usize| format!("entry {number}").into_bytes();
        log.append((0..700).map(entry).collect()).unwrap();
        let old = folder.path().join("old");
        std::fs::copy(path.join("checkpoint"), &old).unwrap();
        log.append((700..66_000).map(entry).collect()).unwrap();
        let name = path.display().to_string();
        assert_eq!(run(&program, &["check", &name, &vkey]).unwrap(), "66000");

        let note = Folder::checkpoint(&path).unwrap();
        let reader = Folder::new(&path, 66_000);
        let file = folder.path().join("proof").display().to_string();
        std::fs::write(&file, Proof::of(&reader, note, 65_537).unwrap().to_string()).unwrap();
        run(&program, &["proof", &file, &vkey, "entry 65537"]).unwrap();
        assert!(run(&program, &["proof", &file, &vkey, "entry 65538"]).is_err());

        let hashes: Vec<String> = tlog::merkle::prove_consistency(&reader, 700, 66_000)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        let (old, new) = (old.display().to_string(), path.join("checkpoint").display().to_string());
        let mut arguments = vec!["consistency", &old, &new, &vkey];
        arguments.extend(hashes.iter().map(String::as_str));
        run(&program, &arguments).unwrap();
    }

    #[test]
    fn we_accept_gos_log() {
        let Some(program) = found("bin/tlog-interop") else { return };
        for count in ["1", "256", "1000", "70000"] {
            let folder = tempfile::tempdir().unwrap();
            let vkey = run(&program, &["make", &folder.path().display().to_string(), count]).unwrap();
            let policy = Policy::of_log(vkey.parse().unwrap());
            let mut last = Vec::new();
            let (checkpoint, _) =
                check::whole(folder.path(), &policy, &mut |_, entry| last = entry.to_vec()).unwrap();
            assert_eq!(checkpoint.size.to_string(), count);
            assert_eq!(String::from_utf8(last).unwrap(), format!("entry {}", checkpoint.size - 1));
        }
    }
}

//! The `keys` commands: generate, import, show, rotate and revoke. `tests/hsm` tests keys in tokens.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cli::{airlock, fails};

const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bundle-signer/tests/data/keys");

fn works(folder: &Path, arguments: &[&str]) -> String {
    let output = airlock(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&works(folder, &[arguments, &["--output", "json"]].concat())).unwrap()
}

#[test]
fn a_private_key_is_readable_only_by_its_owner_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (name, kind) in [("release", "ecdsa-p256"), ("log", "ed25519")] {
        works(path, &["keys", "generate", name, "--type", kind]);
        let private = path.join(format!("{name}.key"));
        assert_eq!(private.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&private).unwrap();
        fails(path, &["keys", "generate", name, "--type", kind], 2, "already exists");
        fails(path, &["keys", "import", &format!("{KEYS}/pkcs8.pem"), name], 2, "already exists");
        assert_eq!(std::fs::read(&private).unwrap(), before);
    }
    // If the public key's file exists, no private key is written.
    std::fs::write(path.join("half.pub"), "").unwrap();
    fails(path, &["keys", "generate", "half"], 2, "already exists");
    assert!(!path.join("half.key").exists());
}

#[test]
fn both_halves_of_a_pair_show_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let made = json(path, &["keys", "generate", "release"]);
    let public = json(path, &["keys", "show", "release.pub"]);
    let private = json(path, &["keys", "show", "release.key"]);
    assert_eq!(public["keyHint"], made["keyHint"]);
    assert_eq!((&private["publicKey"], &private["sha256"]), (&public["publicKey"], &public["sha256"]));
    assert_eq!(public["publicKey"], std::fs::read_to_string(path.join("release.pub")).unwrap());
    assert_eq!(works(path, &["keys", "show", "release.key", "--pem"]), public["publicKey"].as_str().unwrap());
    assert!(works(path, &["keys", "show", "release.pub"]).contains("ecdsa-p256, public key"));
    fails(path, &["keys", "show", "release.pub", "--note-name", "log.example"], 2, "Ed25519");

    works(path, &["keys", "generate", "log", "--type", "ed25519"]);
    let log = json(path, &["keys", "show", "log.pub", "--note-name", "log.example"]);
    let key: tlog::VerifierKey = log["logKey"].as_str().unwrap().parse().unwrap();
    let witness: tlog::VerifierKey = log["witnessKey"].as_str().unwrap().parse().unwrap();
    assert_eq!((key.name(), key.kind()), ("log.example", tlog::note::KeyKind::Ed25519));
    assert_eq!((witness.public(), witness.kind()), (key.public(), tlog::note::KeyKind::Cosignature));
    // It cannot sign images or drives, and trust files do not accept it.
    fails(path, &["sign", "bundle", "log.pub", "--key", "log.key"], 2, "signs logs and notes");
    fails(path, &["keys", "trust", "log.pub"], 2, "unsupported public key, expected ECDSA P-256");
}

#[test]
fn keys_of_other_programs_are_imported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let public = std::fs::read_to_string(format!("{KEYS}/p256.pub")).unwrap();
    for name in ["sec1", "sec1-parameters", "sec1-without-public", "pkcs8", "pkcs8-without-public"] {
        works(path, &["keys", "import", &format!("{KEYS}/{name}.pem"), name]);
        assert_eq!(std::fs::read_to_string(path.join(format!("{name}.pub"))).unwrap(), public, "{name}");
        let text = std::fs::read_to_string(path.join(format!("{name}.key"))).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"), "{name}");
    }
    works(path, &["keys", "import", &format!("{KEYS}/ed25519.pem"), "log"]);
    // Importing an encrypted key changes its password.
    std::fs::write(path.join("old"), "a password\n").unwrap();
    std::fs::write(path.join("new"), "another\n").unwrap();
    let import = ["keys", "import", "pkcs8.key", "moved", "--password-file", "new"];
    fails(path, &import, 2, "does not open");
    works(path, &[&import[..], &["--source-password-file", "old"]].concat());
    assert_eq!(works(path, &["keys", "show", "moved.key", "--password-file", "new", "--pem"]), public);
    fails(path, &["keys", "show", "moved.key"], 2, "came from AIRLOCK_KEY_PASSWORD");
    fails(path, &["keys", "import", &format!("{KEYS}/rsa.pem"), "rsa"], 2, "neither ECDSA P-256 nor Ed25519");
    fails(path, &["keys", "import", &format!("{KEYS}/pkcs8-encrypted.pem"), "x"], 2, "openssl pkcs8");
    let open = format!("{KEYS}/pkcs8.pem");
    fails(path, &["sign", "bundle", "pkcs8.pub", "--key", &open], 2, "airlock keys import");
}

#[test]
fn a_password_is_read_from_a_descriptor_and_never_from_an_argument() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(path).env_clear().env("A", AIRLOCK).env("HOME", path);
        shell.output().unwrap()
    };
    let made = shell("printf 'secret\\n' | $A keys generate release --password-fd 0");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(shell("printf secret >pin; $A keys show release.key --password-fd 7 7<pin").status.success());
    let wrong = shell("$A keys show release.key --password-fd 7 7<release.pub");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--password-fd"));
    assert_eq!(wrong.status.code(), Some(2));
    let closed = shell("$A keys show release.key --password-fd 9");
    assert!(String::from_utf8_lossy(&closed.stderr).contains("cannot read `/dev/fd/9`"));
    let none = shell("$A keys show release.key </dev/null");
    assert!(String::from_utf8_lossy(&none.stderr).contains("needs a password"));
    fails(path, &["keys", "generate", "x", "--password", "secret"], 2, "--password");
}

#[test]
fn a_key_is_replaced_and_later_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    works(path, &["keys", "generate", "old"]);
    works(path, &["keys", "trust", "old.pub"]);
    let mut before = std::fs::read_to_string(path.join("trust.yaml")).unwrap();
    before.push_str("# the board, 2026\n");
    std::fs::write(path.join("trust.yaml"), &before).unwrap();
    let change = ["--trust", "trust.yaml"];
    let rotated = json(path, &[&["keys", "rotate", "new"], &change[..]].concat());
    assert_eq!((&rotated["sequence"], &rotated["kept"]), (&1.into(), &"trust.yaml.0".into()));
    assert_eq!(std::fs::read_to_string(path.join("trust.yaml.0")).unwrap(), before);
    assert!(path.join("old.key").exists() && path.join("old.pub").exists() && path.join("new.key").exists());
    let explained = works(path, &["trust", "check", "trust.yaml"]);
    assert!(explained.contains("`new`") && explained.contains("replaces `old`, which is still accepted"));
    // No key is generated if the trust file cannot be changed.
    fails(path, &[&["keys", "rotate", "new"], &change[..]].concat(), 2, "several keys");
    fails(path, &[&["keys", "rotate", "x", "--old", "old"], &change[..]].concat(), 2, "twice");
    assert!(!path.join("x.key").exists());

    let revoke = [&["keys", "revoke", "old", "--reason", "replaced", "--date", "2026-12-01"], &change[..]];
    let revoked = json(path, &[revoke.concat(), vec!["--to", "next.yaml"]].concat());
    assert_eq!((&revoked["sequence"], &revoked["name"]), (&2.into(), &"old".into()));
    let explained = works(path, &["trust", "check", "next.yaml"]);
    assert!(explained.contains("revoked on 2026-12-01: replaced"), "{explained}");
    assert!(!works(path, &["trust", "check", "trust.yaml"]).contains("revoked"));
    // By file or by hint. A revocation that leaves a rule which nobody can satisfy is reported and made.
    let said = works(path, &["keys", "revoke", "new.pub", "--reason", "lost", "--trust", "next.yaml"]);
    assert!(said.contains("now: every key and identity is revoked"), "{said}");
    let hint = rotated["keyHint"].as_str().unwrap();
    fails(
        path,
        &["keys", "revoke", hint, "--reason", "lost", "--trust", "next.yaml"],
        2,
        "was already revoked on",
    );
    fails(path, &["keys", "revoke", "nobody", "--reason", "lost", "--trust", "next.yaml"], 4, "hint");
    fails(path, &["keys", "revoke", "old", "--reason", "lost"], 2, "no trust file");
}

#[test]
fn a_uri_of_a_token_is_refused_with_the_reason_and_without_its_pin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let show = |uri: &str, words: &str| {
        let output = airlock(path, &["keys", "show", uri]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(words), "{uri}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    };
    show("pkcs11:object=a?pin-value=hunter2", "process list");
    show("pkcs11:object=a;slot-hunter2=1", "unsupported attribute");
    show("pkcs11:token=hunter2", "no key selected");
    // A statically linked build cannot load modules.
    if cfg!(target_feature = "crt-static") {
        show("pkcs11:object=a?module-path=/none.so", "cannot load PKCS#11 modules");
    }
}

#[test]
fn keys_logs_and_witnesses_are_added_to_a_trust_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["one", "two"] {
        works(path, &["keys", "generate", name]);
    }
    works(path, &["keys", "generate", "log", "--type", "ed25519"]);
    let shown = json(path, &["keys", "show", "log.pub", "--note-name", "log.example"]);
    std::fs::write(path.join("log.vkey"), format!("{}\n", shown["logKey"].as_str().unwrap())).unwrap();
    let witness = shown["witnessKey"].as_str().unwrap();
    works(path, &["keys", "trust", "one.pub"]);
    let add = ["keys", "add", "--trust", "trust.yaml"];
    let with = |more: &[&'static str]| [&add[..], more].concat();
    let added = json(path, &with(&["two.pub", "--log", "log.vkey"]));
    assert_eq!((&added["sequence"], &added["kept"]), (&1.into(), &"trust.yaml.0".into()));
    works(path, &[&add[..], &["--witness", witness]].concat());
    let checked = works(path, &["trust", "check", "trust.yaml"]);
    for words in ["sequence 2", "key `one`", "key `two`", "log `log.example`", "witness `log.example`"] {
        assert!(checked.contains(words), "{words}: {checked}");
    }
    fails(path, &with(&["two.pub"]), 2, "twice");
    fails(path, &with(&[]), 2, "nothing to add");
    fails(path, &with(&["--log", "one.pub"]), 2, "not the key of a log");
    fails(path, &with(&["log.vkey"]), 2, "give a log's key with --log");
    fails(
        path,
        &["keys", "trust", "one.pub", "--log", "one.pub", "--to", "x.yaml"],
        2,
        "not the key of a log",
    );
    fails(path, &["keys", "trust", "one.pub"], 2, "airlock keys add");
    let revoke = ["keys", "revoke", "--reason", "lost", "--trust", "trust.yaml"];
    fails(
        path,
        &[&revoke[..], &["nope"]].concat(),
        4,
        "unknown key `nope`: not a key or identity of `trust.yaml`, a hint or a file; the trust file has `one`, `two`",
    );
    works(path, &[&revoke[..], &["log.example"]].concat());
    assert!(works(path, &["trust", "check", "trust.yaml"]).contains("is revoked"));
}

/// The names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let listing = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = listing.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn o14_a_change_of_a_trust_file_that_fails_leaves_no_new_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    works(path, &["keys", "generate", "old"]);
    works(path, &["keys", "trust", "old.pub", "--to", "real.yaml"]);
    // A link is read, but not replaced.
    std::os::unix::fs::symlink("real.yaml", path.join("trust.yaml")).unwrap();
    std::fs::write(path.join("taken"), "mine").unwrap();
    let before = names(path);
    let rotate = ["keys", "rotate", "new", "--trust", "trust.yaml"];
    fails(path, &rotate, 2, "symbolic link");
    assert_eq!(names(path), before);
    fails(path, &[&rotate[..], &["--to", "taken"]].concat(), 2, "not overwritten");
    fails(path, &["keys", "revoke", "old", "--reason", "lost", "--trust", "trust.yaml"], 2, "symbolic link");
    works(path, &["keys", "generate", "two"]);
    fails(path, &["keys", "add", "two.pub", "--trust", "trust.yaml"], 2, "symbolic link");
    let left: Vec<_> = names(path).into_iter().filter(|name| !name.starts_with("two.")).collect();
    assert_eq!(left, before);
    // A copy of the old file from an earlier attempt stays, and a different one is not replaced.
    std::fs::write(path.join("real.yaml.0"), "mine").unwrap();
    fails(path, &["keys", "rotate", "new", "--trust", "real.yaml"], 2, "real.yaml.0");
    assert!(!path.join("new.key").exists() && !path.join("new.pub").exists());
    std::fs::remove_file(path.join("real.yaml.0")).unwrap();
    works(path, &["keys", "rotate", "new", "--trust", "real.yaml"]);
    assert!(path.join("new.key").exists() && path.join("real.yaml.0").exists());
}

#[test]
fn o14_a_trust_file_for_standard_output_is_printed_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    works(path, &["keys", "generate", "one"]);
    works(path, &["keys", "generate", "two"]);
    let changes: [&[&str]; 3] = [
        &["trust", "one.pub"],
        &["add", "two.pub", "--trust", "0"],
        &["revoke", "one", "--reason", "lost", "--trust", "1"],
    ];
    for (sequence, change) in changes.iter().enumerate() {
        let printed = works(path, &[&["keys"], *change, &["--to", "-"]].concat());
        std::fs::write(path.join(sequence.to_string()), &printed).unwrap();
    }
    assert!(works(path, &["trust", "check", "2"]).contains("sequence 2"));
    assert!(!path.join("-").exists());
    for (to, words) in
        [("/dev/stdout", "`-` for standard output"), ("/dev/null", "a device"), (".", "a folder")]
    {
        fails(path, &["keys", "trust", "one.pub", "--to", to], 2, words);
    }
}

#[test]
fn o14_a_key_from_a_pipe_is_named_by_its_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    works(path, &["keys", "generate", "one"]);
    let script = r#""$0" keys trust <(cat one.pub) --to trust.yaml"#;
    let mut shell = Command::new("bash");
    let made = shell.args(["-c", script, AIRLOCK]).current_dir(path).env("HOME", path).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let shown = json(path, &["keys", "show", "one.pub"]);
    let name = &shown["sha256"].as_str().unwrap()[..16];
    assert!(works(path, &["trust", "check", "trust.yaml"]).contains(&format!("key `{name}`")));
}

#[test]
fn o14_a_public_key_in_place_of_a_private_one_is_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    works(path, &["keys", "generate", "one"]);
    for arguments in [
        &["sign", "bundle", "one.pub", "--key", "one.pub"][..],
        &["sign", "r.example/a:b", "--key", "one.pub"],
        &["keys", "import", "one.pub", "two"],
    ] {
        fails(path, arguments, 2, "`one.pub` is a public key");
        let said = String::from_utf8(airlock(path, arguments).stderr).unwrap();
        assert!(!said.contains("warning"), "{said}");
    }
}

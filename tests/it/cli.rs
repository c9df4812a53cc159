//! Help, output, errors and exit codes of the built binary.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

pub(crate) const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");

pub(crate) fn airlock(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(AIRLOCK)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("AIRLOCK_KEY_PASSWORD", "a password")
        .output()
        .unwrap()
}

pub(crate) fn fails(folder: &Path, arguments: &[&str], code: i32, words: &str) {
    let output = airlock(folder, arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(text.contains(words), "{arguments:?}: {text}");
    assert!(output.stdout.is_empty());
}

const VERBS: &[&str] = &[
    "mirror",
    "pack",
    "verify",
    "inspect",
    "import",
    "quarantine list",
    "quarantine release",
    "quarantine show",
    "quarantine begin-anew",
    "keys add",
    "trust accept",
    "return",
    "acknowledge",
    "serve",
    "quickstart",
    "schema",
    "completions",
    "man",
    "version",
    "config",
    "bundle create",
    "bundle list",
    "generate package",
    "keys generate",
    "keys import",
    "keys show",
    "keys rotate",
    "keys revoke",
    "keys trust",
    "sign",
    "sign bundle",
    "attest",
    "verify-image",
    "verify-manifest",
    "trust check",
    "trust schema",
    "audit explain",
    "audit report",
    "chart template",
    "chart lint",
    "chart images",
    "chart show",
    "chart explain",
    "audit log",
    "audit verify",
    "audit checkpoint",
    "audit proof",
    "audit index",
    "store list",
    "store check",
    "store scrub",
    "store heal",
    "store backup",
    "store restore",
    "store rebuild",
    "store gc",
    "store rm",
    "store why",
    "tags history",
    "tags list",
    "tags rollback",
];

#[test]
fn every_verb_has_help() {
    let folder = tempfile::tempdir().unwrap();
    for verb in VERBS {
        let verb: Vec<&str> = verb.split(' ').collect();
        let output = airlock(folder.path(), &[&verb[..], &["--help"]].concat());
        assert!(output.status.success() && output.stdout.len() > 100, "{verb:?}");
    }
}

#[test]
fn completions_man_pages_and_schema_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = airlock(folder.path(), &["completions", shell]);
        assert!(String::from_utf8_lossy(&output.stdout).contains("quickstart"), "{shell}");
    }
    assert!(airlock(folder.path(), &["man", "--to", "pages"]).status.success());
    assert!(folder.path().join("pages/airlock-mirror.1").exists());
    let schema = airlock(folder.path(), &["schema"]).stdout;
    let schema: serde_json::Value = serde_json::from_slice(&schema).unwrap();
    assert_eq!(schema["title"], "MirrorConfig");
}

#[test]
fn keys_are_never_overwritten_and_only_their_owner_can_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(airlock(path, &["keys", "generate", "release"]).status.success());
    let mode = path.join("release.key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fails(path, &["keys", "generate", "release"], 2, "release.key");
    assert!(airlock(path, &["keys", "generate", "release-1.2"]).status.success());
    assert!(path.join("release-1.2.key").exists() && path.join("release-1.2.pub").exists());
    std::fs::write(path.join("half.pub"), "").unwrap();
    fails(path, &["keys", "generate", "half"], 2, "half.pub");
    assert!(!path.join("half.key").exists());
    assert!(airlock(path, &["keys", "trust", "release.pub"]).status.success());
    assert!(std::fs::read_to_string(path.join("trust.yaml")).unwrap().contains("kind: Trust"));
}

#[test]
fn each_kind_of_failure_has_its_exit_code_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fails(path, &["mirror"], 2, "--store");
    fails(path, &["mirror", "--store", "s"], 4, "airlock.yaml");
    std::fs::write(path.join("airlock.yaml"), "kind: Nonsense\n").unwrap();
    fails(path, &["mirror", "--store", "s"], 2, "mirror file");
    fails(path, &["store", "list", "--store", "nowhere"], 4, "hint:");
    fails(path, &["verify", "nowhere"], 4, "nowhere");
    fails(path, &["keys", "trust", "nowhere.pub"], 4, "nowhere.pub");
    std::fs::create_dir(path.join("drive")).unwrap();
    fails(path, &["verify", "drive"], 4, "hint:");
    fails(path, &["serve", "--store", "s", "--listen", "0.0.0.0:0"], 2, "--self-signed");
    let image = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\n\
                 registries: [{host: r.example, mirror: '127.0.0.1:1', plainHTTP: true}]\nsources: [{images: ['r.example/a:b']}]\n";
    std::fs::write(path.join("airlock.yaml"), image).unwrap();
    fails(path, &["mirror", "--store", "s"], 6, "r.example");
}

#[test]
fn o14_quickstart_keeps_its_password_from_other_users() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let made = airlock(path, &["quickstart", "--quiet", "--exit", "--listen", "127.0.0.1:0", "--dir", "q"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for name in ["password", "quickstart.key"] {
        let mode = std::fs::metadata(path.join("q").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_drive_without_trust_is_refused_with_a_hint_and_json_errors_parse() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let made =
        airlock(path, &["quickstart", "--quiet", "--exit", "--listen", "127.0.0.1:5700", "--dir", "q"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fails(path, &["import", "q/drive", "--store", "s"], 2, "--trust");
    assert!(airlock(path, &["keys", "generate", "other"]).status.success());
    assert!(airlock(path, &["keys", "trust", "other.pub"]).status.success());
    fails(path, &["import", "q/drive", "--store", "s", "--trust", "trust.yaml"], 3, "untrusted key");
    assert!(!path.join("s").exists(), "a refused import created a store");
    let output = airlock(path, &["import", "q/drive", "--store", "s", "--output", "json"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exitCode"], 2);
    for arguments in [
        &["inspect", "q/drive"][..],
        &["verify", "q/drive", "--trust", "q/trust.yaml"],
        &["import", "q/drive", "--trust", "q/trust.yaml", "--store", "q/site", "--dry-run"],
        &["store", "check", "--store", "q/site"],
        &["store", "gc", "--store", "q/site", "--dry-run"],
        &["pack", "--lock", "q/airlock.lock", "--store", "q/near", "--to", "d", "--dry-run"],
    ] {
        let output = airlock(path, &[arguments, &["--output", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
    }
    let page = airlock(path, &["inspect", "q/drive", "--output", "html"]).stdout;
    assert!(String::from_utf8_lossy(&page).starts_with("<!DOCTYPE html>"));
}

/// The current entry of the mirror file counts, even if an earlier run recorded another one in the lock.
#[test]
fn a_lock_does_not_hide_a_changed_checksum_or_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mirror = ["mirror", "--store", "s", "--output", "json"];
    let file = |members: &str| {
        let text = format!(
            "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\nsources: [{{files: [{members}]}}]\n"
        );
        std::fs::write(path.join("airlock.yaml"), text).unwrap();
    };
    std::fs::write(path.join("a.txt"), "a").unwrap();
    file("{path: a.txt}");
    assert!(airlock(path, &mirror).status.success());
    file(&format!("{{path: a.txt, sha256: {}}}", "0".repeat(64)));
    fails(path, &mirror, 3, "a.txt");
    file("{path: a.txt, name: other}");
    assert!(airlock(path, &mirror).status.success());
    let listed = airlock(path, &["store", "list", "--store", "s"]).stdout;
    assert!(String::from_utf8_lossy(&listed).contains("files:other"));
    file("{path: a.txt, name: one}, {path: a.txt, name: two}");
    fails(path, &mirror, 2, "is ambiguous");
}

#[test]
fn the_configuration_file_gives_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir_all(path.join(".config/airlock")).unwrap();
    std::fs::write(path.join(".config/airlock/config.yaml"), "store: from-file\n").unwrap();
    fails(path, &["store", "list"], 4, "from-file");
    fails(path, &["store", "list", "--store", "typed"], 4, "typed");
    std::fs::write(path.join(".config/airlock/config.yaml"), "htpasswd: users\n").unwrap();
    let anonymous = ["serve", "--store", "s", "--listen", "127.0.0.1:0", "--anonymous-pull"];
    fails(path, &anonymous, 4, "users");
    std::fs::remove_file(path.join(".config/airlock/config.yaml")).unwrap();
    fails(path, &anonymous, 2, "--htpasswd");
    std::fs::write(path.join(".config/airlock/config.yaml"), "shop: x\n").unwrap();
    fails(path, &["store", "list"], 2, "configuration file");
}

#[test]
fn a_setting_from_the_environment_is_not_required_as_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let output = Command::new(AIRLOCK)
        .args(["get", "packages"])
        .env("KUBECONFIG", path.join("one:two"))
        .current_dir(path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && text.contains("--cluster"), "{text}");
    assert!(!text.contains("--kubeconfig"), "{text}");
}

#[test]
fn a_store_without_bundles_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("airlock.yaml"), "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\nsources: [{files: [{path: airlock.yaml}]}]\n").unwrap();
    assert!(airlock(path, &["mirror", "--store", "s"]).status.success());
    let listed = airlock(path, &["bundle", "list", "--store", "s"]);
    assert!(listed.status.success() && listed.stdout.is_empty());
    assert!(String::from_utf8_lossy(&listed.stderr).contains("no bundles in this store"));
}

#[test]
fn a15_a_registry_that_others_can_reach_accepts_anonymous_pushes_only_with_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let refused = |more: &[&str]| {
        let serve = [&["serve", "--store", "s", "--create", "--self-signed"][..], more].concat();
        fails(path, &serve, 2, "--anonymous-push");
        assert!(!path.join("s").exists(), "the store was created: {more:?}");
    };
    for address in ["0.0.0.0:0", "[::]:0", ":0"] {
        refused(&["--listen", address]);
    }
    refused(&["--listen", "127.0.0.1:0", "--trusted-proxy", "127.0.0.1"]);
    fails(path, &["serve", "--store", "s", "--read-only", "--anonymous-push"], 2, "--read-only");
    fails(path, &["quickstart", "--listen", "0.0.0.0:0"], 2, "localhost");
    fails(path, &["serve", "--store", "s", "--trusted-proxy", "10.0.0.0/33"], 2, "10.0.0.0/33");
}

#[test]
fn o14_wrong_arguments_are_reported_as_json_if_it_is_requested() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for arguments in [
        &["pack", "-o", "json"][..],
        &["bogus", "--output=json"],
        &["--output", "json"],
        &["verify", "a", "--bogus", "-ojson"],
        &["keys", "generate", "--type", "rsa", "-o", "json"],
    ] {
        let output = airlock(path, arguments);
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((output.status.code(), &error["exitCode"]), (Some(2), &2.into()), "{arguments:?}");
        assert!(error["causes"].is_array() && error["hint"].is_string(), "{error}");
        let message = error["error"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains("error:") && !message.contains('\n'), "{message}");
    }
    fails(path, &["pack"], 2, "Usage: airlock pack");
    let help = airlock(path, &["pack", "--help", "-o", "json"]);
    assert!(help.status.success() && help.stderr.is_empty());
    std::fs::create_dir_all(path.join(".config/airlock")).unwrap();
    std::fs::write(path.join(".config/airlock/config.yaml"), "shop: x\n").unwrap();
    let output = airlock(path, &["store", "list", "--store", "s", "-o", "json"]);
    serde_json::from_slice::<serde_json::Value>(&output.stderr).unwrap();
}

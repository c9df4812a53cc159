//! Common mistakes with paths, keys and options, and their error messages.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::cli::{airlock, fails};
use crate::gates::Served;
use crate::signing::{mirror_file, site, works};

const HEAD: &str = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\n";
const AIRLOCK: &str = env!("CARGO_BIN_EXE_airlock");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Creates a store with one file, its lock, a key pair and a trust file.
fn mirrored(path: &Path) {
    fs::write(path.join("a.txt"), "first").unwrap();
    fs::write(path.join("airlock.yaml"), format!("{HEAD}sources: [{{files: [{{path: a.txt}}]}}]\n")).unwrap();
    let made = airlock(path, &["mirror", "--store", "s"]);
    assert!(made.status.success() && text(&made.stderr).contains("created a new store at `s`"));
    assert!(airlock(path, &["keys", "generate", "k"]).status.success());
    assert!(airlock(path, &["keys", "trust", "k.pub"]).status.success());
}

#[test]
fn a_mistyped_store_is_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    mirrored(path);
    assert!(airlock(path, &["pack", "--store", "s", "--to", "d", "--key", "k.key"]).status.success());
    // A dry run without a store plans for an empty one and does not create it.
    for dry in [&["mirror"][..], &["import", "d", "--trust", "trust.yaml"]] {
        let planned = airlock(path, &[dry, &["--store", "typo", "--dry-run"]].concat());
        assert!(planned.status.success() && text(&planned.stderr).contains("no store at `typo`"));
    }
    fails(path, &["serve", "--store", "typo", "--listen", "127.0.0.1:0"], 4, "--create");
    assert!(!path.join("typo").exists());
    let imported = airlock(path, &["import", "d", "--trust", "trust.yaml", "--store", "far"]);
    assert!(imported.status.success() && text(&imported.stderr).contains("created a new store at `far`"));
}

#[test]
fn a_store_on_a_read_only_file_system_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    mirrored(path);
    let within = |command: &str| {
        let script = format!("mount --bind s s && mount -o remount,ro,bind s && {command}");
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).current_dir(path);
        unshare.env("A", AIRLOCK).env("AIRLOCK_KEY_PASSWORD", "a password").output()
    };
    if !within("true").is_ok_and(|output| output.status.success()) {
        println!("skipped: no mounts in a user namespace");
        return;
    }
    for command in
        ["$A store list --store s", "$A store check --store s", "$A pack --store s --to d --key k.key"]
    {
        let output = within(command).unwrap();
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
    assert!(text(&within("$A store list --store s").unwrap().stdout).contains("files:a.txt"));
    let serve = "timeout -s TERM 2 $A serve --store s --listen 127.0.0.1:0 --read-only";
    assert!(text(&within(serve).unwrap().stdout).contains("serving http://"));
    for command in ["$A serve --store s --listen 127.0.0.1:0", "$A mirror --store s", "$A store gc --store s"]
    {
        let output = within(command).unwrap();
        let said = text(&output.stderr);
        assert!(
            !output.status.success() && said.contains("read-only") && said.contains("hint:"),
            "{command}: {said}"
        );
    }
}

#[test]
fn wrong_keys_and_wrong_passwords_are_distinguished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    mirrored(path);
    let pack = ["pack", "--store", "s", "--to", "d", "--key", "k.key"];
    fs::set_permissions(path.join("k.key"), Permissions::from_mode(0o644)).unwrap();
    let packed = airlock(path, &pack);
    assert!(
        packed.status.success()
            && text(&packed.stderr).contains("warning: other users can read the private key")
    );
    fs::write(path.join("wrong"), "wrong\n").unwrap();
    fails(path, &[&pack[..], &["--password-file", "wrong"]].concat(), 2, "first line of --password-file");
    let other =
        Command::new(AIRLOCK).args(pack).current_dir(path).env("AIRLOCK_KEY_PASSWORD", "x").output().unwrap();
    assert!(text(&other.stderr).contains("came from AIRLOCK_KEY_PASSWORD"), "{}", text(&other.stderr));
    fails(path, &["verify", "d"], 2, "--trust");
}

#[test]
fn options_without_a_meaning_are_refused_and_json_output_parses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fails(path, &["version", "--output", "html"], 2, "inspect");
    let version = airlock(path, &["version", "--output", "json"]).stdout;
    let version: serde_json::Value = serde_json::from_slice(&version).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    fs::write(path.join("users"), "# nobody\n\n").unwrap();
    fails(path, &["serve", "--create", "--store", "s", "--htpasswd", "users"], 2, "no user");
    assert!(!path.join("s").exists());
}

#[test]
fn a_broken_configuration_file_fails_only_commands_that_need_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join(".config/airlock")).unwrap();
    fs::write(path.join(".config/airlock/config.yaml"), "shop: [").unwrap();
    for arguments in [&["--help"][..], &["mirror", "--help"], &["version"], &["--version"], &["schema"]] {
        assert!(airlock(path, arguments).status.success(), "{arguments:?}");
    }
    fails(path, &["store", "list"], 2, "configuration file");
    fails(path, &["store", "list", "--store", "s"], 2, "configuration file");
}

#[test]
fn faults_of_a_store_are_reported_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    mirrored(path);
    fs::write(path.join("s/blobs/sha256/00/stray"), "").unwrap();
    let checked = airlock(path, &["store", "check", "--store", "s"]);
    assert_eq!(checked.status.code(), Some(3));
    let said = text(&checked.stdout);
    assert!(said.contains("stray` is not named like a blob") && !said.contains("Stray"), "{said}");
}

/// A lock pins references to registries, but local files are always read again.
#[test]
fn a_lock_does_not_hide_that_local_files_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    mirrored(path);
    let mirror = || {
        let output = airlock(path, &["mirror", "--store", "s", "--output", "json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let first = mirror();
    assert_eq!(first["items"][0]["state"], "present");
    fs::write(path.join("a.txt"), "second!").unwrap();
    let second = mirror();
    assert_eq!(
        (&second["items"][0]["state"], &second["totals"]["fetchedBytes"]),
        (&"fetched".into(), &7.into())
    );
    assert_ne!(second["items"][0]["digest"], first["items"][0]["digest"]);
    assert_eq!(mirror()["items"][0]["state"], "present");
    fs::remove_file(path.join("a.txt")).unwrap();
    fails(path, &["mirror", "--store", "s"], 4, "a.txt");
}

#[test]
fn a_lock_does_not_hide_a_changed_follow_setting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    mirrored(path);
    let follow = |follow: &str| {
        let text =
            format!("{HEAD}signatures: {{follow: {follow}}}\nsources: [{{files: [{{path: a.txt}}]}}]\n");
        fs::write(path.join("airlock.yaml"), text).unwrap();
        assert!(airlock(path, &["mirror", "--store", "s"]).status.success());
        fs::read_to_string(path.join("airlock.lock")).unwrap().contains("\"follow\": false")
    };
    assert!(follow("false"));
    assert!(!follow("true"));
}

/// A layout with two images; the mirror file selects one of them.
#[test]
fn a_lock_does_not_hide_that_another_image_is_selected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let blobs = path.join("layout/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &str| {
        let digest = oci::Digest::sha256(bytes.as_bytes());
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        digest
    };
    let config = put("{}");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let image = |name: &str| {
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[],"annotations":{{"a":"{name}"}}}}"#
        );
        let (digest, size) = (put(&manifest), manifest.len());
        format!(
            r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size},"annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}"#
        )
    };
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#, image("one"), image("two"));
    fs::write(path.join("layout/index.json"), index).unwrap();
    let mirror = |name: &str| {
        let source = format!("{{ociLayout: {{path: layout, image: {name}, reference: 'r.example/a:v1'}}}}");
        fs::write(path.join("airlock.yaml"), format!("{HEAD}sources: [{source}]\n")).unwrap();
        let output = airlock(path, &["mirror", "--store", "s", "--output", "json"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["items"][0]["digest"].as_str().unwrap().to_owned()
    };
    let one = mirror("one");
    assert_ne!(mirror("two"), one);
    assert_eq!(mirror("one"), one);
}

#[test]
fn o14_a_lock_that_is_a_mount_point_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    mirrored(path);
    let script = format!("mount --bind airlock.lock airlock.lock && {AIRLOCK} mirror --store s");
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).current_dir(path);
    let Ok(output) = unshare.output() else {
        println!("skipped: no `unshare`");
        return;
    };
    let said = text(&output.stderr);
    if said.contains("unshare:") || said.contains("mount:") {
        println!("skipped: no mounts in a user namespace");
        return;
    }
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("is a mount point") && said.contains("mount a folder instead"), "{said}");
}

#[test]
fn o14_a_file_in_place_of_a_folder_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    mirrored(path);
    for arguments in [
        &["pack", "--store", "s", "--to", "a.txt", "--key", "none"][..],
        &["return", "--store", "s", "--to", "a.txt"],
        &["acknowledge", "a.txt", "--store", "s", "--trust", "none"],
        &["chart", "template", "none", "--output-dir", "a.txt"],
        &["quickstart", "--dir", "a.txt"],
        &["man", "--to", "a.txt"],
    ] {
        fails(path, arguments, 2, "`a.txt` is not a folder");
    }
}

#[test]
fn o14_the_content_of_a_file_that_is_not_a_key_is_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    mirrored(path);
    fs::write(path.join("secret"), "a secret line\n").unwrap();
    let verify = |key: &str| {
        let output = airlock(path, &["audit", "verify", "--store", "s", "--key", key]);
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    for key in ["k.key", "k.pub"] {
        let said = verify(key);
        assert!(said.contains("is a PEM key of a signer") && !said.contains("-----"), "{said}");
    }
    let said = verify("secret");
    assert!(said.contains("`secret` is not the key of a log") && !said.contains("a secret line"), "{said}");
    fs::write(path.join("config"), "password: [secret\n").unwrap();
    let output = airlock(path, &["get", "packages", "--cluster", "c", "--kubeconfig", "config"]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(2) && !said.contains("[secret"), "{said}");
    // Messages have no parts that are empty, or only a name.
    fails(path, &["verify-manifest", "a.txt"], 2, "is not a manifest: it has no `kind`");
    let serve = ["serve", "--store", "s", "--listen", "127.0.0.1:0", "--htpasswd", "a.txt"];
    fails(path, &serve, 2, "error: the password file `a.txt` cannot be used");
}

#[test]
fn o14_paths_in_a_file_from_a_pipe_start_in_the_current_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("small.txt"), "content").unwrap();
    fs::write(path.join("airlock.yaml"), mirror_file("", "  - files: [{path: small.txt}]\n")).unwrap();
    // The pipe has another number in the second run, and the lock is still its own.
    for script in [
        r#""$0" mirror -f <(cat airlock.yaml) --store s"#,
        r#": <(true); "$0" mirror -f <(cat airlock.yaml) --store s"#,
    ] {
        let mut shell = Command::new("bash");
        shell.args(["-c", script, AIRLOCK]).current_dir(path).env("HOME", path);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(works(path, &["store", "list", "--store", "s"]).contains("small.txt"));
}

#[test]
fn o14_hints_about_tls_name_the_flag_of_the_command() {
    let folder = site();
    let path = folder.path();
    let served = Served::of(path, "release.yaml");
    let image = format!("{}/disk.example/team/app:v1", served.address());
    let ca = ["--ca-file", "release.pub"];
    let sign = ["sign", &image, "--key", "release.key"];
    fails(path, &sign, 6, "for plain HTTP, give --plain-http");
    fails(path, &[&sign[..], &ca].concat(), 2, "provide the CA certificate as PEM");
    works(path, &[&sign[..], &["--plain-http"]].concat());
    let serve = ["serve", "--store", "store", "--listen", "127.0.0.1:0", "--tls-cert", "release.pub"];
    let output = airlock(path, &[&serve[..], &["--tls-key", "release.key"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("contains no certificate") && !said.contains("ca.crt"), "{said}");
}

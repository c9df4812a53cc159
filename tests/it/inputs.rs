//! Input files that are too large or never end.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{airlock, fails};
use crate::gates::{Served, trust};
use crate::signing::{IMAGE, mirror_file, site, works};

/// A time within which each of these commands ends.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Runs a command, and kills it if it hangs.
fn run_to_end(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_airlock"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("AIRLOCK_KEY_PASSWORD", "a password")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > TIMEOUT {
            child.kill().unwrap();
            panic!("{arguments:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

fn refused(folder: &Path, arguments: &[&str], environment: &[(&str, &str)], words: &str) {
    let output = run_to_end(folder, arguments, environment);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert!(text.contains(words), "{arguments:?}: {text}");
}

/// Command lines that read the whole file `odd`.
const READERS: [&[&str]; 26] = [
    &["chart", "template", "web", "-f", "odd"],
    &["chart", "template", "web", "--set-file", "a=odd"],
    &["chart", "verify", "web.tgz", "--keyring", "odd"],
    &["chart", "verify", "odd", "--keyring", "release.pub"],
    &["mirror", "-f", "odd", "--store", "new"],
    &["mirror", "-f", "keyed.yaml", "--store", "new", "--lock", "new.lock"],
    &["mirror", "-f", "valued.yaml", "--store", "new", "--lock", "new.lock"],
    &["mirror", "-f", "authority.yaml", "--store", "new", "--lock", "new.lock"],
    &["keys", "trust", "odd", "--to", "new.yaml"],
    &["keys", "import", "odd", "new"],
    &["keys", "show", "odd"],
    &["keys", "add", "odd", "--trust", "release.yaml"],
    &["keys", "revoke", "release", "--reason", "lost", "--trust", "odd"],
    &["trust", "check", "odd"],
    &["sign", IMAGE, "--store", "store", "--key", "odd"],
    &["sign", "127.0.0.1:1/a:v1", "--key", "release.key", "--ca-file", "odd"],
    &[
        "attest",
        IMAGE,
        "--store",
        "store",
        "--key",
        "release.key",
        "--type",
        "spdxjson",
        "--predicate",
        "odd",
    ],
    &["verify-image", IMAGE, "--store", "store", "--trust", "odd"],
    &["pack", "--store", "store", "--to", "drive", "--key", "release.key", "--lock", "odd"],
    &["serve", "--store", "store", "--listen", "127.0.0.1:0", "--htpasswd", "odd"],
    &[
        "serve",
        "--store",
        "store",
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        "odd",
        "--tls-key",
        "release.pub",
    ],
    &["serve", "--store", "store", "--listen", "127.0.0.1:0", "--trust", "odd"],
    &["robot", "list", "--file", "odd"],
    &["robot", "revoke", "ci", "--file", "odd"],
    &["get", "packages", "--cluster", "mgmt", "--kubeconfig", "odd"],
    &["bundle", "create", "--file", "odd", "--store", "store", "--key", "release.key"],
];

/// A site with a chart and with mirror files that name `odd`.
fn with_readers() -> tempfile::TempDir {
    let folder = site();
    let path = folder.path();
    fs::create_dir_all(path.join("web/templates")).unwrap();
    fs::write(path.join("web/Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.2.3\n").unwrap();
    fs::write(path.join("web/templates/a.yaml"), "a: {{ .Values.a | toJson }}\n").unwrap();
    let file = fs::File::create(path.join("web.tgz")).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    tar.append_dir_all("web", path.join("web")).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    let digest = oci::Digest::sha256(&fs::read(path.join("web.tgz")).unwrap());
    fs::write(path.join("web.tgz.prov"), format!("signed by nobody: {digest}\n")).unwrap();
    let chart = |more: &str| format!("  - charts: [{{file: web.tgz, {more}}}]\n");
    fs::write(path.join("keyed.yaml"), mirror_file("", &chart("images: false, keyring: odd"))).unwrap();
    fs::write(path.join("valued.yaml"), mirror_file("", &chart("values: [odd]"))).unwrap();
    let hosts = "registries:\n  - {host: registry.example, caFile: odd}\n";
    fs::write(path.join("authority.yaml"), mirror_file(hosts, &chart("images: false"))).unwrap();
    folder
}

#[test]
fn a10_a_fifo_in_place_of_any_file_is_refused_immediately() {
    let folder = with_readers();
    let path = folder.path();
    assert!(Command::new("mkfifo").arg(path.join("odd")).status().unwrap().success());
    for arguments in READERS {
        refused(path, arguments, &[], "it is a FIFO, not a regular file");
    }
    let config = [("AIRLOCK_CONFIG", "odd")];
    refused(path, &["store", "list"], &config, "it is a FIFO, not a regular file");
    let key = ["sign", IMAGE, "--store", "store", "--key", "release.key", "--password-file", "odd"];
    refused(path, &key, &[], "it is a FIFO, not a regular file");
    for command in ["verify", "inspect", "import"] {
        let store = if command == "import" { &["--store", "store"][..] } else { &[] };
        refused(path, &[&[command, "odd"], store].concat(), &[], "it is a FIFO, not a regular file");
    }
}

#[test]
fn a10_an_endless_device_is_refused_immediately() {
    let folder = with_readers();
    let path = folder.path();
    std::os::unix::fs::symlink("/dev/zero", path.join("odd")).unwrap();
    for arguments in READERS {
        refused(path, arguments, &[], "it is a device, not a regular file");
    }
}

#[test]
fn a10_a_file_above_the_size_limit_is_refused_without_being_read() {
    let folder = with_readers();
    let path = folder.path();
    // A sparse file of one terabyte, which would fill the memory.
    fs::File::create(path.join("odd")).unwrap().set_len(1 << 40).unwrap();
    for arguments in READERS {
        refused(path, arguments, &[], "it is larger than");
    }
}

#[test]
fn a10_a_pipe_from_the_shell_is_read_like_a_file() {
    let folder = with_readers();
    let script = r#""$0" chart template web -f <(echo 'a: from a pipe') --set-file b=<(echo b)"#;
    let mut shell = Command::new("bash");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_airlock")]).current_dir(folder.path());
    let output = shell.env("HOME", folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("from a pipe"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn o14_a_missing_file_is_exit_code_4_and_a_malformed_one_2() {
    let folder = with_readers();
    let path = folder.path();
    for arguments in [
        &["chart", "template", "none.tgz"][..],
        &["chart", "template", "none", "--store", "store"],
        &["chart", "verify", "none.tgz", "--keyring", "release.pub"],
        &["chart", "verify", "none", "--store", "store", "--keyring", "release.pub"],
        &["chart", "lint", "none"],
        &["chart", "show", "values", "none"],
        &["chart", "template", "web", "-f", "none.yaml"],
    ] {
        fails(path, arguments, 4, "none");
    }
    fs::write(path.join("htpasswd"), "a line without a colon\n").unwrap();
    let serve = ["serve", "--store", "store", "--listen", "127.0.0.1:0", "--htpasswd", "htpasswd"];
    fails(path, &serve, 2, "line 1 of the password file is not `user:hash`");
    fs::write(path.join("htpasswd"), "user:{SHA}c2hh\n").unwrap();
    fails(path, &serve, 2, "is neither bcrypt nor Argon2id");
}

#[test]
fn o14_an_image_that_does_not_exist_is_named_by_its_reference() {
    let folder = site();
    let path = folder.path();
    let sign = |name| ["sign", name, "--store", "store", "--key", "release.key"];
    let tag = "disk.example/team/app:nope";
    fails(path, &sign(tag), 4, "team/app:nope` does not exist");
    let none = format!("disk.example/team/app@{}", oci::Digest::sha256(b"none"));
    fails(path, &sign(&none), 4, &format!("`{none}` does not exist"));
    let served = Served::of(path, "release.yaml");
    let image = format!("{}/disk.example/team/app:nope", served.address());
    let remote = ["sign", &image, "--key", "release.key", "--plain-http"];
    fails(path, &remote, 4, &format!("`{image}` does not exist"));
}

#[test]
fn o14_signing_an_image_that_the_gate_pull_refuses_is_3_and_the_hint_is_to_sign_in_the_store() {
    let folder = site();
    let path = folder.path();
    trust(path, "gate.yaml", "gates: {pull: {require: [{sign: signature, by: release}]}}");
    let served = Served::of(path, "gate.yaml");
    let image = format!("{}/disk.example/team/app:v1", served.address());
    let sign = ["sign", &image, "--key", "release.key", "--plain-http"];
    fails(path, &sign, 3, "gate `pull` refuses");
    let text = String::from_utf8(airlock(path, &sign).stderr).unwrap();
    assert!(text.contains("airlock sign IMAGE --store STORE") && !text.contains("docker login"), "{text}");
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key"]);
    works(path, &sign);
}

#[test]
fn o14_a_template_that_calls_itself_or_fails_at_length_gives_a_short_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("web/templates")).unwrap();
    fs::write(path.join("web/Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.2.3\n").unwrap();
    let recursive = "{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}";
    let long = "{{ fail (repeat 100000 \"long \") }}";
    for template in [recursive, long] {
        fs::write(path.join("web/templates/a.yaml"), template).unwrap();
        for command in ["template", "lint"] {
            let output = airlock(path, &["chart", command, "web"]);
            let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(text.len() < 8 << 10, "{command}: {} bytes", text.len());
            // `helm lint` ignores `fail`.
            if command == "template" {
                assert!(!output.status.success());
                assert!(text.contains("bytes of this message are omitted"), "{text}");
            }
        }
    }
}

#[test]
fn o14_adding_a_pattern_that_matches_anything_prints_a_warning() {
    let folder = site();
    let path = folder.path();
    let anyone =
        ["--certificate-identity-regexp", ".*", "--certificate-oidc-issuer", "https://issuer.example"];
    let warned = |arguments: &[&str]| {
        let output = airlock(path, &[arguments, &anyone[..]].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        (text, String::from_utf8(output.stdout).unwrap())
    };
    let words = "warning: identity `.*` accepts any subject";
    assert!(warned(&["keys", "add", "--trust", "release.yaml"]).0.contains(words));
    assert!(warned(&["keys", "trust", "release.pub", "--to", "text.yaml"]).0.contains(words));
    let (_, json) = warned(&["keys", "trust", "release.pub", "--to", "new.yaml", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["findings"][0]["severity"], "warning", "{json}");
    // Adding a key prints no warning about other entries.
    let quiet = airlock(path, &["keys", "add", "other.pub", "--trust", "release.yaml"]);
    assert!(
        quiet.status.success() && !String::from_utf8_lossy(&quiet.stderr).contains("warning"),
        "{quiet:?}"
    );
}

#[test]
fn o14_a_lock_that_cannot_be_written_is_refused_before_anything_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("small.txt"), "content").unwrap();
    std::fs::write(path.join("airlock.yaml"), mirror_file("", "  - files: [{path: small.txt}]\n")).unwrap();
    std::fs::write(path.join("real.lock"), "").unwrap();
    std::os::unix::fs::symlink("real.lock", path.join("linked.lock")).unwrap();
    for (lock, words) in
        [("linked.lock", "real.lock`"), ("none/a.lock", "cannot write the lock"), ("-", "./-")]
    {
        for more in [&[][..], &["--dry-run"]] {
            let mirror = [&["mirror", "--store", "store", "--lock", lock], more].concat();
            fails(path, &mirror, 2, words);
        }
    }
    works(path, &["mirror", "--store", "store"]);
    assert!(works(path, &["store", "list", "--store", "store"]).contains("small.txt"));
}

/// Command lines that use a file `odd` in another way than the readers.
const OTHERS: [&[&str]; 19] = [
    &["chart", "template", "odd"],
    &["chart", "lint", "odd"],
    &["chart", "show", "values", "odd"],
    &["chart", "dependency", "build", "odd"],
    &["keys", "rotate", "new", "--public-key", "odd", "--trust", "release.yaml"],
    &["keys", "add", "--log", "odd", "--trust", "release.yaml"],
    &[
        "keys",
        "add",
        "--trust",
        "release.yaml",
        "--trusted-root",
        "odd",
        "--certificate-identity",
        "a@b.example",
        "--certificate-oidc-issuer",
        "https://b.example",
    ],
    &["sign", "bundle", "odd", "--key", "release.key"],
    &["sign", "--lock", "odd", "--store", "store", "--key", "release.key"],
    &["verify-manifest", "odd"],
    &["audit", "verify", "--store", "store", "--key", "odd"],
    &["audit", "verify", "--store", "store", "--policy", "odd"],
    &["audit", "verify", "--store", "store", "--checkpoint", "odd"],
    &["generate", "package", "a", "--cluster", "mgmt", "--bundle", "odd"],
    &["list", "packages", "--bundle", "odd"],
    &["apply", "packages", "-f", "odd"],
    &["config", "podman", "--registry", "https://r.example", "--mirror", "a.example", "--ca-file", "odd"],
    &["config", "podman", "--registry", "https://r.example", "--mirror", "a.example", "--credentials", "odd"],
    &[
        "install",
        "controller",
        "--cluster",
        "mgmt",
        "--registry",
        "r.example",
        "--registry-ca",
        "odd",
        "--dry-run",
    ],
];

#[test]
fn o14_a_file_that_does_not_exist_is_4_and_one_that_cannot_be_used_is_2_in_every_command() {
    let folder = with_readers();
    let path = folder.path();
    let odd = path.join("odd");
    let all = || READERS.iter().chain(&OTHERS);
    // Helm's text does not name the file.
    let words = |arguments: &[&str]| if arguments.contains(&"a=odd") { "" } else { "odd" };
    for arguments in all() {
        fails(path, arguments, 4, words(arguments));
    }
    fs::create_dir(&odd).unwrap();
    for arguments in all() {
        fails(path, arguments, 2, words(arguments));
    }
    fs::remove_dir(&odd).unwrap();
    // Any text is a value, and only a signed chart is read.
    let any = |arguments: &[&str]| {
        arguments.contains(&"a=odd") || arguments.starts_with(&["chart", "verify", "odd"])
    };
    for content in [&b"text\n"[..], b"\xff\xfe"] {
        fs::write(&odd, content).unwrap();
        for arguments in all().filter(|arguments| !any(arguments)) {
            fails(path, arguments, 2, "");
        }
    }
    // Other things than files.
    fs::remove_file(&odd).unwrap();
    for (arguments, code) in [
        (&["store", "list", "--store", "none"][..], 4),
        (&["store", "list", "--store", "release.pub"], 2),
        (&["pack", "--store", "release.pub", "--to", "drive", "--key", "release.key"], 2),
        (&["audit", "verify", "--store", "release.pub"], 2),
        (&["keys", "revoke", "nobody", "--reason", "lost", "--trust", "release.yaml"], 4),
        (&["keys", "rotate", "new", "--old", "nobody", "--trust", "release.yaml"], 4),
        (&["keys", "trust", "release.pub", "--to", "release.yaml"], 2),
        (&["quarantine", "show", "nobody", "--store", "store"], 4),
        (&["sign", "disk.example/team/app:none", "--store", "store", "--key", "release.key"], 4),
        (&["verify", "release.pub", "--trust", "release.yaml"], 2),
        (&["audit", "report", "--store", "store", "--framework", "cmmc-l2", "--out", "/dev/stdout"], 2),
        (&["audit", "report", "--store", "store", "--framework", "cmmc-l2", "--out", "store"], 2),
    ] {
        fails(path, arguments, code, "");
    }
    let large = format!("\"{}\"", "a".repeat(7 << 20));
    fs::write(path.join("large.json"), large).unwrap();
    let attest = ["attest", IMAGE, "--store", "store", "--key", "release.key", "--type", "spdxjson"];
    fails(path, &[&attest[..], &["--predicate", "large.json"]].concat(), 2, "large");
}

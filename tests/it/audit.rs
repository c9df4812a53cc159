//! The events that every command writes to the audit log, and the output of the `audit` commands.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cli::{airlock, fails};
use crate::signing::site;

/// Commands that change nothing and make no decision, and therefore write no event.
const SILENT: &[&str] = &[
    "audit-checkpoint",
    "audit-explain",
    "audit-index",
    "audit-log",
    "audit-proof",
    "audit-report",
    "audit-verify",
    "bundle-list",
    "chart-dependency",
    "chart-dependency-build",
    "chart-dependency-list",
    "chart-explain",
    "chart-images",
    "chart-lint",
    "chart-show",
    "chart-verify",
    "controller",
    "chart-template",
    "completions",
    "config",
    "describe-packages",
    "generate-package",
    "get-packagebundlecontrollers",
    "get-packagebundles",
    "get-packages",
    "inspect",
    "keys-show",
    "list-packages",
    "man",
    "package-diff",
    "package-render",
    "quarantine-list",
    "quarantine-show",
    "schema",
    "store-get",
    "store-list",
    "trust-schema",
    "version",
];

/// Runs commands in a folder whose configuration file names the store, and reads the newest event.
struct Rig<'a> {
    folder: &'a Path,
    seen: BTreeSet<String>,
}

impl Rig<'_> {
    fn event(&mut self, command: &str, arguments: &str, expected: &str) -> Value {
        let arguments: Vec<&str> = command.split('-').chain(arguments.split_whitespace()).collect();
        let arguments = match command {
            "verify-image" | "verify-manifest" => [&[command], &arguments[2..]].concat(),
            "quarantine-begin-anew" => [&["quarantine", "begin-anew"], &arguments[3..]].concat(),
            _ => arguments,
        };
        let output = airlock(self.folder, &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let newest = self.newest();
        let (kind, result) = (&newest["event"], &newest["outcome"]["result"]);
        let found = format!("{} {}", kind.as_str().unwrap(), result.as_str().unwrap());
        assert_eq!(found, expected, "{arguments:?}: {said}");
        assert_eq!(output.status.success(), found.ends_with(" success"), "{arguments:?}: {said}");
        self.seen.insert(command.to_owned());
        newest
    }

    fn newest(&self) -> Value {
        log(self.folder, &["--limit", "1"])[0]["event"].clone()
    }
}

fn log(folder: &Path, filter: &[&str]) -> Vec<Value> {
    let output = airlock(folder, &[&["audit", "log", "--output", "json"], filter].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The site of the signing tests, with a configuration file that names its store.
fn configured_site() -> tempfile::TempDir {
    let folder = site();
    let config = folder.path().join(".config/airlock");
    std::fs::create_dir_all(&config).unwrap();
    let store = folder.path().join("store");
    std::fs::write(config.join("config.yaml"), format!("store: {}\n", store.display())).unwrap();
    folder
}

#[test]
fn every_command_writes_its_event_or_is_listed_as_silent() {
    let folder = configured_site();
    let path = folder.path();
    let mut rig = Rig { folder: path, seen: BTreeSet::new() };
    rig.event("keys-generate", "third", "key.generate success");
    rig.event("keys-generate", "third", "key.generate failed");
    rig.event("keys-trust", "third.pub --to third.yaml", "policy.write success");
    rig.event("keys-import", "third.key fourth", "key.import success");
    let rotated = rig.event("keys-rotate", "fifth --trust third.yaml", "key.rotate success");
    assert_eq!(rotated["evidence"]["replaces"], "third");
    rig.event("keys-add", "release.pub --trust third.yaml", "policy.write success");
    rig.event("keys-revoke", "third --reason lost --trust third.yaml", "key.revoke success");
    rig.event("trust-check", "third.yaml", "policy.check success");
    rig.event("mirror", "", "mirror success");
    let mirrored = rig.event("mirror", "-f missing.yaml", "mirror failed");
    assert_eq!(mirrored["outcome"]["reason"], "usage");
    let packed = rig.event("pack", "--to drive --key release.key", "pack success");
    let key = packed["evidence"]["key"].as_str().unwrap().to_owned();
    let verified = rig.event("verify", "drive --trust release.yaml", "verify success");
    assert_eq!(
        (&verified["evidence"]["key"], verified["evidence"]["signer"].as_str()),
        (&Value::from(key), Some("release"))
    );
    let refused = rig.event("verify", "drive --trust other.yaml", "verify refused");
    assert_eq!(refused["outcome"]["reason"], "signature");
    assert_eq!(refused["object"]["digests"], verified["object"]["digests"]);
    rig.event("verify", "drive", "verify refused");
    rig.event("import", "drive --trust other.yaml", "import refused");
    let imported = rig.event("import", "drive --trust release.yaml", "import success");
    assert_eq!(imported["evidence"]["set"], packed["evidence"]["set"]);
    let image = "disk.example/team/app:v1";
    rig.event("sign", &format!("{image} --store store --key release.key"), "sign success");
    rig.event("bundle-create", "-f missing.yaml --key release.key", "sign failed");
    rig.event("sign-bundle", "missing.yaml --key release.key", "sign failed");
    std::fs::write(path.join("scan.json"), "{}").unwrap();
    let attest = format!("{image} --store store --key release.key --predicate scan.json --type vuln");
    rig.event("attest", &attest, "attest success");
    rig.event("verify-image", &format!("{image} --store store --trust release.yaml"), "verify success");
    let refused =
        rig.event("verify-image", &format!("{image} --store store --trust other.yaml"), "verify refused");
    assert_eq!(refused["outcome"]["reason"], "policy");
    rig.event("verify-manifest", "missing.yaml", "verify failed");
    let set = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    rig.event("quarantine-release", &format!("{set} --reason mistake"), "alarm.release failed");
    rig.event("quarantine-begin-anew", "--reason lost", "alarm.release failed");
    rig.event("trust-accept", "release.yaml --reason mistake", "policy.change success");
    rig.event("return", "--to back", "return success");
    rig.event("acknowledge", "back --trust release.yaml", "acknowledge failed");
    rig.event("store-check", "", "store.check success");
    rig.event("store-gc", "", "store.gc success");
    rig.event("store-rebuild", "", "store.rebuild success");
    rig.event("serve", "--listen 192.0.2.1:5000", "serve.start failed");
    in_clusters(&mut rig);
    quickstart(path);
    rig.seen.insert("quickstart".to_owned());

    let commands = commands(path);
    let known: BTreeSet<String> =
        rig.seen.into_iter().chain(SILENT.iter().map(ToString::to_string)).collect();
    assert_eq!(commands, known);
    let verify = airlock(path, &["audit", "verify"]);
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

/// `quickstart` runs several commands, which write their own events.
fn quickstart(path: &Path) {
    assert!(airlock(path, &["quickstart", "--exit", "--listen", "127.0.0.1:0"]).status.success());
    let kinds = log(path, &["--store", "airlock-quickstart/site"]);
    let kinds: Vec<_> = kinds.iter().map(|event| event["event"]["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["log.start", "policy.first-use", "import", "serve.start", "serve.stop"]);
}

/// Without a cluster, these commands fail. `tests/cluster` tests the events of successful runs.
fn in_clusters(rig: &mut Rig<'_>) {
    let nowhere = "--kubeconfig none";
    let controller =
        format!("--cluster mgmt --registry registry.site --registry-ca ca.crt --store store {nowhere}");
    rig.event("install-controller", &controller, "cluster.install failed");
    rig.event("uninstall-controller", nowhere, "cluster.uninstall failed");
    let package = format!("web -n web --cluster mgmt {nowhere}");
    rig.event("install-package", &package, "package.change failed");
    rig.event("create-packages", &format!("-f scan.json {nowhere}"), "package.change failed");
    rig.event("apply-packages", &format!("-f scan.json {nowhere}"), "package.change failed");
    let upgrade = format!("--bundle-version v1-36-7 --cluster mgmt {nowhere}");
    rig.event("upgrade-packages", &upgrade, "package.change failed");
    rig.event("delete-packages", &format!("web --cluster mgmt {nowhere}"), "package.change failed");
    rig.event("package-rollback", &format!("web --cluster mgmt {nowhere}"), "package.change failed");
    rig.event("package-rights", &format!("--apply --cluster mgmt {nowhere}"), "package.change failed");
}

/// Every command that is not only a group, by its man page.
fn commands(path: &Path) -> BTreeSet<String> {
    assert!(airlock(path, &["man", "--to", "man"]).status.success());
    let groups = [
        "apply",
        "audit",
        "bundle",
        "chart",
        "create",
        "delete",
        "describe",
        "generate",
        "get",
        "install",
        "keys",
        "list",
        "package",
        "quarantine",
        "store",
        "trust",
        "uninstall",
        "upgrade",
    ];
    let pages = std::fs::read_dir(path.join("man")).unwrap().flatten();
    pages
        .filter_map(|page| {
            Some(page.file_name().to_str()?.strip_suffix(".1")?.strip_prefix("airlock-")?.to_owned())
        })
        .filter(|name| !name.contains("help") && !groups.contains(&name.as_str()))
        .collect()
}

#[test]
fn the_first_use_and_each_change_of_a_trust_file_is_an_event() {
    let folder = configured_site();
    let path = folder.path();
    std::fs::copy(path.join("release.yaml"), path.join("trust.yaml")).unwrap();
    let verify = ["verify-image", "disk.example/team/app:v1", "--store", "store", "--trust", "trust.yaml"];
    for _ in 0..2 {
        airlock(path, &verify);
    }
    let first = log(path, &["--event", "policy"]);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0]["event"]["event"], "policy.first-use");
    std::fs::copy(path.join("other.yaml"), path.join("trust.yaml")).unwrap();
    for _ in 0..2 {
        airlock(path, &verify);
    }
    let policies = log(path, &["--event", "policy"]);
    assert_eq!(policies.len(), 2);
    let change = &policies[1]["event"];
    assert_eq!(change["event"], "policy.change");
    assert_eq!(change["evidence"]["before"], first[0]["event"]["object"]["digests"][0]);
    let newest = &log(path, &["--limit", "1"])[0]["event"];
    assert_eq!(newest["evidence"]["trust"], change["object"]["digests"][0]);
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends one request; returns the status.
fn request(address: &str, head: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_registry_logs_pushes_and_deletes_before_it_responds() {
    let folder = configured_site();
    let path = folder.path();
    let mut server = Server(
        Command::new(env!("CARGO_BIN_EXE_airlock"))
            .args(["serve", "--listen", "127.0.0.1:0", "--address-file", "address"])
            .current_dir(path)
            .env_clear()
            .env("HOME", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let address = loop {
        match std::fs::read_to_string(path.join("address")) {
            Ok(text) => break text.trim().trim_start_matches("http://").to_owned(),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    };
    let newest = || log(path, &["--limit", "1"])[0]["event"].clone();
    assert_eq!(newest()["event"], "serve.start");
    let blob = oci::Digest::sha256(b"{}");
    for (head, body, status, expected, name) in [
        (
            format!("POST /v2/new/blobs/uploads/?digest={blob}"),
            &b"{}"[..],
            201,
            "push success",
            format!("new@{blob}"),
        ),
        ("PUT /v2/new/manifests/v1".to_owned(), b"{", 400, "push refused", "new:v1".to_owned()),
        ("DELETE /v2/new/manifests/v1".to_owned(), b"", 404, "delete refused", "new:v1".to_owned()),
        (format!("DELETE /v2/new/blobs/{blob}"), b"", 202, "delete success", format!("new@{blob}")),
    ] {
        assert_eq!(request(&address, &head, body), status, "{head}");
        let event = newest();
        let found =
            format!("{} {}", event["event"].as_str().unwrap(), event["outcome"]["result"].as_str().unwrap());
        assert_eq!((found.as_str(), event["object"]["name"].as_str().unwrap()), (expected, name.as_str()));
        assert_eq!(
            (&event["actor"]["user"], event["actor"]["address"].as_str()),
            (&Value::Null, Some("127.0.0.1"))
        );
    }
    // If the log cannot be written, no operation is reported as successful.
    std::fs::rename(path.join("store/log/tail"), path.join("tail")).unwrap();
    assert_eq!(request(&address, &format!("POST /v2/new/blobs/uploads/?digest={blob}"), b"{}"), 500);
    std::fs::rename(path.join("tail"), path.join("store/log/tail")).unwrap();
    let id = server.0.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert!(server.0.wait().unwrap().success());
    assert_eq!(newest()["event"], "serve.stop");
    assert!(airlock(path, &["audit", "verify"]).status.success());
}

#[test]
fn a_log_can_be_searched_proved_and_shown() {
    let folder = configured_site();
    let path = folder.path();
    airlock(path, &["keys", "generate", "third"]);
    let events = log(path, &[]);
    assert_eq!(events[0]["event"]["event"], "log.start");
    let digest = events.last().unwrap()["event"]["object"]["digests"][0].as_str().unwrap();
    assert_eq!(log(path, &["--digest", &digest[..20]]).len(), 1);
    assert!(log(path, &["--until", "2020-01-01"]).is_empty());
    let lines = airlock(path, &["audit", "log", "--output", "jsonl"]);
    assert_eq!(String::from_utf8(lines.stdout).unwrap().lines().count(), events.len());
    let checkpoint = airlock(path, &["audit", "checkpoint"]);
    assert_eq!(checkpoint.stdout, std::fs::read(path.join("store/log/checkpoint")).unwrap());
    std::fs::write(path.join("kept"), &checkpoint.stdout).unwrap();
    let proof = airlock(path, &["audit", "proof", digest]);
    let proof = tlog::Proof::parse(&String::from_utf8(proof.stdout).unwrap()).unwrap();
    let key = std::fs::read_to_string(path.join("store/log/key.pub")).unwrap();
    let policy = tlog::Policy::of_log(key.trim().parse().unwrap());
    assert_eq!(proof.verify(&proof.extra.clone().unwrap(), &policy).unwrap().size, events.len() as u64);
    std::fs::write(path.join("policy"), policy.to_string()).unwrap();
    for trust in [&["--key", key.trim()][..], &["--key", "store/log/key.pub"], &["--policy", "policy"]] {
        let said = airlock(path, &[&["audit", "verify", "--checkpoint", "kept"], trust].concat());
        assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    fails(path, &["audit", "proof", "99"], 4, "no entry 99");
    fails(path, &["audit", "proof", &oci::Digest::sha256(b"x").to_string()], 4, "no event about");
    fails(path, &["audit", "proof", "words"], 2, "neither an index nor a digest");
    fails(path, &["audit", "verify", "--store", "missing"], 4, "missing");
    fails(path, &["audit", "verify", "--audit-log", "missing"], 4, "no log at `missing`");
    fails(path, &["audit", "log", "--event", "pu"], 2, "serve.start");
    fails(path, &["store", "list", "--output", "jsonl"], 2, "only `audit log`");
}

#[test]
fn a_changed_log_ends_with_3_and_names_the_entry_and_the_time() {
    let folder = configured_site();
    let path = folder.path();
    airlock(path, &["keys", "generate", "third"]);
    let events = log(path, &[]);
    let last = events.len() - 1;
    let bundle = path.join(format!("store/log/tile/entries/000.p/{}", events.len()));
    let text = std::fs::read(&bundle).unwrap();
    let place = text.windows(12).rposition(|window| window == b"key.generate").unwrap();
    let mut changed = text.clone();
    changed[place] = b'K';
    std::fs::write(&bundle, changed).unwrap();
    let said = airlock(path, &["audit", "verify"]);
    assert_eq!(said.status.code(), Some(3));
    let said = String::from_utf8(said.stdout).unwrap();
    let until = events[last - 1]["event"]["time"].as_str().unwrap();
    assert!(
        said.contains(&format!(
            "entry {last}: it was edited after it was logged; the log is intact until {until}"
        )),
        "{said}"
    );
    // The writer's copy in `tail` has the original entry; without it, nothing proves the edited entry.
    assert!(airlock(path, &["audit", "proof", &last.to_string()]).status.success());
    std::fs::remove_file(path.join("store/log/tail")).unwrap();
    fails(path, &["audit", "proof", &last.to_string()], 3, "differs from the entry that was logged");
}

#[test]
fn a12_operations_on_a_store_are_always_in_its_own_log() {
    let folder = configured_site();
    let path = folder.path();
    let before = log(path, &[]).len();
    for command in [
        &["store", "check", "--store", "store"][..],
        &["store", "gc", "--store", "store"],
        &["mirror", "--store", "store"],
        &["mirror", "--store", "new"],
    ] {
        let done = airlock(path, &[command, &["--audit-log", "elsewhere"]].concat());
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let kinds = |events: &[Value]| -> Vec<String> {
        events.iter().map(|event| event["event"]["event"].as_str().unwrap().to_owned()).collect()
    };
    let own = log(path, &["--store", "store"]);
    assert_eq!(kinds(&own[before..]), ["store.check", "store.gc", "mirror"]);
    assert_eq!(kinds(&log(path, &["--store", "new"])), ["log.start", "mirror"]);
    let named = log(path, &["--audit-log", "elsewhere"]);
    assert_eq!(kinds(&named), ["log.start", "store.check", "store.gc", "mirror", "mirror"]);
    // If `--audit-log` names the store's own log, each event is written once.
    let done = airlock(path, &["store", "check", "--store", "store", "--audit-log", "./store/../store/log"]);
    assert!(done.status.success());
    assert_eq!(log(path, &["--store", "store"]).len(), own.len() + 1);
}

#[test]
fn a_named_log_is_created_on_first_use_and_gets_all_events() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let silent = airlock(path, &["keys", "generate", "one"]);
    assert!(String::from_utf8_lossy(&silent.stderr).contains("not recorded in an audit log"));
    let named = airlock(path, &["keys", "generate", "two", "--audit-log", "log"]);
    assert!(named.status.success() && named.stderr.is_empty());
    let events = log(path, &["--audit-log", "log"]);
    assert_eq!(events[1]["event"]["object"]["name"], "two");
    // An operation that cannot be logged is not started.
    std::fs::write(path.join("log/checkpoint"), "damaged").unwrap();
    fails(path, &["keys", "generate", "three", "--audit-log", "log"], 1, "cannot be written");
    assert!(!path.join("three.key").exists());
}

/// The policy of `docs/audit.md`.
#[test]
fn a_log_is_verified_by_a_policy_that_names_its_key() {
    let folder = configured_site();
    let path = folder.path();
    let key = std::fs::read_to_string(path.join("store/log/key.pub")).unwrap();
    std::fs::write(path.join("policy.txt"), format!("log {}\nquorum none\n", key.trim_end())).unwrap();
    let verified = airlock(path, &["audit", "verify", "--store", "store", "--policy", "policy.txt"]);
    let said = String::from_utf8_lossy(&verified.stdout) + String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("checked with the log's own key only"), "{said}");
}

#[test]
fn an_edited_index_is_reported_and_hides_nothing() {
    let folder = configured_site();
    let path = folder.path();
    let before = log(path, &[]);
    // A different file with the same content does not match the seal.
    let index = path.join("store/log/index.sqlite");
    let bytes = std::fs::read(&index).unwrap();
    std::fs::write(&index, bytes).unwrap();
    let searched = airlock(path, &["audit", "log", "--output", "json"]);
    let said = String::from_utf8_lossy(&searched.stderr).into_owned();
    assert!(said.contains("another program wrote to it"), "{said}");
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&searched.stdout).unwrap(), before);
}

/// Attempts are logged even if no log and no store is given and no cluster answers.
#[test]
fn o13_changes_of_a_cluster_are_logged_even_if_no_log_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.crt"), "none").unwrap();
    fails(folder.path(), &["audit", "log", "--event", "cluster"], 2, "no audit log was given");
    let cluster = ["--cluster", "mgmt", "--kubeconfig", "none"];
    let install = ["install", "controller", "--registry", "r.example:5000", "--registry-ca", "ca.crt"];
    for (arguments, event) in [
        (&install[..], "cluster.install"),
        (&["package", "rights", "--apply"], "package.change"),
        (&["package", "rollback", "a"], "package.change"),
        (&["upgrade", "packages", "--bundle-version", "v1-36-1"], "package.change"),
        (&["delete", "packages", "a"], "package.change"),
        (&["install", "package", "a", "--package-name", "a"], "package.change"),
    ] {
        let output = airlock(folder.path(), &[arguments, &cluster].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !said.contains("no audit log"), "{arguments:?}: {said}");
        let output = airlock(folder.path(), &["audit", "log", "--output", "json", "--limit", "1"]);
        let newest: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(newest[0]["event"]["event"], event, "{arguments:?}");
        assert_ne!(newest[0]["event"]["outcome"]["result"], "success", "{arguments:?}");
    }
    let output = airlock(folder.path(), &["audit", "log", "--event", "cluster"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("cluster.install"), "{said}");
    assert!(folder.path().join(".local/state/airlock/log/checkpoint").exists());
}

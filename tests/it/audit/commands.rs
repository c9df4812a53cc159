//! Every command writes its event, or is listed as one that writes none.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::{configured_site, log};
use crate::cli::airlock;

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
    "chart-template",
    "chart-verify",
    "completions",
    "config",
    "controller",
    "describe-packages",
    "generate-package",
    "get-packagebundlecontrollers",
    "get-packagebundles",
    "get-packages",
    "inbox",
    "inbox-list",
    "inspect",
    "keys-show",
    "list-packages",
    "man",
    "package-diff",
    "package-render",
    "quarantine-list",
    "quarantine-show",
    "robot-list",
    "schema",
    "store-get",
    "store-list",
    "store-protections",
    "store-quotas",
    "store-why",
    "tags-history",
    "tags-list",
    "trust-schema",
    "version",
    "want",
    "want-clear",
    "want-export",
    "want-list",
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
    assert_eq!(mirrored["outcome"]["reason"], "missing");
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
    in_stores(&mut rig);
    rig.event("serve", "--listen 192.0.2.1:5000", "serve.start failed");
    in_clusters(&mut rig);
    robots(&mut rig);
    quickstart(&mut rig);

    let commands = commands(path);
    let known: BTreeSet<String> =
        rig.seen.into_iter().chain(SILENT.iter().map(ToString::to_string)).collect();
    assert_eq!(commands, known);
    let verify = airlock(path, &["audit", "verify"]);
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

fn in_stores(rig: &mut Rig<'_>) {
    rig.event("store-check", "", "store.check success");
    rig.event("store-gc", "", "store.gc success");
    rig.event("store-rm", "none/app --store store", "store.remove failed");
    rig.event("store-scrub", "", "store.scrub success");
    rig.event("store-heal", "drive --trust release.yaml", "store.heal success");
    rig.event("store-backup", "copy", "store.backup success");
    rig.event("store-restore", "copy --store restored --audit-log store/log", "store.restore success");
    let image = "disk.example/team/app:v1";
    rig.event("store-protect", &format!("{image} --reason needed"), "store.protect success");
    rig.event("store-unprotect", image, "store.protect success");
    rig.event("store-retention", "", "store.retention failed");
    rig.event("inbox-promote", "none/app:v1 --store store --trust release.yaml", "inbox.promote failed");
    rig.event("inbox-drop", "none/app:v1 --store store", "inbox.drop failed");
    rig.event("tags-rollback", "none/app:v1 --store store", "tag.rollback failed");
    rig.event("store-rebuild", "", "store.rebuild success");
}

/// `quickstart` runs several commands, which write their own events.
fn quickstart(rig: &mut Rig<'_>) {
    let path = rig.folder;
    assert!(airlock(path, &["quickstart", "--exit", "--listen", "127.0.0.1:0"]).status.success());
    let kinds = log(path, &["--store", "airlock-quickstart/site"]);
    let kinds: Vec<_> = kinds.iter().map(|event| event["event"]["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["log.start", "policy.first-use", "import", "serve.start", "serve.stop"]);
    rig.seen.insert("quickstart".to_owned());
}

fn robots(rig: &mut Rig<'_>) {
    rig.event("robot-create", "ci --file robots.json", "robot.create success");
    rig.event("robot-create", "ci --file robots.json", "robot.create failed");
    rig.event("robot-revoke", "ci --file robots.json", "robot.revoke success");
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
        "robot",
        "store",
        "tags",
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

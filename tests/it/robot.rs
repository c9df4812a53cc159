//! `airlock robot`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use registry::server::Htpasswd;
use registry::server::access::{AccessConfig, Allow, Policies, RobotState, Robots};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::cli::{AIRLOCK, airlock, fails};

fn works(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = airlock(folder, &[arguments, &["--file", "robots.json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&works(folder, &[arguments, &["--output", "json"]].concat()).0).unwrap()
}

fn file(folder: &Path) -> Robots {
    Robots::parse(&std::fs::read_to_string(folder.join("robots.json")).unwrap()).unwrap()
}

#[test]
fn a_secret_is_printed_once_and_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (secret, said) = works(path, &["robot", "create", "ci"]);
    let secret = secret.strip_suffix('\n').unwrap();
    assert!(secret.starts_with("airlock_") && secret.len() == 51, "only the secret is on standard output");
    assert!(said.contains("robot$ci (active)") && !said.contains(secret), "{said}");
    let made = json(path, &["robot", "create", "deploy", "--description", "the cluster", "--expires", "90d"]);
    let other = made["secret"].as_str().unwrap();
    assert_ne!(secret, other);
    let text = std::fs::read_to_string(path.join("robots.json")).unwrap();
    let shown = works(path, &["robot", "list"]).0 + &works(path, &["robot", "list", "-o", "json"]).0;
    for known in [secret, other] {
        assert!(!text.contains(known) && !shown.contains(known) && !shown.contains("sha256"));
    }
    let robots = file(path);
    let expires = robots.robot("deploy").unwrap().expires.unwrap() - OffsetDateTime::now_utc();
    assert!(expires > Duration::days(89) && expires <= Duration::days(90), "{expires}");
    assert_eq!(made["user"], "robot$deploy");
}

#[test]
fn accounts_are_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let scope = ["--repository", "team-a/**", "--repository", "shared", "--allow", "pull,push"];
    works(path, &[&["robot", "create", "ci"][..], &scope].concat());
    works(path, &["robot", "create", "old", "--expires", "2999-01-01"]);
    std::fs::set_permissions(path.join("robots.json"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let (revoked, _) = works(path, &["robot", "revoke", "old"]);
    assert_eq!(revoked, "revoked robot$old in robots.json\n");
    let mode = path.join("robots.json").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "the registry can still read it");
    let (list, _) = works(path, &["robot", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines[0], "robot$ci (active; scope team-a/** shared: pull, push)");
    assert!(lines[1].starts_with("robot$old (revoked; expires 2999-01-01T00:00:00Z; on 20"), "{list}");
    assert_eq!(json(path, &["robot", "list"])[1]["state"], "revoked");
    let robots = file(path);
    assert_eq!(robots.robot("ci").unwrap().scope[0].allow, [Allow::Pull, Allow::Push]);
    assert_eq!(robots.robot("old").unwrap().state(OffsetDateTime::now_utc()), RobotState::Revoked);
    let fails = |arguments: &[&str], code, words| {
        fails(path, &[arguments, &["--file", "robots.json"]].concat(), code, words);
    };
    fails(&["robot", "revoke", "old"], 2, "already revoked");
    fails(&["robot", "revoke", "no"], 4, "there is no robot account `no`");
    fails(&["robot", "create", "old"], 2, "already exists");
    fails(&["robot", "create", "CI"], 2, "hint: use up to 64 of a-z");
    fails(&["robot", "create", "x", "--expires", "2020-01-01"], 2, "already have expired");
    fails(&["robot", "create", "x", "--expires", "soon"], 2, "90d");
    fails(&["robot", "create", "x", "--repository", "a/**"], 2, "--allow");
    fails(&["robot", "create", "x", "--allow", "pull"], 2, "--repository");
    fails(
        &["robot", "create", "x", "--repository", "/a", "--allow", "pull"],
        2,
        "pattern of repository names",
    );
    assert_eq!(file(path), robots, "a refused command changes nothing");
}

#[test]
fn a_dry_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let made = json(path, &["robot", "create", "ci", "--dry-run"]);
    assert_eq!((&made["dryRun"], &made["secret"]), (&true.into(), &Value::Null));
    assert!(!path.join("robots.json").exists());
    works(path, &["robot", "create", "ci"]);
    let before = file(path);
    let (text, _) = works(path, &["robot", "revoke", "ci", "--dry-run"]);
    assert_eq!((text.as_str(), file(path)), ("would revoke robot$ci in robots.json\n", before));
}

#[test]
fn a_missing_or_malformed_file_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fails(path, &["robot", "list"], 2, "--file");
    fails(path, &["robot", "list", "--file", "none"], 4, "cannot read `none`");
    fails(path, &["robot", "revoke", "ci", "--file", "none"], 4, "cannot read `none`");
    std::fs::write(path.join("robots.json"), "{}").unwrap();
    for arguments in [&["robot", "list"][..], &["robot", "create", "ci"], &["robot", "revoke", "ci"]] {
        fails(path, &[arguments, &["--file", "robots.json"]].concat(), 2, "`robots.json` cannot be used");
    }
    assert_eq!(std::fs::read_to_string(path.join("robots.json")).unwrap(), "{}");
}

#[test]
fn the_policies_in_the_documentation_are_valid() {
    #[derive(serde::Deserialize)]
    struct File {
        access: AccessConfig,
    }
    let page = include_str!("../../docs/access.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let file: File = serde_saphyr::from_str(rest.split_once("```").unwrap().0).unwrap();
    assert_eq!(file.access.policies.len(), 3);
    let policies = Policies::new(file.access, Htpasswd::default(), Robots::default()).unwrap();
    assert_eq!(
        policies.unknown().into_iter().collect::<Vec<_>>(),
        ["robot:ci", "user:alice", "user:bob", "user:carol"]
    );
}

#[test]
fn accounts_that_are_created_at_the_same_time_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let create = |number: usize| {
        let mut command = Command::new(AIRLOCK);
        command.args(["robot", "create", &format!("r{number}")]).current_dir(folder.path()).env_clear();
        command.env("HOME", folder.path()).env("AIRLOCK_ROBOTS", "robots.json").spawn().unwrap()
    };
    let all: Vec<_> = (0..8).map(create).collect();
    assert!(all.into_iter().all(|mut child| child.wait().unwrap().success()));
    assert_eq!(file(folder.path()).iter().count(), 8);
}

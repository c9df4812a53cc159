//! The output of the `audit` commands.

use serde_json::Value;

use super::{configured_site, log};
use crate::cli::{airlock, fails};

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
    std::fs::write(path.join("log/tail"), "damaged").unwrap();
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

//! The controller reports an operation as complete only after its event is in the audit log.

use std::fs;

use serde_json::Value;

use super::package_commands::airlock;
use super::{MINUTE, Shard, site};

#[test]
fn an_operation_is_complete_only_after_its_event_is_in_the_audit_log() {
    let Some(site) = site() else { return };
    let above = site.folder.path().join("logs");
    let (folder, away) = (above.join("log"), above.join("away"));
    let log = folder.display().to_string();
    let mut shard = Shard::new(&site, "logged", "v1-36-2");
    shard.more = vec!["--audit-log".to_owned(), log.clone()];
    let _controller = shard.start();
    shard.package("logged", "plain", "1.0.0", "word: x", "");
    let begun = std::time::Instant::now();
    let said = || fs::read_to_string(shard.log_file("a")).unwrap();
    while !said().contains("packages are not reconciled: the audit log cannot be opened") {
        assert!(begun.elapsed() < MINUTE, "{}", said());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(shard.found("logged").unwrap()["status"].is_null(), "no controller may work on it");
    fs::create_dir(&above).unwrap();
    shard.installed("logged", "1.0.0");

    // Simulates a failing disk: the upgrade is made, but not reported as complete.
    fs::rename(&folder, &away).unwrap();
    fs::write(&folder, "").unwrap();
    shard.package("logged", "plain", "2.0.0", "word: y", "");
    let stays = shard.until("logged", MINUTE, |package| {
        package["status"]["detail"].as_str().is_some_and(|detail| detail.contains(&log))
    });
    assert!(
        stays["status"]["state"] != "installed" && stays["status"]["currentVersion"] == "1.0.0",
        "{stays:#}"
    );
    fs::remove_file(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    let installed = shard.installed("logged", "2.0.0");
    assert!(installed["status"]["detail"].is_null(), "{installed:#}");
    shard.delete("logged");
    shard.gone("logged");

    let (code, said) = airlock(&site, &["audit", "verify", "--audit-log", &log]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = airlock(&site, &["audit", "log", "--audit-log", &log, "--quiet", "--output", "json"]);
    assert_eq!(code, 0, "{said}");
    let events = serde_json::Deserializer::from_str(&said).into_iter::<Value>().next().unwrap().unwrap();
    let events = events.as_array().unwrap().iter().map(|found| &found["event"]);
    let mut kinds: Vec<_> = events
        .filter(|event| event["object"]["name"] == "eksa-packages-logged/logged")
        .map(|event| {
            (event["event"].as_str().unwrap(), event["outcome"]["result"].as_str().unwrap_or_default())
        })
        .collect();
    // The event that was being written when the disk failed may be logged twice.
    kinds.sort_unstable();
    kinds.dedup();
    let good = ["package.install", "package.uninstall", "package.upgrade"].map(|kind| (kind, "success"));
    assert_eq!(kinds, good, "{said}");
}

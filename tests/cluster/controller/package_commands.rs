//! The `airlock package` commands for packages that a controller installs: render, diff, rollback and rights.

use super::{AIRLOCK, Shard, Site, site};

/// Runs airlock in the cluster's network; returns the exit code and the output.
pub(super) fn airlock(site: &Site, arguments: &[&str]) -> (i32, String) {
    let mut command = site.cluster.lock().unwrap_or_else(std::sync::PoisonError::into_inner).command(AIRLOCK);
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said.into_owned())
}

#[test]
fn a_package_is_rendered_compared_and_rolled_back_and_its_permissions_are_derived() {
    let Some(site) = site() else { return };
    let shard = Shard::new(&site, "hand", "v1-36-2");
    let _controller = shard.start();
    let charts = ["--cluster", "hand", "--registry", &site.registry, "--plain-http"];
    let package = |verb: &str| airlock(&site, &[&["package", verb, "hand-plain"], &charts[..]].concat());
    let word = || {
        let found = site.get(&["configmap", "hand-plain", "-n", "at-hand-plain"]).unwrap();
        (found["data"]["version"].clone(), found["data"]["word"].clone())
    };
    shard.package("hand-plain", "plain", "1.0.0", "word: one", "");
    shard.installed("hand-plain", "1.0.0");
    let (code, said) = package("diff");
    assert!(code == 0 && said.starts_with("no difference\n"), "{said}");
    shard.package("hand-plain", "plain", "2.0.0", "word: two", "");
    shard.installed("hand-plain", "2.0.0");
    let (code, said) = package("render");
    assert!(code == 0 && said.contains("kind: ConfigMap") && said.contains("word: 'two'"), "{said}");

    let patch = r#"{"data":{"word":"tampered"}}"#;
    site.kubectl(&["patch", "configmap", "hand-plain", "-n", "at-hand-plain", "--type=merge", "-p", patch]);
    let (code, said) = package("diff");
    assert!(code == 3 && said.contains("was changed in the cluster: .data.word"), "{code}: {said}");

    let rollback = ["package", "rollback", "hand-plain", "--cluster", "hand"];
    let (code, said) = airlock(&site, &[&rollback[..], &["--revision", "9"]].concat());
    assert!(code == 4 && said.contains("available revisions: 1, 2"), "{code}: {said}");
    let (code, said) = airlock(&site, &[&rollback[..], &["--dry-run"]].concat());
    assert!(code == 0 && said.contains("returns to revision 1, chart 1.0.0 (dry run)"), "{said}");
    assert_eq!(airlock(&site, &rollback).0, 0);
    shard.installed("hand-plain", "1.0.0");
    assert_eq!(word(), ("1.0.0".into(), "one".into()));

    let rights = [&["package", "rights"], &charts[..]].concat();
    let (code, said) = airlock(&site, &rights);
    assert!(
        code == 0 && said.contains("name: airlock-packages-hand") && said.contains("- hand-plain\n"),
        "{said}"
    );
    // The changes are printed before they are made.
    assert!(said.contains("+ in at-hand-plain: configmaps hand-plain: create, delete, get, patch"), "{said}");
    let inside = ["role", "airlock-packages-hand", "-n", "at-hand-plain"];
    assert!(site.get(&inside).is_none());
    assert_eq!(airlock(&site, &[&rights[..], &["--apply"]].concat()).0, 0);
    let role = site.get(&inside).unwrap()["rules"].to_string();
    assert!(role.contains("configmaps") && !role.contains("\"*\""), "{role}");
    // Permissions for namespaced objects are granted in their namespace only, and none for packages that are not installed.
    let everywhere = site.get(&["clusterrole", "airlock-packages-hand"]).unwrap();
    assert!(everywhere["rules"].as_array().is_none_or(Vec::is_empty), "{everywhere}");
    let (code, said) = airlock(&site, &rights);
    assert!(code == 0 && said.contains("no change"), "{said}");
    // Permissions of packages that are no longer installed are revoked.
    shard.delete("hand-plain");
    shard.gone("hand-plain");
    assert_eq!(airlock(&site, &[&rights[..], &["--apply"]].concat()).0, 0);
    assert!(site.get(&inside).is_none());
}

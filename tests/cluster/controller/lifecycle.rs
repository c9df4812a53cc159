//! The lifecycle of a package, and its events and status.

use std::time::Duration;

use serde_json::json;

use super::{MINUTE, Shard, site};

#[test]
fn a_package_is_installed_with_its_dependencies_upgraded_and_removed() {
    let Some(site) = site() else { return };
    let shard = Shard::new(&site, "life", "v1-36-1");
    let _controller = shard.start();
    shard.package("life-web", "web", "1.0.0", "word: hello", "");
    let package = shard.installed("life-web", "1.0.0");
    // The dependency was created, and installed first.
    assert!(shard.found("base").unwrap()["status"]["state"] == "installed");
    let ready = package["status"]["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Ready");
    assert_eq!(ready.unwrap()["status"], "True");
    let settings = site.get(&["configmap", "life-web", "-n", "at-life-web"]).unwrap();
    assert_eq!(settings["data"]["word"], "hello");

    // The newer bundle is reported, but not activated automatically.
    let settings = site.get(&["packagebundlecontrollers", "life", "-n", "eksa-packages"]).unwrap();
    assert_eq!(settings["status"]["state"], "upgrade available", "{settings:#}");
    assert_eq!(settings["status"]["detail"], "v1-36-2 available");
    let bundle = site.get(&["packagebundles", "v1-36-2", "-n", "eksa-packages"]).unwrap();
    assert_eq!(bundle["status"]["state"], "available");
    let patch = r#"{"spec":{"activeBundle":"v1-36-2"}}"#;
    site.kubectl(&[
        "patch",
        "packagebundlecontrollers",
        "life",
        "-n",
        "eksa-packages",
        "--type=merge",
        "-p",
        patch,
    ]);
    let package = shard
        .until("life-web", MINUTE, |package| package["status"]["upgradesAvailable"][0]["version"] == "2.0.0");
    assert_eq!(package["status"]["currentVersion"], "1.0.0", "the package has a fixed version");
    shard.package("life-web", "web", "2.0.0", "word: hello", "");
    shard.installed("life-web", "2.0.0");
    assert!(
        site.get(&["configmap", "life-web-old", "-n", "at-life-web"]).is_none(),
        "an object that is no longer in the chart must be deleted"
    );

    let events = shard.events("life-web");
    let mut reasons: Vec<_> = events.iter().map(|(reason, _)| reason.as_str()).collect();
    // There may be a `Waiting` event for the bundle, before the one for the dependency.
    reasons.dedup();
    assert_eq!(reasons, ["Waiting", "Installing", "Installed", "Upgrading", "Upgraded"], "{events:#?}");
    assert_eq!(events.last().unwrap().1, "version 2.0.0 replaced 1.0.0: all its objects are ready");
    let described = site.kubectl(&[
        "describe",
        "packages.packages.eks.amazonaws.com",
        "life-web",
        "-n",
        &shard.namespace(),
    ]);
    assert!(described.contains("Waiting for dependencies: base"), "{described}");

    shard.delete("life-web");
    shard.gone("life-web");
    assert!(site.get(&["configmap", "life-web", "-n", "at-life-web"]).is_none());
    assert!(shard.revisions("life-web").is_empty());
    assert_eq!(shard.events("life-web").last().unwrap().0, "Uninstalled");
}

#[test]
fn the_status_shows_an_obstacle_while_it_exists_and_a_refused_package_is_not_retried() {
    let Some(site) = site() else { return };
    let shard = Shard::new(&site, "obstacle", "v1-36-2");
    let _controller = shard.start();
    shard.package("obstacle-plain", "plain", "1.0.0", "word: x", "");
    shard.installed("obstacle-plain", "1.0.0");
    let active = |bundle: &str| {
        let patch = format!(r#"{{"spec":{{"activeBundle":"{bundle}"}}}}"#);
        let settings = "packagebundlecontrollers/obstacle";
        site.kubectl(&["patch", settings, "-n", "eksa-packages", "--type=merge", "-p", &patch]);
    };
    active("v1-36-99");
    let soon = Duration::from_secs(30);
    shard.until("obstacle-plain", soon, |package| {
        package["status"]["detail"].as_str().is_some_and(|detail| detail.ends_with("\"v1-36-99\" not found"))
    });
    active("v1-36-2");
    shard.until("obstacle-plain", soon, |package| package["status"]["detail"].is_null());
    shard.package("obstacle-base", "base", "1.0.0", "sourceRegistry: other.example", "");
    let refused = shard.until("obstacle-base", soon, |package| !package["status"]["detail"].is_null());
    let detail = refused["status"]["detail"].as_str().unwrap();
    let words = "uses the image other.example/team/app:v1, which the signed bundle does not list for version";
    assert!(detail.contains(words) && detail.ends_with("it lists disk.example/team/app"), "{detail}");
    let events = shard.events("obstacle-base");
    let reasons: Vec<_> = events.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["Installing", "Refused"], "{events:#?}");
    shard.change("obstacle-base", &json!({ "config": "word: x\n" }));
    shard.installed("obstacle-base", "1.0.0");
    site.kubectl(&["delete", "packagebundlecontrollers", "obstacle", "-n", "eksa-packages"]);
    shard.until("obstacle-plain", soon, |package| {
        let detail = package["status"]["detail"].as_str().unwrap_or_default();
        detail.contains("packagebundlecontrollers \"obstacle\" not found in eksa-packages")
    });
}

#[test]
fn a_package_deleted_while_no_controller_runs_is_removed_later() {
    let Some(site) = site() else { return };
    let shard = Shard::new(&site, "down", "v1-36-2");
    let controller = shard.start();
    shard.package("down-plain", "plain", "1.0.0", "word: x", "");
    shard.installed("down-plain", "1.0.0");
    drop(controller);
    shard.delete("down-plain");
    std::thread::sleep(Duration::from_secs(1));
    assert!(shard.found("down-plain").is_some(), "it must exist until everything that it installed is gone");
    shard.delete_lease();
    let _controller = shard.start();
    shard.gone("down-plain");
    assert!(site.get(&["configmap", "down-plain", "-n", "at-down-plain"]).is_none());
    assert!(shard.revisions("down-plain").is_empty());
}

#[test]
fn h2_a_package_cannot_move_to_another_namespace_and_reports_it() {
    let Some(site) = site() else { return };
    let shard = Shard::new(&site, "stays", "v1-36-2");
    let _controller = shard.start();
    shard.package("stays-plain", "plain", "1.0.0", "word: x", "");
    shard.installed("stays-plain", "1.0.0");
    let detail =
        |package: &serde_json::Value| package["status"]["detail"].as_str().unwrap_or_default().to_owned();
    // Alone, and together with an upgrade.
    for spec in [
        json!({"targetNamespace": "elsewhere"}),
        json!({"targetNamespace": "elsewhere", "packageVersion": "2.0.0"}),
    ] {
        shard.change("stays-plain", &spec);
        let package = shard
            .until("stays-plain", MINUTE, |package| detail(package).contains("cannot move to `elsewhere`"));
        assert_eq!(package["status"]["currentVersion"], "1.0.0");
        assert!(site.get(&["namespace", "elsewhere"]).is_none());
    }
    shard.change("stays-plain", &json!({"targetNamespace": "at-stays-plain"}));
    let package = shard.installed("stays-plain", "2.0.0");
    assert_eq!(detail(&package), "");
    shard.delete("stays-plain");
    shard.gone("stays-plain");
    assert!(site.get(&["configmap", "stays-plain", "-n", "at-stays-plain"]).is_none());
}

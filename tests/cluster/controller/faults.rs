//! What goes wrong, and that it comes right.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{MINUTE, Shard, is_installed, site};
use crate::rig::wait;

/// Kills that are tried at each of the three kinds of work.
const POINTS: usize = 24;
/// Controllers at a time.
const AT_ONCE: usize = 4;

/// One package's work, and what is there after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Install,
    Upgrade,
    Delete,
}

#[test]
fn a_controller_killed_at_any_request_leaves_nothing_half_done() {
    let Some(site) = site() else { return };
    site.kubectl(&["create", "namespace", "at-kill"]);
    let (next, hits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (site, next, hits) = (&site, &next, &hits);
            scope.spawn(move || {
                let shard = Shard::new(site, &format!("kill{worker}"), "v1-36-2");
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let deed = match number / POINTS {
                        0 => Deed::Install,
                        1 => Deed::Upgrade,
                        2 => Deed::Delete,
                        _ => break,
                    };
                    let at = number % POINTS + 1;
                    if try_point(&shard, deed, at) {
                        hits.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let hits = hits.load(Ordering::SeqCst);
    println!("{hits} kills in {:.0} s", begun.elapsed().as_secs_f64());
    assert!(hits >= 50, "only {hits} of the points were reached");
}

/// Kills the controller at its n-th request of a deed, starts another, and looks at what is there when all is done.
/// Says whether there were so many requests.
fn try_point(shard: &Shard, deed: Deed, at: usize) -> bool {
    let name = format!("{}-{}-{at}", shard.name, format!("{deed:?}").to_lowercase());
    let make = |version: &str| shard.package(&name, "plain", version, "word: x", "");
    if deed != Deed::Install {
        make("1.0.0");
        let controller = shard.start();
        shard.installed(&name, "1.0.0");
        drop(controller);
        shard.forget_lease();
    }
    match deed {
        Deed::Install => make("1.0.0"),
        Deed::Upgrade => {
            let patch = r#"{"spec":{"packageVersion":"2.0.0"}}"#;
            let namespace = shard.namespace();
            shard.site.kubectl(&[
                "patch",
                "packages.packages.eks.amazonaws.com",
                &name,
                "-n",
                &namespace,
                "--type=merge",
                "-p",
                patch,
            ]);
        }
        Deed::Delete => delete(shard, &name),
    }
    let done = |shard: &Shard| match deed {
        Deed::Install => shard.found(&name).is_some_and(|package| is_installed(&package, "1.0.0")),
        Deed::Upgrade => shard.found(&name).is_some_and(|package| is_installed(&package, "2.0.0")),
        Deed::Delete => shard.found(&name).is_none(),
    };
    let victim = shard.start();
    shard.between.ends(victim.0.id(), at);
    wait("the kill, or the end", MINUTE, || (shard.between.has_ended() || done(shard)).then_some(()));
    let reached = shard.between.has_ended();
    shard.between.ends(0, usize::MAX);
    drop(victim);
    shard.forget_lease();
    let second = shard.start();
    match deed {
        Deed::Install => drop(shard.installed(&name, "1.0.0")),
        Deed::Upgrade => drop(shard.installed(&name, "2.0.0")),
        Deed::Delete => shard.gone(&name),
    }
    check(shard, deed, &name, at);
    if deed != Deed::Delete {
        delete(shard, &name);
        shard.gone(&name);
    }
    drop(second);
    shard.forget_lease();
    reached
}

fn delete(shard: &Shard, name: &str) {
    let namespace = shard.namespace();
    shard.site.kubectl(&[
        "delete",
        "packages.packages.eks.amazonaws.com",
        name,
        "-n",
        &namespace,
        "--wait=false",
    ]);
}

/// One revision for each change, no object that the chart does not have, none missing.
fn check(shard: &Shard, deed: Deed, name: &str, at: usize) {
    let objects: BTreeSet<_> = shard
        .site
        .get(&["configmaps", "-n", &format!("at-{name}")])
        .map(|list| list["items"].as_array().unwrap().clone())
        .unwrap_or_default()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
        .filter(|object| object != "kube-root-ca.crt")
        .collect();
    let old = format!("{name}-old");
    let wanted: BTreeSet<String> = match deed {
        Deed::Install => [name.to_owned(), old].into(),
        Deed::Upgrade => [name.to_owned()].into(),
        Deed::Delete => BTreeSet::new(),
    };
    assert_eq!(objects, wanted, "{deed:?} killed at request {at}");
    let revisions = shard.revisions(name);
    let wanted: &[&str] = match deed {
        Deed::Install => &["\"1\" \"deployed\""],
        Deed::Upgrade => &["\"1\" \"superseded\"", "\"2\" \"deployed\""],
        Deed::Delete => &[],
    };
    assert_eq!(revisions, wanted, "{deed:?} killed at request {at}");
}

#[test]
fn a_package_that_never_gets_ready_is_given_up_rolled_back_and_delays_no_other() {
    let Some(site) = site() else { return };
    let shard = Shard::new(&site, "stuck", "v1-36-2");
    let _controller = shard.start();
    shard.package("stuck-base", "base", "1.0.0", "word: good", "airlock.dev/timeout: 6s");
    shard.installed("stuck-base", "1.0.0");
    // Its pods fit on no node.
    let begun = Instant::now();
    for number in 0..10 {
        shard.package(&format!("stuck-{number}"), "base", "1.0.0", "os: none", "airlock.dev/timeout: 8s");
    }
    shard.package("stuck-base", "base", "1.0.0", "word: bad\nos: none", "airlock.dev/timeout: 6s");
    shard.package("quick", "plain", "1.0.0", "word: x", "");
    shard.installed("quick", "1.0.0");
    println!("the other took {:.1} s beside 11 that are stuck", begun.elapsed().as_secs_f64());

    let failed = |package: &serde_json::Value| {
        let conditions = package["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "Failed" && one["status"] == "True")
    };
    let package = shard.until("stuck-base", MINUTE, failed);
    let detail = package["status"]["detail"].as_str().unwrap();
    assert!(detail.contains("not ready after 6 s: Deployment at-stuck-base/stuck-base"), "{detail}");
    let settings = site.get(&["configmap", "stuck-base", "-n", "at-stuck-base"]).unwrap();
    assert_eq!(settings["data"]["word"], "good", "what was there before is there again");
    let told = shard.events("stuck-base");
    let reasons: Vec<_> = told.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["Installing", "Installed", "Upgrading", "UpgradeFailed", "RolledBack"], "{told:#?}");
    for number in 0..10 {
        let name = format!("stuck-{number}");
        shard.until(&name, MINUTE, failed);
        assert!(site.get(&["deployment", &name, "-n", &format!("at-{name}")]).is_none(), "it was taken away");
    }
    // Somebody who mends it is heard at once.
    shard.package("stuck-base", "base", "1.0.0", "word: mended", "airlock.dev/timeout: 6s");
    shard.installed("stuck-base", "1.0.0");
}

#[test]
fn without_a_registry_what_is_installed_stays_in_order_and_what_is_not_waits_for_it() {
    let Some(site) = site() else { return };
    let mut shard = Shard::new(&site, "alone", "v1-36-2");
    shard.more = vec!["--drift-interval".to_owned(), "2s".to_owned()];
    let controller = shard.start();
    shard.package("alone-plain", "plain", "1.0.0", "word: x", "");
    shard.installed("alone-plain", "1.0.0");
    drop(controller);
    shard.forget_lease();
    // As if the registry were gone: nobody listens there.
    let nobody = crate::rig::free_port();
    shard.registry = format!("127.0.0.1:{nobody}");
    let controller = shard.start();
    wait("the state", MINUTE, || {
        let settings = site.get(&["packagebundlecontrollers", "alone", "-n", "eksa-packages"])?;
        (settings["status"]["state"] == "disconnected").then_some(())
    });
    assert!(shard.found("alone-plain").unwrap()["status"]["state"] == "installed");
    shard.package("alone-base", "base", "1.0.0", "word: x", "");
    shard.until("alone-base", MINUTE, |package| {
        package["status"]["detail"].as_str().is_some_and(|detail| detail.contains("cannot pull the chart"))
    });
    let namespace = shard.namespace();
    site.kubectl(&[
        "delete",
        "packages.packages.eks.amazonaws.com",
        "alone-plain",
        "-n",
        &namespace,
        "--wait=false",
    ]);
    shard.gone("alone-plain");
    drop(controller);
    shard.forget_lease();
    shard.registry.clone_from(&site.registry);
    let _controller = shard.start();
    shard.installed("alone-base", "1.0.0");
    wait("the state", MINUTE, || {
        let settings = site.get(&["packagebundlecontrollers", "alone", "-n", "eksa-packages"])?;
        (settings["status"]["state"] == "active").then_some(())
    });
}

#[test]
fn the_second_replica_takes_over_when_the_leader_is_killed() {
    let Some(site) = site() else { return };
    let shard = Shard::new(&site, "two", "v1-36-2");
    let leader = shard.start();
    shard.package("two-plain", "plain", "1.0.0", "word: x", "");
    shard.installed("two-plain", "1.0.0");
    let _second = shard.controller("b", crate::rig::free_port());
    std::thread::sleep(Duration::from_secs(3));
    drop(leader);
    let begun = Instant::now();
    shard.package("two-plain", "plain", "2.0.0", "word: x", "");
    shard.package("two-base", "base", "1.0.0", "word: x", "");
    shard.until("two-base", MINUTE, |package| is_installed(package, "1.0.0"));
    let taken = begun.elapsed();
    println!("the second replica led and had installed after {:.1} s", taken.as_secs_f64());
    assert!(taken < Duration::from_secs(20), "{taken:?}");
}

#[test]
fn what_somebody_changes_or_removes_is_put_right_or_told() {
    let Some(site) = site() else { return };
    let mut shard = Shard::new(&site, "drift", "v1-36-2");
    shard.more = vec!["--drift-interval".to_owned(), "2s".to_owned()];
    let _controller = shard.start();
    shard.package("drift-plain", "plain", "1.0.0", "word: x", "");
    shard.package("drift-told", "plain", "1.0.0", "word: x", "airlock.dev/drift: tell");
    for name in ["drift-plain", "drift-told"] {
        shard.installed(name, "1.0.0");
        let (at, patch) = (format!("at-{name}"), r#"{"data":{"word":"changed"}}"#);
        site.kubectl(&["patch", "configmap", name, "-n", &at, "--type=merge", "-p", patch]);
        site.kubectl(&["delete", "configmap", &format!("{name}-old"), "-n", &at]);
    }
    let word = |name: &str| {
        site.get(&["configmap", name, "-n", &format!("at-{name}")]).map(|found| found["data"]["word"].clone())
    };
    wait("the repair", MINUTE, || {
        let back = site.get(&["configmap", "drift-plain-old", "-n", "at-drift-plain"]).is_some();
        (back && word("drift-plain")? == "x").then_some(())
    });
    let told = shard.until("drift-told", MINUTE, |package| {
        let conditions = package["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "Drifted" && one["status"] == "True")
    });
    assert_eq!(word("drift-told").unwrap(), "changed", "{told:#}");
    let events = shard.events("drift-told");
    assert!(
        events.iter().any(|(reason, note)| reason == "Drifted"
            && note.contains("ConfigMap at-drift-told/drift-told-old is gone")),
        "{events:#?}"
    );
    assert!(shard.events("drift-plain").iter().any(|(reason, _)| reason == "DriftRepaired"));
}

//! Faults, and recovery from them.

mod slow_etcd;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{MINUTE, Shard, is_installed, site};
use crate::rig::{Running, wait};

/// The number of kill points for each operation.
const POINTS: usize = 24;
/// The number of concurrent controllers.
const AT_ONCE: usize = 4;

/// An operation on a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Install,
    Upgrade,
    Delete,
}

#[test]
fn a_controller_killed_at_any_request_leaves_nothing_half_done() {
    let Some(site) = site() else { return };
    let hits = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (site, hits) = (&site, &hits);
            scope.spawn(move || {
                let killer = Killer::new(Shard::new(site, &format!("kill{worker}"), "v1-36-2"));
                let reached = killer.tries(worker);
                hits.fetch_add(reached, Ordering::SeqCst);
            });
        }
    });
    let hits = hits.load(Ordering::SeqCst);
    println!("{hits} kills in {:.0} s", begun.elapsed().as_secs_f64());
    assert!(hits >= 50, "only {hits} of the points were reached");
}

/// Runs controllers one after the other and kills them.
struct Killer {
    shard: Shard,
    running: RefCell<Running>,
}

impl Killer {
    fn new(shard: Shard) -> Self {
        let running = RefCell::new(shard.start());
        Self { shard, running }
    }

    /// Tries every `AT_ONCE`-th kill point of each operation; returns the number of points that were reached.
    fn tries(&self, worker: usize) -> usize {
        let points: Vec<_> = (1..=POINTS).skip(worker).step_by(AT_ONCE).collect();
        let operations = [Operation::Install, Operation::Upgrade, Operation::Delete];
        let name = |operation: Operation, at: usize| {
            format!("{}-{}-{at}-", self.shard.name, format!("{operation:?}").to_lowercase()) + "x"
        };
        for operation in &operations[1..] {
            for at in &points {
                self.shard.package(&name(*operation, *at), "plain", "1.0.0", "word: x", "");
            }
        }
        for operation in &operations[1..] {
            for at in &points {
                self.shard.installed(&name(*operation, *at), "1.0.0");
            }
        }
        let tried = operations.iter().flat_map(|operation| points.iter().map(move |at| (*operation, *at)));
        tried.filter(|(operation, at)| self.try_point(*operation, &name(*operation, *at), *at)).count()
    }

    /// Kills the controller at the n-th request of an operation, starts another one, and checks the result. Returns whether
    /// the operation took that many requests.
    fn try_point(&self, operation: Operation, name: &str, at: usize) -> bool {
        let shard = &self.shard;
        shard.proxy.kill_at(self.running.borrow().0.id(), at, name);
        match operation {
            Operation::Install => shard.package(name, "plain", "1.0.0", "word: x", ""),
            Operation::Upgrade => shard.change(name, &serde_json::json!({ "packageVersion": "2.0.0" })),
            Operation::Delete => shard.delete(name),
        }
        let done = || match operation {
            Operation::Install => shard.found(name).is_some_and(|package| is_installed(&package, "1.0.0")),
            Operation::Upgrade => shard.found(name).is_some_and(|package| is_installed(&package, "2.0.0")),
            Operation::Delete => shard.found(name).is_none(),
        };
        wait("the kill, or the end", MINUTE, || (shard.proxy.has_killed() || done()).then_some(()));
        let reached = shard.proxy.has_killed();
        shard.proxy.cancel();
        if reached {
            let _ = self.running.borrow_mut().0.wait();
            shard.delete_lease();
            *self.running.borrow_mut() = shard.start();
        }
        match operation {
            Operation::Install => drop(shard.installed(name, "1.0.0")),
            Operation::Upgrade => drop(shard.installed(name, "2.0.0")),
            Operation::Delete => shard.gone(name),
        }
        check(shard, operation, name, &format!("killed at request {at}"));
        reached
    }
}

/// Checks that there is one revision for each change, and exactly the objects of the chart.
fn check(shard: &Shard, operation: Operation, name: &str, when: &str) {
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
    let wanted: BTreeSet<String> = match operation {
        Operation::Install => [name.to_owned(), old].into(),
        Operation::Upgrade => [name.to_owned()].into(),
        Operation::Delete => BTreeSet::new(),
    };
    assert_eq!(objects, wanted, "{operation:?} of {name} {when}");
    let revisions = shard.revisions(name);
    let wanted: &[&str] = match operation {
        Operation::Install => &["\"1\" \"deployed\""],
        Operation::Upgrade => &["\"1\" \"superseded\"", "\"2\" \"deployed\""],
        Operation::Delete => &[],
    };
    assert_eq!(revisions, wanted, "{operation:?} of {name} {when}");
}

#[test]
fn a_package_that_never_becomes_ready_is_given_up_rolled_back_and_delays_no_other() {
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
    println!("the other took {:.1} s while 11 are stuck", begun.elapsed().as_secs_f64());

    let failed = |package: &serde_json::Value| {
        let conditions = package["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "Failed" && one["status"] == "True")
    };
    let package = shard.until("stuck-base", MINUTE, failed);
    let detail = package["status"]["detail"].as_str().unwrap();
    assert!(detail.contains("not ready after 6 s: Deployment at-stuck-base/stuck-base"), "{detail}");
    // The pod is gone, so the detail must contain its last warning.
    assert!(detail.starts_with("given up: ") && detail.contains("FailedScheduling: "), "{detail}");
    let settings = site.get(&["configmap", "stuck-base", "-n", "at-stuck-base"]).unwrap();
    assert_eq!(settings["data"]["word"], "good", "the previous version was not restored");
    let events = shard.events("stuck-base");
    // There may be a `Waiting` event first, until the controller has the bundle.
    let reasons = events.iter().map(|(reason, _)| reason.as_str()).filter(|reason| *reason != "Waiting");
    let reasons: Vec<_> = reasons.collect();
    assert_eq!(
        reasons,
        ["Installing", "Installed", "Upgrading", "UpgradeFailed", "RolledBack"],
        "{events:#?}"
    );
    for number in 0..10 {
        let name = format!("stuck-{number}");
        shard.until(&name, MINUTE, failed);
        assert!(
            site.get(&["deployment", &name, "-n", &format!("at-{name}")]).is_none(),
            "it was not removed"
        );
    }
    // The annotation `airlock.dev/retry` causes exactly one more attempt.
    let when = |package: &serde_json::Value| {
        let conditions = package["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let failed = conditions.into_iter().find(|one| one["type"] == "Failed" && one["status"] == "True");
        failed.map(|one| one["lastTransitionTime"].clone())
    };
    let first = when(&shard.found("stuck-0").unwrap());
    let name = "packages.packages.eks.amazonaws.com/stuck-0";
    site.kubectl(&["annotate", "-n", &shard.namespace(), name, "airlock.dev/retry=now"]);
    let noted = |package: &serde_json::Value| {
        let noted = package["metadata"]["annotations"]["airlock.dev/given-up"].as_str();
        noted.is_some_and(|noted| noted.contains(r#""retry":"now""#))
    };
    let again = shard.until("stuck-0", MINUTE, |package| failed(package) && noted(package));
    assert!(when(&again) != first, "{again:#}");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(when(&shard.found("stuck-0").unwrap()), when(&again), "it was retried again");
    // A corrected package is installed immediately.
    shard.package("stuck-base", "base", "1.0.0", "word: mended", "airlock.dev/timeout: 6s");
    shard.installed("stuck-base", "1.0.0");
}

#[test]
fn without_a_registry_installed_packages_are_maintained_and_new_ones_wait() {
    let Some(site) = site() else { return };
    let mut shard = Shard::new(&site, "alone", "v1-36-2");
    shard.more = vec!["--drift-interval".to_owned(), "2s".to_owned()];
    let controller = shard.start();
    shard.package("alone-plain", "plain", "1.0.0", "word: x", "");
    shard.installed("alone-plain", "1.0.0");
    drop(controller);
    shard.delete_lease();
    // An address without a listener, as if the registry were down.
    let unused = crate::rig::free_port();
    shard.registry = format!("127.0.0.1:{unused}");
    let controller = shard.start();
    wait("the state", MINUTE, || {
        let settings = site.get(&["packagebundlecontrollers", "alone", "-n", "eksa-packages"])?;
        (settings["status"]["state"] == "disconnected").then_some(())
    });
    let events = ["events", "-n", "eksa-packages", "--field-selector", "involvedObject.name=alone"];
    wait("the event", MINUTE, || {
        let found = site.get(&events)?;
        found["items"].as_array()?.iter().any(|event| event["reason"] == "Disconnected").then_some(())
    });
    assert!(shard.found("alone-plain").unwrap()["status"]["state"] == "installed");
    shard.package("alone-base", "base", "1.0.0", "word: x", "");
    shard.until("alone-base", MINUTE, |package| {
        package["status"]["detail"].as_str().is_some_and(|detail| detail.contains("cannot pull the chart"))
    });
    shard.delete("alone-plain");
    shard.gone("alone-plain");
    drop(controller);
    shard.delete_lease();
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
    println!("the second replica took over and had installed after {:.1} s", taken.as_secs_f64());
    assert!(taken < Duration::from_secs(20), "{taken:?}");
}

#[test]
fn changed_and_deleted_objects_are_restored_or_reported() {
    let Some(site) = site() else { return };
    let mut shard = Shard::new(&site, "drift", "v1-36-2");
    shard.more = vec!["--drift-interval".to_owned(), "2s".to_owned()];
    let _controller = shard.start();
    shard.package("drift-plain", "plain", "1.0.0", "word: x", "");
    shard.package("drift-reported", "plain", "1.0.0", "word: x", "airlock.dev/drift: tell");
    for name in ["drift-plain", "drift-reported"] {
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
    let drifted = shard.until("drift-reported", MINUTE, |package| {
        let conditions = package["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().any(|one| one["type"] == "Drifted" && one["status"] == "True")
    });
    assert_eq!(word("drift-reported").unwrap(), "changed", "{drifted:#}");
    let events = shard.events("drift-reported");
    assert!(
        events.iter().any(|(reason, note)| reason == "Drifted"
            && note.contains("ConfigMap at-drift-reported/drift-reported-old was deleted")),
        "{events:#?}"
    );
    assert!(shard.events("drift-plain").iter().any(|(reason, _)| reason == "DriftRepaired"));
}

#[test]
fn work_continues_after_a_restart_of_the_api_server() {
    if !crate::rig::possible(false) {
        return;
    }
    // A separate cluster, because this would disturb other tests.
    let site = std::sync::Arc::new(super::Site::start());
    let shard = Shard::new(&site, "again", "v1-36-2");
    let _controller = shard.start();
    for number in 0..6 {
        shard.package(&format!("again-{number}"), "base", "1.0.0", "word: x", "");
    }
    std::thread::sleep(Duration::from_millis(700));
    {
        let mut cluster = site.cluster.lock().unwrap();
        cluster.kill("kube-apiserver");
        std::thread::sleep(Duration::from_secs(3));
        cluster.api_server();
    }
    for number in 0..6 {
        let name = format!("again-{number}");
        shard.installed(&name, "1.0.0");
        assert_eq!(shard.revisions(&name), ["\"1\" \"deployed\""], "{name}");
    }
}

#[test]
fn packages_of_a_workload_cluster_are_installed_with_its_kubeconfig() {
    let Some(site) = site() else { return };
    let mut shard = Shard::new(&site, "billy", "v1-36-2");
    shard.as_workload = true;
    let _controller = shard.start();
    shard.package("far-plain", "plain", "1.0.0", "word: x", "");
    let waiting = shard.until("far-plain", MINUTE, |package| {
        let detail = package["status"]["detail"].as_str().unwrap_or_default();
        detail.contains("getting kubeconfig for cluster \"billy\": secrets \"billy-kubeconfig\" not found")
            || detail.contains("packagebundles")
    });
    assert!(waiting["status"]["state"] != "installed");
    // The workload cluster is the same cluster.
    let config = std::fs::read_to_string(site.cluster.lock().unwrap().kubeconfig()).unwrap();
    let file = site.folder.path().join("billy-value");
    std::fs::write(&file, config).unwrap();
    site.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: eksa-system}\n");
    let from = format!("--from-file=value={}", file.display());
    site.kubectl(&["create", "secret", "generic", "billy-kubeconfig", "-n", "eksa-system", &from]);
    shard.installed("far-plain", "1.0.0");
    shard.delete("far-plain");
    shard.gone("far-plain");
    assert!(shard.revisions("far-plain").is_empty());
}

//! What goes wrong, and that it comes right.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};

use super::{MINUTE, Shard, is_installed, site};
use crate::rig::{Running, wait};

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

/// One controller after the other, each to be killed.
struct Killer {
    shard: Shard,
    running: RefCell<Running>,
}

impl Killer {
    fn new(shard: Shard) -> Self {
        let running = RefCell::new(shard.start());
        Self { shard, running }
    }

    /// Every `AT_ONCE`-th point of each deed; says how many were reached.
    fn tries(&self, worker: usize) -> usize {
        let points: Vec<_> = (1..=POINTS).skip(worker).step_by(AT_ONCE).collect();
        let deeds = [Deed::Install, Deed::Upgrade, Deed::Delete];
        let name = |deed: Deed, at: usize| {
            format!("{}-{}-{at}-", self.shard.name, format!("{deed:?}").to_lowercase()) + "x"
        };
        for deed in &deeds[1..] {
            for at in &points {
                self.shard.package(&name(*deed, *at), "plain", "1.0.0", "word: x", "");
            }
        }
        for deed in &deeds[1..] {
            for at in &points {
                self.shard.installed(&name(*deed, *at), "1.0.0");
            }
        }
        let tried = deeds.iter().flat_map(|deed| points.iter().map(move |at| (*deed, *at)));
        tried.filter(|(deed, at)| self.try_point(*deed, &name(*deed, *at), *at)).count()
    }

    /// Kills the controller at its n-th request of a deed, starts another, and looks at what is there when all is
    /// done. Says whether there were so many requests.
    fn try_point(&self, deed: Deed, name: &str, at: usize) -> bool {
        let shard = &self.shard;
        shard.between.ends(self.running.borrow().0.id(), at, name);
        match deed {
            Deed::Install => shard.package(name, "plain", "1.0.0", "word: x", ""),
            Deed::Upgrade => shard.change(name, &serde_json::json!({ "packageVersion": "2.0.0" })),
            Deed::Delete => shard.delete(name),
        }
        let done = || match deed {
            Deed::Install => shard.found(name).is_some_and(|package| is_installed(&package, "1.0.0")),
            Deed::Upgrade => shard.found(name).is_some_and(|package| is_installed(&package, "2.0.0")),
            Deed::Delete => shard.found(name).is_none(),
        };
        wait("the kill, or the end", MINUTE, || (shard.between.has_ended() || done()).then_some(()));
        let reached = shard.between.has_ended();
        shard.between.spares();
        if reached {
            let _ = self.running.borrow_mut().0.wait();
            shard.forget_lease();
            *self.running.borrow_mut() = shard.start();
        }
        match deed {
            Deed::Install => drop(shard.installed(name, "1.0.0")),
            Deed::Upgrade => drop(shard.installed(name, "2.0.0")),
            Deed::Delete => shard.gone(name),
        }
        check(shard, deed, name, &format!("killed at request {at}"));
        reached
    }
}

/// One revision for each change, no object that the chart does not have, none missing.
fn check(shard: &Shard, deed: Deed, name: &str, when: &str) {
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
    assert_eq!(objects, wanted, "{deed:?} of {name} {when}");
    let revisions = shard.revisions(name);
    let wanted: &[&str] = match deed {
        Deed::Install => &["\"1\" \"deployed\""],
        Deed::Upgrade => &["\"1\" \"superseded\"", "\"2\" \"deployed\""],
        Deed::Delete => &[],
    };
    assert_eq!(revisions, wanted, "{deed:?} of {name} {when}");
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
    // The evidence is gone with the pod, so it is told.
    assert!(detail.starts_with("given up: ") && detail.contains("FailedScheduling: "), "{detail}");
    let settings = site.get(&["configmap", "stuck-base", "-n", "at-stuck-base"]).unwrap();
    assert_eq!(settings["data"]["word"], "good", "what was there before is there again");
    let told = shard.events("stuck-base");
    // First for the bundle, which the controller gets from the registry, perhaps.
    let reasons = told.iter().map(|(reason, _)| reason.as_str()).filter(|reason| *reason != "Waiting");
    let reasons: Vec<_> = reasons.collect();
    assert_eq!(reasons, ["Installing", "Installed", "Upgrading", "UpgradeFailed", "RolledBack"], "{told:#?}");
    for number in 0..10 {
        let name = format!("stuck-{number}");
        shard.until(&name, MINUTE, failed);
        assert!(site.get(&["deployment", &name, "-n", &format!("at-{name}")]).is_none(), "it was taken away");
    }
    // Who asks for another try gets one, and no more than that.
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
    assert_eq!(when(&shard.found("stuck-0").unwrap()), when(&again), "it rests again");
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

#[test]
fn an_api_server_that_goes_and_comes_back_is_gone_on_with() {
    if !crate::rig::possible(false) {
        return;
    }
    // A cluster of its own, because others would not like it.
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
fn a_slow_etcd_leaves_neither_orphans_nor_two_installations() {
    if !crate::rig::possible(false) {
        return;
    }
    // A cluster of its own, because others would not like it.
    let site = std::sync::Arc::new(super::Site::start());
    let shard = Shard::new(&site, "slow", "v1-36-2");
    let etcd = {
        let mut cluster = site.cluster.lock().unwrap();
        // It tells who waits longer that there is no answer, and the write may come to pass all the same.
        cluster.patience = Some("5s");
        cluster.kill("kube-apiserver");
        cluster.api_server();
        cluster.process("etcd")
    };
    // Two, so that each may think that it leads.
    let _replicas = [shard.start(), shard.controller("b", crate::rig::free_port())];
    shard.package("slow-first", "plain", "1.0.0", "word: x", "");
    shard.installed("slow-first", "1.0.0");
    let begun = Instant::now();
    let names: Vec<_> = (0..6).map(|number| format!("slow-{number}")).collect();
    let mut stood = Duration::ZERO;
    for (deed, version) in [(Deed::Install, "1.0.0"), (Deed::Upgrade, "2.0.0"), (Deed::Delete, "")] {
        stood += while_slow(etcd, || {
            for name in &names {
                wait("the API server", 2 * MINUTE, || asks(&shard, deed, name).then_some(()));
            }
            for name in &names {
                let done = || match (shard.looked(name).ok()?, deed) {
                    (package, Deed::Delete) => package.is_none().then_some(()),
                    (package, _) => is_installed(&package?, version).then_some(()),
                };
                wait(&format!("{deed:?} of {name}"), 3 * MINUTE, done);
            }
        });
        for name in &names {
            check(&shard, deed, name, "while etcd was slow");
        }
    }
    let led = site.get(&["lease", "airlock-controller", "-n", "airlock-slow"]).unwrap();
    println!(
        "etcd stood still for {:.0} s of {:.0}; the lease changed hands {} times",
        stood.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        led["spec"]["leaseTransitions"]
    );
}

/// Says that a thing is over when it ends, in whatever way.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Does some work while etcd stands still for 3 s of every 5, and now and then for longer than a lease holds and than
/// the API server waits. Says for how long it stood.
fn while_slow(etcd: u32, work: impl FnOnce()) -> Duration {
    let over = AtomicBool::new(false);
    let halts = || {
        let mut stood = Duration::ZERO;
        std::thread::sleep(Duration::from_secs(1));
        for seconds in [12, 3, 3].into_iter().cycle() {
            crate::rig::halt(etcd, true);
            std::thread::sleep(Duration::from_secs(seconds));
            crate::rig::halt(etcd, false);
            stood += Duration::from_secs(seconds);
            std::thread::sleep(Duration::from_secs(2));
            if over.load(Ordering::SeqCst) {
                break;
            }
        }
        stood
    };
    std::thread::scope(|scope| {
        let halts = scope.spawn(halts);
        let end = Over(&over);
        work();
        drop(end);
        halts.join().unwrap()
    })
}

/// Asks the API server for a deed; whether it is asked for now.
fn asks(shard: &Shard, deed: Deed, name: &str) -> bool {
    let api = shard.site.packages(&shard.namespace());
    let spec = package_api::PackageSpec {
        package_name: "base".to_owned(),
        package_version: Some("1.0.0".to_owned()),
        target_namespace: Some(format!("at-{name}")),
        config: None,
    };
    let patch = Patch::Merge(serde_json::json!({ "spec": { "packageVersion": "2.0.0" } }));
    let answer = shard.site.runtime.block_on(async {
        match deed {
            Deed::Install => {
                api.create(&PostParams::default(), &package_api::Package::new(name, spec)).await.map(drop)
            }
            Deed::Upgrade => api.patch(name, &PatchParams::default(), &patch).await.map(drop),
            Deed::Delete => api.delete(name, &DeleteParams::default()).await.map(drop),
        }
    });
    match answer {
        Ok(()) => true,
        Err(kube::Error::Api(status)) => match deed {
            Deed::Install => status.is_already_exists(),
            Deed::Upgrade => false,
            Deed::Delete => status.is_not_found(),
        },
        Err(_) => false,
    }
}

#[test]
fn packages_of_another_cluster_go_where_its_kubeconfig_leads() {
    let Some(site) = site() else { return };
    let mut shard = Shard::new(&site, "billy", "v1-36-2");
    shard.as_workload = true;
    let _controller = shard.start();
    shard.package("far-plain", "plain", "1.0.0", "word: x", "");
    let told = shard.until("far-plain", MINUTE, |package| {
        let detail = package["status"]["detail"].as_str().unwrap_or_default();
        detail.contains("getting kubeconfig for cluster \"billy\": secrets \"billy-kubeconfig\" not found")
            || detail.contains("packagebundles")
    });
    assert!(told["status"]["state"] != "installed");
    // The other cluster is this one, under another user's name.
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

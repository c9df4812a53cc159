//! Replicas while etcd is slow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};

use super::{Operation, check};
use crate::controller::{MINUTE, Shard, Site, is_installed};
use crate::rig::wait;

#[test]
fn a_slow_etcd_leaves_neither_orphans_nor_two_installations() {
    if !crate::rig::possible(false) {
        return;
    }
    // A separate cluster, because this would disturb other tests.
    let site = std::sync::Arc::new(Site::start());
    let shard = Shard::new(&site, "slow", "v1-36-2");
    let etcd = {
        let mut cluster = site.cluster.lock().unwrap();
        // After this time, the API server returns an error, although the write may still take effect.
        cluster.request_timeout = Some("5s");
        cluster.kill("kube-apiserver");
        cluster.api_server();
        cluster.process("etcd")
    };
    // Two replicas, each of which may believe that it is the leader.
    let _replicas = [shard.start(), shard.controller("b", crate::rig::free_port())];
    shard.package("slow-first", "plain", "1.0.0", "word: x", "");
    shard.installed("slow-first", "1.0.0");
    let begun = Instant::now();
    let names: Vec<_> = (0..6).map(|number| format!("slow-{number}")).collect();
    let mut paused = Duration::ZERO;
    for (operation, version) in
        [(Operation::Install, "1.0.0"), (Operation::Upgrade, "2.0.0"), (Operation::Delete, "")]
    {
        paused += while_slow(etcd, || {
            for name in &names {
                wait("the API server", 2 * MINUTE, || request(&shard, operation, name).then_some(()));
            }
            for name in &names {
                let done = || match (shard.find(name).ok()?, operation) {
                    (package, Operation::Delete) => package.is_none().then_some(()),
                    (package, _) => is_installed(&package?, version).then_some(()),
                };
                wait(&format!("{operation:?} of {name}"), 3 * MINUTE, done);
            }
        });
        for name in &names {
            check(&shard, operation, name, "while etcd was slow");
        }
    }
    let lease = site.get(&["lease", "airlock-controller", "-n", "airlock-slow"]).unwrap();
    println!(
        "etcd was paused for {:.0} s of {:.0}; the lease changed hands {} times",
        paused.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        lease["spec"]["leaseTransitions"]
    );
}

/// Sets a flag on drop.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs `work` while etcd is paused for 3 s of every 5 s, and sometimes for longer than the lease and the API server's
/// timeout last. Returns the total time of the pauses.
fn while_slow(etcd: u32, work: impl FnOnce()) -> Duration {
    let over = AtomicBool::new(false);
    let pauses = || {
        let mut paused = Duration::ZERO;
        std::thread::sleep(Duration::from_secs(1));
        for seconds in [12, 3, 3].into_iter().cycle() {
            crate::rig::pause(etcd, true);
            std::thread::sleep(Duration::from_secs(seconds));
            crate::rig::pause(etcd, false);
            paused += Duration::from_secs(seconds);
            std::thread::sleep(Duration::from_secs(2));
            if over.load(Ordering::SeqCst) {
                break;
            }
        }
        paused
    };
    std::thread::scope(|scope| {
        let pauses = scope.spawn(pauses);
        let end = Over(&over);
        work();
        drop(end);
        pauses.join().unwrap()
    })
}

/// Requests an operation from the API server; returns whether it was accepted, now or before.
fn request(shard: &Shard, operation: Operation, name: &str) -> bool {
    let api = shard.site.packages(&shard.namespace());
    let spec = package_api::PackageSpec {
        package_name: "base".to_owned(),
        package_version: Some("1.0.0".to_owned()),
        target_namespace: Some(format!("at-{name}")),
        config: None,
    };
    let patch = Patch::Merge(serde_json::json!({ "spec": { "packageVersion": "2.0.0" } }));
    let result = shard.site.runtime.block_on(async {
        match operation {
            Operation::Install => {
                api.create(&PostParams::default(), &package_api::Package::new(name, spec)).await.map(drop)
            }
            Operation::Upgrade => api.patch(name, &PatchParams::default(), &patch).await.map(drop),
            Operation::Delete => api.delete(name, &DeleteParams::default()).await.map(drop),
        }
    });
    match result {
        Ok(()) => true,
        Err(kube::Error::Api(status)) => match operation {
            Operation::Install => status.is_already_exists(),
            Operation::Upgrade => false,
            Operation::Delete => status.is_not_found(),
        },
        Err(_) => false,
    }
}

//! Five hundred packages, and what they cost.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Shard, site};

/// Packages in all, and namespaces that they go to.
const PACKAGES: usize = 500;
const NAMESPACES: usize = 20;
/// The most that the process may have in memory.
const RSS_MIB: u64 = 150;
/// The most requests that one installation of a chart of two objects may take.
const REQUESTS: usize = 40;

#[test]
fn five_hundred_packages_take_little_memory_and_few_requests() {
    let Some(site) = site() else { return };
    let shard = Shard::new(&site, "many", "v1-36-2");
    let controller = shard.start();
    let process = controller.0.id();
    shard.package("first", "plain", "1.0.0", "word: x", "");
    shard.installed("first", "1.0.0");
    shard.between.take();
    let begun = Instant::now();
    let api = site.packages(&shard.namespace());
    site.runtime.block_on(async {
        for number in 0..PACKAGES {
            let spec = package_api::PackageSpec {
                package_name: "plain".to_owned(),
                package_version: Some("1.0.0".to_owned()),
                target_namespace: Some(format!("many-{}", number % NAMESPACES)),
                config: None,
            };
            let package = package_api::Package::new(&format!("many-{number}"), spec);
            api.create(&kube::api::PostParams::default(), &package).await.unwrap();
        }
    });
    let mut most = 0;
    loop {
        most = most.max(memory(process));
        let found = site.runtime.block_on(api.list(&kube::api::ListParams::default())).unwrap();
        let installed = found.iter().filter(|package| {
            let state = package.status.as_ref().and_then(|status| status.state);
            state == Some(package_api::PackageState::Installed)
        });
        if installed.count() == PACKAGES + 1 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(5), "{:?}", shard.between.take());
        std::thread::sleep(Duration::from_millis(500));
    }
    let took = begun.elapsed().as_secs_f64();
    let requests = shard.between.take();
    let each = requests.values().sum::<usize>().div_ceil(PACKAGES);
    println!("{PACKAGES} packages in {took:.0} s, {most} MiB at most, {each} requests each: {requests:?}");
    std::thread::sleep(Duration::from_secs(10));
    let calm = shard.between.take();
    println!("10 s of rest: {calm:?}");
    assert!(most < RSS_MIB, "{most} MiB");
    assert!(each < REQUESTS, "{each} requests for each package");
    let writes: BTreeMap<_, _> =
        calm.iter().filter(|(kind, _)| !kind.starts_with("GET") && !kind.contains("leases")).collect();
    assert!(writes.is_empty(), "who is calm writes nothing: {}", json!(calm));
}

/// What a process has in memory, in MiB.
fn memory(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

//! The memory and the number of requests for five hundred packages of twenty clusters.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::api::{ListParams, PostParams};
use serde_json::json;

use super::{MINUTE, Shard, Site, site};
use crate::api_proxy::ApiProxy;
use crate::rig::wait;

/// The total number of packages, and of clusters, each with a namespace for packages and a kubeconfig.
const PACKAGES: usize = 500;
const CLUSTERS: usize = 20;
/// The label of the objects of all these clusters.
const LABEL: &str = "many";
/// The maximum resident memory of the process.
const RSS_MIB: u64 = 150;
/// The maximum number of requests for the installation of a chart with two objects.
const REQUESTS: usize = 40;

#[test]
fn five_hundred_packages_take_little_memory_and_few_requests() {
    let Some(site) = site() else { return };
    let mut shard = Shard::new(&site, "many", "v1-36-2");
    shard.proxy = ApiProxy::labelled(site.upstream, LABEL);
    let own = ["packagebundlecontrollers", "many", "-n", "eksa-packages", "many=yes"];
    site.kubectl(&[&["label"], &own[..]].concat());
    clusters(&shard);
    let controller = shard.start();
    let process = controller.0.id();
    wait("all clusters", MINUTE, || are_active(&site).then_some(()));
    println!("{CLUSTERS} clusters without packages: {} MiB", memory(process));
    shard.proxy.take();
    let begun = Instant::now();
    site.runtime.block_on(async {
        for number in 0..PACKAGES {
            let spec = package_api::PackageSpec {
                package_name: "plain".to_owned(),
                package_version: Some("1.0.0".to_owned()),
                target_namespace: Some(format!("many-{}", number % CLUSTERS)),
                config: None,
            };
            let mut package = package_api::Package::new(&format!("many-{number}"), spec);
            package.metadata.labels = Some(BTreeMap::from([(LABEL.to_owned(), "yes".to_owned())]));
            let api = site.packages(&format!("eksa-packages-many-{}", number % CLUSTERS));
            api.create(&PostParams::default(), &package).await.unwrap();
        }
    });
    let api = kube::Api::<package_api::Package>::all(site.kube.clone());
    let mut most = 0;
    loop {
        most = most.max(memory(process));
        let found = site.runtime.block_on(api.list(&ListParams::default().labels(LABEL))).unwrap();
        let installed = found.iter().filter(|package| {
            let state = package.status.as_ref().and_then(|status| status.state);
            state == Some(package_api::PackageState::Installed)
        });
        if installed.count() == PACKAGES {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(5), "{:?}", shard.proxy.take());
        std::thread::sleep(Duration::from_millis(500));
    }
    let took = begun.elapsed().as_secs_f64();
    let requests = shard.proxy.take();
    let each = requests.values().sum::<usize>() / PACKAGES;
    println!(
        "{PACKAGES} packages of {CLUSTERS} clusters in {took:.0} s, peak {most} MiB, {each} requests for each: {requests:?}"
    );
    std::thread::sleep(Duration::from_secs(10));
    let calm = shard.proxy.take();
    println!("10 s without changes: {calm:?}");
    assert!(most < RSS_MIB, "{most} MiB");
    assert!(each < REQUESTS, "{each} requests for each package");
    let writes: BTreeMap<_, _> =
        calm.iter().filter(|(kind, _)| !kind.starts_with("GET") && !kind.contains("leases")).collect();
    assert!(writes.is_empty(), "writes without a change: {}", json!(calm));
}

/// Whether the bundles of all clusters are active.
fn are_active(site: &Site) -> bool {
    let own = ["packagebundlecontrollers", "-n", "eksa-packages", "-l", LABEL];
    let found = site.get(&own).unwrap();
    let items = found["items"].as_array().unwrap().iter();
    items.filter(|one| one["status"]["state"] == "active").count() == CLUSTERS + 1
}

/// Creates clusters, each with settings, a namespace and a kubeconfig. All of them are the same cluster, reached through
/// the same proxy, so that their requests are counted.
fn clusters(shard: &Shard) {
    let config = json!(shard.proxy.kubeconfig());
    let mut all = "apiVersion: v1\nkind: Namespace\nmetadata: {name: eksa-system}\n".to_owned();
    for name in (0..CLUSTERS).map(|number| format!("many-{number}")) {
        all += &format!(
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: eksa-packages-{name}}}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}-kubeconfig, namespace: eksa-system}}\nstringData: {{value: {config}}}\n---\n\
             apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: PackageBundleController\n\
             metadata: {{name: {name}, namespace: eksa-packages, labels: {{many: 'yes'}}}}\n\
             spec: {{defaultRegistry: '{}', defaultImageRegistry: disk.example, activeBundle: v1-36-2, createNamespace: true}}\n",
            shard.site.registry
        );
    }
    shard.site.apply(&all);
}

/// The resident memory of a process, in MiB.
fn memory(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

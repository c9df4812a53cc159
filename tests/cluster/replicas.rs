//! Two replicas as real pods: no admission fails while replicas are replaced; and the effect of a killed replica.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::install::Site;
use crate::rig::{Cluster, wait};

const MINUTE: Duration = Duration::from_mins(1);
const DEPLOYMENT: &str = "deployment/airlock-controller";
/// The number of concurrent clients.
const CLIENTS: usize = 4;
/// Arguments that identify the two containers of a pod.
const WEBHOOKS: &str = "--only=webhooks";
const PACKAGES: &str = "--only=packages";

/// Requests to admit pods, sent by several clients.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    requests: AtomicUsize,
    failed: Mutex<Vec<(Instant, String)>>,
}

impl Load {
    /// Asks the API server to admit pods until `stop` is set. Requests go through kubectl's proxy on a socket, because the
    /// cluster is in another network namespace.
    fn run(&self, socket: &Path, client: usize) {
        while !self.stop.load(Ordering::SeqCst) {
            let number = self.requests.fetch_add(1, Ordering::SeqCst);
            if let Err(said) = admitted(socket, &format!("load-{client}-{number}")) {
                self.failed.lock().unwrap().push((Instant::now(), said));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the number of requests since the last call, and those that failed, with the seconds since `begun`.
    fn take(&self, begun: Instant) -> (usize, Vec<(f64, String)>) {
        let failed = std::mem::take(&mut *self.failed.lock().unwrap());
        let since = |at: Instant| at.saturating_duration_since(begun).as_secs_f64();
        (
            self.requests.swap(0, Ordering::SeqCst),
            failed.into_iter().map(|(at, said)| (since(at), said)).collect(),
        )
    }
}

/// Asks for a pod; the error is the API server's message.
fn admitted(socket: &Path, name: &str) -> Result<(), String> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "containers": [{"name": "main", "image": "registry.example/load:1"}]}});
    let body = pod.to_string();
    let mut stream = UnixStream::connect(socket).map_err(|error| error.to_string())?;
    let head =
        "POST /api/v1/namespaces/default/pods?dryRun=All HTTP/1.1\r\nHost: localhost\r\nConnection: close";
    let request =
        format!("{head}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut response = String::new();
    let sent = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut response));
    sent.map_err(|error| error.to_string())?;
    if response.starts_with("HTTP/1.1 201") {
        return Ok(());
    }
    let said = response.split("\"message\":\"").nth(1).and_then(|rest| rest.split("\",\"").next());
    Err(said.unwrap_or(&response).to_owned())
}

fn leader(cluster: &Cluster) -> String {
    let lease = cluster.get(&["lease", "airlock-controller", "-n", "eksa-packages"]);
    lease.map_or(String::new(), |lease| {
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    })
}

/// Kills a container process of a pod.
fn kill(pod: &str, part: &str) {
    let has = |process: &Path, file: &str, word: &str| {
        let bytes = std::fs::read(process.join(file)).unwrap_or_default();
        bytes.split(|byte| *byte == 0).any(|found| found == word.as_bytes())
    };
    let named = format!("POD_NAME={pod}");
    let is_it = |process: &Path| has(process, "cmdline", part) && has(process, "environ", &named);
    let found = std::fs::read_dir("/proc").unwrap().flatten().find(|process| is_it(&process.path()));
    let process = found.unwrap_or_else(|| panic!("no process of {pod}")).file_name();
    let killed = std::process::Command::new("kill").arg("-9").arg(process).status().unwrap();
    assert!(killed.success());
}

/// The pods of the controller.
fn pods(cluster: &Cluster) -> Vec<String> {
    let own = ["pods", "-n", "eksa-packages", "-l", "app.kubernetes.io/component=controller"];
    let found = cluster.get(&own).unwrap();
    let pods = found["items"].as_array().unwrap().iter();
    pods.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn both_are_ready(cluster: &Cluster) {
    wait("both replicas", 2 * MINUTE, || {
        let found = cluster.get(&[DEPLOYMENT, "-n", "eksa-packages"])?;
        let status = &found["status"];
        (status["readyReplicas"] == 2 && status["replicas"] == 2 && status["updatedReplicas"] == 2)
            .then_some(())
    });
}

#[test]
fn pods_are_admitted_while_replicas_are_replaced_and_killed() {
    if !Site::possible() {
        return;
    }
    let mut site = Site::new();
    site.installs(&["--key", "release.key", "--bundle-key", "release.pub"]);
    let socket = site.path("load.sock");
    let word = format!("--unix-socket={}", socket.display());
    site.cluster.run_words("load", "kubectl", &["proxy", &word]);
    wait("a pod that is admitted", MINUTE, || admitted(&socket, "first").ok());
    let load = Load::default();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (load, socket) = (&load, &socket);
            scope.spawn(move || load.run(socket, client));
        }
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            replaced(&site.cluster, &load);
            leader_killed(&site.cluster, &load);
            webhooks_killed(&site.cluster, &load);
            all_killed(&site.cluster, &load, &socket);
        }));
        load.stop.store(true, Ordering::SeqCst);
        if let Err(panic) = tried {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A rolling update, and deleted pods: a terminating replica answers all its requests.
fn replaced(cluster: &Cluster, load: &Load) {
    load.take(Instant::now());
    let begun = Instant::now();
    cluster.kubectl(&["rollout", "restart", DEPLOYMENT, "-n", "eksa-packages"]);
    cluster.kubectl(&["rollout", "status", DEPLOYMENT, "-n", "eksa-packages", "--timeout=120s"]);
    let pod = leader(cluster);
    let pod = pod.split('_').next().unwrap_or_default();
    cluster.tries(&["delete", "pod", pod, "-n", "eksa-packages"]);
    both_are_ready(cluster);
    wait("the replaced pods to end", MINUTE, || (pods(cluster).len() == 2).then_some(()));
    let (requests, failed) = load.take(begun);
    println!("{requests} pods admitted while replicas were replaced: {} failed", failed.len());
    assert!(requests > 200, "{requests}");
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The leader is killed, twice: another replica takes over in time, and no admission fails.
fn leader_killed(cluster: &Cluster, load: &Load) {
    for _ in 0..2 {
        both_are_ready(cluster);
        load.take(Instant::now());
        let before = wait("a leader", MINUTE, || Some(leader(cluster)).filter(|leader| !leader.is_empty()));
        let begun = Instant::now();
        kill(before.split('_').next().unwrap(), PACKAGES);
        wait("another leader", Duration::from_secs(20), || {
            (![String::new(), before.clone()].contains(&leader(cluster))).then_some(())
        });
        let taken = begun.elapsed().as_secs_f64();
        let (requests, failed) = load.take(begun);
        println!("the leader was killed: another led after {taken:.1} s; {}", summary(requests, &failed));
        assert!(requests > 100, "{requests}");
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

/// The webhooks of a replica are killed: requests that it was processing fail, and those sent to it before the API server
/// notices. The other replica answers all others.
fn webhooks_killed(cluster: &Cluster, load: &Load) {
    for pod in pods(cluster) {
        both_are_ready(cluster);
        load.take(Instant::now());
        let begun = Instant::now();
        kill(&pod, WEBHOOKS);
        std::thread::sleep(Duration::from_secs(4));
        both_are_ready(cluster);
        let (requests, failed) = load.take(begun);
        println!("a replica's webhooks were killed: {}", summary(requests, &failed));
        assert!(failed.iter().all(|(_, said)| said.contains("failed calling webhook")), "{failed:#?}");
        assert!(failed.iter().all(|(at, _)| *at < 5.0), "{failed:#?}");
    }
}

/// All replicas are killed: nothing is admitted until the kubelet has restarted them.
fn all_killed(cluster: &Cluster, load: &Load, socket: &Path) {
    both_are_ready(cluster);
    load.take(Instant::now());
    let begun = Instant::now();
    for pod in pods(cluster) {
        kill(&pod, WEBHOOKS);
        kill(&pod, PACKAGES);
    }
    let refused = wait("a refusal", Duration::from_secs(10), || admitted(socket, "closed").err());
    assert!(refused.contains("failed calling webhook"), "{refused}");
    assert!(
        refused.contains("airlock-webhook.eksa-packages.svc"),
        "the error does not name the service: {refused}"
    );
    wait("a pod that is admitted", 2 * MINUTE, || admitted(socket, "again").ok());
    let back = begun.elapsed();
    both_are_ready(cluster);
    let (requests, failed) = load.take(begun);
    println!(
        "both were killed: one answered after {:.1} s; {}",
        back.as_secs_f64(),
        summary(requests, &failed)
    );
}

/// A summary: the number of failures, by kind, and the time of the last of each kind.
fn summary(requests: usize, failed: &[(f64, String)]) -> String {
    if failed.is_empty() {
        return format!("none of {requests} failed");
    }
    let mut kinds = BTreeMap::<&str, (usize, f64)>::new();
    for (at, said) in failed {
        // Without addresses.
        let kind = said.rsplit(": ").next().unwrap_or(said);
        let entry = kinds.entry(kind).or_default();
        *entry = (entry.0 + 1, entry.1.max(*at));
    }
    let kinds: Vec<_> = kinds
        .iter()
        .map(|(kind, (count, last))| format!("{count} {kind:?}, the last after {last:.1} s"))
        .collect();
    format!("{} of {requests} failed: {}", failed.len(), kinds.join("; "))
}

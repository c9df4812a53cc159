//! The webhooks under load: many pods at once, and certificates that change meanwhile. Figures are printed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;

use super::{MINUTE, SIGNED, Site, alone, pod};
use crate::rig::wait;

const PODS: usize = 1000;

impl Site {
    /// The API server's own measure of a webhook: how many calls, and how many took at most so long.
    fn measured(&self, webhook: &str, most: &str) -> (u64, u64) {
        let text = self.cluster.kubectl(&["get", "--raw", "/metrics"]);
        let sum = |begin: &str, with: &str| -> u64 {
            let name = format!("name=\"{webhook}\"");
            let lines = text
                .lines()
                .filter(|line| line.starts_with(begin) && line.contains(&name) && line.contains(with));
            lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
        };
        let metric = "apiserver_admission_webhook_admission_duration_seconds";
        (sum(&format!("{metric}_count"), ""), sum(&format!("{metric}_bucket"), &format!("le=\"{most}\"")))
    }

    /// The share of answers of a webhook that took at most so long, by the controller's own measure.
    fn quick(&self, webhook: &str, most: &str) -> (u64, u64) {
        let labels = format!("webhook=\"{webhook}\"");
        (
            self.metric(&format!("airlock_webhook_seconds_count{{{labels}}}")),
            self.metric(&format!("airlock_webhook_seconds_bucket{{le=\"{most}\",{labels}}}")),
        )
    }
}

#[test]
fn a_thousand_pods_are_admitted_without_asking_the_registry() {
    let Some((_turn, site)) = alone() else { return };
    let space = site.judged("thousand");
    let image = format!("{SIGNED}@{}", site.digest(SIGNED));
    site.makes(&pod(&space, "first", &image));
    let asked = site.metric("airlock_webhook_registry_calls_total");
    let hits = || site.metric("airlock_webhook_verdicts_total{what=\"hit\"}");
    let (before, begun) = (hits(), Instant::now());
    let webhooks = ["mutate-images", "verify-images"];
    let name = |webhook: &str| format!("{webhook}.airlock.dev");
    let start =
        webhooks.map(|webhook| (site.measured(&name(webhook), "0.005"), site.quick(webhook, "0.005")));
    site.runtime.block_on(async {
        let pods = (0..PODS).map(|number| {
            let mut pod = pod(&space, &format!("p{number}"), &image);
            // Admission alone is measured: nobody is to schedule them meanwhile.
            pod["spec"]["schedulingGates"] = serde_json::json!([{"name": "test.example/never"}]);
            pod
        });
        let made = futures::stream::iter(pods).map(|pod| {
            let site = &site;
            async move { site.created(&pod, false).await.unwrap() }
        });
        assert_eq!(made.buffer_unordered(2).count().await, PODS);
    });
    println!("{PODS} pods admitted in {:.1} s", begun.elapsed().as_secs_f64());
    for (webhook, (seen, own)) in webhooks.into_iter().zip(start) {
        let ((calls, within), (answers, quick)) =
            (site.measured(&name(webhook), "0.005"), site.quick(webhook, "0.005"));
        let (calls, within) = (calls - seen.0, within - seen.1);
        let (answers, quick) = (answers - own.0, quick - own.1);
        println!(
            "{webhook}: {within} of {calls} calls within 5 ms as the API server measures, {quick} of {answers} as the webhook does"
        );
        assert!(calls >= PODS as u64 && answers >= PODS as u64);
        // Machines that test have other work; benchmarks hold the 99th in a hundred to it.
        assert!(quick * 2 >= answers, "half of the answers of {webhook} take more than 5 ms");
    }
    assert_eq!(site.metric("airlock_webhook_registry_calls_total"), asked);
    assert!(hits() - before >= PODS as u64);
}

#[test]
fn certificates_are_replaced_under_load_without_one_failed_admission() {
    let Some((_turn, site)) = alone() else { return };
    let space = site.judged("rotation");
    let image = format!("{SIGNED}@{}", site.digest(SIGNED));
    site.makes(&pod(&space, "first", &image));
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let switches = || site.metric("airlock_webhook_certificate_switches_total");
    let seen = switches();
    let before = site.authorities();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let number = made.fetch_add(1, Ordering::SeqCst);
                site.create(&pod(&space, &format!("p{number}"), &image), true).unwrap();
            }
        });
        let secret = [
            "annotate",
            "secret",
            "airlock-webhook-certificate",
            "-n",
            "eksa-packages",
            "airlock.dev/rotate=once",
        ];
        site.cluster.kubectl(&secret);
        let both = wait("both authorities", MINUTE, || Some(site.authorities()).filter(|now| *now != before));
        assert_eq!(switches(), seen, "a certificate is served before its authority is known");
        wait("the other certificate", MINUTE, || (switches() == seen + 1).then_some(()));
        wait("the new authority alone", MINUTE, || {
            Some(site.authorities()).filter(|now| *now != both && *now != before)
        });
        std::thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::SeqCst);
        load.join().unwrap();
    });
    println!("{} admissions while certificates were replaced: none failed", made.load(Ordering::SeqCst));
    assert!(made.load(Ordering::SeqCst) > 100);
}

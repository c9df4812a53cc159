//! The webhooks under load: many pods at once, and certificate rotation under load. The tests print measurements.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;

use super::{MINUTE, SIGNED, Site, alone, pod};
use crate::rig::wait;

const PODS: usize = 1000;
/// The default number of concurrent requests.
const AT_ONCE: &str = "2";
const WEBHOOKS: [&str; 2] = ["mutate-images", "verify-images"];

/// A histogram: the number of requests within each bound in seconds, and the sum of all durations.
#[derive(Clone, Default)]
struct Histogram {
    within: Vec<(f64, f64)>,
    seconds: f64,
}

impl Histogram {
    /// The sum of all series of this metric with this label.
    fn read(text: &str, metric: &str, label: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines().filter(|line| line.starts_with(metric) && line.contains(label)) {
            let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            if line.starts_with(&format!("{metric}_sum")) {
                found.seconds += value;
            }
            let Some((_, bound)) = line.split_once("le=\"") else { continue };
            let bound: f64 = bound.split('"').next().unwrap().replace('+', "").parse().unwrap();
            match found.within.iter_mut().find(|(other, _)| other.total_cmp(&bound).is_eq()) {
                Some((_, sum)) => *sum += value,
                None => found.within.push((bound, value)),
            }
        }
        found.within.sort_by(|one, other| one.0.total_cmp(&other.0));
        found
    }

    fn since(&self, before: &Self) -> Self {
        let earlier = |bound: f64| before.within.iter().find(|(other, _)| other.total_cmp(&bound).is_eq());
        let less = |(bound, sum): &(f64, f64)| (*bound, sum - earlier(*bound).map_or(0.0, |(_, sum)| *sum));
        let within = self.within.iter().map(less).collect();
        Self { within, seconds: self.seconds - before.seconds }
    }

    fn count(&self) -> f64 {
        self.within.last().map_or(0.0, |(_, sum)| *sum)
    }

    /// The time in ms within which this share of requests completed, interpolated within the bucket.
    fn quantile(&self, share: f64) -> f64 {
        let (rank, mut low) = (share * self.count(), (0.0, 0.0));
        for (bound, sum) in &self.within {
            if *sum >= rank {
                return 1e3 * (low.0 + (bound - low.0) * (rank - low.1) / (sum - low.1));
            }
            low = (*bound, *sum);
        }
        f64::NAN
    }

    fn summary(&self) -> String {
        let buckets: Vec<_> = self
            .within
            .iter()
            .filter(|(_, sum)| *sum > 0.0)
            .take_while(|(bound, _)| bound.is_finite())
            .map(|(bound, sum)| format!("{sum} <= {} ms", bound * 1e3))
            .take(4)
            .collect();
        format!(
            "{} calls, mean {:.2} ms, p50 {:.2} ms, p99 {:.2} ms ({})",
            self.count(),
            1e3 * self.seconds / self.count(),
            self.quantile(0.5),
            self.quantile(0.99),
            buckets.join(", ")
        )
    }
}

impl Site {
    /// For each webhook, the API server's histogram and the webhook's own.
    fn measured(&self) -> [(Histogram, Histogram); 2] {
        let theirs = self.cluster.kubectl(&["get", "--raw", "/metrics"]);
        let ours = self.probe("metrics").unwrap();
        WEBHOOKS.map(|webhook| {
            let metric = "apiserver_admission_webhook_admission_duration_seconds";
            (
                Histogram::read(&theirs, metric, &format!("name=\"{webhook}.airlock.dev\"")),
                Histogram::read(&ours, "airlock_webhook_seconds", &format!("webhook=\"{webhook}\"")),
            )
        })
    }

    /// Creates pods alternating between two namespaces; returns the sorted durations.
    async fn pods(&self, image: &str, spaces: [&str; 2]) -> [Vec<Duration>; 2] {
        let pods = (0..2 * PODS).map(|number| {
            let mut pod = pod(spaces[number % 2], &format!("p{number}"), image);
            // Only admission is measured: the pods must not be scheduled.
            pod["spec"]["schedulingGates"] = serde_json::json!([{"name": "test.example/never"}]);
            (number % 2, pod)
        });
        let made = futures::stream::iter(pods).map(|(space, pod)| async move {
            let begun = Instant::now();
            self.created(&pod, false).await.unwrap();
            (space, begun.elapsed())
        });
        let at_once = std::env::var("AIRLOCK_TEST_AT_ONCE").unwrap_or_else(|_| AT_ONCE.to_owned());
        let mut took = [Vec::new(), Vec::new()];
        made.buffer_unordered(at_once.parse().unwrap())
            .for_each(|(space, time)| {
                took[space].push(time);
                futures::future::ready(())
            })
            .await;
        took.each_mut().map(|times| {
            times.sort_unstable();
            std::mem::take(times)
        })
    }
}

#[test]
fn a_thousand_pods_are_admitted_without_asking_the_registry() {
    let Some((_turn, site)) = alone() else { return };
    let space = site.verified_namespace("thousand");
    let image = format!("{SIGNED}@{}", site.digest(SIGNED));
    site.makes(&pod(&space, "first", &image));
    if std::env::var_os("AIRLOCK_TEST_PROGRAM").is_some() {
        // For benchmarks: wait until the API server has finished its work after the start and after the CRDs were created.
        std::thread::sleep(Duration::from_secs(30));
        for number in 0..100 {
            site.create(&pod(&space, &format!("warm{number}"), &image), true).unwrap();
        }
    }
    let before_calls = site.metric("airlock_webhook_registry_calls_total");
    let hits = || site.metric("airlock_webhook_verdicts_total{what=\"hit\"}");
    let (before, begun, start) = (hits(), Instant::now(), site.measured());
    // No webhook is called for the same pods in kube-system: they are the baseline.
    let took = site.runtime.block_on(site.pods(&image, [&space, "kube-system"]));
    println!(
        "{PODS} pods admitted with review and {PODS} without, in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let at = |times: &[Duration], share: usize| times[times.len() * share / 100].as_secs_f64() * 1e3;
    for share in [50, 99] {
        let (reviewed, free) = (at(&took[0], share), at(&took[1], share));
        println!(
            "p{share} of a request: {reviewed:.2} ms, {free:.2} ms without review, {:+.2} ms",
            reviewed - free
        );
    }
    let (mut sums, now) = ([0.0; 3], site.measured());
    for ((webhook, before), now) in WEBHOOKS.iter().zip(&start).zip(&now) {
        let (theirs, ours) = (now.0.since(&before.0), now.1.since(&before.1));
        println!("{webhook}, measured by the API server: {}", theirs.summary());
        println!("{webhook}, measured by the webhook: {}", ours.summary());
        let mean = 1e3 * theirs.seconds / theirs.count();
        sums = [sums[0] + mean, sums[1] + theirs.quantile(0.5), sums[2] + theirs.quantile(0.99)];
        #[expect(clippy::cast_precision_loss, reason = "a thousand")]
        let pods = PODS as f64;
        assert!(theirs.count() >= pods && ours.count() >= pods);
        // Test machines are busy, so only the median is checked here; benchmarks check the 99th percentile.
        assert!(ours.quantile(0.5) <= 5.0, "the median of {webhook} is more than 5 ms");
    }
    println!("both: mean {:.2} ms, p50 {:.2} ms, p99 {:.2} ms", sums[0], sums[1], sums[2]);
    assert_eq!(site.metric("airlock_webhook_registry_calls_total"), before_calls);
    assert!(hits() - before >= PODS as u64);
}

#[test]
fn certificates_are_replaced_under_load_without_a_failed_admission() {
    let Some((_turn, site)) = alone() else { return };
    let space = site.verified_namespace("rotation");
    let image = format!("{SIGNED}@{}", site.digest(SIGNED));
    site.makes(&pod(&space, "first", &image));
    let (stop, made) = (AtomicBool::new(false), AtomicUsize::new(0));
    let switches = || site.metric("airlock_webhook_certificate_switches_total");
    let seen = switches();
    let before = site.ca_bundle();
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
        let both = wait("both CAs", MINUTE, || Some(site.ca_bundle()).filter(|now| *now != before));
        assert_eq!(switches(), seen, "the certificate was switched before its CA was published");
        wait("the other certificate", MINUTE, || (switches() == seen + 1).then_some(()));
        wait("the new CA alone", MINUTE, || {
            Some(site.ca_bundle()).filter(|now| *now != both && *now != before)
        });
        std::thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::SeqCst);
        load.join().unwrap();
    });
    println!("{} admissions while certificates were replaced: none failed", made.load(Ordering::SeqCst));
    assert!(made.load(Ordering::SeqCst) > 100);
}

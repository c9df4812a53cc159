//! A process is killed before each of its writes, and the next one completes its work.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use helm::Chart;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::plan::Install;
use crate::testing::{RECORDS, Store, World, chart, config, ended, job, limits, path_of, plan};

const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: web}\n";
const TTL_ZERO: &str = "ttlSecondsAfterFinished: 0, ";
/// More writes than any operation needs.
const MAX_WRITES: usize = 60;

/// Interrupts work before its write number `number`, as if the process were killed. Returns whether it was interrupted.
async fn killed<T>(world: &World, number: usize, work: impl Future<Output = T>) -> bool {
    let (count, dead) = (AtomicUsize::new(0), Arc::new(Notify::new()));
    let notify = Arc::clone(&dead);
    world.refuse(move |request| {
        let is_write = request.method != "GET" && !request.query.contains("dryRun");
        let before = count.fetch_add(usize::from(is_write), Ordering::Relaxed);
        (before + usize::from(is_write) > number).then(|| {
            notify.notify_one();
            (503, "killed".to_owned())
        })
    });
    let was_killed = tokio::select! {
        biased;
        () = dead.notified() => true,
        _ = work => false,
    };
    world.calm();
    was_killed
}

/// A reaction that completes every Job, and deletes it if its TTL is zero.
fn runs(object: &Value, store: &mut Store) {
    if object["kind"] != "Job" {
        return;
    }
    let last = ended(object, "Complete");
    if object["spec"]["ttlSecondsAfterFinished"] == 0 {
        store.end(&path_of(object), last);
    } else {
        store.put(&path_of(object), last);
    }
}

/// A chart with hooks at every event, with the same name in two namespaces, that are deleted or kept.
fn full_chart(version: &str) -> Arc<Chart> {
    let all =
        "pre-install,post-install,pre-upgrade,post-upgrade,pre-rollback,post-rollback,pre-delete,post-delete";
    let events = format!("'{all}'");
    let hooks = [
        job("migrate", "", &events, TTL_ZERO),
        job("migrate", "there", &events, ""),
        config("note", "", "x")
            .replace("{name: note", &format!("{{annotations: {{helm.sh/hook: {events}}}, name: note")),
    ];
    let config = config("c", "", version);
    let only = self::config(&format!("only-{}", version.replace('.', "-")), "", "x");
    let mut files: Vec<(String, &str)> = hooks
        .iter()
        .enumerate()
        .map(|(number, text)| (format!("templates/{number}.yaml"), text.as_str()))
        .collect();
    files.extend([
        ("templates/c.yaml".to_owned(), config.as_str()),
        ("templates/only.yaml".to_owned(), only.as_str()),
        ("templates/role.yaml".to_owned(), ROLE),
    ]);
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    chart(version, &files)
}

/// The objects in the cluster, except for those of hooks.
fn kept(world: &World) -> Vec<String> {
    let of_hook = |path: &String| path.contains("/jobs/") || path.ends_with("/note");
    world.paths().into_iter().filter(|path| !of_hook(path)).collect()
}

fn at(namespace: &str, names: &[&str]) -> Vec<String> {
    let maps = names.iter().map(|name| format!("/api/v1/namespaces/{namespace}/configmaps/{name}"));
    maps.chain(["/apis/rbac.authorization.k8s.io/v1/clusterroles/web".to_owned()]).collect()
}

async fn started() -> World {
    let world = World::start().await;
    world.react(runs);
    world
}

async fn installed(world: &World, chart: &Arc<Chart>, plan: &Install) -> bool {
    world.install(chart, plan, &limits()).await.is_ok()
}

#[tokio::test]
async fn h4_an_installation_that_is_killed_before_any_write_is_completed_by_the_next() {
    let plan = plan(Some("shop"), json!({}));
    let mut kills = 0;
    for number in 0..MAX_WRITES {
        let world = started().await;
        let was_killed = killed(&world, number, installed(&world, &full_chart("1.0.0"), &plan)).await;
        kills += usize::from(was_killed);
        world.react(runs);
        world.good(&full_chart("1.0.0"), &plan).await;
        assert_eq!(
            (kept(&world), world.states("web").await),
            (at("shop", &["c", "only-1-0-0"]), vec!["deployed"])
        );
        world.away("web").await;
        assert_eq!((kept(&world), world.states("web").await), (Vec::new(), Vec::new()));
        if !was_killed {
            break;
        }
    }
    assert!((12..MAX_WRITES).contains(&kills), "{kills}");
}

#[tokio::test]
async fn h3_upgrades_and_rollbacks_with_deleted_hooks_are_completed_from_any_write() {
    let plan = plan(Some("shop"), json!({}));
    let mut kills = 0;
    for number in 0..MAX_WRITES {
        let world = started().await;
        world.good(&full_chart("1.0.0"), &plan).await;
        let upgrade = killed(&world, number, installed(&world, &full_chart("2.0.0"), &plan)).await;
        world.react(runs);
        world.good(&full_chart("2.0.0"), &plan).await;
        let states = world.states("web").await;
        assert_eq!(
            (kept(&world), states),
            (at("shop", &["c", "only-2-0-0"]), vec!["superseded", "deployed"])
        );
        let back = async { world.engine.rollback(RECORDS, "web", Some(1), &limits()).await };
        let back = killed(&world, number, back).await;
        world.react(runs);
        world.engine.rollback(RECORDS, "web", Some(1), &limits()).await.unwrap();
        let states = world.states("web").await;
        assert_eq!(kept(&world), at("shop", &["c", "only-1-0-0"]), "{number}");
        assert_eq!(states, ["superseded", "superseded", "deployed"], "{number}");
        kills += usize::from(upgrade) + usize::from(back);
        if !upgrade && !back {
            break;
        }
    }
    assert!((24..2 * MAX_WRITES).contains(&kills), "{kills}");
}

#[tokio::test]
async fn h3_a_removal_that_is_killed_before_any_write_is_completed_by_the_next() {
    let plan = plan(Some("shop"), json!({}));
    let mut kills = 0;
    for number in 0..MAX_WRITES {
        let world = started().await;
        world.good(&full_chart("1.0.0"), &plan).await;
        let going = async { world.engine.uninstall(RECORDS, "web", &limits()).await };
        let was_killed = killed(&world, number, going).await;
        kills += usize::from(was_killed);
        world.react(runs);
        world.away("web").await;
        assert_eq!((kept(&world), world.states("web").await), (Vec::new(), Vec::new()));
        if !was_killed {
            break;
        }
    }
    assert!((8..MAX_WRITES).contains(&kills), "{kills}");
}

#[tokio::test]
async fn h2_a_package_that_is_deleted_during_an_installation_or_upgrade_leaves_nothing() {
    let plan = plan(Some("shop"), json!({}));
    for number in (0..MAX_WRITES / 2).step_by(2) {
        for is_upgrade in [false, true] {
            let world = started().await;
            if is_upgrade {
                world.good(&full_chart("1.0.0"), &plan).await;
            }
            killed(&world, number, installed(&world, &full_chart("2.0.0"), &plan)).await;
            world.react(runs);
            let going = async { world.engine.uninstall(RECORDS, "web", &limits()).await };
            killed(&world, number / 2, going).await;
            world.react(runs);
            world.away("web").await;
            assert_eq!(
                (kept(&world), world.states("web").await),
                (Vec::new(), Vec::new()),
                "{number} {is_upgrade}"
            );
        }
    }
}

#[tokio::test]
async fn h2_a_target_that_changes_twice_before_completion_ends_in_the_last_one() {
    let to = |namespace: &str| plan(Some(namespace), json!({}));
    let chart = full_chart("1.0.0");
    for first in (0..24).step_by(4) {
        for second in (0..32).step_by(3) {
            let world = started().await;
            killed(&world, first, installed(&world, &chart, &to("here"))).await;
            world.react(runs);
            let was_deployed = world.states("web").await.contains(&"deployed");
            killed(&world, second, installed(&world, &chart, &to("there"))).await;
            world.react(runs);
            if was_deployed {
                // A deployed release stays where it is.
                world.install(&chart, &to("third"), &limits()).await.unwrap_err();
                assert_eq!(kept(&world), at("here", &["c", "only-1-0-0"]));
                continue;
            }
            let is_deployed = world.states("web").await.contains(&"deployed");
            let last = if is_deployed { "there" } else { "here" };
            // Back and forth.
            world.good(&chart, &to(last)).await;
            assert_eq!(kept(&world), at(last, &["c", "only-1-0-0"]), "{first} {second}");
            world.away("web").await;
            assert_eq!((kept(&world), world.states("web").await), (Vec::new(), Vec::new()));
        }
    }
}

#[tokio::test]
async fn h4_hooks_with_the_same_name_are_distinguished_in_upgrades() {
    let world = started().await;
    let plan = plan(Some("shop"), json!({}));
    world.good(&full_chart("1.0.0"), &plan).await;
    world.store(|store| store.writes.clear());
    world.good(&full_chart("2.0.0"), &plan).await;
    let writes = world.store(|store| store.writes.clone());
    for path in
        ["/apis/batch/v1/namespaces/shop/jobs/migrate", "/apis/batch/v1/namespaces/there/jobs/migrate"]
    {
        let runs = writes.iter().filter(|write| **write == format!("PATCH {path}")).count();
        assert_eq!(runs, 2, "before and after: {path}");
    }
}

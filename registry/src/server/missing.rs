//! The manifests that clients asked for and that the store does not have: a list of what to mirror next.
//!
//! Only pulls count. With `ns`, GET and HEAD do: the client is a mirror's, and containerd asks with HEAD first and never
//! with GET if that fails. Without `ns`, only GET counts, because every push asks with HEAD whether the registry has the
//! manifest already. Tags that cosign derives from digests do not count: clients try them for every image, and `mirror`
//! finds signatures by itself.
//!
//! Requests are counted in memory and written to the store every few seconds, so that no response waits for the disk. A
//! store that cannot be written keeps them in memory. Names come from clients: what is kept of one client, and how many new
//! names it can add, is limited.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oci::{Reference, RegistryHost, RepositoryName, Selector, Tag};
use store::{Change, Store, Wanted, WantedName};

use super::guard::address::Network;
use super::guard::rates::Rates;
use super::handle::Call;
use super::namespace::{Namespace, in_library};

/// The maximum number of names in memory.
const PENDING: usize = 4096;
/// The maximum number of names in memory that one client was the first to ask for.
const PENDING_OF_ONE: usize = 256;
/// The number of new names that one client can add at once.
const NEW: u32 = 120;
/// The interval after which one client can add another new name.
const NEW_EACH: Duration = Duration::from_secs(2);
/// The maximum number of names that are written in one transaction, so that pushes do not wait for long.
const BATCH: usize = 256;
/// The interval of writes.
const INTERVAL: Duration = Duration::from_secs(5);

/// Counts requests for missing manifests.
pub(super) struct Missing {
    pending: Mutex<Pending>,
    new: Rates,
    /// Whether the last write failed.
    failed: AtomicBool,
}

#[derive(Default)]
struct Pending {
    names: HashMap<WantedName, (Network, Wanted)>,
    /// The number of names that each client was the first to ask for.
    shares: HashMap<Network, usize>,
}

impl Missing {
    pub(super) fn new() -> Self {
        Self { pending: Mutex::default(), new: Rates::new(NEW, NEW_EACH), failed: AtomicBool::new(false) }
    }

    /// Counts a request for a manifest that the store does not have; returns whether it counts.
    pub(super) fn count(&self, call: &Call, repository: &RepositoryName, selector: &Selector) -> bool {
        let Some(name) = wanted(&call.namespace(), repository, selector, call.is_head()) else {
            return false;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let wanted = Wanted { name, first: now, last: now, count: 1, clients: vec![call.limit_key()] };
        self.lock().add(call.network(), wanted);
        true
    }

    /// Writes the counts to the store. If that fails, they stay in memory.
    pub(super) fn write(&self, store: &Store) {
        if store.is_read_only() {
            return;
        }
        let pending = mem::take(&mut *self.lock());
        let mut known: Vec<_> = pending.names.into_values().collect();
        // If the database cannot be read, the write fails, too.
        let may_write = |network: &Network, wanted: &Wanted| {
            store.is_wanted(&wanted.name).unwrap_or(true) || self.new.count(*network, Instant::now())
        };
        known.retain(|(network, wanted)| may_write(network, wanted));
        for batch in known.chunks(BATCH) {
            let written =
                store.commit(batch.iter().map(|(_, wanted)| Change::Want(wanted.clone())).collect());
            let has_failed = written.is_err();
            if let Err(error) = written {
                if !self.failed.load(Ordering::Relaxed) {
                    tracing::warn!(%error, "cannot record which manifests clients asked for");
                }
                let mut pending = self.lock();
                for (network, wanted) in batch {
                    pending.add(*network, wanted.clone());
                }
            }
            self.failed.store(has_failed, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn add(&mut self, network: Network, wanted: Wanted) {
        if let Some((_, known)) = self.names.get_mut(&wanted.name) {
            known.add(&wanted);
            return;
        }
        let share = self.shares.get(&network).copied().unwrap_or_default();
        if self.names.len() < PENDING && share < PENDING_OF_ONE {
            self.shares.insert(network, share + 1);
            self.names.insert(wanted.name.clone(), (network, wanted));
        }
    }
}

/// The name to record for a request that found no manifest, if it counts.
fn wanted(
    namespace: &Namespace,
    repository: &RepositoryName,
    selector: &Selector,
    is_head: bool,
) -> Option<WantedName> {
    if matches!(selector, Selector::Tag(tag) if is_derived(tag)) {
        return None;
    }
    let (host, repository) = match namespace {
        Namespace::Invalid => return None,
        Namespace::Own if is_head => return None,
        Namespace::Own => match in_upstream(repository) {
            Some((host, inner)) => (Some(host), inner),
            None => (None, repository.clone()),
        },
        Namespace::Upstream(host) => {
            // A client of a mirror with a path in its URL requests the full name.
            let full = host.as_repository().ok().and_then(|prefix| {
                repository.as_str().strip_prefix(prefix.as_str())?.strip_prefix('/')?.parse().ok()
            });
            let inner = full.unwrap_or_else(|| repository.clone());
            (Some(host.clone()), in_library(host, &inner).unwrap_or(inner))
        }
    };
    let name = WantedName { host, repository, selector: selector.clone() };
    // The mirror file must be able to name it.
    let is_reference = name.host.is_none() || name.to_string().parse::<Reference>().is_ok();
    is_reference.then_some(name)
}

/// The registry in the first segment of a repository's name, and the rest: mirrored content has such names.
fn in_upstream(repository: &RepositoryName) -> Option<(RegistryHost, RepositoryName)> {
    let (first, rest) = repository.as_str().split_once('/')?;
    let host = Some(first).filter(|first| first.contains('.'))?.parse().ok()?;
    Some((host, rest.parse().ok()?))
}

/// Whether cosign derives such tags from digests: `sha256-<hex>`, with or without `.sig` and the like.
fn is_derived(tag: &Tag) -> bool {
    let hex = |text: &str| text.len() >= 64 && text.bytes().take(64).all(|byte| byte.is_ascii_hexdigit());
    tag.as_str().split_once('-').is_some_and(|(kind, rest)| ["sha256", "sha512"].contains(&kind) && hex(rest))
}

/// Periodically writes the counts.
pub(super) async fn write_missing(missing: Arc<Missing>, store: Store) {
    let mut rounds = tokio::time::interval(INTERVAL);
    loop {
        rounds.tick().await;
        let (missing, store) = (Arc::clone(&missing), store.clone());
        let _ = tokio::task::spawn_blocking(move || missing.write(&store)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn network(number: u32) -> Network {
        Network::of(Ipv4Addr::from_bits(number).into())
    }

    fn upstream(host: &str) -> Namespace {
        Namespace::Upstream(host.parse().unwrap())
    }

    /// The name that a GET or HEAD of this manifest records.
    fn name(namespace: &Namespace, (repository, selector): (&str, &str), is_head: bool) -> Option<String> {
        let (repository, selector) = (repository.parse().unwrap(), selector.parse().unwrap());
        wanted(namespace, &repository, &selector, is_head).map(|name| name.to_string())
    }

    fn row(number: usize) -> Wanted {
        let (repository, selector) = ("a".parse().unwrap(), format!("v{number}").parse().unwrap());
        let name = WantedName { host: None, repository, selector };
        Wanted { name, first: 1, last: 1, count: 1, clients: vec!["network 192.0.2.1".to_owned()] }
    }

    #[test]
    fn a_pull_through_a_mirror_is_recorded_under_its_upstream_name() {
        let digest = oci::Digest::sha256(b"x").to_string();
        for (host, asked, expected) in [
            ("quay.io", ("team/app", "v1"), "quay.io/team/app:v1".to_owned()),
            ("quay.io", ("quay.io/team/app", "v1"), "quay.io/team/app:v1".to_owned()),
            ("quay.io:5000", ("quay.io-5000/app", "v1"), "quay.io:5000/app:v1".to_owned()),
            ("docker.io", ("nginx", "v1"), "docker.io/library/nginx:v1".to_owned()),
            ("quay.io", ("app", &digest), format!("quay.io/app@{digest}")),
        ] {
            for is_head in [false, true] {
                assert_eq!(name(&upstream(host), asked, is_head), Some(expected.clone()), "{host} {asked:?}");
            }
        }
    }

    #[test]
    fn without_ns_only_get_is_a_pull() {
        let asked = ("quay.io/team/app", "v1");
        assert_eq!(name(&Namespace::Own, asked, false), Some("quay.io/team/app:v1".to_owned()));
        assert_eq!(name(&Namespace::Own, ("team/app", "v1"), false), Some("team/app:v1".to_owned()));
        assert_eq!(name(&Namespace::Own, asked, true), None, "every push asks with HEAD first");
        assert_eq!(name(&Namespace::Invalid, asked, false), None);
    }

    #[test]
    fn probes_for_signatures_and_names_that_no_mirror_file_can_contain_are_not_recorded() {
        let hex = "a".repeat(64);
        for tag in [format!("sha256-{hex}"), format!("sha256-{hex}.sig"), format!("sha512-{hex}")] {
            assert_eq!(name(&upstream("quay.io"), ("app", &tag), false), None, "{tag}");
        }
        assert!(name(&upstream("quay.io"), ("app", "sha256-abc"), false).is_some());
        let long = "a".repeat(250);
        assert_eq!(name(&upstream("quay.io"), (&long, "v1"), false), None);
    }

    #[test]
    fn one_client_cannot_fill_the_memory() {
        let mut pending = Pending::default();
        (0..10_000).for_each(|number| pending.add(network(1), row(number)));
        assert_eq!(pending.names.len(), PENDING_OF_ONE);
        pending.add(network(2), row(10_000));
        pending.add(network(2), row(0));
        assert_eq!(pending.names.len(), PENDING_OF_ONE + 1);
        assert_eq!(pending.names[&row(0).name].1.count, 2);
        (0..100_u32).for_each(|client| {
            (0..PENDING_OF_ONE)
                .for_each(|number| pending.add(network(client), row(client as usize * 1000 + number)));
        });
        assert_eq!(pending.names.len(), PENDING);
    }

    #[test]
    fn one_client_can_add_few_new_names_but_repeat_all_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (store, missing) = (Store::open(folder.path()).unwrap(), Missing::new());
        for round in 0..4 {
            (0..PENDING_OF_ONE).for_each(|number| missing.lock().add(network(1), row(round * 1000 + number)));
            missing.write(&store);
        }
        let written = store.wanted().unwrap();
        let most = NEW as usize;
        assert!((most..most + 10).contains(&written.len()), "{}", written.len());
        for wanted in &written {
            missing.lock().add(network(1), Wanted { count: 5, ..wanted.clone() });
        }
        missing.lock().add(network(2), row(9999));
        missing.write(&store);
        let again = store.wanted().unwrap();
        assert_eq!(again.len(), written.len() + 1, "another client has its own share");
        assert_eq!(again.iter().map(|wanted| wanted.count).sum::<u64>(), written.len() as u64 * 6 + 1);
    }

    #[test]
    fn a_store_that_cannot_be_written_keeps_the_counts_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        let (store, missing) = (Store::open_immutable(folder.path()).unwrap(), Missing::new());
        missing.lock().add(network(1), row(1));
        missing.write(&store);
        assert_eq!(missing.lock().names.len(), 1);
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        missing.write(&store);
        assert_eq!(store.wanted().unwrap().len(), 1);
        assert!(missing.lock().names.is_empty());
    }
}

//! The cache of image verdicts by digest, name and policy, and, for a short time, of the digests of tags.
//!
//! A verdict's key contains everything that it depends on. It includes the name, because a signature binds a name, so
//! that one image under two names has two verdicts. It also includes the digest of the policy, so that any change of the
//! policy invalidates the verdict. Which policies apply to a namespace is determined each time. A positive verdict does
//! not expire: a signature stays valid, and revoking a key changes the policy. A negative one expires soon, because the
//! image may be signed later. Failed queries are not cached.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use oci::Digest;
use serde::{Deserialize, Serialize};

/// The most cached entries: about 16 MiB of names and digests.
const MAX_ENTRIES: usize = 65_536;
/// With more pending queries than this, abandoned ones are removed.
const MAX_PENDING: usize = 1024;

/// A positive verdict: an image that satisfies a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct GoodVerdict {
    pub(super) image: Digest,
    pub(super) name: String,
    pub(super) policy: Digest,
}

/// A query that several callers can wait for.
pub(super) type Pending<V> = Shared<BoxFuture<'static, Result<V, Arc<str>>>>;

/// Cached results and pending queries. Concurrent callers with the same key share one query.
pub(super) struct QueryCache<K, V>(Arc<Mutex<Inner<K, V>>>);

/// A query that runs as long as a caller waits for it.
type WeakPending<V> = WeakShared<BoxFuture<'static, Result<V, Arc<str>>>>;

struct Inner<K, V> {
    entries: HashMap<K, (V, Option<Instant>)>,
    /// From the oldest to the newest.
    order: VecDeque<K>,
    /// The callers hold the queries. When the last caller is gone, the query is dropped.
    pending: HashMap<K, WeakPending<V>>,
}

impl<K, V> Clone for QueryCache<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for QueryCache<K, V> {
    fn default() -> Self {
        let inner = Inner { entries: HashMap::new(), order: VecDeque::new(), pending: HashMap::new() };
        Self(Arc::new(Mutex::new(inner)))
    }
}

impl<K, V> QueryCache<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The cached value, unless it has expired.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, until) = inner.entries.get(key)?;
        until.is_none_or(|until| Instant::now() < until).then(|| value.clone())
    }

    /// Adds a value that does not expire.
    pub(super) fn put(&self, key: K, value: V) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value, None);
    }

    /// All values that do not expire.
    pub(super) fn lasting(&self) -> Vec<(K, V)> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting = inner.entries.iter().filter(|(_, (_, until))| until.is_none());
        lasting.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }

    /// Starts a query or joins a pending one with the same key. It is cancelled when no caller waits for it. `lifetime`
    /// returns how long a value is cached; `None` means that it does not expire.
    pub(super) fn query<F>(
        &self,
        key: K,
        lifetime: fn(&V) -> Option<Duration>,
        start: impl FnOnce() -> F,
    ) -> Pending<V>
    where
        F: Future<Output = Result<V, String>> + Send + 'static,
    {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pending) = inner.pending.get(&key).and_then(WeakShared::upgrade) {
            return pending;
        }
        if inner.pending.len() >= MAX_PENDING {
            inner.pending.retain(|_, pending| pending.upgrade().is_some());
        }
        let pending = Self::run(self.clone(), key.clone(), lifetime, start()).boxed().shared();
        if let Some(weak) = pending.downgrade() {
            inner.pending.insert(key, weak);
        }
        pending
    }

    async fn run<F>(
        cache: Self,
        key: K,
        lifetime: fn(&V) -> Option<Duration>,
        query: F,
    ) -> Result<V, Arc<str>>
    where
        F: Future<Output = Result<V, String>> + Send + 'static,
    {
        let result = query.await;
        let mut inner = cache.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pending.remove(&key);
        if let Ok(value) = &result {
            inner.insert(key, value.clone(), lifetime(value));
        }
        result.map_err(Arc::from)
    }
}

impl<K: Clone + Eq + Hash, V> Inner<K, V> {
    fn insert(&mut self, key: K, value: V, lifetime: Option<Duration>) {
        let until = lifetime.map(|lifetime| Instant::now() + lifetime);
        if self.entries.insert(key.clone(), (value, until)).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > MAX_ENTRIES {
            if let Some(oldest) = self.order.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn concurrent_callers_with_the_same_key_share_one_query() {
        let (cache, started) = (QueryCache::<u8, u8>::default(), Arc::new(AtomicUsize::new(0)));
        let query = || {
            let started = Arc::clone(&started);
            cache.query(
                1,
                |_| None,
                move || async move {
                    started.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(7)
                },
            )
        };
        let all = futures::future::join_all((0..50).map(|_| query())).await;
        assert!(all.iter().all(|result| *result == Ok(7)));
        assert_eq!((started.load(Ordering::SeqCst), cache.get(&1)), (1, Some(7)));
    }

    #[tokio::test]
    async fn a8_a_query_is_cancelled_when_no_caller_waits_for_it() {
        struct CountsDrops(Arc<AtomicUsize>);
        impl Drop for CountsDrops {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (cache, ended) = (QueryCache::<u8, u8>::default(), Arc::new(AtomicUsize::new(0)));
        let query = || {
            let counter = CountsDrops(Arc::clone(&ended));
            cache.query(
                1,
                |_| None,
                || async move {
                    let _counter = counter;
                    tokio::time::sleep(Duration::from_millis(1500)).await;
                    Ok(7)
                },
            )
        };
        let (first, second) = (query(), query());
        assert!(tokio::time::timeout(Duration::from_millis(10), first).await.is_err());
        assert_eq!(ended.load(Ordering::SeqCst), 1, "the query of the second caller was not needed");
        assert_eq!(second.await, Ok(7), "another caller still waits");
        cache.0.lock().unwrap().entries.clear();
        assert!(tokio::time::timeout(Duration::from_millis(10), query()).await.is_err());
        assert_eq!(ended.load(Ordering::SeqCst), 3);
        assert_eq!((query().await, cache.get(&1)), (Ok(7), Some(7)));
        assert!(cache.0.lock().unwrap().pending.is_empty());
    }

    #[tokio::test]
    async fn a_failure_is_not_cached_and_a_value_with_a_lifetime_expires() {
        let cache = QueryCache::<u8, u8>::default();
        assert!(cache.query(1, |_| None, || async { Err("no".to_owned()) }).await.is_err());
        assert_eq!(cache.get(&1), None);
        let _ = cache.query(2, |_| Some(Duration::from_millis(10)), || async { Ok(1) }).await;
        assert_eq!(cache.get(&2), Some(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(cache.get(&2), None);
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = QueryCache::<usize, ()>::default();
        let mut inner = cache.0.lock().unwrap();
        for key in 0..MAX_ENTRIES + 10 {
            inner.insert(key, (), None);
        }
        assert_eq!((inner.entries.len(), inner.order.len()), (MAX_ENTRIES, MAX_ENTRIES));
        assert!(!inner.entries.contains_key(&0));
    }
}

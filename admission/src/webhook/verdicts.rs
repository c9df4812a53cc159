//! What is known of images: verdicts by digest, name and policy, and for a short time what tags mean.
//!
//! A verdict's key is all that it depends on. The name is one part of it, because a signature binds a name, so that
//! one image under two names has two verdicts; and the policy's content another, so that a policy that changes in
//! anything asks anew. Which policies a namespace has is found out each time. A good verdict stays good: what was
//! signed stays signed, and a key that no longer counts changes the policy. A bad one is asked again soon, because
//! the signature may come. What could not be asked is not kept.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use oci::Digest;
use serde::{Deserialize, Serialize};

/// About 16 MiB of names and digests.
const MOST: usize = 65_536;
/// With more questions than this, those that nobody waits for are forgotten.
const MOST_PENDING: usize = 1024;

/// An image that a policy lets pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Good {
    pub(super) image: Digest,
    pub(super) name: String,
    pub(super) policy: Digest,
}

/// A question that several may wait for.
pub(super) type Pending<V> = Shared<BoxFuture<'static, Result<V, Arc<str>>>>;

/// Answers that are kept, and questions under way, so that of many who ask the same only the first really asks.
pub(super) struct Known<K, V>(Arc<Mutex<Inner<K, V>>>);

/// A question that is asked for as long as somebody waits.
type Waited<V> = WeakShared<BoxFuture<'static, Result<V, Arc<str>>>>;

struct Inner<K, V> {
    known: HashMap<K, (V, Option<Instant>)>,
    /// From the oldest to the newest.
    order: VecDeque<K>,
    /// Held by those who wait: when nobody does, the question is dropped.
    pending: HashMap<K, Waited<V>>,
}

impl<K, V> Clone for Known<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        let inner = Inner { known: HashMap::new(), order: VecDeque::new(), pending: HashMap::new() };
        Self(Arc::new(Mutex::new(inner)))
    }
}

impl<K, V> Known<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The answer, if it is known.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, until) = inner.known.get(key)?;
        until.is_none_or(|until| Instant::now() < until).then(|| value.clone())
    }

    /// Puts an answer in that is good for good.
    pub(super) fn put(&self, key: K, value: V) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(key, value, None);
    }

    /// All that is kept for good.
    pub(super) fn lasting(&self) -> Vec<(K, V)> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting = inner.known.iter().filter(|(_, (_, until))| until.is_none());
        lasting.map(|(key, (value, _))| (key.clone(), value.clone())).collect()
    }

    /// A question, of which the answer is waited for. Of many who ask the same one asks, and when nobody waits any more,
    /// nothing is asked. `keep` says for how long an answer is kept; for good, when it says none.
    pub(super) fn ask<F>(
        &self,
        key: K,
        keep: fn(&V) -> Option<Duration>,
        ask: impl FnOnce() -> F,
    ) -> Pending<V>
    where
        F: Future<Output = Result<V, String>> + Send + 'static,
    {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pending) = inner.pending.get(&key).and_then(WeakShared::upgrade) {
            return pending;
        }
        if inner.pending.len() >= MOST_PENDING {
            inner.pending.retain(|_, pending| pending.upgrade().is_some());
        }
        let pending = Self::question(self.clone(), key.clone(), keep, ask()).boxed().shared();
        if let Some(weak) = pending.downgrade() {
            inner.pending.insert(key, weak);
        }
        pending
    }

    async fn question<F>(
        known: Self,
        key: K,
        keep: fn(&V) -> Option<Duration>,
        asked: F,
    ) -> Result<V, Arc<str>>
    where
        F: Future<Output = Result<V, String>> + Send + 'static,
    {
        let answer = asked.await;
        let mut inner = known.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.pending.remove(&key);
        if let Ok(value) = &answer {
            inner.keep(key, value.clone(), keep(value));
        }
        answer.map_err(Arc::from)
    }
}

impl<K: Clone + Eq + Hash, V> Inner<K, V> {
    fn keep(&mut self, key: K, value: V, time: Option<Duration>) {
        let until = time.map(|time| Instant::now() + time);
        if self.known.insert(key.clone(), (value, until)).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn of_many_who_ask_the_same_one_asks() {
        let (known, asked) = (Known::<u8, u8>::default(), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let asked = Arc::clone(&asked);
            known.ask(
                1,
                |_| None,
                move || async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(7)
                },
            )
        };
        let all = futures::future::join_all((0..50).map(|_| ask())).await;
        assert!(all.iter().all(|answer| *answer == Ok(7)));
        assert_eq!((asked.load(Ordering::SeqCst), known.get(&1)), (1, Some(7)));
    }

    #[tokio::test]
    async fn a8_a_question_ends_when_nobody_waits_for_it() {
        struct Tells(Arc<AtomicUsize>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (known, ended) = (Known::<u8, u8>::default(), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let tells = Tells(Arc::clone(&ended));
            known.ask(
                1,
                |_| None,
                || async move {
                    let _tells = tells;
                    tokio::time::sleep(Duration::from_millis(1500)).await;
                    Ok(7)
                },
            )
        };
        let (first, second) = (ask(), ask());
        assert!(tokio::time::timeout(Duration::from_millis(10), first).await.is_err());
        assert_eq!(ended.load(Ordering::SeqCst), 1, "that of the second asker was not needed");
        assert_eq!(second.await, Ok(7), "somebody else waits still");
        known.0.lock().unwrap().known.clear();
        assert!(tokio::time::timeout(Duration::from_millis(10), ask()).await.is_err());
        assert_eq!(ended.load(Ordering::SeqCst), 3);
        assert_eq!((ask().await, known.get(&1)), (Ok(7), Some(7)));
        assert!(known.0.lock().unwrap().pending.is_empty());
    }

    #[tokio::test]
    async fn a_failure_is_not_kept_and_a_short_answer_not_for_long() {
        let known = Known::<u8, u8>::default();
        assert!(known.ask(1, |_| None, || async { Err("no".to_owned()) }).await.is_err());
        assert_eq!(known.get(&1), None);
        let _ = known.ask(2, |_| Some(Duration::from_millis(10)), || async { Ok(1) }).await;
        assert_eq!(known.get(&2), Some(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(known.get(&2), None);
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let known = Known::<usize, ()>::default();
        let mut inner = known.0.lock().unwrap();
        for key in 0..MOST + 10 {
            inner.keep(key, (), None);
        }
        assert_eq!((inner.known.len(), inner.order.len()), (MOST, MOST));
        assert!(!inner.known.contains_key(&0));
    }
}

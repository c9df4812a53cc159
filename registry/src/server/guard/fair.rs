//! A fair queue: each key has its own line, and the lines take tickets.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// A queue for limited concurrent work. A key with many requests delays only itself, not other keys.
pub struct FairQueue<K: Clone + Eq + Hash>(Arc<Lines<K>>);

/// The limits of a [`FairQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// The number of concurrent requests.
    pub at_once: usize,
    /// The number of concurrent requests of one key that is alone. While other keys work, a quarter of it, at least one.
    pub share: usize,
    /// The number of waiting requests of one key.
    pub waiting: usize,
    /// The number of keys with waiting requests.
    pub keys: usize,
}

struct Lines<K: Clone + Eq + Hash> {
    limits: QueueLimits,
    inner: Mutex<Inner<K>>,
}

struct Inner<K: Clone + Eq + Hash> {
    free: usize,
    /// The number of tickets of each key; keys without tickets are absent.
    tickets: HashMap<K, usize>,
    /// The lines, starting with the next one; none is empty.
    lines: VecDeque<(K, VecDeque<oneshot::Sender<QueueTicket<K>>>)>,
}

/// The permission to work, passed on to the next request when dropped.
pub struct QueueTicket<K: Clone + Eq + Hash>(Option<(Arc<Lines<K>>, K)>);

impl<K: Clone + Eq + Hash> Clone for FairQueue<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Clone + Eq + Hash> FairQueue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        let inner =
            Mutex::new(Inner { free: limits.at_once, tickets: HashMap::new(), lines: VecDeque::new() });
        Self(Arc::new(Lines { limits, inner }))
    }

    /// Waits for a ticket; returns `None` immediately if the key's line is full. Dropping the future leaves the line.
    pub async fn acquire(&self, key: &K) -> Option<QueueTicket<K>> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.free > 0 && self.0.allows(&inner.tickets, key) {
                inner.free -= 1;
                *inner.tickets.entry(key.clone()).or_default() += 1;
                return Some(QueueTicket(Some((Arc::clone(&self.0), key.clone()))));
            }
            if let Some((_, line)) = inner.lines.iter_mut().find(|(other, _)| other == key) {
                line.retain(|waiting| !waiting.is_closed());
                if line.len() >= self.0.limits.waiting {
                    return None;
                }
                line.push_back(sender);
            } else {
                if inner.lines.len() >= self.0.limits.keys {
                    inner.lines.retain(|(_, line)| line.iter().any(|waiting| !waiting.is_closed()));
                }
                if inner.lines.len() >= self.0.limits.keys {
                    return None;
                }
                inner.lines.push_back((key.clone(), VecDeque::from([sender])));
            }
        }
        receiver.await.ok()
    }
}

impl<K: Clone + Eq + Hash> Lines<K> {
    /// Whether the key may have one more ticket.
    fn allows(&self, tickets: &HashMap<K, usize>, key: &K) -> bool {
        let own = tickets.get(key).copied().unwrap_or_default();
        let is_alone = tickets.len() == usize::from(own > 0);
        let share = self.limits.share;
        own < if is_alone { share } else { share.div_ceil(4) }
    }

    /// Takes a ticket back. Returns the requests that may start now, those of the keys with the fewest tickets first.
    fn release(&self, back: &K) -> Vec<(K, oneshot::Sender<QueueTicket<K>>)> {
        let mut guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { free, tickets, lines } = &mut *guard;
        if let Some(count) = tickets.get_mut(back) {
            *count -= 1;
            if *count == 0 {
                tickets.remove(back);
            }
        }
        *free += 1;
        let mut started = Vec::new();
        while *free > 0 {
            let allowed = lines.iter().enumerate().filter(|(_, (key, _))| self.allows(tickets, key));
            let next = allowed.min_by_key(|(_, (key, _))| tickets.get(key).copied().unwrap_or_default());
            let Some((key, mut line)) = next.map(|(at, _)| at).and_then(|at| lines.remove(at)) else { break };
            let request = std::iter::from_fn(|| line.pop_front()).find(|waiting| !waiting.is_closed());
            if !line.is_empty() {
                lines.push_back((key.clone(), line));
            }
            if let Some(request) = request {
                *tickets.entry(key.clone()).or_default() += 1;
                *free -= 1;
                started.push((key, request));
            }
        }
        started
    }
}

impl<K: Clone + Eq + Hash> Drop for QueueTicket<K> {
    fn drop(&mut self) {
        let Some((lines, key)) = self.0.take() else { return };
        for (key, request) in lines.release(&key) {
            // If the receiver has just left, the ticket comes back, and is released in turn.
            let _ = request.send(QueueTicket(Some((Arc::clone(&lines), key))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_key_with_many_requests_does_not_delay_others() {
        let fair = FairQueue::new(QueueLimits { at_once: 1, share: 1, waiting: 100, keys: 10 });
        let first = fair.acquire(&'a').await.unwrap();
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for key in ['a'; 50].into_iter().chain(['b', 'c']) {
            let (fair, done) = (fair.clone(), Arc::clone(&done));
            tasks.push(tokio::spawn(async move {
                let ticket = fair.acquire(&key).await;
                done.lock().unwrap().push(key);
                drop(ticket);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        {
            let done = done.lock().unwrap();
            assert_eq!(done.len(), 52);
            assert!(done[..4].contains(&'b') && done[..4].contains(&'c'), "{done:?}");
        }
        assert!(fair.acquire(&'d').await.is_some());
    }

    #[tokio::test]
    async fn a_full_line_refuses_requests_until_one_leaves() {
        let fair = FairQueue::new(QueueLimits { at_once: 1, share: 1, waiting: 2, keys: 2 });
        let first = fair.acquire(&'a').await.unwrap();
        let wait = |key: char| {
            let fair = fair.clone();
            tokio::spawn(async move { fair.acquire(&key).await.is_some() })
        };
        let waiting = [wait('a'), wait('a'), wait('b')];
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(fair.acquire(&'a').await.is_none(), "the line is full");
        assert!(fair.acquire(&'c').await.is_none(), "there are too many lines");
        waiting[0].abort();
        waiting[2].abort();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let more = [wait('a'), wait('c')];
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(first);
        for task in more {
            assert!(tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap());
        }
        assert_eq!(fair.0.inner.lock().unwrap().free, 1);
    }

    #[tokio::test]
    async fn a_key_gets_its_share_when_alone_and_a_quarter_of_it_beside_others() {
        let fair = FairQueue::new(QueueLimits { at_once: 9, share: 8, waiting: 10, keys: 10 });
        let mut alone = Vec::new();
        for _ in 0..8 {
            alone.push(fair.acquire(&'a').await.unwrap());
        }
        let wait = |key: char| {
            let fair = fair.clone();
            tokio::spawn(async move { fair.acquire(&key).await })
        };
        let pause = || tokio::time::sleep(Duration::from_millis(20));
        let ninth = wait('a');
        pause().await;
        let other = fair.acquire(&'b').await.unwrap();
        alone.truncate(2);
        pause().await;
        assert!(!ninth.is_finished(), "it has a quarter of its share already");
        let more = [wait('b'), wait('b')];
        pause().await;
        assert_eq!(more.iter().filter(|task| task.is_finished()).count(), 1);
        for task in more {
            task.abort();
        }
        drop(other);
        let ninth = tokio::time::timeout(Duration::from_secs(5), ninth).await.unwrap().unwrap();
        drop((alone, ninth));
        pause().await;
        let inner = fair.0.inner.lock().unwrap();
        assert_eq!((inner.free, inner.tickets.len()), (9, 0));
    }
}

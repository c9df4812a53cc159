//! A fair queue: each key has its own line, and the lines take tickets.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// A queue for limited concurrent work. A key with many requests delays only itself, not other keys.
pub struct FairQueue<K: Clone + Eq + Hash>(Arc<Lines<K>>);

struct Lines<K: Clone + Eq + Hash> {
    /// The maximum concurrent work of one key.
    share: usize,
    /// The maximum number of waiting requests of one key.
    each: usize,
    /// The maximum number of keys with waiting requests.
    most: usize,
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
    /// A queue for `at_once` concurrent requests, of which one key may have `share`. Of each key, `each` requests may wait,
    /// and `most` keys may have waiting requests.
    #[must_use]
    pub fn new((at_once, share): (usize, usize), each: usize, most: usize) -> Self {
        let inner = Mutex::new(Inner { free: at_once, tickets: HashMap::new(), lines: VecDeque::new() });
        Self(Arc::new(Lines { share, each, most, inner }))
    }

    /// Waits for a ticket; returns `None` immediately if the key's line is full. Dropping the future leaves the line.
    pub async fn acquire(&self, key: &K) -> Option<QueueTicket<K>> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.free > 0 && inner.tickets.get(key).is_none_or(|tickets| *tickets < self.0.share) {
                inner.free -= 1;
                *inner.tickets.entry(key.clone()).or_default() += 1;
                return Some(QueueTicket(Some((Arc::clone(&self.0), key.clone()))));
            }
            if let Some((_, line)) = inner.lines.iter_mut().find(|(other, _)| other == key) {
                line.retain(|waiting| !waiting.is_closed());
                if line.len() >= self.0.each {
                    return None;
                }
                line.push_back(sender);
            } else {
                if inner.lines.len() >= self.0.most {
                    inner.lines.retain(|(_, line)| line.iter().any(|waiting| !waiting.is_closed()));
                }
                if inner.lines.len() >= self.0.most {
                    return None;
                }
                inner.lines.push_back((key.clone(), VecDeque::from([sender])));
            }
        }
        receiver.await.ok()
    }
}

impl<K: Clone + Eq + Hash> Lines<K> {
    /// Takes a ticket back; returns the next request, or frees the ticket.
    fn next(&self, back: &K) -> Option<(K, oneshot::Sender<QueueTicket<K>>)> {
        let mut guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { free, tickets, lines } = &mut *guard;
        if let Some(count) = tickets.get_mut(back) {
            *count -= 1;
            if *count == 0 {
                tickets.remove(back);
            }
        }
        while let Some(at) =
            lines.iter().position(|(key, _)| tickets.get(key).is_none_or(|tickets| *tickets < self.share))
        {
            let Some((key, mut line)) = lines.remove(at) else { break };
            let next = std::iter::from_fn(|| line.pop_front()).find(|waiting| !waiting.is_closed());
            if !line.is_empty() {
                lines.push_back((key.clone(), line));
            }
            if let Some(next) = next {
                *tickets.entry(key.clone()).or_default() += 1;
                return Some((key, next));
            }
        }
        *free += 1;
        None
    }
}

impl<K: Clone + Eq + Hash> Drop for QueueTicket<K> {
    fn drop(&mut self) {
        let Some((lines, mut back)) = self.0.take() else { return };
        while let Some((key, next)) = lines.next(&back) {
            match next.send(QueueTicket(Some((Arc::clone(&lines), key.clone())))) {
                Ok(()) => return,
                // The receiver has just left: pass the ticket on to the next one.
                Err(mut ticket) => ticket.0 = None,
            }
            back = key;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_key_with_many_requests_does_not_delay_others() {
        let fair = FairQueue::new((1, 1), 100, 10);
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
        let fair = FairQueue::new((1, 1), 2, 2);
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
    async fn a_key_gets_no_more_than_its_share_even_if_tickets_are_free() {
        let fair = FairQueue::new((3, 2), 10, 10);
        let (first, second) = (fair.acquire(&'a').await.unwrap(), fair.acquire(&'a').await.unwrap());
        let third = {
            let fair = fair.clone();
            tokio::spawn(async move { fair.acquire(&'a').await })
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        let other = fair.acquire(&'b').await.unwrap();
        assert!(!third.is_finished());
        drop(other);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!third.is_finished(), "it does not get the ticket of another key");
        drop(first);
        let third = third.await.unwrap();
        drop((second, third));
        let inner = fair.0.inner.lock().unwrap();
        assert_eq!((inner.free, inner.tickets.len(), inner.lines.len()), (3, 0, 0));
    }
}

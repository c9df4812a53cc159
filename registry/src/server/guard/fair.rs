//! A fair queue: each key has its own line, and the lines take tickets.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::activity::Activity;

/// A group may have as many tickets as this number of keys.
const GROUP: usize = 4;

/// A queue for limited concurrent work. A key with many requests delays only itself, not other keys. It is used within a
/// Tokio runtime.
pub struct FairQueue<K: QueueKey>(Arc<Lines<K>>);

/// The key of a client or a group of clients.
pub trait QueueKey: Clone + Eq + Hash + Send + Sync + 'static {}

impl<K: Clone + Eq + Hash + Send + Sync + 'static> QueueKey for K {}

/// The limits of a [`FairQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// The number of concurrent requests.
    pub at_once: usize,
    /// The number of concurrent requests of one key that is alone. While other keys are active, a quarter of it, at least one.
    pub share: usize,
    /// The number of waiting requests of one key.
    pub waiting: usize,
    /// The number of keys with waiting requests.
    pub keys: usize,
}

struct Lines<K: QueueKey> {
    limits: QueueLimits,
    activity: Arc<Activity<K>>,
    inner: Mutex<Inner<K>>,
}

struct Inner<K: QueueKey> {
    free: usize,
    /// The number of tickets of each key and group; those without tickets are absent.
    tickets: HashMap<K, usize>,
    /// The lines, starting with the next one; none is empty.
    lines: VecDeque<Line<K>>,
    /// When a timer looks for requests that may start.
    timer: Option<Instant>,
}

/// The waiting requests of a key. The key is the first one; the others are the groups that it belongs to.
struct Line<K: QueueKey> {
    keys: Vec<K>,
    waiting: VecDeque<oneshot::Sender<QueueTicket<K>>>,
}

/// The permission to work, passed on to the next request when dropped.
pub struct QueueTicket<K: QueueKey>(Option<Held<K>>);

struct Held<K: QueueKey> {
    lines: Arc<Lines<K>>,
    keys: Vec<K>,
    begun: Instant,
}

/// When a request may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Now,
    At(Instant),
    /// When a ticket comes back.
    Later,
}

impl<K: QueueKey> Clone for FairQueue<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: QueueKey> FairQueue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        Self::with(limits, Arc::new(Activity::new(None)))
    }

    /// An empty queue whose keys are also active elsewhere.
    pub(in crate::server) fn with(limits: QueueLimits, activity: Arc<Activity<K>>) -> Self {
        let (tickets, lines) = (HashMap::new(), VecDeque::new());
        let inner = Mutex::new(Inner { free: limits.at_once, tickets, lines, timer: None });
        Self(Arc::new(Lines { limits, activity, inner }))
    }

    /// The number of tickets in use, and the maximum number.
    pub(in crate::server) fn in_use(&self) -> (usize, usize) {
        let inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (self.0.limits.at_once - inner.free, self.0.limits.at_once)
    }

    /// Waits for a ticket; returns `None` immediately if the key's line is full. The first key is the request's own; the
    /// others are groups, each with as many tickets as four keys. Dropping the future leaves the line.
    pub async fn acquire(&self, keys: &[K]) -> Option<QueueTicket<K>> {
        let now = Instant::now();
        self.0.activity.note(keys, now);
        let (sender, receiver) = oneshot::channel();
        {
            let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let start = self.0.start(&inner, keys, now);
            if inner.free > 0 && start == Start::Now {
                inner.take(keys);
                return Some(self.0.ticket(keys.to_vec()));
            }
            if let Some(line) = inner.lines.iter_mut().find(|line| line.keys == keys) {
                line.waiting.retain(|waiting| !waiting.is_closed());
                if line.waiting.len() >= self.0.limits.waiting {
                    return None;
                }
                line.waiting.push_back(sender);
            } else {
                if inner.lines.len() >= self.0.limits.keys {
                    inner.lines.retain(|line| line.waiting.iter().any(|waiting| !waiting.is_closed()));
                }
                if inner.lines.len() >= self.0.limits.keys {
                    return None;
                }
                inner.lines.push_back(Line { keys: keys.to_vec(), waiting: VecDeque::from([sender]) });
            }
            if let Start::At(at) = start {
                self.0.look_at(&mut inner, at);
            }
        }
        receiver.await.ok()
    }
}

impl<K: QueueKey> Lines<K> {
    fn ticket(self: &Arc<Self>, keys: Vec<K>) -> QueueTicket<K> {
        QueueTicket(Some(Held { lines: Arc::clone(self), keys, begun: Instant::now() }))
    }

    /// When a request with these keys may start, if a ticket is free.
    fn start(&self, inner: &Inner<K>, keys: &[K], now: Instant) -> Start {
        let (mut wait, share) = (None, self.limits.share);
        for (position, key) in keys.iter().enumerate() {
            let (used, factor) = (inner.count(key), if position == 0 { 1 } else { GROUP });
            let fits = |share: usize| used < share.saturating_mul(factor);
            if !fits(share) {
                return Start::Later;
            }
            let others_work = self.limits.at_once - inner.free > used;
            let others_until = self.activity.beside_others_until(key, position, now);
            if !others_work && others_until.is_none() {
                continue;
            }
            if !fits(share.div_ceil(4)) {
                let Some(until) = others_until.filter(|_| !others_work) else { return Start::Later };
                wait = wait.max(Some(until));
            } else if position == 0 {
                wait = wait.max(self.activity.due(key, now));
            }
        }
        wait.map_or(Start::Now, Start::At)
    }

    /// Starts all requests that may start now, those of the keys with the fewest tickets first, and then those of the keys
    /// that worked least.
    fn start_waiting(self: &Arc<Self>, inner: &mut Inner<K>) -> Vec<Started<K>> {
        let now = Instant::now();
        let mut started = Vec::new();
        while inner.free > 0 {
            let starts = inner.lines.iter().map(|line| self.start(inner, &line.keys, now));
            let starts: Vec<Start> = starts.collect();
            let rank = |at: &usize| {
                let own = inner.lines[*at].keys.first();
                own.map(|own| (inner.count(own), self.activity.spent(own, now)))
            };
            let next = (0..starts.len()).filter(|at| starts[*at] == Start::Now).min_by_key(rank);
            let Some(mut line) = next.and_then(|at| inner.lines.remove(at)) else {
                let next_at = starts
                    .into_iter()
                    .filter_map(|start| if let Start::At(at) = start { Some(at) } else { None });
                if let Some(at) = next_at.min() {
                    self.look_at(inner, at);
                }
                break;
            };
            let request =
                std::iter::from_fn(|| line.waiting.pop_front()).find(|waiting| !waiting.is_closed());
            let keys = line.keys.clone();
            if !line.waiting.is_empty() {
                inner.lines.push_back(line);
            }
            if let Some(request) = request {
                inner.take(&keys);
                started.push((keys, request));
            }
        }
        started
    }

    /// Looks again at this time, because requests may start without a returned ticket then.
    fn look_at(self: &Arc<Self>, inner: &mut Inner<K>, at: Instant) {
        if inner.timer.is_some_and(|earlier| earlier <= at) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        inner.timer = Some(at);
        let lines = Arc::clone(self);
        runtime.spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            let started = {
                let mut inner = lines.inner.lock().unwrap_or_else(PoisonError::into_inner);
                if inner.timer == Some(at) {
                    inner.timer = None;
                }
                lines.start_waiting(&mut inner)
            };
            lines.send(started);
        });
    }

    fn send(self: &Arc<Self>, started: Vec<Started<K>>) {
        for (keys, request) in started {
            // If the receiver has just left, the ticket comes back, and is released in turn.
            let _ = request.send(self.ticket(keys));
        }
    }
}

/// A request that may start, with its keys.
type Started<K> = (Vec<K>, oneshot::Sender<QueueTicket<K>>);

impl<K: QueueKey> Inner<K> {
    fn count(&self, key: &K) -> usize {
        self.tickets.get(key).copied().unwrap_or_default()
    }

    fn take(&mut self, keys: &[K]) {
        self.free -= 1;
        for key in keys {
            *self.tickets.entry(key.clone()).or_default() += 1;
        }
    }

    fn give_back(&mut self, keys: &[K]) {
        self.free += 1;
        for key in keys {
            if let Some(count) = self.tickets.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    self.tickets.remove(key);
                }
            }
        }
    }
}

impl<K: QueueKey> Drop for QueueTicket<K> {
    fn drop(&mut self) {
        let Some(Held { lines, keys, begun }) = self.0.take() else { return };
        if let Some(own) = keys.first() {
            lines.activity.spend(own, begun.elapsed(), Instant::now());
        }
        let started = {
            let mut inner = lines.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.give_back(&keys);
            lines.start_waiting(&mut inner)
        };
        lines.send(started);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::activity::Budget;
    use super::*;

    #[tokio::test]
    async fn a_key_with_many_requests_does_not_delay_others() {
        let fair = FairQueue::new(QueueLimits { at_once: 1, share: 1, waiting: 100, keys: 10 });
        let first = fair.acquire(&['a']).await.unwrap();
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for key in ['a'; 50].into_iter().chain(['b', 'c']) {
            let (fair, done) = (fair.clone(), Arc::clone(&done));
            tasks.push(tokio::spawn(async move {
                let ticket = fair.acquire(&[key]).await;
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
        assert!(fair.acquire(&['d']).await.is_some());
    }

    #[tokio::test]
    async fn a_full_line_refuses_requests_until_one_leaves() {
        let fair = FairQueue::new(QueueLimits { at_once: 1, share: 1, waiting: 2, keys: 2 });
        let first = fair.acquire(&['a']).await.unwrap();
        let wait = |key: char| {
            let fair = fair.clone();
            tokio::spawn(async move { fair.acquire(&[key]).await.is_some() })
        };
        let waiting = [wait('a'), wait('a'), wait('b')];
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(fair.acquire(&['a']).await.is_none(), "the line is full");
        assert!(fair.acquire(&['c']).await.is_none(), "there are too many lines");
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
            alone.push(fair.acquire(&['a']).await.unwrap());
        }
        let wait = |key: char| {
            let fair = fair.clone();
            tokio::spawn(async move { fair.acquire(&[key]).await })
        };
        let pause = || tokio::time::sleep(Duration::from_millis(20));
        let ninth = wait('a');
        pause().await;
        let other = fair.acquire(&['b']).await.unwrap();
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

    fn limits(at_once: usize, share: usize) -> QueueLimits {
        QueueLimits { at_once, share, waiting: 100, keys: 100 }
    }

    #[tokio::test]
    async fn a_key_is_not_alone_between_two_requests_of_another() {
        let fair = FairQueue::new(limits(9, 8));
        drop(fair.acquire(&['b']).await);
        let _held = (fair.acquire(&['a']).await, fair.acquire(&['a']).await);
        let third = tokio::time::timeout(Duration::from_millis(100), fair.acquire(&['a'])).await;
        assert!(third.is_err(), "it has a quarter of its share");
        let begun = Instant::now();
        let third = tokio::time::timeout(Duration::from_secs(5), fair.acquire(&['a'])).await;
        assert!(third.is_ok_and(|ticket| ticket.is_some()), "after a second, it is alone");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_group_has_the_share_of_four_keys() {
        let fair = FairQueue::new(limits(99, 4));
        drop(fair.acquire(&['x']).await);
        let mut held = Vec::new();
        for key in ['a', 'b', 'c', 'd'] {
            held.push(fair.acquire(&[key, 'g']).await.unwrap());
        }
        let fifth = tokio::time::timeout(Duration::from_millis(50), fair.acquire(&['e', 'g'])).await;
        assert!(fifth.is_err(), "the group has a ticket for each of four keys");
        assert!(fair.acquire(&['f', 'h']).await.is_some());
        held.pop();
        assert!(fair.acquire(&['e', 'g']).await.is_some());
        assert_eq!(fair.in_use(), (3, 99));
    }

    #[tokio::test]
    async fn a_group_whose_keys_alone_are_active_has_its_whole_share() {
        let fair = FairQueue::new(limits(99, 4));
        let mut held = Vec::new();
        for key in 'a'..='p' {
            held.push(fair.acquire(&[key, 'G']).await.unwrap());
        }
        let more = tokio::time::timeout(Duration::from_millis(50), fair.acquire(&['q', 'G'])).await;
        assert!(more.is_err(), "it has sixteen");
    }

    #[tokio::test]
    async fn a_key_that_worked_long_waits_beside_others_and_is_served_after_them() {
        let budget = Budget { burst: Duration::from_millis(20), parts: 4 };
        let fair = FairQueue::with(limits(1, 1), Arc::new(Activity::new(Some(budget))));
        let begun = Instant::now();
        for _ in 0..3 {
            drop(fair.acquire(&['b']).await);
            let ticket = fair.acquire(&['a']).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(ticket);
        }
        // 150 ms of work, of which 20 ms are free, and each later start waits for four times the work before it.
        assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
        drop(fair.acquire(&['b']).await);
        let blocked = {
            let fair = fair.clone();
            tokio::spawn(async move { fair.acquire(&['a']).await.map(drop) })
        };
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(!blocked.is_finished());
        let begun = Instant::now();
        assert!(fair.acquire(&['b']).await.is_some());
        assert!(begun.elapsed() < Duration::from_millis(40), "another key does not wait for it");
        assert!(tokio::time::timeout(Duration::from_secs(5), blocked).await.unwrap().unwrap().is_some());
    }
}

//! A queue in which everybody has a line of his own, and the lines take turns.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Work of many, so much at once. Who asks for much waits behind himself, not before others.
pub struct Fair<K: Clone + Eq + Hash>(Arc<Lines<K>>);

struct Lines<K: Clone + Eq + Hash> {
    /// Of one key so much at once.
    share: usize,
    each: usize,
    most: usize,
    inner: Mutex<Inner<K>>,
}

struct Inner<K: Clone + Eq + Hash> {
    free: usize,
    /// Turns that each key has; none has none.
    turns: HashMap<K, usize>,
    /// The line that is next is the first; none is empty.
    lines: VecDeque<(K, VecDeque<oneshot::Sender<Turn<K>>>)>,
}

/// The right to work, given on when it is dropped.
pub struct Turn<K: Clone + Eq + Hash>(Option<(Arc<Lines<K>>, K)>);

impl<K: Clone + Eq + Hash> Clone for Fair<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Clone + Eq + Hash> Fair<K> {
    /// `at_once` work, and `share` of it of one key; of each key `each` may wait, and `most` keys may.
    #[must_use]
    pub fn new((at_once, share): (usize, usize), each: usize, most: usize) -> Self {
        let inner = Mutex::new(Inner { free: at_once, turns: HashMap::new(), lines: VecDeque::new() });
        Self(Arc::new(Lines { share, each, most, inner }))
    }

    /// A turn, when it comes; `None` at once where the line of the key is full. Who stops waiting leaves the line.
    pub async fn turn(&self, key: &K) -> Option<Turn<K>> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.free > 0 && inner.turns.get(key).is_none_or(|turns| *turns < self.0.share) {
                inner.free -= 1;
                *inner.turns.entry(key.clone()).or_default() += 1;
                return Some(Turn(Some((Arc::clone(&self.0), key.clone()))));
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
    /// Takes a turn back; says who is next, or frees its place.
    fn next(&self, back: &K) -> Option<(K, oneshot::Sender<Turn<K>>)> {
        let mut guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { free, turns, lines } = &mut *guard;
        if let Some(count) = turns.get_mut(back) {
            *count -= 1;
            if *count == 0 {
                turns.remove(back);
            }
        }
        while let Some(at) =
            lines.iter().position(|(key, _)| turns.get(key).is_none_or(|turns| *turns < self.share))
        {
            let Some((key, mut line)) = lines.remove(at) else { break };
            let next = std::iter::from_fn(|| line.pop_front()).find(|waiting| !waiting.is_closed());
            if !line.is_empty() {
                lines.push_back((key.clone(), line));
            }
            if let Some(next) = next {
                *turns.entry(key.clone()).or_default() += 1;
                return Some((key, next));
            }
        }
        *free += 1;
        None
    }
}

impl<K: Clone + Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        let Some((lines, mut back)) = self.0.take() else { return };
        while let Some((key, next)) = lines.next(&back) {
            match next.send(Turn(Some((Arc::clone(&lines), key.clone())))) {
                Ok(()) => return,
                // Whoever it was for left just now: the place is still this one's to give.
                Err(mut turn) => turn.0 = None,
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
    async fn who_asks_for_much_does_not_delay_who_asks_for_little() {
        let fair = Fair::new((1, 1), 100, 10);
        let first = fair.turn(&'a').await.unwrap();
        let done = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for key in ['a'; 50].into_iter().chain(['b', 'c']) {
            let (fair, done) = (fair.clone(), Arc::clone(&done));
            tasks.push(tokio::spawn(async move {
                let turn = fair.turn(&key).await;
                done.lock().unwrap().push(key);
                drop(turn);
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
        assert!(fair.turn(&'d').await.is_some());
    }

    #[tokio::test]
    async fn a_full_line_refuses_and_who_leaves_makes_room() {
        let fair = Fair::new((1, 1), 2, 2);
        let first = fair.turn(&'a').await.unwrap();
        let wait = |key: char| {
            let fair = fair.clone();
            tokio::spawn(async move { fair.turn(&key).await.is_some() })
        };
        let waiting = [wait('a'), wait('a'), wait('b')];
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(fair.turn(&'a').await.is_none(), "the line is full");
        assert!(fair.turn(&'c').await.is_none(), "there are too many lines");
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
    async fn one_key_has_no_more_than_its_share_though_places_are_free() {
        let fair = Fair::new((3, 2), 10, 10);
        let (first, second) = (fair.turn(&'a').await.unwrap(), fair.turn(&'a').await.unwrap());
        let third = {
            let fair = fair.clone();
            tokio::spawn(async move { fair.turn(&'a').await })
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        let other = fair.turn(&'b').await.unwrap();
        assert!(!third.is_finished());
        drop(other);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!third.is_finished(), "the place of another is not its own");
        drop(first);
        let third = third.await.unwrap();
        drop((second, third));
        let inner = fair.0.inner.lock().unwrap();
        assert_eq!((inner.free, inner.turns.len(), inner.lines.len()), (3, 0, 0));
    }
}

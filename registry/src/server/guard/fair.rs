//! A queue in which everybody has a line of his own, and the lines take turns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Work of many, so much at once. Who asks for much waits behind himself, not before others.
pub struct Fair<K>(Arc<Lines<K>>);

struct Lines<K> {
    each: usize,
    most: usize,
    inner: Mutex<Inner<K>>,
}

struct Inner<K> {
    free: usize,
    /// The line that is next is the first; none is empty.
    lines: VecDeque<(K, VecDeque<oneshot::Sender<Turn<K>>>)>,
}

/// The right to work, given on when it is dropped.
pub struct Turn<K>(Option<Arc<Lines<K>>>);

impl<K> Clone for Fair<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Clone + Eq> Fair<K> {
    /// `at_once` work; of each key `each` may wait, and `most` keys may.
    #[must_use]
    pub fn new(at_once: usize, each: usize, most: usize) -> Self {
        let inner = Mutex::new(Inner { free: at_once, lines: VecDeque::new() });
        Self(Arc::new(Lines { each, most, inner }))
    }

    /// A turn, when it comes; `None` at once where the line of the key is full. Who stops waiting leaves the line.
    pub async fn turn(&self, key: &K) -> Option<Turn<K>> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.free > 0 {
                inner.free -= 1;
                return Some(Turn(Some(Arc::clone(&self.0))));
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

impl<K> Lines<K> {
    /// Who is next; the place is free when nobody is.
    fn next(&self) -> Option<oneshot::Sender<Turn<K>>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((key, mut line)) = inner.lines.pop_front() {
            let next = std::iter::from_fn(|| line.pop_front()).find(|waiting| !waiting.is_closed());
            if !line.is_empty() {
                inner.lines.push_back((key, line));
            }
            if next.is_some() {
                return next;
            }
        }
        inner.free += 1;
        None
    }
}

impl<K> Drop for Turn<K> {
    fn drop(&mut self) {
        let Some(lines) = self.0.take() else { return };
        while let Some(next) = lines.next() {
            match next.send(Turn(Some(Arc::clone(&lines)))) {
                Ok(()) => return,
                // Whoever it was for left just now: the place is still this one's to give.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn who_asks_for_much_does_not_delay_who_asks_for_little() {
        let fair = Fair::new(1, 100, 10);
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
        let fair = Fair::new(1, 2, 2);
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
}

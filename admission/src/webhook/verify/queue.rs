//! The queue of registry queries. The number of concurrent queries is limited, and users take turns, so that a user who
//! creates many images delays only their own.

use std::sync::Arc;
use std::time::Duration;

use registry::server::{FairQueue, QueueLimits, QueueTicket};
use tokio::sync::Semaphore;

use super::DEADLINE;
use crate::webhook::review::Request;
use crate::webhook::verdicts::Pending;

/// The most concurrent registry queries of all users, and of one user.
const MAX_CONCURRENT: usize = 16;
const MAX_CONCURRENT_PER_USER: usize = 4;
/// The most waiting queries of one user, and the most users with queries.
const MAX_WAITING_PER_USER: usize = 512;
const MAX_USERS: usize = 1024;
/// The most timed-out queries that may still complete, so that a registry that is slower than the API server's timeout
/// has answered by the next request.
const MAX_LATE: usize = 4;
/// How long such a query may continue.
const LATE_TIMEOUT: Duration = Duration::from_secs(20);

/// The unit that takes turns: a user in a namespace, because controllers create the pods of all users.
pub(super) type Requester = (String, String);

/// The sender of a request.
pub(super) fn requester(request: &Request) -> Requester {
    (request.user().to_owned(), request.namespace.clone())
}

/// The queue of registry queries.
#[derive(Clone)]
pub(super) struct QueryQueue {
    fair: FairQueue<Requester>,
    late: Arc<Semaphore>,
}

impl Default for QueryQueue {
    fn default() -> Self {
        Self {
            fair: FairQueue::new(QueueLimits {
                at_once: MAX_CONCURRENT,
                share: MAX_CONCURRENT_PER_USER,
                waiting: MAX_WAITING_PER_USER,
                keys: MAX_USERS,
            }),
            late: Arc::new(Semaphore::new(MAX_LATE)),
        }
    }
}

impl QueryQueue {
    /// Waits for the turn to query a registry.
    pub(super) fn turn(
        &self,
        requester: &Requester,
    ) -> impl Future<Output = Result<QueueTicket<Requester>, String>> + Send + use<> {
        let (fair, requester) = (self.fair.clone(), requester.clone());
        async move {
            let full = || {
                format!(
                    "too many images of `{}` in `{}` are waiting for verification; try again",
                    requester.0, requester.1
                )
            };
            fair.acquire(std::slice::from_ref(&requester)).await.ok_or_else(full)
        }
    }

    /// Waits for the result of a query until the timeout. A few timed-out queries may still complete.
    pub(super) async fn wait<V>(&self, query: Pending<V>) -> Option<Result<V, Arc<str>>>
    where
        V: Clone + Send + Sync + 'static,
    {
        if let Ok(result) = tokio::time::timeout(DEADLINE, query.clone()).await {
            return Some(result);
        }
        if let Ok(permit) = Arc::clone(&self.late).try_acquire_owned() {
            tokio::spawn(async move {
                let _ = tokio::time::timeout(LATE_TIMEOUT, query).await;
                drop(permit);
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::webhook::verdicts::QueryCache;

    #[tokio::test]
    async fn a8_thousands_of_images_of_one_user_do_not_delay_those_of_another() {
        let (queue, cache) = (QueryQueue::default(), QueryCache::<String, ()>::default());
        let verify = |user: &str, image: String| {
            let (queue, cache, requester) =
                (queue.clone(), cache.clone(), (user.to_owned(), "default".to_owned()));
            tokio::spawn(async move {
                let begun = Instant::now();
                let turn = queue.turn(&requester);
                let start = || async move {
                    let _turn = turn.await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(())
                };
                (queue.wait(cache.query(image, |()| None, start)).await, begun.elapsed())
            })
        };
        let flood: Vec<_> = (0..32_000).map(|at| verify("hostile", format!("image-{at}"))).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut slowest = Duration::ZERO;
        for at in 0..20 {
            let (result, took) = verify("healthy", format!("signed-{at}")).await.unwrap();
            assert_eq!(result, Some(Ok(())));
            slowest = slowest.max(took);
        }
        println!("a signed image was verified within {slowest:?} while 32,000 others waited");
        assert!(slowest < DEADLINE / 2, "{slowest:?}");
        flood.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

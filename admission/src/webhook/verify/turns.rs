//! Whose question to a registry is next. So many are asked at once, and those who ask take turns, so that who creates
//! many images waits for himself.

use std::sync::Arc;
use std::time::Duration;

use registry::server::{Fair, Turn};
use tokio::sync::Semaphore;

use super::DEADLINE;
use crate::webhook::review::Request;
use crate::webhook::verdicts::Pending;

/// Concurrent questions to registries: of all users, and of one. Then how many of one user's may wait, and of how many users.
const AT_ONCE: usize = 16;
const SHARE: usize = 4;
const WAITING: usize = 512;
const ASKERS: usize = 1024;
/// Questions that nobody waits for any more and that may end all the same, so that a registry that is slower than the
/// API server's patience has answered by the next time.
const BELATED: usize = 4;
/// How long such a question may go on.
const BELATED_FOR: Duration = Duration::from_secs(20);

/// Who takes turns: a user in a namespace, because controllers create the pods of everybody.
pub(super) type Asker = (String, String);

/// Who sent a request.
pub(super) fn asker(request: &Request) -> Asker {
    (request.user().to_owned(), request.namespace.clone())
}

/// Turns at registries.
#[derive(Clone)]
pub(super) struct Turns {
    fair: Fair<Asker>,
    belated: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            fair: Fair::new((AT_ONCE, SHARE), WAITING, ASKERS),
            belated: Arc::new(Semaphore::new(BELATED)),
        }
    }
}

impl Turns {
    /// The right to ask a registry, when it comes.
    pub(super) fn turn(
        &self,
        asker: &Asker,
    ) -> impl Future<Output = Result<Turn<Asker>, String>> + Send + use<> {
        let (fair, asker) = (self.fair.clone(), asker.clone());
        async move {
            let full = || {
                format!("too many images of `{}` in `{}` wait to be verified; try again", asker.0, asker.1)
            };
            fair.turn(&asker).await.ok_or_else(full)
        }
    }

    /// Waits for an answer; not for longer than the API server does. A few questions may end nevertheless.
    pub(super) async fn wait<V>(&self, question: Pending<V>) -> Option<Result<V, Arc<str>>>
    where
        V: Clone + Send + Sync + 'static,
    {
        if let Ok(answer) = tokio::time::timeout(DEADLINE, question.clone()).await {
            return Some(answer);
        }
        if let Ok(place) = Arc::clone(&self.belated).try_acquire_owned() {
            tokio::spawn(async move {
                let _ = tokio::time::timeout(BELATED_FOR, question).await;
                drop(place);
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::webhook::verdicts::Known;

    #[tokio::test]
    async fn a8_thousands_of_images_of_one_user_do_not_delay_another_s() {
        let (turns, known) = (Turns::default(), Known::<String, ()>::default());
        let judge = |user: &str, image: String| {
            let (turns, known, asker) =
                (turns.clone(), known.clone(), (user.to_owned(), "default".to_owned()));
            tokio::spawn(async move {
                let begun = Instant::now();
                let turn = turns.turn(&asker);
                let ask = || async move {
                    let _turn = turn.await?;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Ok(())
                };
                (turns.wait(known.ask(image, |()| None, ask)).await, begun.elapsed())
            })
        };
        let flood: Vec<_> = (0..32_000).map(|at| judge("hostile", format!("image-{at}"))).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut slowest = Duration::ZERO;
        for at in 0..20 {
            let (answer, took) = judge("healthy", format!("signed-{at}")).await.unwrap();
            assert_eq!(answer, Some(Ok(())));
            slowest = slowest.max(took);
        }
        println!("a signed image was judged within {slowest:?} while 32,000 others waited");
        assert!(slowest < DEADLINE / 2, "{slowest:?}");
        flood.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

//! The lease read and written, and work that goes on only while it is held.

use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use super::{Election, Move, TERMS};

/// The lease's name.
const NAME: &str = "airlock-controller";
/// The API server answers within this, or counts as silent.
const ANSWER: Duration = Duration::from_secs(2);

/// The pause between two looks of those who wait.
const LOOK: Duration = Duration::from_secs(1);

/// A process's name in the lease: its replica's, and when it began.
pub(in crate::reconcile) fn identity(replica: &str) -> String {
    format!("{replica}_{:x}", Timestamp::now().as_microsecond())
}

/// Whether a process of this replica holds the lease, or held it last.
pub(in crate::reconcile) async fn holds(
    client: Client,
    namespace: &str,
    replica: &str,
) -> kube::Result<bool> {
    let lease = Api::<Lease>::namespaced(client, namespace).get_opt(NAME).await?;
    let holder = lease.and_then(|lease| lease.spec?.holder_identity);
    Ok(holder.is_some_and(|holder| holder.rsplit_once('_').is_some_and(|(name, _)| name == replica)))
}

/// One replica's hold on the lease.
pub(in crate::reconcile) struct Holder {
    api: Api<Lease>,
    election: Election,
    begun: Instant,
    /// As it was written last; renewing needs no reading then.
    written: Option<Lease>,
}

impl Holder {
    pub(in crate::reconcile) fn new(client: Client, namespace: &str, identity: String) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, election: Election::new(identity, TERMS), begun: Instant::now(), written: None }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn leads(&self) -> bool {
        self.election.leads(self.now())
    }

    /// How long this replica may still lead without another renewal.
    fn left(&self) -> Duration {
        let renewed = self.election.renewed.unwrap_or_default();
        (renewed + TERMS.give_up).saturating_sub(self.now())
    }

    /// Reads if need be, decides, and writes. Whoever is refused or not answered looks again later.
    async fn turn(&mut self) -> kube::Result<()> {
        let lease = match self.written.take() {
            Some(lease) => Some(lease),
            None => self.api.get_opt(NAME).await?,
        };
        let begun = self.now();
        let answer = match self.election.decide(lease.as_ref(), begun, Timestamp::now()) {
            Move::Wait => return Ok(()),
            Move::Create(mut lease) => {
                lease.metadata.name = Some(NAME.to_owned());
                self.api.create(&PostParams::default(), &lease).await
            }
            Move::Write(lease) => self.api.replace(NAME, &PostParams::default(), &lease).await,
        };
        self.election.written(answer.as_ref().map_err(|_| ()), begun);
        self.written = Some(answer?);
        Ok(())
    }

    async fn try_turn(&mut self) {
        match timeout(ANSWER, self.turn()).await {
            Ok(Ok(())) => {}
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_already_exists() => {
                tracing::debug!("another replica wrote the lease");
            }
            Ok(Err(error)) => tracing::warn!(error = %brief::words(&error), "the lease cannot be renewed"),
            Err(_) => tracing::warn!("the lease cannot be renewed: the API server does not answer"),
        }
    }

    /// Waits until this replica leads.
    pub(in crate::reconcile) async fn win(&mut self) {
        loop {
            self.try_turn().await;
            if self.leads() {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// Renews until that fails for too long.
    async fn keep(&mut self) {
        while self.leads() {
            sleep(TERMS.renew.min(self.left())).await;
            if self.leads() {
                let left = self.left();
                let _ = timeout(left, self.try_turn()).await;
            }
        }
    }

    /// Lets another lead at once.
    pub(in crate::reconcile) async fn give_up(&mut self) {
        let given = async {
            let lease = self.api.get(NAME).await?;
            if let Some(lease) = self.election.given_up(&lease, Timestamp::now()) {
                self.api.replace(NAME, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        if !matches!(timeout(ANSWER, given).await, Ok(Ok(()))) {
            tracing::debug!("the lease was not given up; it lapses");
        }
    }
}

/// Does `work` as long as the lease is held, and drops it when it is not: then nothing of it goes on.
pub(in crate::reconcile) async fn while_leading<T>(
    holder: &mut Holder,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        () = holder.keep() => None,
        done = work => Some(done),
    }
}

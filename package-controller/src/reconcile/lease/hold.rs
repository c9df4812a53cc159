//! Reads and writes the lease, and runs work only while it is held.

use std::future::Future;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use super::{Election, LEASE_TIMING, LeaseAction};

/// The name of the lease.
const NAME: &str = "airlock-controller";
/// The timeout of a request to the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause between two checks of a waiting replica.
const ACQUIRE_INTERVAL: Duration = Duration::from_secs(1);

/// The name of a process in the lease: the replica, and the start time.
pub(in crate::reconcile) fn identity(replica: &str) -> String {
    format!("{replica}_{:x}", Timestamp::now().as_microsecond())
}

/// Whether a process of this replica holds the lease, or was the last one to hold it.
pub(in crate::reconcile) async fn holds(
    client: Client,
    namespace: &str,
    replica: &str,
) -> kube::Result<bool> {
    let lease = Api::<Lease>::namespaced(client, namespace).get_opt(NAME).await?;
    let holder = lease.and_then(|lease| lease.spec?.holder_identity);
    Ok(holder.is_some_and(|holder| holder.rsplit_once('_').is_some_and(|(name, _)| name == replica)))
}

/// Acquires and holds the lease for one replica.
pub(in crate::reconcile) struct Holder {
    api: Api<Lease>,
    election: Election,
    begun: Instant,
    /// The lease as last written, so that a renewal does not need to read it.
    written: Option<Lease>,
}

impl Holder {
    pub(in crate::reconcile) fn new(client: Client, namespace: &str, identity: String) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, election: Election::new(identity, LEASE_TIMING), begun: Instant::now(), written: None }
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn leads(&self) -> bool {
        self.election.leads(self.now())
    }

    /// The time that this replica stays the leader without another renewal.
    fn left(&self) -> Duration {
        let renewed = self.election.renewed.unwrap_or_default();
        (renewed + LEASE_TIMING.give_up).saturating_sub(self.now())
    }

    /// Reads the lease if necessary, decides, and writes it. After a failure, it is read again the next time.
    async fn renew(&mut self) -> kube::Result<()> {
        let lease = match self.written.take() {
            Some(lease) => Some(lease),
            None => self.api.get_opt(NAME).await?,
        };
        let begun = self.now();
        let result = match self.election.decide(lease.as_ref(), begun, Timestamp::now()) {
            LeaseAction::Wait => return Ok(()),
            LeaseAction::Create(mut lease) => {
                lease.metadata.name = Some(NAME.to_owned());
                self.api.create(&PostParams::default(), &lease).await
            }
            LeaseAction::Write(lease) => self.api.replace(NAME, &PostParams::default(), &lease).await,
        };
        self.election.written(result.as_ref().map_err(|_| ()), begun);
        self.written = Some(result?);
        Ok(())
    }

    async fn try_renew(&mut self) {
        match timeout(REQUEST_TIMEOUT, self.renew()).await {
            Ok(Ok(())) => {}
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_already_exists() => {
                tracing::debug!("another replica wrote the lease");
            }
            Ok(Err(error)) => tracing::warn!(error = %error_text::one_line(&error), "cannot renew the lease"),
            Err(_) => tracing::warn!("cannot renew the lease: the API server does not answer"),
        }
    }

    /// Waits until this replica is the leader.
    pub(in crate::reconcile) async fn acquire(&mut self) {
        loop {
            self.try_renew().await;
            if self.leads() {
                return;
            }
            sleep(ACQUIRE_INTERVAL).await;
        }
    }

    /// Renews the lease until renewals have failed for too long.
    async fn renew_until_lost(&mut self) {
        while self.leads() {
            sleep(LEASE_TIMING.renew.min(self.left())).await;
            if self.leads() {
                let left = self.left();
                let _ = timeout(left, self.try_renew()).await;
            }
        }
    }

    /// Releases the lease, so that another replica can become the leader at once.
    pub(in crate::reconcile) async fn release(&mut self) {
        let released = async {
            let lease = self.api.get(NAME).await?;
            if let Some(lease) = self.election.released(&lease, Timestamp::now()) {
                self.api.replace(NAME, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        if !matches!(timeout(REQUEST_TIMEOUT, released).await, Ok(Ok(()))) {
            tracing::debug!("the lease was not released; it expires");
        }
    }
}

/// Runs `work` as long as the lease is held, and drops it otherwise, so that no part of it continues.
pub(in crate::reconcile) async fn while_leading<T>(
    holder: &mut Holder,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        () = holder.renew_until_lost() => None,
        done = work => Some(done),
    }
}

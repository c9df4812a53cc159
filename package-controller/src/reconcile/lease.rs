//! Which replica leads: a `coordination.k8s.io/v1` Lease, held by renewing it.
//!
//! As in client-go, no clock is compared with another machine's: a replica takes a lease over that it has itself not
//! seen change for the lease's whole duration. A leader counts from before its last successful renewal was sent, and
//! gives up earlier than any other may take over, so that there are never two.
//!
//! `lease as read -> Election -> Move -> lease as written`

mod hold;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

pub(super) use hold::{Holder, holds, identity, while_leading};

/// How long a lease holds, and how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Unchanged for this long, it is anyone's.
    pub(super) duration: Duration,
    /// The pause between two renewals.
    pub(super) renew: Duration,
    /// A leader that could not renew for this long stops.
    pub(super) give_up: Duration,
}

/// The worst case of a takeover: a look just missed, the whole duration, and another look: 12 s.
pub(super) const TERMS: Terms = Terms {
    duration: Duration::from_secs(10),
    renew: Duration::from_secs(2),
    give_up: Duration::from_secs(7),
};

/// What to do about the lease.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Move {
    /// There is none: make it.
    Create(Lease),
    /// It is ours, or free: write it. It bears the version that was read, so that of two writers one fails.
    Write(Lease),
    /// It is another's.
    Wait,
}

/// What one replica knows of the lease. Times are of one monotonic clock.
#[derive(Clone, Debug)]
pub(super) struct Election {
    identity: String,
    terms: Terms,
    /// The version that was seen last, and since when.
    seen: Option<(String, Duration)>,
    /// When the last successful renewal was begun.
    renewed: Option<Duration>,
}

impl Election {
    pub(super) fn new(identity: String, terms: Terms) -> Self {
        Self { identity, terms, seen: None, renewed: None }
    }

    /// Whether this replica leads at `now`.
    pub(super) fn leads(&self, now: Duration) -> bool {
        self.renewed.is_some_and(|renewed| now.saturating_sub(renewed) < self.terms.give_up)
    }

    /// Decides by the lease as it was read at `now`; `date` is only written down.
    pub(super) fn decide(&mut self, lease: Option<&Lease>, now: Duration, date: Timestamp) -> Move {
        let Some(lease) = lease else { return Move::Create(self.first(date)) };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => now,
        };
        self.seen = Some((version, since));
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        // A lease with another duration than ours is of another version of the program; the longer one holds.
        let said = Duration::from_secs(
            spec.lease_duration_seconds.and_then(|said| u64::try_from(said).ok()).unwrap_or_default(),
        );
        let lapsed = now.saturating_sub(since) >= self.terms.duration.max(said);
        if holder == self.identity || holder.is_empty() || lapsed {
            return Move::Write(self.taken(lease, &spec, date));
        }
        self.renewed = None;
        Move::Wait
    }

    /// A write that was begun at `begun` succeeded, or did not.
    pub(super) fn written(&mut self, lease: Result<&Lease, ()>, begun: Duration) {
        if let Ok(lease) = lease {
            let version = lease.metadata.resource_version.clone().unwrap_or_default();
            self.seen = Some((version, begun));
            self.renewed = Some(begun);
        }
    }

    /// The lease given up, so that another need not wait.
    pub(super) fn given_up(&mut self, lease: &Lease, date: Timestamp) -> Option<Lease> {
        self.renewed = None;
        let spec = lease.spec.clone().unwrap_or_default();
        (spec.holder_identity.as_deref() == Some(self.identity.as_str())).then(|| {
            let spec = LeaseSpec {
                holder_identity: Some(String::new()),
                renew_time: Some(MicroTime(date)),
                lease_duration_seconds: Some(1),
                ..spec
            };
            Lease { spec: Some(spec), ..lease.clone() }
        })
    }

    fn first(&self, date: Timestamp) -> Lease {
        self.taken(&Lease::default(), &LeaseSpec::default(), date)
    }

    fn taken(&self, lease: &Lease, spec: &LeaseSpec, date: Timestamp) -> Lease {
        let ours = spec.holder_identity.as_deref() == Some(self.identity.as_str());
        let acquired = spec.acquire_time.clone().filter(|_| ours);
        let transitions = spec.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            acquire_time: acquired.or(Some(MicroTime(date))),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.terms.duration.as_secs()).ok(),
            lease_transitions: Some(if ours { transitions } else { transitions.saturating_add(1) }),
            renew_time: Some(MicroTime(date)),
            ..spec.clone()
        };
        Lease { spec: Some(spec), ..lease.clone() }
    }
}

#[cfg(test)]
mod tests;

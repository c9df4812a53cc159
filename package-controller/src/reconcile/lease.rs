//! The leader election with a `coordination.k8s.io/v1` Lease, held by renewing it.
//!
//! As in client-go, clocks of different machines are not compared: a replica takes over a lease that it has not seen
//! change for the whole duration of the lease. A leader counts from the time before it sent its last successful renewal,
//! and stops before any other replica can take over, so that there are never two leaders.
//!
//! `lease as read -> Election -> LeaseAction -> lease as written`

mod hold;

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

pub(super) use hold::{Holder, holds, identity, while_leading};

/// The timing of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseTiming {
    /// After this time without a change, any replica can take the lease over.
    pub(super) duration: Duration,
    /// The pause between two renewals.
    pub(super) renew: Duration,
    /// After this time without a successful renewal, a leader stops.
    pub(super) give_up: Duration,
}

/// The longest takeover is 12 s: the check interval, the whole duration, and another check interval.
pub(super) const LEASE_TIMING: LeaseTiming = LeaseTiming {
    duration: Duration::from_secs(10),
    renew: Duration::from_secs(2),
    give_up: Duration::from_secs(7),
};

/// The action on the lease.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum LeaseAction {
    /// The lease does not exist: create it.
    Create(Lease),
    /// The lease is held by this replica, or is free: write it. It states the resource version that was read, so that of two
    /// writers one fails.
    Write(Lease),
    /// Another replica holds the lease.
    Wait,
}

/// The election from the view of one replica. All times are of one monotonic clock.
#[derive(Clone, Debug)]
pub(super) struct Election {
    identity: String,
    timing: LeaseTiming,
    /// The last seen resource version, and the time since which it is unchanged.
    seen: Option<(String, Duration)>,
    /// The time at which the last successful renewal was started.
    renewed: Option<Duration>,
}

impl Election {
    pub(super) fn new(identity: String, timing: LeaseTiming) -> Self {
        Self { identity, timing, seen: None, renewed: None }
    }

    /// Whether this replica is the leader at `now`.
    pub(super) fn leads(&self, now: Duration) -> bool {
        self.renewed.is_some_and(|renewed| now.saturating_sub(renewed) < self.timing.give_up)
    }

    /// Decides by the lease that was read at `now`. `date` is only recorded in the lease.
    pub(super) fn decide(&mut self, lease: Option<&Lease>, now: Duration, date: Timestamp) -> LeaseAction {
        let Some(lease) = lease else { return LeaseAction::Create(self.first(date)) };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let since = match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => now,
        };
        self.seen = Some((version, since));
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        // A lease with another duration was written by another version of the program. The longer duration applies.
        let stated = Duration::from_secs(
            spec.lease_duration_seconds.and_then(|stated| u64::try_from(stated).ok()).unwrap_or_default(),
        );
        let lapsed = now.saturating_sub(since) >= self.timing.duration.max(stated);
        if holder == self.identity || holder.is_empty() || lapsed {
            return LeaseAction::Write(self.taken(lease, &spec, date));
        }
        self.renewed = None;
        LeaseAction::Wait
    }

    /// Records the result of a write that was started at `begun`.
    pub(super) fn written(&mut self, lease: Result<&Lease, ()>, begun: Duration) {
        if let Ok(lease) = lease {
            let version = lease.metadata.resource_version.clone().unwrap_or_default();
            self.seen = Some((version, begun));
            self.renewed = Some(begun);
        }
    }

    /// The released lease, so that another replica need not wait.
    pub(super) fn released(&mut self, lease: &Lease, date: Timestamp) -> Option<Lease> {
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
            lease_duration_seconds: i32::try_from(self.timing.duration.as_secs()).ok(),
            lease_transitions: Some(if ours { transitions } else { transitions.saturating_add(1) }),
            renew_time: Some(MicroTime(date)),
            ..spec.clone()
        };
        Lease { spec: Some(spec), ..lease.clone() }
    }
}

#[cfg(test)]
mod tests;

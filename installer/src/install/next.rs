//! Decides the next step for a plan by the newest revision. A pure function.

use crate::limits::Limits;
use crate::prepared::Prepared;
use crate::record::Stored;
use crate::release::Status;

/// The next step for a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Create a new revision.
    Begin,
    /// Resume the newest revision, which is of this plan and unfinished.
    Resume,
    /// Keep the newest revision, which is of this plan and finished, and restore objects that drifted.
    Keep,
    /// Remove the newest revision first: it is being uninstalled, or it never succeeded and is in another namespace.
    Clear,
    /// Reject the plan: the release is installed in another namespace.
    Moved,
    /// Wait: another program's operation has been in progress for this number of seconds.
    Busy(i64),
}

/// Decides the next step. `was_deployed` states whether any revision was deployed.
pub(super) fn next(
    newest: Option<&Stored>,
    was_deployed: bool,
    prepared: &Prepared,
    limits: &Limits,
    now: i64,
) -> Next {
    let Some(newest) = newest else { return Next::Begin };
    let record = &newest.record;
    let same = prepared.is_of(record);
    match record.status {
        Status::Uninstalling => Next::Clear,
        Status::Deployed if same => Next::Keep,
        status if status.is_pending() && same => Next::Resume,
        // A pending revision of this engine was left by a killed process, as only the holder of the lease gets here. A
        // revision of another program may still be in progress.
        status if status.is_pending() && record.chart_digest.is_none() => {
            let age = now - newest.written;
            if age < limits.timeout.as_secs().try_into().unwrap_or(i64::MAX) {
                Next::Busy(age)
            } else {
                by_namespace(newest, was_deployed, prepared)
            }
        }
        _ => by_namespace(newest, was_deployed, prepared),
    }
}

/// An installed release stays in its namespace.
fn by_namespace(newest: &Stored, was_deployed: bool, prepared: &Prepared) -> Next {
    match newest.record.status {
        Status::Uninstalled => Next::Begin,
        _ if newest.record.namespace == prepared.namespace => Next::Begin,
        _ if was_deployed => Next::Moved,
        _ => Next::Clear,
    }
}

#[cfg(test)]
mod tests {
    use oci::Digest;
    use package_api::PackageSource;
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::Install;
    use crate::record::Seed;

    fn prepared(values: &Value) -> Prepared {
        let plan = Install {
            release: "web".to_owned(),
            release_namespace: "records",
            target_namespace: None,
            create_namespace: false,
            chart_registry: "registry.example".to_owned(),
            source: PackageSource::default(),
            target_version: String::new(),
            values: values.clone(),
            dependencies: Vec::new(),
        };
        Prepared {
            plan,
            namespace: "shop".to_owned(),
            manifest: String::new(),
            definitions: String::new(),
            notes: String::new(),
            revision: 1,
            chart: String::new(),
            chart_version: String::new(),
            is_upgrade: false,
            digest: Digest::sha256(b"chart"),
            seed: Seed { bytes: [0; 32], now: 0, keys: helm::Keys::Named },
            document: Value::Null,
            objects: Vec::new(),
        }
    }

    /// The newest revision: its status, its values, and whether this engine created it.
    fn newest(status: Status, values: &Value, ours: bool) -> Stored {
        let document = json!({"name": "web", "namespace": "shop", "version": 1, "config": values,
            "info": {"status": status.as_str()}});
        let mut stored = Stored::new(document, "records", 1000).unwrap();
        stored.record.chart_digest = ours.then(|| Digest::sha256(b"chart"));
        stored
    }

    #[test]
    fn the_newest_revision_determines_the_next_step() {
        let (same, other) = (json!({"a": 1}), json!({"a": 2}));
        let limits = Limits::default();
        let cases = [
            (Status::Deployed, &same, true, Next::Keep),
            (Status::Deployed, &other, true, Next::Begin),
            // The digest of the chart is not known.
            (Status::Deployed, &same, false, Next::Begin),
            (Status::PendingInstall, &same, true, Next::Resume),
            (Status::PendingUpgrade, &same, true, Next::Resume),
            (Status::PendingRollback, &same, true, Next::Resume),
            (Status::PendingUpgrade, &other, true, Next::Begin),
            (Status::PendingUpgrade, &same, false, Next::Busy(60)),
            (Status::Failed, &same, true, Next::Begin),
            (Status::Superseded, &same, true, Next::Begin),
            (Status::Uninstalled, &same, true, Next::Begin),
            (Status::Uninstalling, &same, true, Next::Clear),
        ];
        for (status, values, ours, expected) in cases {
            let newest = newest(status, values, ours);
            assert_eq!(
                next(Some(&newest), true, &prepared(&same), &limits, 1060),
                expected,
                "{status:?} {ours}"
            );
        }
        assert_eq!(next(None, false, &prepared(&same), &limits, 0), Next::Begin);
        let old = newest(Status::PendingUpgrade, &same, false);
        assert_eq!(next(Some(&old), false, &prepared(&same), &limits, 1000 + 300), Next::Begin);
    }

    #[test]
    fn h2_a_deployed_release_stays_in_its_namespace_and_one_that_never_was_is_removed_first() {
        let (values, limits) = (json!({}), Limits::default());
        let mut wanted = prepared(&values);
        "elsewhere".clone_into(&mut wanted.namespace);
        let decide = |status, was_deployed| {
            next(Some(&newest(status, &values, true)), was_deployed, &wanted, &limits, 1060)
        };
        for status in [Status::Deployed, Status::Failed, Status::PendingUpgrade, Status::PendingRollback] {
            assert_eq!(decide(status, true), Next::Moved, "{status:?}");
        }
        for status in [Status::PendingInstall, Status::Failed, Status::Uninstalling] {
            assert_eq!(decide(status, false), Next::Clear, "{status:?}");
        }
        // Only its records were kept.
        assert_eq!(decide(Status::Uninstalled, true), Next::Begin);
    }
}

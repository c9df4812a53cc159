//! What there is to do for a plan: a pure decision by the newest revision.

use crate::limits::Limits;
use crate::prepared::Prepared;
use crate::record::Stored;
use crate::release::Status;

/// What there is to do for a plan, by the newest revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A new revision.
    Begin,
    /// The newest revision is this very plan, and unfinished.
    Resume,
    /// The newest revision is this very plan, and done: what drifted is put back.
    Keep,
    /// The newest revision is on its way out, or never was good and is elsewhere: it goes first.
    Clear,
    /// What is installed is in another namespace.
    Moved,
    /// Another program is at it, since so many seconds.
    Busy(i64),
}

/// Decides what there is to do. `was_good` says whether any revision was.
pub(super) fn next(
    newest: Option<&Stored>,
    was_good: bool,
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
        // Ours without an owner is of a process that was killed: only who holds the lease gets here. Another
        // program's may be alive.
        status if status.is_pending() && record.chart_digest.is_none() => {
            let age = now - newest.written;
            if age < limits.timeout.as_secs().try_into().unwrap_or(i64::MAX) {
                Next::Busy(age)
            } else {
                elsewhere(newest, was_good, prepared)
            }
        }
        _ => elsewhere(newest, was_good, prepared),
    }
}

/// A release is in one namespace as long as it is installed.
fn elsewhere(newest: &Stored, was_good: bool, prepared: &Prepared) -> Next {
    match newest.record.status {
        Status::Uninstalled => Next::Begin,
        _ if newest.record.namespace == prepared.namespace => Next::Begin,
        _ if was_good => Next::Moved,
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

    /// The newest revision: its state, its values, and whether this engine made it.
    fn newest(status: Status, values: &Value, ours: bool) -> Stored {
        let document = json!({"name": "web", "namespace": "shop", "version": 1, "config": values,
            "info": {"status": status.as_str()}});
        let mut stored = Stored::new(document, "records", 1000).unwrap();
        stored.record.chart_digest = ours.then(|| Digest::sha256(b"chart"));
        stored
    }

    #[test]
    fn what_is_there_decides_what_is_done() {
        let (same, other) = (json!({"a": 1}), json!({"a": 2}));
        let limits = Limits::default();
        let cases = [
            (Status::Deployed, &same, true, Next::Keep),
            (Status::Deployed, &other, true, Next::Begin),
            // Nothing says which chart it was.
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
    fn h2_what_is_installed_stays_in_its_namespace_and_what_never_was_good_goes_first() {
        let (values, limits) = (json!({}), Limits::default());
        let mut wanted = prepared(&values);
        "elsewhere".clone_into(&mut wanted.namespace);
        let decide =
            |status, was_good| next(Some(&newest(status, &values, true)), was_good, &wanted, &limits, 1060);
        for status in [Status::Deployed, Status::Failed, Status::PendingUpgrade, Status::PendingRollback] {
            assert_eq!(decide(status, true), Next::Moved, "{status:?}");
        }
        for status in [Status::PendingInstall, Status::Failed, Status::Uninstalling] {
            assert_eq!(decide(status, false), Next::Clear, "{status:?}");
        }
        // Its records were kept, and nothing else of it.
        assert_eq!(decide(Status::Uninstalled, true), Next::Begin);
    }
}

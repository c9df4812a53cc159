//! The options of a render.

use std::time::Duration;

use gostd::limits::Limits;

use crate::capabilities::Capabilities;
use crate::chart::Values;
use crate::error::Error;
use crate::lookup::{Deny, Lookup};
use crate::template::Mode;

/// Everything that a render depends on besides the chart. It reads no clock, no environment and no network.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options<'a> {
    /// The release that is installed or upgraded.
    pub release: Release,
    /// The user's values.
    pub values: Values,
    /// The capabilities of the cluster.
    pub capabilities: Capabilities,
    /// The implementation of `lookup`.
    pub lookup: &'a dyn Lookup,
    /// The limits on the cost of the chart.
    pub limits: Limits,
    /// The seed of all randomness: keep it to get the same passwords and certificates again.
    pub seed: [u8; 32],
    /// What determines the keys of certificates.
    pub keys: Keys,
    /// The seed of random text that occurs only in annotations, as in `rollme`; if it is not set, `seed` applies there
    /// too.
    pub fresh: Option<[u8; 32]>,
    /// The time that `now` returns, since 1970-01-01 UTC.
    pub now: Duration,
    /// The time at which the seed was created; `now` unless the seed is kept. Certificates are valid from this time,
    /// and are renewed after two thirds of their lifetime.
    pub seeded_at: Duration,
    /// Whether the manifest begins with the files of `crds/`.
    pub include_crds: bool,
    /// Whether the notes include those of sub-charts.
    pub sub_notes: bool,
    /// Whether values are validated against the charts' schemas.
    pub schema: SchemaCheck,
    /// How `required`, `fail` and `lookup` behave.
    pub mode: Mode,
}

/// What determines the keys of certificates (`genCA`, `genSelfSignedCert`, `genSignedCert`), in addition to the seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keys {
    /// The order in which the chart generates them. This is faster, because primes can be generated ahead.
    #[default]
    Ordered,
    /// The content of the certificate: its kind, common name, addresses and names, and its chart. Among equal
    /// certificates, the order decides. So no key changes if a chart generates other certificates, or generates them in
    /// another order.
    Named,
}

/// Whether values are validated against the charts' schemas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SchemaCheck {
    /// Invalid values are an error.
    #[default]
    Enforce,
    /// Values are not validated.
    Skip,
}

/// `.Release`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Release {
    /// The release's name.
    pub name: String,
    /// The namespace of the release.
    pub namespace: String,
    /// 1 for an install, incremented by each upgrade and rollback.
    pub revision: i64,
    /// Whether this is an upgrade instead of an install.
    pub is_upgrade: bool,
}

impl Options<'_> {
    /// The options of a first install with default values, limits and capabilities, and without a cluster.
    #[must_use]
    pub fn new(name: impl Into<String>, namespace: impl Into<String>, seed: [u8; 32], now: Duration) -> Self {
        Self {
            release: Release {
                name: name.into(),
                namespace: namespace.into(),
                revision: 1,
                is_upgrade: false,
            },
            values: Values::default(),
            capabilities: Capabilities::default(),
            lookup: &Deny,
            limits: Limits::default(),
            seed,
            keys: Keys::Ordered,
            fresh: None,
            now,
            seeded_at: now,
            include_crds: false,
            sub_notes: false,
            schema: SchemaCheck::Enforce,
            mode: Mode::Render,
        }
    }
}

impl Release {
    /// Helm's `ValidateReleaseName`: DNS labels, at most 53 bytes.
    pub(super) fn check(&self) -> Result<(), Error> {
        let is_inner = |character: char| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
        };
        let is_label = |label: &str| {
            !label.is_empty()
                && label.chars().all(is_inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if self.name.len() <= 53 && self.name.split('.').all(is_label) {
            Ok(())
        } else {
            Err(Error::ReleaseName { name: self.name.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_name_is_a_dns_name() {
        let check = |name: &str| Options::new(name, "default", [0; 32], Duration::ZERO).release.check();
        for good in ["a", "a-b.c0", &"a".repeat(53)] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a..b", "a_b", &"a".repeat(54)] {
            assert!(matches!(check(bad), Err(Error::ReleaseName { .. })), "{bad}");
        }
    }
}

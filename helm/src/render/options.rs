//! What a render depends on besides the chart.

use std::time::Duration;

use gostd::limits::Limits;

use crate::capabilities::Capabilities;
use crate::chart::Values;
use crate::error::Error;
use crate::lookup::{Deny, Lookup};
use crate::template::Mode;

/// What a render depends on besides the chart. Nothing else does: no clock, no environment, no network.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options<'a> {
    /// What is being installed or upgraded.
    pub release: Release,
    /// The user's values.
    pub values: Values,
    /// What the cluster can do.
    pub capabilities: Capabilities,
    /// What `lookup` finds.
    pub lookup: &'a dyn Lookup,
    /// What the chart may cost.
    pub limits: Limits,
    /// What all randomness is made from: keep it to get the same passwords and certificates again.
    pub seed: [u8; 32],
    /// What the keys of certificates belong to.
    pub keys: Keys,
    /// What random text is made from that only annotations have, as in `rollme`; that of `seed` too unless given.
    pub fresh: Option<[u8; 32]>,
    /// What `now` gives, since 1970-01-01 UTC.
    pub now: Duration,
    /// When the seed was made, which is `now` unless it is kept. Certificates are valid from here, and are made anew when
    /// two thirds of their time are over.
    pub born: Duration,
    /// Whether the manifest begins with the files of `crds/`.
    pub include_crds: bool,
    /// Whether the notes of sub-charts are told too.
    pub sub_notes: bool,
    /// Whether values must fit the charts' schemas.
    pub schema: SchemaCheck,
    /// What `required`, `fail` and `lookup` do.
    pub mode: Mode,
}

/// What the keys of certificates (`genCA`, `genSelfSignedCert`, `genSignedCert`) belong to under one seed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keys {
    /// The order in which the chart makes them. Primes are made ahead, which is faster.
    #[default]
    Ordered,
    /// What the certificate says: its kind, its common name, its addresses and names, and the chart that it is of. Among
    /// equal ones the order counts. So a chart that makes others, or in another order, changes no key.
    Named,
}

/// Whether values must fit the charts' schemas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SchemaCheck {
    /// They must.
    #[default]
    Enforce,
    /// They need not.
    Skip,
}

/// `.Release`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Release {
    /// The release's name.
    pub name: String,
    /// The namespace it goes to.
    pub namespace: String,
    /// 1 for an install, one more for each upgrade or rollback.
    pub revision: i64,
    /// Whether it is an upgrade, else it is an install.
    pub is_upgrade: bool,
}

impl Options<'_> {
    /// The options of a first install with default values, limits and capabilities and without a cluster.
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
            born: now,
            include_crds: false,
            sub_notes: false,
            schema: SchemaCheck::Enforce,
            mode: Mode::Render,
        }
    }
}

impl Release {
    /// Helm's `ValidateReleaseName`: labels of a DNS name, 53 bytes at most.
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
    fn a_release_is_named_like_a_host() {
        let check = |name: &str| Options::new(name, "default", [0; 32], Duration::ZERO).release.check();
        for good in ["a", "a-b.c0", &"a".repeat(53)] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a..b", "a_b", &"a".repeat(54)] {
            assert!(matches!(check(bad), Err(Error::ReleaseName { .. })), "{bad}");
        }
    }
}

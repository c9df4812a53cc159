//! The decision on manifests of EKS Anywhere. The rules of all gates for such manifests apply wherever one is verified,
//! regardless of the gate's mode, because manifests are also verified outside of gates.

use std::collections::BTreeSet;

use super::decide::Reason;
use super::role::RoleRequest;
use super::{ContentKind, Gate, Holder, TrustFile, TrustedKey};

impl TrustFile {
    /// The names of the keys whose signatures count, if they suffice.
    ///
    /// # Errors
    /// The reasons why they do not suffice.
    pub(crate) fn accept(
        &self,
        content: &ContentKind,
        signed: &[&TrustedKey],
    ) -> Result<Vec<String>, Vec<Reason>> {
        let (mut counted, mut reasons) = (Vec::new(), Vec::new());
        for key in signed.iter().map(|key| key.holder()) {
            match self.may_sign(key, content) {
                Ok(()) => counted.push(key),
                Err(reason) => reasons.push(reason),
            }
        }
        let mut sufficient = !counted.is_empty();
        let rules =
            Gate::ALL.into_iter().filter_map(|gate| self.rule(gate, content)).collect::<BTreeSet<_>>();
        for by in rules {
            let wanted: Vec<_> = counted.iter().filter(|key| self.counts_for(key, by)).collect();
            let found = wanted.iter().map(|key| self.signer(key)).collect::<BTreeSet<_>>().len();
            let threshold = self.group(by).map_or(1, super::Group::threshold);
            if found < threshold {
                sufficient = false;
                let group = by.to_owned();
                reasons.push(Reason::BelowThreshold { group, threshold, found });
            }
        }
        if sufficient {
            Ok(counted.into_iter().map(|key| key.name().to_owned()).collect())
        } else {
            Err(reasons)
        }
    }

    fn may_sign(&self, key: &Holder, content: &ContentKind) -> Result<(), Reason> {
        let name = key.name().to_owned();
        if let Some(revocation) = self.revocation(key) {
            let (reason, date) = (revocation.reason().to_owned(), revocation.date().to_owned());
            return Err(Reason::Revoked { key: name, reason, date });
        }
        if key.may(&RoleRequest { content, image: None, sequence: None }, self.open) {
            Ok(())
        } else {
            Err(Reason::NoRole { key: name, content: content.to_string() })
        }
    }
}

//! Manifests of EKS Anywhere: whose signatures count. The rules of all gates for such a manifest hold wherever one is
//! verified, whatever the gate's mode, because it is verified in places that are no gate.

use std::collections::BTreeSet;

use super::decide::Reason;
use super::role::{Deed, What};
use super::{Gate, Holder, TrustFile, TrustedKey};

impl TrustFile {
    /// The names of those whose signatures count, when they suffice.
    ///
    /// # Errors
    /// Why they do not.
    pub(crate) fn accept(&self, what: &What, signed: &[&TrustedKey]) -> Result<Vec<String>, Vec<Reason>> {
        let (mut counted, mut why_not) = (Vec::new(), Vec::new());
        for key in signed.iter().map(|key| key.holder()) {
            match self.may_sign(key, what) {
                Ok(()) => counted.push(key),
                Err(reason) => why_not.push(reason),
            }
        }
        let mut sufficient = !counted.is_empty();
        let rules = Gate::ALL.into_iter().filter_map(|gate| self.rule(gate, what)).collect::<BTreeSet<_>>();
        for by in rules {
            let wanted: Vec<_> = counted.iter().filter(|key| self.speaks_for(key, by)).collect();
            let found = wanted.iter().map(|key| self.signer(key)).collect::<BTreeSet<_>>().len();
            let threshold = self.group(by).map_or(1, super::Group::threshold);
            if found < threshold {
                sufficient = false;
                let group = by.to_owned();
                why_not.push(Reason::BelowThreshold { group, threshold, found });
            }
        }
        if sufficient {
            Ok(counted.into_iter().map(|key| key.name().to_owned()).collect())
        } else {
            Err(why_not)
        }
    }

    fn may_sign(&self, key: &Holder, what: &What) -> Result<(), Reason> {
        let name = key.name().to_owned();
        if let Some(revocation) = self.revocation(key) {
            let (reason, date) = (revocation.reason().to_owned(), revocation.date().to_owned());
            return Err(Reason::Revoked { key: name, reason, date });
        }
        if key.may(&Deed { what, image: None, sequence: None }, self.open) {
            Ok(())
        } else {
            Err(Reason::NoRole { key: name, what: what.to_string() })
        }
    }
}

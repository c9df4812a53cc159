//! The passes over the log: each holds only its result in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::find::parse;
use super::{CARRIERS, Carrier, InForce};
use crate::report::check::{POLICY, has_evidence};
use crate::{Ending, Event, EventType, Reader, Result};

/// All digests that an event names, as its object or in its evidence.
pub(super) fn digests_of(event: &Event) -> BTreeSet<String> {
    let in_evidence = event.evidence.values().filter_map(|value| parse(value));
    event.object.digests.iter().cloned().chain(in_evidence).collect()
}

/// The carriers of the digests according to the log.
pub(super) fn carriers(reader: &Reader, of: &BTreeSet<String>, max: usize) -> Result<Vec<Carrier>> {
    let mut found: BTreeMap<(String, String), Carrier> = BTreeMap::new();
    reader.all(&mut |index, event, _| {
        // Only the objects of an event are in its carriers, not the digests in its evidence.
        for of in event.object.digests.iter().filter(|digest| of.contains(*digest)) {
            for kind in CARRIERS {
                let Some(digest) = event.evidence.get(*kind).and_then(|value| parse(value)) else { continue };
                let key = (of.clone(), digest.clone());
                if found.len() < max && !found.contains_key(&key) {
                    let (kind, of) = ((*kind).to_owned(), of.clone());
                    found.insert(key, Carrier { digest, kind, of, index: Some(index) });
                }
            }
        }
    })?;
    let mut found: Vec<Carrier> = found.into_values().collect();
    found.sort_by_key(|carrier| carrier.index);
    Ok(found)
}

/// The trust file in force, during a pass over the events.
#[derive(Default)]
pub(super) struct Policies(Option<InForce>);

impl Policies {
    /// Takes the next event and returns the trust file in force for it.
    pub(super) fn take(&mut self, index: u64, event: &Event) -> Option<InForce> {
        let is_new_policy = matches!(event.event, EventType::PolicyFirstUse | EventType::PolicyChange);
        let named = POLICY.iter().find_map(|name| event.evidence.get(*name));
        if is_new_policy
            && event.outcome.result == Ending::Success
            && let Some(policy) = event.object.digests.first().or(named)
        {
            self.0 = Some(InForce { policy: policy.clone(), index });
        }
        if has_evidence(event, POLICY) {
            return named.map(|policy| InForce { policy: policy.clone(), index });
        }
        self.0.clone()
    }
}

//! One pass over the log for each question, so that no more than the answer is held in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::find::parse;
use super::{CARRIERS, Carrier, InForce};
use crate::report::check::{POLICY, names};
use crate::{Ending, Event, EventType, Reader, Result};

/// Every digest that an event names, as its object or in its evidence.
pub(super) fn named(event: &Event) -> BTreeSet<String> {
    let in_evidence = event.evidence.values().filter_map(|value| parse(value));
    event.object.digests.iter().cloned().chain(in_evidence).collect()
}

/// What the log says carried some digests.
pub(super) fn carriers(reader: &Reader, of: &BTreeSet<String>, most: usize) -> Result<Vec<Carrier>> {
    let mut found: BTreeMap<(String, String), Carrier> = BTreeMap::new();
    reader.all(&mut |index, event, _| {
        // Only what an event did something with came in its carriers; what it rests on did not.
        for of in event.object.digests.iter().filter(|digest| of.contains(*digest)) {
            for kind in CARRIERS {
                let Some(digest) = event.evidence.get(*kind).and_then(|value| parse(value)) else { continue };
                let key = (of.clone(), digest.clone());
                if found.len() < most && !found.contains_key(&key) {
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

/// The trust file that is in force, while events pass.
#[derive(Default)]
pub(super) struct Policies(Option<InForce>);

impl Policies {
    /// Takes the next event; gives what is in force for it.
    pub(super) fn take(&mut self, index: u64, event: &Event) -> Option<InForce> {
        let sets = matches!(event.event, EventType::PolicyFirstUse | EventType::PolicyChange);
        let named = POLICY.iter().find_map(|name| event.evidence.get(*name));
        if sets
            && event.outcome.result == Ending::Success
            && let Some(policy) = event.object.digests.first().or(named)
        {
            self.0 = Some(InForce { policy: policy.clone(), index });
        }
        if names(event, POLICY) {
            return named.map(|policy| InForce { policy: policy.clone(), index });
        }
        self.0.clone()
    }
}

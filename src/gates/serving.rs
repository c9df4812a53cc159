//! The gates `push` and `pull`. The registry server calls them on its blocking pool.
//!
//! Allowed manifests are cached by repository and digest, as long as the server runs: the trust file is read once, and a
//! valid signature stays valid. Refused manifests are evaluated each time, because signatures can be added. A decision
//! about a manifest is logged when it is first made, and when it changes.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use audit::{Draft, Ending, EventType, Outcome};
use bundle_signer::{Gate, NameRule, TrustFile};
use evidence::gate::{GateDecision, GateQuery, ask};
use evidence::shape::is_evidence;
use oci::{Digest, Manifest, RegistryHost, RepositoryName, Tag};
use registry::server::{GateError, Pull, Push, Visitor};
use store::Store;
use tokio::runtime::Handle;

use crate::logged::Journals;

/// The maximum number of cached manifests. When it is reached, the cache is cleared.
const MAX_CACHED: usize = 100_000;
/// The maximum number of indexes that are read because they list a manifest, and the time limit for that.
const MAX_INDEXES: usize = 10_000;
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// At most an index within an index.
const MAX_DEPTH: usize = 2;

/// Evaluates the gates.
pub(crate) struct Gates {
    pub(crate) store: Store,
    pub(crate) trust: TrustFile,
    /// The trust file's digest.
    pub(crate) policy: Option<String>,
    pub(crate) name_rule: NameRule,
    pub(crate) host: Option<RegistryHost>,
    pub(crate) journals: Journals,
    pub(crate) cache: DecisionCache,
}

type ManifestKey = (RepositoryName, Digest);

/// What a decision is about.
#[derive(Clone, Copy)]
struct Subject<'a> {
    repository: &'a RepositoryName,
    digest: &'a Digest,
    /// The manifest, if the store does not have it yet.
    manifest: Option<&'a Manifest>,
}

#[derive(Default)]
pub(crate) struct DecisionCache {
    allowed: RwLock<BTreeSet<ManifestKey>>,
    /// The last decision about each manifest, for the log.
    logged: Mutex<HashMap<ManifestKey, bool>>,
}

impl Gates {
    /// Whether the trust file has rules for these gates.
    pub(crate) fn are_needed(trust: &TrustFile) -> bool {
        [Gate::Push, Gate::Pull].iter().any(|gate| !trust.required_statements(*gate).is_empty())
    }

    fn ask(
        &self,
        gate: Gate,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<GateDecision, GateError> {
        let asking =
            GateQuery { trust: &self.trust, gate, name_rule: self.name_rule, host: self.host.as_ref() };
        let asked = ask(&self.store, repository, digest, &asking);
        Handle::current().block_on(asked).map_err(|error| GateError::Failed(Box::new(error)))
    }

    /// The decision about a manifest, or about an allowed index that lists it. Anyone may push indexes that list it,
    /// so allowed and tagged ones are evaluated first, and a time limit applies to the rest.
    fn decide_pull(&self, repository: &RepositoryName, digest: &Digest) -> Result<GateDecision, GateError> {
        let decision = self.ask(Gate::Pull, repository, digest)?;
        if decision.is_satisfied() {
            return Ok(decision);
        }
        let until = Instant::now() + TIME_LIMIT;
        let (mut level, mut seen) = (vec![digest.clone()], BTreeSet::from([digest.clone()]));
        for _ in 0..MAX_DEPTH {
            let mut above = Vec::new();
            for child in &level {
                above.extend(self.indexes(repository, child, until)?);
            }
            above.retain(|parent| seen.insert(parent.clone()));
            self.sort(repository, &mut above)?;
            for parent in &above {
                if Instant::now() >= until {
                    return Ok(decision);
                }
                let of_index = self.ask(Gate::Pull, repository, parent)?;
                if of_index.is_satisfied() {
                    return Ok(of_index);
                }
            }
            level = above;
        }
        Ok(decision)
    }

    /// The indexes that list a manifest.
    fn indexes(
        &self,
        repository: &RepositoryName,
        child: &Digest,
        until: Instant,
    ) -> Result<Vec<Digest>, GateError> {
        let mut named = self.store.manifests_naming(repository, child, MAX_INDEXES).map_err(failed)?;
        self.sort(repository, &mut named)?;
        let mut found = Vec::new();
        for parent in named {
            if Instant::now() >= until {
                break;
            }
            let index = match self.store.manifest(repository, &parent) {
                Ok(index) => index,
                // An older version accepted it; this one does not.
                Err(store::Error::Invalid(_)) => None,
                Err(error) => return Err(failed(error)),
            };
            if index.is_some_and(|index| index.children().iter().any(|entry| entry.digest == *child)) {
                found.push(parent);
            }
        }
        Ok(found)
    }

    /// Sorts allowed indexes first, then tagged ones. Within each group the order is random, so that no client can choose it.
    fn sort(&self, repository: &RepositoryName, digests: &mut [Digest]) -> Result<(), GateError> {
        if digests.len() > 1 {
            let tags = self.store.tags(repository, None, None).map_err(failed)?;
            let tagged: BTreeSet<_> = tags.into_iter().map(|(_, digest)| digest).collect();
            let order = RandomState::new();
            digests.sort_by_cached_key(|digest| {
                let is_new = !self.is_cached(&(repository.clone(), digest.clone()));
                (is_new, !tagged.contains(digest), order.hash_one(digest))
            });
        }
        Ok(())
    }

    fn is_evidence(&self, manifest: &Manifest) -> Result<bool, GateError> {
        is_evidence(&self.store, manifest).map_err(|error| GateError::Failed(Box::new(error)))
    }

    /// Logs a decision. Callers skip decisions that are logged already; the server itself logs a refused push.
    fn log(
        &self,
        gate: Gate,
        subject: Subject<'_>,
        decision: &GateDecision,
        visitor: &Visitor,
    ) -> Result<(), GateError> {
        let name = format!("{}@{}", subject.repository, subject.digest);
        let mut draft = Draft::new(EventType::Verify, "image", &name);
        draft.digests(self.covered(subject)?.iter().map(Digest::to_string));
        draft.evidence("gate", &gate);
        draft.evidence("signer", &decision.by.join(" "));
        if let Some(policy) = &self.policy {
            draft.evidence("trust", policy);
        }
        let address = visitor.address.map(|address| address.ip().to_canonical().to_string());
        draft.by(visitor.user.as_deref(), address.as_deref());
        let outcome = match (decision.is_satisfied(), decision.is_allowed()) {
            (true, _) => Outcome::success(),
            (false, true) => {
                draft.evidence("warned", &decision.unmet.join("; "));
                Outcome::success()
            }
            (false, false) => Outcome::because(Ending::Refused, "policy", &decision.unmet.join("; ")),
        };
        self.journals.record(&draft, &outcome).map_err(|error| GateError::Failed(Box::new(error)))
    }

    /// What a decision covers: the manifest, and everything that it lists by digest.
    fn covered(&self, subject: Subject<'_>) -> Result<BTreeSet<Digest>, GateError> {
        let Subject { repository, digest, manifest } = subject;
        let children = |manifest: &Manifest| -> Vec<Digest> {
            manifest.children().iter().map(|child| child.digest.clone()).collect()
        };
        let mut level = manifest.map_or_else(|| vec![digest.clone()], children);
        let mut covered = BTreeSet::from([digest.clone()]);
        for _ in 0..=MAX_DEPTH {
            covered.extend(level.iter().cloned());
            let mut below = Vec::new();
            for parent in &level {
                match self.store.manifest(repository, parent) {
                    Ok(found) => below.extend(found.iter().flat_map(children)),
                    Err(store::Error::Invalid(_)) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            below.retain(|child| !covered.contains(child));
            level = below;
        }
        Ok(covered)
    }

    fn is_cached(&self, key: &ManifestKey) -> bool {
        self.cache.allowed.read().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn cache_allowed(&self, key: ManifestKey) {
        let mut known = self.cache.allowed.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_CACHED {
            known.clear();
        }
        known.insert(key);
    }

    /// Whether a decision is new or changed.
    fn is_new_decision(&self, key: &ManifestKey, satisfied: bool) -> bool {
        let mut known = self.cache.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_CACHED {
            known.clear();
        }
        known.insert(key.clone(), satisfied) != Some(satisfied)
    }
}

fn failed(error: store::Error) -> GateError {
    GateError::Failed(Box::new(error))
}

fn denied(
    gate: Gate,
    repository: &RepositoryName,
    digest: &Digest,
    decision: &GateDecision,
    hint: &str,
) -> GateError {
    let rules = decision.unmet.join("; ");
    GateError::Denied {
        message: format!("the trust file's gate `{gate}` refuses {repository}@{digest}: {rules}"),
        hint: hint.to_owned(),
    }
}

impl registry::server::Gate for Gates {
    fn pull(&self, pull: &Pull<'_>) -> Result<(), GateError> {
        let Pull { repository, digest, visitor } = *pull;
        if self.trust.required_statements(Gate::Pull).is_empty() {
            return Ok(());
        }
        let key = (repository.clone(), digest.clone());
        if self.is_cached(&key) {
            return Ok(());
        }
        let manifest = self.store.manifest(repository, digest).map_err(failed)?;
        if let Some(manifest) = manifest
            && self.is_evidence(&manifest)?
        {
            self.cache_allowed(key);
            return Ok(());
        }
        let decision = self.decide_pull(repository, digest)?;
        if self.is_new_decision(&key, decision.is_satisfied()) {
            self.log(Gate::Pull, Subject { repository, digest, manifest: None }, &decision, visitor)?;
        }
        if decision.is_allowed() {
            self.cache_allowed(key);
            return Ok(());
        }
        let hint = "import it with its signatures (`airlock import`), or sign it in the store (`airlock sign IMAGE \
                    --store STORE`); then pull again";
        Err(denied(Gate::Pull, repository, digest, &decision, hint))
    }

    fn push(&self, push: &Push<'_>) -> Result<(), GateError> {
        let Push { repository, digest, manifest, tags, visitor } = *push;
        if self.trust.required_statements(Gate::Push).is_empty()
            || tags.iter().all(Tag::is_attachment) && self.is_evidence(manifest)?
        {
            return Ok(());
        }
        let decision = self.ask(Gate::Push, repository, digest)?;
        if decision.is_allowed() {
            let subject = Subject { repository, digest, manifest: Some(manifest) };
            return self.log(Gate::Push, subject, &decision, visitor);
        }
        let hint = "push the image by its digest and its signatures after it, then push the tag";
        Err(denied(Gate::Push, repository, digest, &decision, hint))
    }
}

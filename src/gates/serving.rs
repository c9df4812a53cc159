//! The gates `push` and `pull`, asked by the registry's server on its blocking pool.
//!
//! What was let through is remembered by repository and digest, as long as the server runs: the trust file is read once,
//! and a signature that was good stays good. What was refused is asked about each time, because signatures may come. A
//! decision about a manifest is logged when it is first taken, and when it becomes another.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use audit::{Draft, Ending, EventType, Outcome};
use bundle_signer::{Gate, NameRule, TrustFile};
use evidence::gate::{Asking, GateDecision, ask};
use evidence::shape::is_evidence;
use oci::{Digest, Manifest, RegistryHost, RepositoryName, Tag};
use registry::server::{Pull, Push, Stop, Visitor};
use store::Store;
use tokio::runtime::Handle;

use crate::logged::Journals;

/// Manifests that are remembered; with more, all are forgotten and asked about again.
const MOST_REMEMBERED: usize = 100_000;
/// Indexes that are looked at because they list a manifest, and for how long.
const MOST_INDEXES: usize = 10_000;
const MOST_TIME: Duration = Duration::from_secs(10);
/// An index within an index, and no deeper.
const MOST_DEPTH: usize = 2;

/// What decides.
pub(crate) struct Gates {
    pub(crate) store: Store,
    pub(crate) trust: TrustFile,
    /// The trust file's digest.
    pub(crate) policy: Option<String>,
    pub(crate) name_rule: NameRule,
    pub(crate) host: Option<RegistryHost>,
    pub(crate) journals: Journals,
    pub(crate) remembered: Remembered,
}

type Which = (RepositoryName, Digest);

#[derive(Default)]
pub(crate) struct Remembered {
    let_out: RwLock<BTreeSet<Which>>,
    /// How it was decided last, for the log.
    logged: Mutex<HashMap<Which, bool>>,
}

impl Gates {
    /// Whether the trust file asks anything here.
    pub(crate) fn are_needed(trust: &TrustFile) -> bool {
        [Gate::Push, Gate::Pull].iter().any(|gate| !trust.asked(*gate).is_empty())
    }

    fn ask(
        &self,
        gate: Gate,
        (repository, digest): (&RepositoryName, &Digest),
    ) -> Result<GateDecision, Stop> {
        let asking = Asking { trust: &self.trust, gate, name_rule: self.name_rule, host: self.host.as_ref() };
        let asked = ask(&self.store, repository, digest, &asking);
        Handle::current().block_on(asked).map_err(|error| Stop::Failed(Box::new(error)))
    }

    /// The answer for a manifest, or for an index that lists it and is let out. Anyone may push indexes that list it:
    /// those that were let out or have a tag are asked about first, and time bounds the rest.
    fn may_go(&self, repository: &RepositoryName, digest: &Digest) -> Result<GateDecision, Stop> {
        let answer = self.ask(Gate::Pull, (repository, digest))?;
        if answer.is_satisfied() {
            return Ok(answer);
        }
        let until = Instant::now() + MOST_TIME;
        let (mut level, mut seen) = (vec![digest.clone()], BTreeSet::from([digest.clone()]));
        for _ in 0..MOST_DEPTH {
            let mut above = Vec::new();
            for child in &level {
                above.extend(self.indexes(repository, child, until)?);
            }
            above.retain(|parent| seen.insert(parent.clone()));
            self.sort(repository, &mut above)?;
            for parent in &above {
                if Instant::now() >= until {
                    return Ok(answer);
                }
                let of_index = self.ask(Gate::Pull, (repository, parent))?;
                if of_index.is_satisfied() {
                    return Ok(of_index);
                }
            }
            level = above;
        }
        Ok(answer)
    }

    /// The indexes that list a manifest.
    fn indexes(
        &self,
        repository: &RepositoryName,
        child: &Digest,
        until: Instant,
    ) -> Result<Vec<Digest>, Stop> {
        let mut named = self.store.manifests_naming(repository, child, MOST_INDEXES).map_err(failed)?;
        self.sort(repository, &mut named)?;
        let mut found = Vec::new();
        for parent in named {
            if Instant::now() >= until {
                break;
            }
            let index = match self.store.manifest(repository, &parent) {
                Ok(index) => index,
                // Refused since an older version took it.
                Err(store::Error::Invalid(_)) => None,
                Err(error) => return Err(failed(error)),
            };
            if index.is_some_and(|index| index.children().iter().any(|entry| entry.digest == *child)) {
                found.push(parent);
            }
        }
        Ok(found)
    }

    /// Puts what was let out first, then what has a tag; each in an order that nobody can choose.
    fn sort(&self, repository: &RepositoryName, digests: &mut [Digest]) -> Result<(), Stop> {
        if digests.len() > 1 {
            let tags = self.store.tags(repository, None, None).map_err(failed)?;
            let tagged: BTreeSet<_> = tags.into_iter().map(|(_, digest)| digest).collect();
            let order = RandomState::new();
            digests.sort_by_cached_key(|digest| {
                let is_new = !self.is_let_out(&(repository.clone(), digest.clone()));
                (is_new, !tagged.contains(digest), order.hash_one(digest))
            });
        }
        Ok(())
    }

    fn is_evidence(&self, manifest: &Manifest) -> Result<bool, Stop> {
        is_evidence(&self.store, manifest).map_err(|error| Stop::Failed(Box::new(error)))
    }

    /// Logs a decision: each once, and again when it becomes another. A refused push is logged as such by whoever
    /// refuses it.
    fn log(
        &self,
        gate: Gate,
        (repository, digest, manifest): (&RepositoryName, &Digest, Option<&Manifest>),
        answer: &GateDecision,
        visitor: &Visitor,
    ) -> Result<(), Stop> {
        let mut draft = Draft::new(EventType::Verify, "image", &format!("{repository}@{digest}"));
        draft.digests(self.covered(repository, digest, manifest)?.iter().map(Digest::to_string));
        draft.evidence("gate", &gate);
        draft.evidence("signer", &answer.by.join(" "));
        if let Some(policy) = &self.policy {
            draft.evidence("trust", policy);
        }
        let address = visitor.address.map(|address| address.ip().to_canonical().to_string());
        draft.by(visitor.user.as_deref(), address.as_deref());
        let outcome = match (answer.is_satisfied(), answer.is_allowed()) {
            (true, _) => Outcome::success(),
            (false, true) => {
                draft.evidence("warned", &answer.unmet.join("; "));
                Outcome::success()
            }
            (false, false) => Outcome::because(Ending::Refused, "policy", &answer.unmet.join("; ")),
        };
        self.journals.record(&draft, &outcome).map_err(|error| Stop::Failed(Box::new(error)))
    }

    /// What a decision is about: the manifest, and all that it lists by digest.
    fn covered(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        manifest: Option<&Manifest>,
    ) -> Result<BTreeSet<Digest>, Stop> {
        let children = |manifest: &Manifest| -> Vec<Digest> {
            manifest.children().iter().map(|child| child.digest.clone()).collect()
        };
        let mut level = manifest.map_or_else(|| vec![digest.clone()], children);
        let mut covered = BTreeSet::from([digest.clone()]);
        for _ in 0..=MOST_DEPTH {
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

    fn is_let_out(&self, which: &Which) -> bool {
        self.remembered.let_out.read().unwrap_or_else(PoisonError::into_inner).contains(which)
    }

    fn let_out(&self, which: Which) {
        let mut known = self.remembered.let_out.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(which);
    }

    /// Whether a decision is news.
    fn is_news(&self, which: &Which, satisfied: bool) -> bool {
        let mut known = self.remembered.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(which.clone(), satisfied) != Some(satisfied)
    }
}

fn failed(error: store::Error) -> Stop {
    Stop::Failed(Box::new(error))
}

fn denied(
    gate: Gate,
    (repository, digest): (&RepositoryName, &Digest),
    answer: &GateDecision,
    hint: &str,
) -> Stop {
    let rules = answer.unmet.join("; ");
    Stop::Denied {
        message: format!("the trust file's gate `{gate}` refuses {repository}@{digest}: {rules}"),
        hint: hint.to_owned(),
    }
}

impl registry::server::Gate for Gates {
    fn pull(&self, pull: &Pull<'_>) -> Result<(), Stop> {
        let Pull { repository, digest, visitor } = *pull;
        if self.trust.asked(Gate::Pull).is_empty() {
            return Ok(());
        }
        let which = (repository.clone(), digest.clone());
        if self.is_let_out(&which) {
            return Ok(());
        }
        let manifest = self.store.manifest(repository, digest).map_err(failed)?;
        if let Some(manifest) = manifest
            && self.is_evidence(&manifest)?
        {
            self.let_out(which);
            return Ok(());
        }
        let answer = self.may_go(repository, digest)?;
        if self.is_news(&which, answer.is_satisfied()) {
            self.log(Gate::Pull, (repository, digest, None), &answer, visitor)?;
        }
        if answer.is_allowed() {
            self.let_out(which);
            return Ok(());
        }
        let hint = "bring it with its signatures by `airlock import`, or sign it where the store is by `airlock sign IMAGE \
                    --store STORE`; then pull again";
        Err(denied(Gate::Pull, (repository, digest), &answer, hint))
    }

    fn push(&self, push: &Push<'_>) -> Result<(), Stop> {
        let Push { repository, digest, manifest, tags, visitor } = *push;
        if self.trust.asked(Gate::Push).is_empty()
            || tags.iter().all(Tag::is_attachment) && self.is_evidence(manifest)?
        {
            return Ok(());
        }
        let answer = self.ask(Gate::Push, (repository, digest))?;
        if answer.is_allowed() {
            return self.log(Gate::Push, (repository, digest, Some(manifest)), &answer, visitor);
        }
        let hint = "push the image by its digest and its signatures after it, then push the tag";
        Err(denied(Gate::Push, (repository, digest), &answer, hint))
    }
}

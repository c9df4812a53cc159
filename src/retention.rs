//! Retention and what it keeps, for the command and for a registry that serves.
//!
//! `rules of the store + what drives brought -> Planned -> Retained`

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use audit::{Draft, EventType, Outcome};
use oci::{Digest, RepositoryName};
use packager::witness::Witness;
use serde::Serialize;
use store::{Change, ExpiredTags, Rules, Store, Untagged, UpkeepKind, UpkeepRun};

use crate::logged::{Journals, outcome};
use crate::printer::count;

/// What an import calls itself in the history of tags, before the set.
pub(crate) const IMPORT: &str = "import of set ";

/// The manifests that drives set tags to. Retention and the collection of untagged manifests keep them. Drives without a
/// trusted log are known from the history of tags only.
pub(crate) fn brought(store: &Store) -> anyhow::Result<Untagged> {
    let mut found: Untagged = BTreeMap::new();
    for (repository, digest) in store.manifests_tagged_by(&format!(": {IMPORT}"))? {
        found.entry(repository).or_default().insert(digest);
    }
    for (name, digest) in Witness::of(store).drive_tags()? {
        let Some((repository, _)) = name.rsplit_once(':') else { continue };
        let Ok(repository) = repository.parse::<RepositoryName>() else { continue };
        found.entry(repository).or_default().insert(digest);
    }
    Ok(found)
}

/// What retention removes: tags, and manifests that lost their last tag long enough before.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Retained {
    pub(crate) tags: ExpiredTags,
    pub(crate) manifests: Untagged,
}

impl Retained {
    /// What the rules would remove.
    pub(crate) fn plan(store: &Store, rules: &Rules) -> anyhow::Result<Self> {
        let keep = brought(store)?;
        let tags = store.expired_tags(rules, &keep)?;
        Ok(Self { tags, manifests: untagged(store, rules, &keep)? })
    }

    /// Removes what the rules of the store do not keep.
    pub(crate) fn apply(store: &Store) -> anyhow::Result<Self> {
        let (rules, keep) = (store.rules()?, brought(store)?);
        let tags = store.expire_tags(&store.expired_tags(&rules, &keep)?, &keep)?;
        let manifests = untagged(store, &rules, &keep)?;
        let manifests = store.delete_untagged(&manifests, before(&rules), &keep)?;
        Ok(Self { tags, manifests })
    }

    pub(crate) fn number_of_tags(&self) -> usize {
        self.tags.values().map(Vec::len).sum()
    }

    pub(crate) fn number_of_manifests(&self) -> usize {
        self.manifests.values().map(std::collections::BTreeSet::len).sum()
    }

    /// Adds everything that was removed to an event.
    pub(crate) fn digests(&self) -> impl Iterator<Item = String> {
        let tags = self.tags.values().flatten().map(|expired| &expired.digest);
        let digests: std::collections::BTreeSet<&Digest> =
            tags.chain(self.manifests.values().flatten()).collect();
        digests.into_iter().map(ToString::to_string).collect::<Vec<_>>().into_iter()
    }
}

/// The manifests without a tag in the repositories that rules name.
fn untagged(store: &Store, rules: &Rules, keep: &Untagged) -> anyhow::Result<Untagged> {
    let mut found = store.untagged(before(rules), keep)?;
    found.retain(|repository, _| rules.retention.name(repository));
    Ok(found)
}

fn before(rules: &Rules) -> SystemTime {
    let age = Duration::from_secs(rules.retention.untagged_seconds);
    SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Records a run of maintenance, for the metrics. A failure to do so is not a failure of the run.
pub(crate) fn record(store: &Store, kind: UpkeepKind, begun: Instant, result: Option<(u64, u64)>) {
    let (removed, bytes) = result.unwrap_or_default();
    let run = UpkeepRun { kind, succeeded: result.is_some(), removed, bytes, took: begun.elapsed() };
    if let Err(error) = store.commit(vec![Change::Upkeep(run)]) {
        tracing::warn!(%error, "cannot record a maintenance run");
    }
}

/// Applies retention, collects garbage, and logs both. Errors are in the program's own log and in the metrics.
pub(crate) fn run_logged(store: &Store, journals: &Journals) {
    let begun = Instant::now();
    let name = store.root().display().to_string();
    let mut draft = Draft::new(EventType::StoreRetention, "store", &name);
    let retained = Retained::apply(store);
    record(
        store,
        UpkeepKind::Retention,
        begun,
        retained.as_ref().ok().map(|done| (done.number_of_tags() as u64, 0)),
    );
    let begun = Instant::now();
    let collected = retained.and_then(|retained| {
        draft.evidence("tags", &count(retained.number_of_tags(), "tag"));
        draft.evidence("manifests", &count(retained.number_of_manifests(), "manifest"));
        draft.digests(retained.digests());
        let collected = store.garbage().and_then(|plan| store.collect_old(&plan));
        let done = collected.as_ref().ok();
        record(store, UpkeepKind::Gc, begun, done.map(|collected| (collected.blobs, collected.bytes)));
        let collected = collected?;
        draft.evidence("blobs", &count(collected.blobs, "blob"));
        Ok(())
    });
    if let Err(error) = &collected {
        tracing::error!(error = format!("{error:#}"), "retention failed");
    }
    let outcome = collected.map_or_else(|error| outcome::of(&error), |()| Outcome::success());
    if let Err(error) = journals.record(&draft, &outcome) {
        tracing::error!(%error, "cannot log that retention ran");
    }
}

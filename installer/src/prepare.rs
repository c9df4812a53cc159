//! A plan becomes a manifest: the chart pulled, its values joined, everything rendered for this cluster.

mod bounded;
mod document;

use std::sync::Arc;
use std::time::Duration;

use helm::{Chart, Keys, Options, Rendered, Values};
use serde_json::Value;

use crate::engine::Engine;
use crate::error::Error;
use crate::guard::{Brought, Powers};
use crate::lookup::Asking;
use crate::plan::Install;
use crate::prepared::Prepared;
use crate::record::{Seed, Stored};
use crate::release::{Record, Status};
use crate::storage::{Revisions, Storage, last, now};

/// What a chart's values call the namespace that it wants.
const DEFAULT_NAMESPACE: &str = "defaultNamespace";

/// What a render starts from.
pub(crate) struct Basis {
    /// The revision it becomes.
    pub(crate) revision: u32,
    /// Whether the release was good before.
    pub(crate) is_upgrade: bool,
}

/// What the next revision is, by those that are there. A release that is on its way out begins anew.
pub(crate) fn basis(revisions: &Revisions) -> Basis {
    match revisions.last_key_value() {
        None | Some((_, Status::Uninstalling)) => Basis { revision: 1, is_upgrade: false },
        Some((newest, status)) => Basis {
            revision: newest.saturating_add(1),
            is_upgrade: *status != Status::Uninstalled && last(revisions, Status::was_good).is_some(),
        },
    }
}

impl Engine {
    /// Pulls the chart by its digest, checks it and the values, renders it for this cluster, judges every object and names
    /// images by their digests. Nothing is changed.
    ///
    /// # Errors
    /// The chart is not there, is another, cannot be rendered with these values for this cluster, or comes to more than
    /// the package may bring.
    pub async fn prepare(&self, plan: &Install) -> Result<Prepared, Error> {
        // The futures are large, and callers are not to carry them.
        Box::pin(prepare(self, plan)).await
    }
}

/// See [`Engine::prepare`].
pub(crate) async fn prepare(engine: &Engine, plan: &Install) -> Result<Prepared, Error> {
    let (digest, chart) = engine.charts.get(plan).await?;
    chart.check_installable()?;
    let storage = Storage::new(&engine.cluster, plan.release_namespace, &plan.release);
    let revisions = storage.list().await?;
    let basis = basis(&revisions);
    let newest = match revisions.last_key_value() {
        Some((revision, _)) => storage.read(*revision).await?,
        None => None,
    };
    let known = newest.as_ref().filter(|_| basis.is_upgrade).map(|stored| stored.record.namespace.as_str());
    let namespace = namespace(plan, known, &chart);
    if let Some(bounds) = &engine.bounds {
        // Before the chart asks for anything in it.
        bounds.target(&namespace).map_err(bounded::refused)?;
    }
    if let Some(installed) = newest.as_ref().filter(|_| basis.is_upgrade).map(|stored| &stored.record)
        && installed.namespace != namespace
    {
        return Err(moved(installed, &namespace));
    }
    let seed = seed(&storage, &revisions, newest.as_ref()).await?;
    let facts = Facts { basis: &basis, namespace: &namespace, seed };
    let (plan, mut rendered) = fitting(engine, plan, &chart, &facts).await?;
    let objects = within(engine, &plan, &chart, &facts, &mut rendered).await?;
    let (revision, seed) = (basis.revision, facts.seed);
    let facts = document::Facts { plan: &plan, namespace: &namespace, revision };
    Ok(Prepared {
        document: document::document(&chart, &rendered, &facts),
        manifest: rendered.manifest_text(),
        definitions: bounded::definitions(&rendered),
        notes: rendered.notes.unwrap_or_default(),
        chart: chart.name().to_owned(),
        chart_version: chart.version().to_owned(),
        is_upgrade: basis.is_upgrade,
        plan,
        namespace,
        revision,
        digest,
        seed,
        objects,
    })
}

/// Every object of a render, judged, with its images named by digests.
async fn within(
    engine: &Engine,
    plan: &Install,
    chart: &Arc<Chart>,
    facts: &Facts<'_>,
    rendered: &mut Rendered,
) -> Result<Vec<Value>, Error> {
    let values = |objects: Vec<Brought>| objects.into_iter().map(|brought| brought.value).collect();
    let objects = bounded::objects(engine, rendered, facts.namespace).await?;
    let Some(bounds) = &engine.bounds else { return Ok(values(objects)) };
    let mut judged = bounded::judge(bounds, facts.namespace, &objects)?;
    bounded::add_images(bounds, chart, rendered, &mut judged.powers)?;
    if !judged.powers.is_empty() {
        let by_default = by_default(engine, plan, chart, facts).await?;
        bounds.powers(&judged.powers, &by_default).map_err(bounded::refused)?;
    }
    if judged.tags.is_empty() {
        return Ok(values(objects));
    }
    let pins = bounded::pins(engine, &judged.tags).await?;
    bounded::pin(rendered, &pins)?;
    // What is recorded and applied is what was judged: read once more, and no image is without a digest.
    let objects = bounded::objects(engine, rendered, facts.namespace).await?;
    match bounded::judge(bounds, facts.namespace, &objects)?.tags.keys().next() {
        Some(image) => Err(bounded::refused(format!("the image {image} cannot be named by its digest"))),
        None => Ok(values(objects)),
    }
}

/// What the chart reaches for without a value of the package. A chart that does not render without has nothing.
async fn by_default(
    engine: &Engine,
    plan: &Install,
    chart: &Arc<Chart>,
    facts: &Facts<'_>,
) -> Result<Powers, Error> {
    let plan = plan.without_values();
    let Some(bounds) = &engine.bounds else { return Ok(Powers::default()) };
    match fitting(engine, &plan, chart, facts).await {
        Ok((_, rendered)) => {
            let objects = bounded::objects(engine, &rendered, facts.namespace).await?;
            let mut powers = bounds.powers_of(facts.namespace, &objects);
            bounded::add_images(bounds, chart, &rendered, &mut powers)?;
            Ok(powers)
        }
        Err(Error::Chart(_) | Error::Document { .. }) => Ok(Powers::default()),
        Err(error) => Err(error),
    }
}

/// What the user asks for, then where the release is, then what the chart wants.
fn namespace(plan: &Install, known: Option<&str>, chart: &Chart) -> String {
    let wanted = || chart.values()?.get(DEFAULT_NAMESPACE)?.as_str().filter(|name| !name.is_empty());
    let given = plan.target_namespace.as_deref().or(known).or_else(wanted);
    given.unwrap_or("default").to_owned()
}

/// What is installed is found by its namespace, so it stays there.
pub(crate) fn moved(installed: &Record, wanted: &str) -> Error {
    let (release, installed) = (installed.name.clone(), installed.namespace.clone());
    Error::Moved { release, installed, wanted: wanted.to_owned() }
}

/// What randomness is made from: as before, so that an upgrade changes no password. Another program that wrote the newest
/// record dropped it there.
async fn seed(storage: &Storage<'_>, revisions: &Revisions, newest: Option<&Stored>) -> Result<Seed, Error> {
    if let Some(seed) = newest.and_then(|stored| stored.seed) {
        return Ok(seed);
    }
    for revision in revisions.keys().rev().skip(1) {
        if let Some(seed) = storage.read(*revision).await?.and_then(|stored| stored.seed) {
            return Ok(seed);
        }
    }
    Ok(Seed { bytes: random()?, now: now(), keys: Keys::Named })
}

fn random() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

/// Renders; a chart whose schema does not take what EKS Anywhere adds to every package's values is rendered without.
async fn fitting(
    engine: &Engine,
    plan: &Install,
    chart: &Arc<Chart>,
    facts: &Facts<'_>,
) -> Result<(Install, Rendered), Error> {
    match render(engine, plan, chart, facts).await {
        Ok(rendered) => Ok((plan.clone(), rendered)),
        Err(Error::Chart(helm::Error::Schema { violations })) => {
            let without = plan.without_registry().ok_or(helm::Error::Schema { violations })?;
            let rendered = render(engine, &without, chart, facts).await?;
            Ok((without, rendered))
        }
        Err(error) => Err(error),
    }
}

struct Facts<'a> {
    basis: &'a Basis,
    namespace: &'a str,
    seed: Seed,
}

async fn render(
    engine: &Engine,
    plan: &Install,
    chart: &Arc<Chart>,
    facts: &Facts<'_>,
) -> Result<Rendered, Error> {
    let Facts { basis, namespace, seed } = facts;
    let definitions = definitions(chart)?;
    let capabilities = engine.cluster.discovery().await?.capabilities(&definitions);
    let seconds = |time: i64| Duration::from_secs(u64::try_from(time).unwrap_or_default());
    let (now, born, fresh) = (seconds(now()), seconds(seed.now), random()?);
    let values = Values::from_json(plan.values.clone())?;
    let (chart, release, namespace) = (Arc::clone(chart), plan.release.clone(), (*namespace).to_owned());
    let (revision, is_upgrade, bytes) = (i64::from(basis.revision), basis.is_upgrade, seed.bytes);
    let keys = seed.keys;
    let asking = Asking::new(engine.cluster.clone(), !is_upgrade, (&release, &namespace));
    let work = move || {
        let mut options = Options::new(release, namespace, bytes, now);
        options.born = born.min(now);
        options.keys = keys;
        options.fresh = Some(fresh);
        options.values = values;
        options.capabilities = capabilities;
        options.release.revision = revision;
        options.release.is_upgrade = is_upgrade;
        options.lookup = &asking;
        helm::render(&chart, &options)
    };
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| Error::Render)??)
}

/// The definitions in the chart's `crds/`, and in those of the charts in it.
fn definitions(chart: &Chart) -> Result<Vec<Value>, Error> {
    let is_manifest =
        |name: &str| [".yaml", ".yml", ".json"].iter().any(|extension| name.ends_with(extension));
    let mut found = Vec::new();
    let files = chart.files().filter(|(name, _)| name.starts_with("crds/") && is_manifest(name));
    for (name, data) in files {
        let documents = gostd::yaml::documents(&String::from_utf8_lossy(data), &gostd::Limits::default());
        let broken = |error| Error::Document { reason: format!("{name}: {error}") };
        found.extend(documents.map_err(broken)?);
    }
    for child in chart.charts() {
        found.extend(definitions(child)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_revision_follows_from_those_that_are_there() {
        let of = |states: &[Status]| {
            let revisions = (1_u32..).zip(states.iter().copied()).collect();
            let basis = basis(&revisions);
            (basis.revision, basis.is_upgrade)
        };
        assert_eq!(of(&[]), (1, false));
        assert_eq!(of(&[Status::Deployed]), (2, true));
        assert_eq!(of(&[Status::Superseded, Status::Failed]), (3, true));
        assert_eq!(of(&[Status::PendingInstall]), (2, false));
        assert_eq!(of(&[Status::Failed]), (2, false));
        assert_eq!(of(&[Status::Superseded, Status::Uninstalling]), (1, false));
        assert_eq!(of(&[Status::Uninstalled]), (2, false));
    }
}

//! Prepares a plan: pulls the chart, merges its values and renders everything for the cluster.

mod bounded;
mod document;

use std::sync::Arc;
use std::time::Duration;

use helm::{Chart, Keys, Options, Rendered, Values};
use serde_json::Value;

use crate::engine::Engine;
use crate::error::Error;
use crate::guard::{ChartObject, Privileges};
use crate::lookup::ClusterLookup;
use crate::object::Owner;
use crate::plan::Install;
use crate::prepared::Prepared;
use crate::record::{Seed, Stored};
use crate::release::{Record, Status};
use crate::storage::{Revisions, Storage, last, now};

/// The value with which a chart sets its default namespace.
const DEFAULT_NAMESPACE: &str = "defaultNamespace";

/// The basis of the new revision.
pub(crate) struct Basis {
    /// The number of the new revision.
    pub(crate) revision: u32,
    /// Whether the release was deployed before.
    pub(crate) is_upgrade: bool,
}

/// Determines the next revision from the existing ones. A release that is being uninstalled starts again.
pub(crate) fn basis(revisions: &Revisions) -> Basis {
    match revisions.last_key_value() {
        None | Some((_, Status::Uninstalling)) => Basis { revision: 1, is_upgrade: false },
        Some((newest, status)) => Basis {
            revision: newest.saturating_add(1),
            is_upgrade: *status != Status::Uninstalled && last(revisions, Status::was_deployed).is_some(),
        },
    }
}

impl Engine {
    /// Pulls the chart by its digest, checks it and the values, renders it for this cluster, checks every object and pins
    /// images to their digests. Nothing is changed.
    ///
    /// # Errors
    /// If the chart does not exist, has another digest, cannot be rendered with these values for this cluster, or exceeds the
    /// bounds of the package.
    pub async fn prepare(&self, plan: &Install) -> Result<Prepared, Error> {
        // Boxed, because the future is large.
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
    let current = newest.as_ref().filter(|_| basis.is_upgrade).map(|stored| stored.record.namespace.as_str());
    let namespace = namespace(plan, current, &chart);
    if let Some(bounds) = &engine.bounds {
        // Before the chart can look up objects in it.
        bounds.target(&namespace).map_err(bounded::rejected)?;
    }
    if let Some(installed) = newest.as_ref().filter(|_| basis.is_upgrade).map(|stored| &stored.record)
        && installed.namespace != namespace
    {
        return Err(moved(installed, &namespace));
    }
    let seed = seed(&storage, &revisions, newest.as_ref()).await?;
    let input = RenderInput { basis: &basis, namespace: &namespace, seed };
    let (plan, mut rendered) = render_with_fallback(engine, plan, &chart, &input).await?;
    let objects = check_bounds(engine, &plan, &chart, &input, &mut rendered).await?;
    let (revision, seed) = (basis.revision, input.seed);
    let input = document::DocumentInput { plan: &plan, namespace: &namespace, revision };
    Ok(Prepared {
        document: document::document(&chart, &rendered, &input),
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

/// Checks every object of a rendered chart, and pins its images to digests.
async fn check_bounds(
    engine: &Engine,
    plan: &Install,
    chart: &Arc<Chart>,
    input: &RenderInput<'_>,
    rendered: &mut Rendered,
) -> Result<Vec<Value>, Error> {
    let values = |objects: Vec<ChartObject>| objects.into_iter().map(|object| object.value).collect();
    let objects = bounded::objects(engine, rendered, input.namespace).await?;
    let Some(bounds) = &engine.bounds else { return Ok(values(objects)) };
    let mut checked = bounded::check(bounds, input.namespace, &objects)?;
    bounded::add_images(bounds, chart, rendered, &mut checked.privileges)?;
    if !checked.privileges.is_empty() {
        let by_default = by_default(engine, plan, chart, input).await?;
        bounds.check_privileges(&checked.privileges, &by_default).map_err(bounded::rejected)?;
    }
    if checked.tags.is_empty() {
        return Ok(values(objects));
    }
    let pins = bounded::pins(engine, &checked.tags).await?;
    bounded::pin(rendered, &pins)?;
    // The result is parsed and checked again, so that what is recorded and applied is what was checked, and every image
    // has a digest.
    let objects = bounded::objects(engine, rendered, input.namespace).await?;
    match bounded::check(bounds, input.namespace, &objects)?.tags.keys().next() {
        Some(image) => Err(bounded::rejected(format!("the image {image} cannot be pinned to its digest"))),
        None => Ok(values(objects)),
    }
}

/// The privileges of the chart without the values of the package. If the chart does not render without them, it has none.
async fn by_default(
    engine: &Engine,
    plan: &Install,
    chart: &Arc<Chart>,
    input: &RenderInput<'_>,
) -> Result<Privileges, Error> {
    let plan = plan.without_values();
    let Some(bounds) = &engine.bounds else { return Ok(Privileges::default()) };
    match render_with_fallback(engine, &plan, chart, input).await {
        Ok((_, rendered)) => {
            let objects = bounded::objects(engine, &rendered, input.namespace).await?;
            let mut privileges = bounds.privileges_of(input.namespace, &objects);
            bounded::add_images(bounds, chart, &rendered, &mut privileges)?;
            Ok(privileges)
        }
        Err(Error::Chart(_) | Error::Document { .. }) => Ok(Privileges::default()),
        Err(error) => Err(error),
    }
}

/// The target namespace: the one in the plan, else the current namespace of the release, else the default of the chart.
fn namespace(plan: &Install, current: Option<&str>, chart: &Chart) -> String {
    let wanted = || chart.values()?.get(DEFAULT_NAMESPACE)?.as_str().filter(|name| !name.is_empty());
    let given = plan.target_namespace.as_deref().or(current).or_else(wanted);
    given.unwrap_or("default").to_owned()
}

/// The error for a changed namespace. Installed objects are found by their namespace, so it cannot change.
pub(crate) fn moved(installed: &Record, wanted: &str) -> Error {
    let (release, installed) = (installed.name.clone(), installed.namespace.clone());
    Error::Moved { release, installed, wanted: wanted.to_owned() }
}

/// The seed of random values: the one of an earlier revision, so that an upgrade does not change passwords. If another
/// program wrote the newest record, the seed is missing there.
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

/// Renders a chart. If its schema rejects the value that EKS Anywhere adds to every package, the chart is rendered without
/// it.
async fn render_with_fallback(
    engine: &Engine,
    plan: &Install,
    chart: &Arc<Chart>,
    input: &RenderInput<'_>,
) -> Result<(Install, Rendered), Error> {
    match render(engine, plan, chart, input).await {
        Ok(rendered) => Ok((plan.clone(), rendered)),
        Err(Error::Chart(helm::Error::Schema { violations })) => {
            let without = plan.without_registry().ok_or(helm::Error::Schema { violations })?;
            let rendered = render(engine, &without, chart, input).await?;
            Ok((without, rendered))
        }
        Err(error) => Err(error),
    }
}

struct RenderInput<'a> {
    basis: &'a Basis,
    namespace: &'a str,
    seed: Seed,
}

async fn render(
    engine: &Engine,
    plan: &Install,
    chart: &Arc<Chart>,
    input: &RenderInput<'_>,
) -> Result<Rendered, Error> {
    let RenderInput { basis, namespace, seed } = input;
    let definitions = definitions(chart)?;
    let capabilities = engine.cluster.discovery().await?.capabilities(&definitions);
    let seconds = |time: i64| Duration::from_secs(u64::try_from(time).unwrap_or_default());
    let (now, born, fresh) = (seconds(now()), seconds(seed.now), random()?);
    let values = Values::from_json(plan.values.clone())?;
    let (chart, release, namespace) = (Arc::clone(chart), plan.release.clone(), (*namespace).to_owned());
    let (revision, is_upgrade, bytes) = (i64::from(basis.revision), basis.is_upgrade, seed.bytes);
    let keys = seed.keys;
    let lookup = ClusterLookup::new(
        engine.cluster.clone(),
        !is_upgrade,
        Owner { release: &release, namespace: &namespace },
    );
    let work = move || {
        let mut options = Options::new(release, namespace, bytes, now);
        options.seeded_at = born.min(now);
        options.keys = keys;
        options.fresh = Some(fresh);
        options.values = values;
        options.capabilities = capabilities;
        options.release.revision = revision;
        options.release.is_upgrade = is_upgrade;
        options.lookup = &lookup;
        helm::render(&chart, &options)
    };
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| Error::Render)??)
}

/// The CRDs in `crds/` of the chart and of its subcharts.
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
    fn the_next_revision_follows_from_the_existing_ones() {
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

//! The guard between rendering and installing: every object of a plan is checked, and its images are pinned to the digests
//! in the bundle.

use std::collections::{BTreeMap, BTreeSet};

use chart_images::{CHART_FILE, discover};
use helm::{Chart, Rendered};
use oci::{Digest, Reference};
use serde_json::{Value, json};

use crate::apply::resolve_scopes;
use crate::engine::Engine;
use crate::error::Error;
use crate::guard::{self, Bounds, ChartObject, CheckResult, Pins, Privileges};
use crate::object::{Object, parse, read, read_hook};
use crate::release::Record;

/// The CRDs of a rendered chart, as the engine applies them.
pub(super) fn definitions(rendered: &Rendered) -> String {
    let definitions = rendered.crds.iter().map(|definition| definition.content.as_str());
    definitions.collect::<Vec<_>>().join("\n---\n")
}

/// All objects of a rendered chart, with lists expanded: CRDs, the manifest and all hooks. Exactly the objects of
/// namespaced kinds have a namespace.
pub(super) async fn objects(
    engine: &Engine,
    rendered: &Rendered,
    namespace: &str,
) -> Result<Vec<ChartObject>, Error> {
    let definitions = read(&definitions(rendered), "")?;
    let mut all = read(&rendered.manifest_text(), namespace)?;
    let mut hooks = vec![None; definitions.len() + all.len()];
    for hook in &rendered.hooks {
        let objects = read_hook(&hook.manifest, namespace)?;
        let events: BTreeSet<_> = hook.events.iter().map(|event| event.as_str()).collect();
        hooks.extend(vec![Some(events); objects.len()]);
        all.extend(objects);
    }
    let all = resolve_scopes(&engine.cluster, all, &definitions).await?;
    let definitions = resolve_scopes(&engine.cluster, definitions, &[]).await?;
    let values = definitions.into_iter().chain(all).map(with_namespace);
    Ok(values.zip(hooks).map(|(value, hook)| ChartObject { value, hook }).collect())
}

/// Adds the images that a rendered chart passes to others, such as in the configuration of an operator.
pub(super) fn add_images(
    bounds: &Bounds,
    chart: &Chart,
    rendered: &Rendered,
    privileges: &mut Privileges,
) -> Result<(), Error> {
    let found = discover(chart, rendered, &[]);
    let found = found.map_err(|error| Error::Document { reason: error.to_string() })?;
    let named = found.images.iter().filter_map(|image| {
        let place = image.places.iter().find(|place| place.template != CHART_FILE)?;
        Some((image.reference.as_str(), place.object.as_str()))
    });
    bounds.add_images(named, privileges);
    Ok(())
}

/// The object with its namespace, as it is applied.
fn with_namespace(object: Object) -> Value {
    let mut value = object.value;
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        if object.namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            metadata.insert("namespace".to_owned(), json!(object.namespace));
        }
    }
    value
}

/// Checks the objects of a plan.
pub(super) fn check(bounds: &Bounds, namespace: &str, objects: &[ChartObject]) -> Result<CheckResult, Error> {
    bounds.check(namespace, objects).map_err(rejected)
}

pub(super) fn rejected(reason: String) -> Error {
    Error::Refused { reason }
}

/// The digest for each image with a tag. If the bundle lists several digests for the repository, the registry determines
/// which of them the tag has.
pub(super) async fn pins(engine: &Engine, tags: &BTreeMap<String, Vec<Digest>>) -> Result<Pins, Error> {
    let mut pins = Pins::new();
    for (image, listed) in tags {
        let digest = match listed.as_slice() {
            [digest] => digest.clone(),
            several => resolve_tag(engine, image, several).await?,
        };
        pins.insert(image.clone(), digest);
    }
    Ok(pins)
}

async fn resolve_tag(engine: &Engine, image: &str, listed: &[Digest]) -> Result<Digest, Error> {
    let reference: Reference =
        image.parse().map_err(|source| Error::Location { location: image.to_owned(), source })?;
    let found = engine.charts.tagged(&reference).await?;
    found.filter(|found| listed.contains(found)).ok_or_else(|| {
        let listed: Vec<_> = listed.iter().map(ToString::to_string).collect();
        rejected(format!(
            "the image {image} has a tag, and the bundle lists several digests for its repository, but the tag in the \
             registry has none of them; specify the image with one of these digests: {}",
            listed.join(", ")
        ))
    })
}

/// Pins all images of a rendered chart to their digests, so that the record of the release has them, too. A document
/// without image tags stays byte for byte as in Helm.
pub(super) fn pin(rendered: &mut Rendered, pins: &Pins) -> Result<(), Error> {
    let manifests = rendered.manifests.iter_mut().map(|manifest| &mut manifest.content);
    let hooks = rendered.hooks.iter_mut().map(|hook| &mut hook.manifest);
    for text in manifests.chain(hooks) {
        let mut document = parse(text)?;
        if guard::pin(&mut document, pins) {
            *text = gostd::yaml::write(&document);
        }
    }
    Ok(())
}

impl Engine {
    /// All objects of a revision, including those of hooks, with their namespaces.
    ///
    /// # Errors
    /// If the request to the cluster fails, or the record cannot be parsed.
    pub async fn objects_of(&self, record: &Record) -> Result<Vec<Value>, Error> {
        let mut all = read(&record.manifest, &record.namespace)?;
        for hook in &record.hooks {
            all.extend(read_hook(hook, &record.namespace)?);
        }
        Ok(resolve_scopes(&self.cluster, all, &[]).await?.into_iter().map(with_namespace).collect())
    }

    /// Checks that a recorded revision can be restored: its objects are within the current bounds, and its images have
    /// digests.
    ///
    /// # Errors
    /// If the revision is rejected, or the request to the cluster fails.
    pub async fn check_bounds(&self, record: &Record) -> Result<(), Error> {
        let Some(bounds) = &self.bounds else { return Ok(()) };
        // Its privileges were checked when it was installed.
        let objects = self.objects_of(record).await?;
        let objects: Vec<_> = objects.into_iter().map(|value| ChartObject { value, hook: None }).collect();
        let checked = check(bounds, &record.namespace, &objects)?;
        match checked.tags.keys().next() {
            Some(image) => {
                Err(rejected(format!("revision {} has the image {image} without a digest", record.revision)))
            }
            None => Ok(()),
        }
    }
}

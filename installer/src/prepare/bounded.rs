//! The guard between rendering and installing: every object that a plan comes to is judged, and its images are named by
//! the digests that the bundle lists.

use std::collections::{BTreeMap, BTreeSet};

use chart_images::{CHART_FILE, discover};
use helm::{Chart, Rendered};
use oci::{Digest, Reference};
use serde_json::{Value, json};

use crate::apply::settle;
use crate::engine::Engine;
use crate::error::Error;
use crate::guard::{self, Bounds, Brought, Judged, Pins, Powers};
use crate::object::{Object, parse, read, read_hook};
use crate::release::Record;

/// The definitions of a render, as the engine applies them.
pub(super) fn definitions(rendered: &Rendered) -> String {
    let definitions = rendered.crds.iter().map(|definition| definition.content.as_str());
    definitions.collect::<Vec<_>>().join("\n---\n")
}

/// Every object of a render: definitions, the manifest's and those of all hooks, lists one by one. Objects of kinds with
/// namespaces say theirs, and no others do.
pub(super) async fn objects(
    engine: &Engine,
    rendered: &Rendered,
    namespace: &str,
) -> Result<Vec<Brought>, Error> {
    let definitions = read(&definitions(rendered), "")?;
    let mut all = read(&rendered.manifest_text(), namespace)?;
    let mut hooks = vec![None; definitions.len() + all.len()];
    for hook in &rendered.hooks {
        let objects = read_hook(&hook.manifest, namespace)?;
        let events: BTreeSet<_> = hook.events.iter().map(|event| event.as_str()).collect();
        hooks.extend(vec![Some(events); objects.len()]);
        all.extend(objects);
    }
    let all = settle(&engine.cluster, all, &definitions).await?;
    let definitions = settle(&engine.cluster, definitions, &[]).await?;
    let values = definitions.into_iter().chain(all).map(placed);
    Ok(values.zip(hooks).map(|(value, hook)| Brought { value, hook }).collect())
}

/// Adds what a render names as images for others to run, such as an operator's settings.
pub(super) fn add_images(
    bounds: &Bounds,
    chart: &Chart,
    rendered: &Rendered,
    powers: &mut Powers,
) -> Result<(), Error> {
    let found = discover(chart, rendered, &[]);
    let found = found.map_err(|error| Error::Document { reason: error.to_string() })?;
    let named = found.images.iter().filter_map(|image| {
        let place = image.places.iter().find(|place| place.template != CHART_FILE)?;
        Some((image.reference.as_str(), place.object.as_str()))
    });
    bounds.add_images(named, powers);
    Ok(())
}

/// The object with its namespace, as it is applied.
fn placed(object: Object) -> Value {
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

/// Judges the objects of a plan.
pub(super) fn judge(bounds: &Bounds, namespace: &str, objects: &[Brought]) -> Result<Judged, Error> {
    bounds.judge(namespace, objects).map_err(refused)
}

pub(super) fn refused(reason: String) -> Error {
    Error::Refused { reason }
}

/// The digest for each image that is named by a tag. Where the bundle lists several for its repository, the registry
/// tells which of them the tag has.
pub(super) async fn pins(engine: &Engine, tags: &BTreeMap<String, Vec<Digest>>) -> Result<Pins, Error> {
    let mut pins = Pins::new();
    for (image, listed) in tags {
        let digest = match listed.as_slice() {
            [digest] => digest.clone(),
            several => among(engine, image, several).await?,
        };
        pins.insert(image.clone(), digest);
    }
    Ok(pins)
}

async fn among(engine: &Engine, image: &str, listed: &[Digest]) -> Result<Digest, Error> {
    let reference: Reference =
        image.parse().map_err(|source| Error::Place { place: image.to_owned(), source })?;
    let found = engine.charts.tagged(&reference).await?;
    found.filter(|found| listed.contains(found)).ok_or_else(|| {
        let listed: Vec<_> = listed.iter().map(ToString::to_string).collect();
        refused(format!(
            "the image {image} is named by a tag, and the bundle lists several digests for its repository; the registry has \
             none of them under this tag: name the image by one of {}",
            listed.join(", ")
        ))
    })
}

/// Names all images of a render by their digests, so that the record of the release has them too. A document without
/// an image that is named by a tag stays byte for byte as Helm has it.
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
    /// Every object of a revision, those of hooks too, with its namespace.
    ///
    /// # Errors
    /// The cluster does not answer, or the record cannot be read.
    pub async fn objects_of(&self, record: &Record) -> Result<Vec<Value>, Error> {
        let mut all = read(&record.manifest, &record.namespace)?;
        for hook in &record.hooks {
            all.extend(read_hook(hook, &record.namespace)?);
        }
        Ok(settle(&self.cluster, all, &[]).await?.into_iter().map(placed).collect())
    }

    /// Whether a revision that was recorded earlier may be put back as it is: what it makes is within today's bounds, and
    /// its images are named by digests.
    ///
    /// # Errors
    /// It is refused, or the cluster does not answer.
    pub async fn judge(&self, record: &Record) -> Result<(), Error> {
        let Some(bounds) = &self.bounds else { return Ok(()) };
        // What it reaches for was judged when it was installed.
        let objects = self.objects_of(record).await?;
        let objects: Vec<_> = objects.into_iter().map(|value| Brought { value, hook: None }).collect();
        let judged = judge(bounds, &record.namespace, &objects)?;
        match judged.tags.keys().next() {
            Some(image) => {
                Err(refused(format!("revision {} has the image {image} without a digest", record.revision)))
            }
            None => Ok(()),
        }
    }
}

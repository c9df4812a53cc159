//! The images that a rendered chart names, and where.
//!
//! What counts, in objects of any kind:
//! 1. a text field `image`, or one whose name ends in `Image`, `_image` or `imageName` and whose value has a `/` or `:`;
//! 2. a map `image` with `repository` and, if given, `registry`, `tag` and `digest`, as operators' resources have;
//! 3. `image.reference` of an image volume;
//! 4. an argument `--...image...=REFERENCE`, or `--...image...` with the reference as the next argument;
//! 5. an environment variable with `IMAGE` in its name, or whose whole value is a reference with a registry;
//! 6. what `known.yaml` says of operators that name images in their own ways;
//! 7. what a pattern of the user finds in any text: its first group, or all that it matches;
//! 8. the list `artifacthub.io/images` in the annotations of the chart itself.
//!
//! A field of 1, 2 and 8 that is no reference is reported; in 4 and 5 it is passed over, because there names alone
//! prove nothing. Any other text that is a whole reference with a registry, or has one as a word, is listed as not taken.

mod known;

use std::collections::BTreeMap;

use helm::{Chart, Limits, Rendered};
use oci::Reference;
use regex::Regex;
use serde::Serialize;
use serde_json::Value;

/// An image and the places that name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiscoveredImage {
    /// The reference in full form.
    pub reference: String,
    /// Where it stands.
    pub places: Vec<ImageLocation>,
}

/// Where a chart names an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLocation {
    /// The template.
    pub template: String,
    /// The object, as `Kind/name`.
    pub object: String,
    /// The field, for example `spec.template.spec.containers[0].image`.
    pub field: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Discovery {
    /// Images, by reference.
    pub images: Vec<DiscoveredImage>,
    /// Fields that should name an image but hold no reference, with their text.
    pub unusable: Vec<(ImageLocation, String)>,
    /// References in texts that no rule takes for an image, and that are not among the images.
    pub untaken: Vec<(ImageLocation, String)>,
}

/// Looks through everything that a chart rendered.
///
/// # Errors
/// When an object is not YAML.
pub fn discover(
    chart: &Chart,
    rendered: &Rendered,
    patterns: &[Regex],
) -> Result<Discovery, gostd::yaml::Error> {
    let manifests = rendered.manifests.iter().map(|manifest| (&manifest.source, &manifest.content));
    let hooks = rendered.hooks.iter().map(|hook| (&hook.path, &hook.manifest));
    let mut walk = Walk {
        patterns,
        known: known::rules(),
        found: BTreeMap::new(),
        unusable: Vec::new(),
        seen: BTreeMap::new(),
    };
    for (template, text) in manifests.chain(hooks) {
        for document in gostd::yaml::documents(text, &Limits::default())? {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = format!("{}/{}", text(&document["kind"]), text(&document["metadata"]["name"]));
            let mut here = Here { template, object: &object, path: Vec::new() };
            walk.value(&document, &mut here);
        }
    }
    if let Some(list) = chart.metadata().annotations.get(ANNOTATION) {
        let object = format!("Chart/{}", chart.name());
        // An annotation that is no YAML is none of the rendered objects.
        for document in gostd::yaml::documents(list, &Limits::default()).unwrap_or_default() {
            let mut here = Here {
                template: CHART_FILE,
                object: &object,
                path: vec!["annotations".to_owned(), ANNOTATION.to_owned()],
            };
            walk.value(&document, &mut here);
        }
    }
    let untaken = walk.seen.into_iter().filter(|(reference, _)| !walk.found.contains_key(reference));
    let untaken = untaken.map(|(reference, place)| (place, reference)).collect();
    let images = walk.found.into_iter().map(|(reference, mut places)| {
        places.sort();
        places.dedup();
        DiscoveredImage { reference, places }
    });
    Ok(Discovery { images: images.collect(), unusable: walk.unusable, untaken })
}

/// What stands for a template where a chart's own annotations name an image.
pub const CHART_FILE: &str = "Chart.yaml";

/// Where charts list their images for Artifact Hub.
const ANNOTATION: &str = "artifacthub.io/images";

struct Walk<'a> {
    patterns: &'a [Regex],
    known: &'static [known::Rule],
    found: BTreeMap<String, Vec<ImageLocation>>,
    unusable: Vec<(ImageLocation, String)>,
    /// What looks like a reference, wherever it is, with the first place.
    seen: BTreeMap<String, ImageLocation>,
}

/// The place being looked at.
struct Here<'a> {
    template: &'a str,
    object: &'a str,
    path: Vec<String>,
}

impl Here<'_> {
    fn place(&self) -> ImageLocation {
        let mut field = String::new();
        for step in &self.path {
            if !field.is_empty() && !step.starts_with('[') {
                field.push('.');
            }
            field.push_str(step);
        }
        ImageLocation { template: self.template.to_owned(), object: self.object.to_owned(), field }
    }
}

impl Walk<'_> {
    // The reader bounds how deep values lie in each other, and with it this recursion.
    fn value(&mut self, value: &Value, here: &mut Here<'_>) {
        match value {
            Value::Object(fields) => {
                self.environment(fields, here);
                for (name, value) in fields {
                    here.path.push(name.clone());
                    self.field(name, value, here);
                    self.value(value, here);
                    here.path.pop();
                }
            }
            Value::Array(items) => {
                let mut option = false;
                for (index, item) in items.iter().enumerate() {
                    here.path.push(format!("[{index}]"));
                    if option {
                        self.possible(item.as_str().unwrap_or_default(), here);
                    }
                    option = item.as_str().is_some_and(is_image_option);
                    self.value(item, here);
                    here.path.pop();
                }
            }
            Value::String(text) => self.text(text, here),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Rules 1 to 3.
    fn field(&mut self, name: &str, value: &Value, here: &Here<'_>) {
        match value {
            Value::String(text) if name == "image" && !text.is_empty() => self.certain(text, here),
            Value::String(text)
                if ["Image", "_image", "imageName", "ImageName"].iter().any(|end| name.ends_with(end))
                    && text.contains(['/', ':']) =>
            {
                self.certain(text, here);
            }
            Value::String(text) => self.named(name, text, here),
            Value::Object(parts) if name == "image" => {
                if let Some(reference) = composed(parts) {
                    self.certain(&reference, here);
                }
            }
            _ => {}
        }
    }

    /// Rule 5.
    fn environment(&mut self, fields: &serde_json::Map<String, Value>, here: &Here<'_>) {
        if let (Some(Value::String(name)), Some(Value::String(text))) =
            (fields.get("name"), fields.get("value"))
        {
            if name.contains("IMAGE") || is_whole(text) {
                self.possible(text, here);
            }
            self.named(name, text, here);
        }
    }

    /// Rule 6.
    fn named(&mut self, name: &str, text: &str, here: &Here<'_>) {
        for rule in self.known.iter().filter(|rule| rule.name.is_match(name)) {
            for found in rule.found(text) {
                self.possible(found, here);
            }
        }
    }

    /// Rules 4 and 7, and what is only listed.
    fn text(&mut self, text: &str, here: &Here<'_>) {
        if let Some((option, reference)) = text.strip_prefix("--").and_then(|rest| rest.split_once('='))
            && option.contains("image")
        {
            self.possible(reference, here);
        }
        for word in text.split(|c: char| c.is_whitespace() || "\"'`,;=()[]{}<>".contains(c)) {
            if is_whole(word)
                && let Ok(reference) = word.parse::<Reference>()
            {
                self.seen.entry(reference.to_string()).or_insert_with(|| here.place());
            }
        }
        for pattern in self.patterns {
            for captures in pattern.captures_iter(text) {
                if let Some(found) = captures.get(1).or_else(|| captures.get(0)) {
                    self.certain(found.as_str(), here);
                }
            }
        }
    }

    fn certain(&mut self, text: &str, here: &Here<'_>) {
        match text.parse::<Reference>() {
            Ok(reference) => self.found.entry(reference.to_string()).or_default().push(here.place()),
            Err(_) => self.unusable.push((here.place(), text.to_owned())),
        }
    }

    /// Only what has a registry or a folder, and a tag or a digest: a flag or a word is not an image.
    fn possible(&mut self, text: &str, here: &Here<'_>) {
        let last = text.rsplit('/').next().unwrap_or_default();
        if text.contains('/') && last.contains([':', '@']) && text.parse::<Reference>().is_ok() {
            self.certain(text, here);
        }
    }
}

/// `--...image...`, whose value is the next argument.
fn is_image_option(text: &str) -> bool {
    text.starts_with('-') && !text.contains('=') && text.to_ascii_lowercase().contains("image")
}

/// A whole reference: a registry that has a dot or a port or is `localhost`, a path, and a tag or digest.
fn is_whole(text: &str) -> bool {
    let Some((host, path)) = text.split_once('/') else { return false };
    let is_host = host.contains(['.', ':']) || host == "localhost";
    let last = path.rsplit('/').next().unwrap_or_default();
    is_host && last.contains([':', '@']) && text.parse::<Reference>().is_ok()
}

/// The reference that a map with `repository` stands for.
fn composed(parts: &serde_json::Map<String, Value>) -> Option<String> {
    let text = |name: &str| parts.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(reference) = text("reference") {
        return Some(reference.to_owned());
    }
    let mut reference = text("registry").map(|registry| format!("{registry}/")).unwrap_or_default();
    reference.push_str(text("repository")?);
    if let Some(tag) = text("tag") {
        reference.push_str(&format!(":{tag}"));
    }
    if let Some(digest) = text("digest").or_else(|| text("sha")) {
        let digest = if digest.contains(':') { digest.to_owned() } else { format!("sha256:{digest}") };
        reference.push_str(&format!("@{digest}"));
    }
    Some(reference)
}

#[cfg(test)]
mod tests;

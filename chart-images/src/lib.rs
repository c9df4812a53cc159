//! Finds the images that a rendered chart references, and where it references them.
//!
//! These count as references, in objects of any kind:
//! 1. a text field `image`, or one that ends in `Image`, `_image` or `imageName` and whose value has a `/` or `:`;
//! 2. a map `image` with `repository` and, if given, `registry`, `tag` and `digest`, as operators' resources have;
//! 3. `image.reference` of an image volume;
//! 4. an argument `--...image...=REFERENCE`, or `--...image...` with the reference as the next argument;
//! 5. an environment variable with `IMAGE` in its name, or whose whole value is a reference with a registry;
//! 6. what the rules of `operators.yaml` match, for operators that reference images in their own way;
//! 7. what a pattern of the user matches in any text: its first group, or the whole match;
//! 8. the list `artifacthub.io/images` in the annotations of the chart itself.
//!
//! For 1, 2 and 8, a value that is not a valid reference is reported. For 4 and 5 it is ignored, because the name alone
//! proves nothing. Any other text that is a full reference with a registry, or contains one as a word, is listed as
//! untaken.

mod operators;

use std::collections::BTreeMap;

use helm::{Chart, Limits, Rendered};
use oci::Reference;
use regex::Regex;
use serde::Serialize;
use serde_json::Value;

/// An image and the locations that reference it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiscoveredImage {
    /// The reference in full form.
    pub reference: String,
    /// The locations that reference it.
    pub places: Vec<ImageLocation>,
}

/// A location where a chart references an image.
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

/// The result of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Discovery {
    /// Images, by reference.
    pub images: Vec<DiscoveredImage>,
    /// Fields that should hold an image reference but do not, with their text.
    pub unusable: Vec<(ImageLocation, String)>,
    /// References in text that no rule recognizes as an image and that are not in `images`.
    pub untaken: Vec<(ImageLocation, String)>,
}

/// Searches everything that a chart rendered for images.
///
/// # Errors
/// A rendered object is not valid YAML.
pub fn discover(
    chart: &Chart,
    rendered: &Rendered,
    patterns: &[Regex],
) -> Result<Discovery, gostd::yaml::Error> {
    let manifests = rendered.manifests.iter().map(|manifest| (&manifest.source, &manifest.content));
    let hooks = rendered.hooks.iter().map(|hook| (&hook.path, &hook.manifest));
    let mut walk = Walk {
        patterns,
        operator_rules: operators::rules(),
        found: BTreeMap::new(),
        unusable: Vec::new(),
        seen: BTreeMap::new(),
    };
    for (template, text) in manifests.chain(hooks) {
        for document in gostd::yaml::documents(text, &Limits::default())? {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = format!("{}/{}", text(&document["kind"]), text(&document["metadata"]["name"]));
            let mut cursor = Cursor { template, object: &object, path: Vec::new() };
            walk.value(&document, &mut cursor);
        }
    }
    if let Some(list) = chart.metadata().annotations.get(ANNOTATION) {
        let object = format!("Chart/{}", chart.name());
        // The annotation is not a rendered object, so invalid YAML in it is not an error.
        for document in gostd::yaml::documents(list, &Limits::default()).unwrap_or_default() {
            let mut cursor = Cursor {
                template: CHART_FILE,
                object: &object,
                path: vec!["annotations".to_owned(), ANNOTATION.to_owned()],
            };
            walk.value(&document, &mut cursor);
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

/// The `template` of a location in the chart's own annotations.
pub const CHART_FILE: &str = "Chart.yaml";

/// The annotation in which charts list their images for Artifact Hub.
const ANNOTATION: &str = "artifacthub.io/images";

struct Walk<'a> {
    patterns: &'a [Regex],
    operator_rules: &'static [operators::Rule],
    found: BTreeMap<String, Vec<ImageLocation>>,
    unusable: Vec<(ImageLocation, String)>,
    /// Everything that looks like a reference, with its first location.
    seen: BTreeMap<String, ImageLocation>,
}

/// The current location of the walk.
struct Cursor<'a> {
    template: &'a str,
    object: &'a str,
    path: Vec<String>,
}

impl Cursor<'_> {
    fn location(&self) -> ImageLocation {
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
    // The YAML reader bounds the depth of values, and with it this recursion.
    fn value(&mut self, value: &Value, cursor: &mut Cursor<'_>) {
        match value {
            Value::Object(fields) => {
                self.environment(fields, cursor);
                for (name, value) in fields {
                    cursor.path.push(name.clone());
                    self.field(name, value, cursor);
                    self.value(value, cursor);
                    cursor.path.pop();
                }
            }
            Value::Array(items) => {
                let mut option = false;
                for (index, item) in items.iter().enumerate() {
                    cursor.path.push(format!("[{index}]"));
                    if option {
                        self.possible(item.as_str().unwrap_or_default(), cursor);
                    }
                    option = item.as_str().is_some_and(is_image_option);
                    self.value(item, cursor);
                    cursor.path.pop();
                }
            }
            Value::String(text) => self.text(text, cursor),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Rules 1 to 3.
    fn field(&mut self, name: &str, value: &Value, cursor: &Cursor<'_>) {
        match value {
            Value::String(text) if name == "image" && !text.is_empty() => self.certain(text, cursor),
            Value::String(text)
                if ["Image", "_image", "imageName", "ImageName"].iter().any(|end| name.ends_with(end))
                    && text.contains(['/', ':']) =>
            {
                self.certain(text, cursor);
            }
            Value::String(text) => self.named(name, text, cursor),
            Value::Object(parts) if name == "image" => {
                if let Some(reference) = composed(parts) {
                    self.certain(&reference, cursor);
                }
            }
            _ => {}
        }
    }

    /// Rule 5.
    fn environment(&mut self, fields: &serde_json::Map<String, Value>, cursor: &Cursor<'_>) {
        if let (Some(Value::String(name)), Some(Value::String(text))) =
            (fields.get("name"), fields.get("value"))
        {
            if name.contains("IMAGE") || is_whole(text) {
                self.possible(text, cursor);
            }
            self.named(name, text, cursor);
        }
    }

    /// Rule 6.
    fn named(&mut self, name: &str, text: &str, cursor: &Cursor<'_>) {
        for rule in self.operator_rules.iter().filter(|rule| rule.name.is_match(name)) {
            for reference in rule.references(text) {
                self.possible(reference, cursor);
            }
        }
    }

    /// Rules 4 and 7, and the references that are only listed.
    fn text(&mut self, text: &str, cursor: &Cursor<'_>) {
        if let Some((option, reference)) = text.strip_prefix("--").and_then(|rest| rest.split_once('='))
            && option.contains("image")
        {
            self.possible(reference, cursor);
        }
        for word in text.split(|c: char| c.is_whitespace() || "\"'`,;=()[]{}<>".contains(c)) {
            if is_whole(word)
                && let Ok(reference) = word.parse::<Reference>()
            {
                self.seen.entry(reference.to_string()).or_insert_with(|| cursor.location());
            }
        }
        for pattern in self.patterns {
            for captures in pattern.captures_iter(text) {
                if let Some(found) = captures.get(1).or_else(|| captures.get(0)) {
                    self.certain(found.as_str(), cursor);
                }
            }
        }
    }

    fn certain(&mut self, text: &str, cursor: &Cursor<'_>) {
        match text.parse::<Reference>() {
            Ok(reference) => self.found.entry(reference.to_string()).or_default().push(cursor.location()),
            Err(_) => self.unusable.push((cursor.location(), text.to_owned())),
        }
    }

    /// Accepts only text with a registry or a path, and a tag or a digest: a flag or a word is not an image.
    fn possible(&mut self, text: &str, cursor: &Cursor<'_>) {
        let last = text.rsplit('/').next().unwrap_or_default();
        if text.contains('/') && last.contains([':', '@']) && text.parse::<Reference>().is_ok() {
            self.certain(text, cursor);
        }
    }
}

/// Whether the text is an option `--...image...` whose value is the next argument.
fn is_image_option(text: &str) -> bool {
    text.starts_with('-') && !text.contains('=') && text.to_ascii_lowercase().contains("image")
}

/// Whether the text is a full reference: a registry with a dot or a port or `localhost`, a path, and a tag or digest.
fn is_whole(text: &str) -> bool {
    let Some((host, path)) = text.split_once('/') else { return false };
    let is_host = host.contains(['.', ':']) || host == "localhost";
    let last = path.rsplit('/').next().unwrap_or_default();
    is_host && last.contains([':', '@']) && text.parse::<Reference>().is_ok()
}

/// The reference that a map with `repository` describes.
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

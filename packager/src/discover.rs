//! The images that a rendered chart names, and where.
//!
//! What counts, in objects of any kind:
//! 1. a text field `image`, or one whose name ends in `Image` and whose value has a `/` or `:`;
//! 2. a map `image` with `repository` and, if given, `registry`, `tag` and `digest`, as operators' resources have;
//! 3. `image.reference` of an image volume;
//! 4. an argument `--...image...=REFERENCE`;
//! 5. an environment variable with `IMAGE` in its name;
//! 6. what a pattern of the user finds in any text: its first group, or all that it matches.
//!
//! A field of 1 and 2 that is no reference is told as such; in 4 and 5 it is passed over, because there names alone
//! prove nothing.

use std::collections::BTreeMap;

use helm::{Limits, Rendered};
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
    pub places: Vec<Place>,
}

/// Where a chart names an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
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
    pub unusable: Vec<(Place, String)>,
}

/// Looks through everything that a chart rendered.
///
/// # Errors
/// When an object is not YAML.
pub fn discover(rendered: &Rendered, patterns: &[Regex]) -> Result<Discovery, helm::yaml::Error> {
    let manifests = rendered.manifests.iter().map(|manifest| (&manifest.source, &manifest.content));
    let hooks = rendered.hooks.iter().map(|hook| (&hook.path, &hook.manifest));
    let mut walk = Walk { patterns, found: BTreeMap::new(), unusable: Vec::new() };
    for (template, text) in manifests.chain(hooks) {
        for document in helm::yaml::documents(text, &Limits::default())? {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = format!("{}/{}", text(&document["kind"]), text(&document["metadata"]["name"]));
            let mut here = Here { template, object: &object, path: Vec::new() };
            walk.value(&document, &mut here);
        }
    }
    let images = walk.found.into_iter().map(|(reference, mut places)| {
        places.sort();
        places.dedup();
        DiscoveredImage { reference, places }
    });
    Ok(Discovery { images: images.collect(), unusable: walk.unusable })
}

struct Walk<'a> {
    patterns: &'a [Regex],
    found: BTreeMap<String, Vec<Place>>,
    unusable: Vec<(Place, String)>,
}

/// The place being looked at.
struct Here<'a> {
    template: &'a str,
    object: &'a str,
    path: Vec<String>,
}

impl Here<'_> {
    fn place(&self) -> Place {
        let mut field = String::new();
        for step in &self.path {
            if !field.is_empty() && !step.starts_with('[') {
                field.push('.');
            }
            field.push_str(step);
        }
        Place { template: self.template.to_owned(), object: self.object.to_owned(), field }
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
                for (index, item) in items.iter().enumerate() {
                    here.path.push(format!("[{index}]"));
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
            Value::String(text) if name.ends_with("Image") && text.contains(['/', ':']) => {
                self.certain(text, here);
            }
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
            && name.contains("IMAGE")
        {
            self.possible(text, here);
        }
    }

    /// Rules 4 and 6.
    fn text(&mut self, text: &str, here: &Here<'_>) {
        if let Some((option, reference)) = text.strip_prefix("--").and_then(|rest| rest.split_once('='))
            && option.contains("image")
        {
            self.possible(reference, here);
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
mod tests {
    use std::time::Duration;

    use helm::{Chart, Options};

    use super::*;

    fn rendered(template: &str) -> Rendered {
        let files = [
            ("Chart.yaml".to_owned(), b"apiVersion: v2\nname: c\nversion: 1.0.0\n".to_vec()),
            ("templates/x.yaml".to_owned(), template.as_bytes().to_vec()),
        ];
        let chart = Chart::from_files(files, &Limits::default()).unwrap();
        helm::render(&chart, &Options::new("r", "default", [0; 32], Duration::ZERO)).unwrap()
    }

    const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  initContainers:
  - {name: a, image: busybox}
  containers:
  - name: b
    image: r.io/b:1
    args: ['--sidecar-image=r.io/side:2', '--image=no', '--config-reloader=r.io/reloader:3']
    env:
    - {name: WORKER_IMAGE, value: 'r.io/worker:4'}
    - {name: IMAGE_POLICY, value: Always}
  volumes:
  - {name: v, image: {reference: 'r.io/volume:5', pullPolicy: Always}}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: t}
spec:
  image: {registry: r.io, repository: thing, tag: '6', pullPolicy: Always}
  agentImage: r.io/agent:7
  osImage: ubuntu
---
apiVersion: batch/v1
kind: Job
metadata: {name: j, annotations: {helm.sh/hook: pre-install}}
spec: {template: {spec: {containers: [{name: c, image: 'r.io/hook:8'}, {name: d, image: 'not a reference'}]}}}
";

    #[test]
    fn every_rule_finds_its_images() {
        let patterns = [Regex::new("--config-reloader=(\\S+)").unwrap()];
        let found = discover(&rendered(POD), &patterns).unwrap();
        let references: Vec<&str> = found.images.iter().map(|image| image.reference.as_str()).collect();
        assert_eq!(
            references,
            [
                "docker.io/library/busybox:latest",
                "r.io/agent:7",
                "r.io/b:1",
                "r.io/hook:8",
                "r.io/reloader:3",
                "r.io/side:2",
                "r.io/thing:6",
                "r.io/volume:5",
                "r.io/worker:4",
            ]
        );
        let own = &found.images[2].places;
        assert_eq!(own[0].field, "spec.containers[0].image");
        assert_eq!((own[0].template.as_str(), own[0].object.as_str()), ("c/templates/x.yaml", "Pod/p"));
        assert_eq!(found.unusable.len(), 1);
        assert_eq!(found.unusable[0].1, "not a reference");
    }
}

//! Splits rendered files into the documents of a release.
//!
//! Source: `pkg/release/v1/util/manifest.go` and `manifest_sorter.go`. Documents keep the text that the templates
//! produced; they are parsed only for kind, name and annotations.

use std::collections::BTreeMap;

use gostd::limits::Limits;

use super::Crd;
use super::hooks::{Hook, Role, role};
use super::order::Order;
use crate::chart::{DocumentError, Fields, Node, path, read_document};
use crate::error::Error;

const RESOURCE_POLICY: &str = "helm.sh/resource-policy";
/// The Go type of `metadata`, which error texts contain.
const METADATA: &str =
    r#"struct { Name string "json:\"name\""; Annotations map[string]string "json:\"annotations\"" }"#;

/// One document of a release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// The path of its template, including the parent charts.
    pub source: String,
    /// `apiVersion`
    pub api_version: String,
    /// `kind`; empty if the document is only a comment.
    pub kind: String,
    /// `metadata.name`
    pub name: String,
    /// Whether the object outlives its release (`helm.sh/resource-policy: keep`).
    pub keep: bool,
    /// The document's text.
    pub content: String,
}

impl Manifest {
    /// The documents of a release's stored manifest, in their order.
    ///
    /// # Errors
    /// A document is not valid YAML or not an object, or exceeds a limit.
    pub fn parse_all(text: &str, limits: &Limits) -> Result<Vec<Self>, Error> {
        split(text)
            .into_iter()
            .map(|document| parse("manifest", document, limits).map(|(parsed, _)| parsed))
            .collect()
    }
}

impl Order {
    /// Sorts manifests into this order; manifests of the same kind keep their order.
    pub fn apply(self, manifests: &mut [Manifest]) {
        self.sort(manifests, |manifest| &manifest.kind);
    }
}

/// The manifests and the hooks in the rendered files, each in install order.
pub(super) fn sort(
    files: &BTreeMap<String, String>,
    limits: &Limits,
) -> Result<(Vec<Manifest>, Vec<Hook>), Error> {
    let (mut parts, mut hooks) = (Vec::new(), Vec::new());
    for (source, text) in files {
        if path::base(source).starts_with('_') || text.trim().is_empty() {
            continue;
        }
        for document in split(text) {
            let (manifest, annotations) = parse(source, document, limits)?;
            match role(manifest, &annotations) {
                Role::Part(manifest) => parts.push(manifest),
                Role::Hook(hook) => hooks.push(hook),
                Role::Dropped => {}
            }
        }
    }
    Order::Install.apply(&mut parts);
    Order::Install.sort(&mut hooks, |hook| &hook.kind);
    Ok((parts, hooks))
}

/// The files of all `crds/` directories that have the extension of a manifest.
pub(super) fn crds(root: &Node<'_>) -> Vec<Crd> {
    let mut crds = Vec::new();
    collect_crds(root, &root.metadata.name, &mut crds);
    crds
}

fn collect_crds(chart: &Node<'_>, full_path: &str, crds: &mut Vec<Crd>) {
    let is_manifest = |name: &str| {
        let extension = path::extension(name);
        [".yaml", ".yml", ".json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    };
    for file in chart.files().iter().filter(|file| file.name.starts_with("crds/") && is_manifest(&file.name))
    {
        let source = format!("{full_path}/{}", file.name);
        crds.push(Crd { source, content: String::from_utf8_lossy(&file.data).into_owned() });
    }
    for child in &chart.charts {
        collect_crds(child, &format!("{full_path}/charts/{}", child.metadata.name), crds);
    }
}

/// Splits a text at every `---` at the start of a line, regardless of the text after it.
fn split(text: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let text = text.trim_start();
    let mut start = 0;
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        if let Some(after) = line.strip_prefix("---") {
            documents.push(text.get(start..position).unwrap_or_default());
            let rest = after.trim_start_matches([' ', '\t']);
            start = position + line.len() - rest.len();
        }
        position += line.len();
    }
    documents.push(text.get(start..).unwrap_or_default());
    documents.into_iter().map(str::trim_start).filter(|document| !document.is_empty()).collect()
}

/// Reads the kind, name and annotations of a document.
fn parse(
    source: &str,
    document: &str,
    limits: &Limits,
) -> Result<(Manifest, BTreeMap<String, String>), Error> {
    let mut manifest =
        Manifest { source: source.to_owned(), content: document.to_owned(), ..Manifest::default() };
    let mut annotations = BTreeMap::new();
    read_head(document, limits, &mut manifest, &mut annotations)
        .map_err(|error| error.into_error(|reason| Error::Manifest { path: source.to_owned(), reason }))?;
    let policy = annotations.get(RESOURCE_POLICY).map(|policy| policy.trim().to_lowercase());
    manifest.keep = policy.as_deref() == Some("keep");
    Ok((manifest, annotations))
}

fn read_head(
    document: &str,
    limits: &Limits,
    manifest: &mut Manifest,
    annotations: &mut BTreeMap<String, String>,
) -> Result<(), DocumentError> {
    let value = read_document(document.as_bytes(), limits)?;
    let head = Fields::of_document(&value, "util.SimpleHead")?;
    head.text("apiVersion", &mut manifest.api_version)?;
    head.text("kind", &mut manifest.kind)?;
    if let Some(metadata) = head.structure("metadata", METADATA)? {
        metadata.text("name", &mut manifest.name)?;
        metadata.text_map("annotations", annotations)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_as_leniently_as_in_helm() {
        assert_eq!(split("a: 1\n---\nb: 2\n"), ["a: 1\n", "b: 2\n"]);
        assert_eq!(split("\n---\n# c\n--- \t\nb: |\n  ---\n"), ["# c\n", "b: |\n  ---\n"]);
        assert_eq!(split("---apiVersion: v1\n----\n"), ["apiVersion: v1\n", "-\n"]);
        assert_eq!(split("--- # comment\na: 1"), ["# comment\na: 1"]);
        assert!(split("---\n\n---  \n").is_empty());
    }

    #[test]
    fn manifests_and_hooks_are_separated_and_sorted() {
        let files = BTreeMap::from([
            ("c/a.yaml".to_owned(), "kind: Deployment\nmetadata: {name: d}\n---\nkind: Secret".to_owned()),
            (
                "c/b.yaml".to_owned(),
                "kind: Job\nmetadata:\n  name: j\n  annotations:\n    helm.sh/hook: pre-install, Test\n    \
                 helm.sh/hook-weight: -5\n    helm.sh/hook-delete-policy: hook-succeeded,odd\n"
                    .to_owned(),
            ),
            ("c/c.yaml".to_owned(), "metadata: {annotations: {helm.sh/hook: nonsense}}".to_owned()),
            ("c/_d.yaml".to_owned(), "{".to_owned()),
            ("c/e.yaml".to_owned(), "# only a comment".to_owned()),
        ]);
        let (parts, hooks) = sort(&files, &Limits::default()).unwrap();
        let kinds: Vec<&str> = parts.iter().map(|part| part.kind.as_str()).collect();
        assert_eq!(kinds, ["Secret", "Deployment", ""]);
        let [hook] = hooks.as_slice() else { panic!() };
        assert_eq!((hook.name.as_str(), hook.kind.as_str(), hook.weight), ("j", "Job", -5));
        let events: Vec<&str> = hook.events.iter().map(|event| event.as_str()).collect();
        assert_eq!(events, ["pre-install", "test"]);
        let policies: Vec<&str> =
            hook.delete_policies.iter().map(super::super::DeletePolicy::as_str).collect();
        assert_eq!(policies, ["hook-succeeded", "odd"]);
    }

    #[test]
    fn a_document_that_is_not_an_object_is_rejected_with_its_file() {
        let files = BTreeMap::from([("c/a.yaml".to_owned(), "just text".to_owned())]);
        let error = sort(&files, &Limits::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "YAML parse error on c/a.yaml: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal \
             string into Go value of type util.SimpleHead"
        );
    }

    #[test]
    fn a_kept_object_is_marked() {
        let text = "kind: PersistentVolumeClaim\nmetadata: {annotations: {helm.sh/resource-policy: Keep}}";
        let manifests = Manifest::parse_all(text, &Limits::default()).unwrap();
        assert!(manifests.first().unwrap().keep);
    }
}

//! The three contracts: from a manifest to the bytes that AWS signs, and to the list of values that they leave out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::path::{Path, Selector};
use super::shape::{Field, Typed, typed};
use super::{Refusal, Uncovered, UncoveredReason, document, types};
use crate::trust::ContentKind;
use crate::{Error, Result};

/// The part of one kind of manifest that its signature covers, and the form in which it is hashed.
#[derive(Clone, Debug)]
pub(super) struct Contract {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    /// The kind in trust files.
    pub(super) content: ContentKind,
    pub(super) fields: &'static [Field],
    /// Selectors that are always left out.
    pub(super) excluded: &'static [&'static str],
    pub(super) form: Form,
}

/// How the rest is serialized for the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// By `sigs.k8s.io/yaml`. An annotation of the manifest may list more selectors, and that annotation is signed.
    Yaml,
    /// By `encoding/json`. Annotations are left out and have no effect.
    Json,
}

/// The prefix of the annotations of package bundles is `DomainName` of `pkg/signature/manifest.go`.
pub(super) const SIGNATURE: &str = "eksa.aws.com/signature";
pub(super) const EXCLUDES: &str = "eksa.aws.com/excludes";
const INCLUDES: &str = "eksa.aws.com/includes";
/// Signatures beyond the one that upstream's format has room for, in base64, separated by spaces. Upstream's programs
/// ignore it, and no contract signs it.
pub(super) const MORE_SIGNATURES: &str = "airlock.dev/signatures";
pub(super) const BUNDLES_SIGNATURE: &str = "anywhere.eks.amazonaws.com/signature";

/// `pkg/signature/manifest.go` of aws/eks-anywhere-packages.
pub(super) const PACKAGE_BUNDLE: Contract = Contract {
    api_version: "packages.eks.amazonaws.com/v1alpha1",
    kind: "PackageBundle",
    content: ContentKind::PackageBundle,
    fields: types::PACKAGE_BUNDLE,
    excluded: &[
        ".status",
        ".metadata.creationTimestamp",
        ".metadata.generation",
        ".metadata.managedFields",
        ".metadata.uid",
        ".metadata.resourceVersion",
        ".spec.minControllerVersion",
    ],
    form: Form::Yaml,
};

/// `pkg/signature/manifest.go` of aws/eks-anywhere, with the constants that it uses instead of the annotation.
pub(super) const BUNDLES: Contract = Contract {
    api_version: "anywhere.eks.amazonaws.com/v1alpha1",
    kind: "Bundles",
    content: ContentKind::Bundles,
    fields: types::BUNDLES,
    excluded: &[
        ".status",
        ".metadata.creationTimestamp",
        ".metadata.annotations",
        ".metadata.generation",
        ".metadata.managedFields",
        ".metadata.uid",
        ".metadata.resourceVersion",
        ".metadata.namespace",
        ".spec.versionsBundles[].bootstrap",
        ".spec.versionsBundles[].bottlerocketBootstrapContainers",
        ".spec.versionsBundles[].bottlerocketHostContainers",
        ".spec.versionsBundles[].certManager",
        ".spec.versionsBundles[].cilium",
        ".spec.versionsBundles[].cloudStack",
        ".spec.versionsBundles[].clusterAPI",
        ".spec.versionsBundles[].controlPlane",
        ".spec.versionsBundles[].docker",
        ".spec.versionsBundles[].eksa",
        ".spec.versionsBundles[].eksD.components",
        ".spec.versionsBundles[].eksD.manifestUrl",
        ".spec.versionsBundles[].etcdadmBootstrap",
        ".spec.versionsBundles[].etcdadmController",
        ".spec.versionsBundles[].flux",
        ".spec.versionsBundles[].haproxy",
        ".spec.versionsBundles[].kindnetd",
        ".spec.versionsBundles[].nutanix",
        ".spec.versionsBundles[].packageController",
        ".spec.versionsBundles[].snow",
        ".spec.versionsBundles[].tinkerbell",
        ".spec.versionsBundles[].upgrader",
        ".spec.versionsBundles[].vSphere",
    ],
    form: Form::Json,
};

/// The same file, for the release of EKS Distro. Leaving out the status leaves out every component.
pub(super) const RELEASE: Contract = Contract {
    api_version: "distro.eks.amazonaws.com/v1alpha1",
    kind: "Release",
    content: ContentKind::Release,
    fields: types::RELEASE,
    excluded: &[
        ".status",
        ".metadata.creationTimestamp",
        ".metadata.annotations",
        ".metadata.generation",
        ".metadata.managedFields",
        ".metadata.uid",
        ".metadata.resourceVersion",
        ".metadata.namespace",
    ],
    form: Form::Json,
};

/// The signed part of a manifest, with the exact bytes that are hashed.
#[derive(Debug)]
pub struct Covered {
    bytes: Vec<u8>,
    object: Value,
}

impl Covered {
    /// The canonical bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The part of the manifest that they serialize.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// SHA-256 of the bytes.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.bytes).as_ref());
        hash
    }
}

/// The signed and the unsigned part of a manifest.
pub(super) struct Parts {
    pub(super) covered: Covered,
    pub(super) uncovered: Vec<Uncovered>,
}

impl Contract {
    /// Checks kind and version, and parses the manifest as its Go type does.
    ///
    /// # Errors
    /// When it is of another kind, or has a value of another type.
    pub(super) fn typed(&self, manifest: &Value) -> Result<Typed> {
        for (field, expected) in [("apiVersion", self.api_version), ("kind", self.kind)] {
            let found = manifest.get(field).and_then(Value::as_str).unwrap_or_default();
            if found != expected {
                return Err(Refusal::Kind { field, found: found.to_owned(), expected }.into());
            }
        }
        typed(self.fields, manifest)
    }

    /// Splits a manifest into the signed and the unsigned part.
    ///
    /// # Errors
    /// When it is not of this kind, a selector is not a path or does not match, or its text is ambiguous.
    pub(super) fn apart(&self, manifest: &Value) -> Result<Parts> {
        let Typed { value: mut object, unknown } = self.typed(manifest)?;
        let mut left_out = LeftOut { manifest, list: Vec::new() };
        left_out.add(&unknown, UncoveredReason::Unknown);

        // All paths are found before anything is deleted, as in jq's `del`.
        let always = self.excluded.iter().map(|text| Selector::parse(text)).collect::<Result<Vec<_>>>()?;
        let always = paths(&always, &object)?;
        let chosen = paths(&self.chosen(&object)?, &object)?;
        left_out.add(&always, UncoveredReason::Always);
        left_out.add(&chosen, UncoveredReason::Excluded);
        let mut all = [always, chosen].concat();
        all.sort_unstable();
        all.dedup();
        for path in all.iter().rev() {
            path.delete(&mut object);
        }
        if self.form == Form::Yaml {
            left_out.add(&drop_annotations(&mut object), UncoveredReason::Annotation);
        }
        document::check_signed(&object)?;
        let bytes = match self.form {
            Form::Yaml => gostd::yaml::write(&object),
            Form::Json => go_json(&object),
        };
        Ok(Parts { covered: Covered { bytes: bytes.into_bytes(), object }, uncovered: left_out.finish() })
    }

    /// The selectors in the manifest's own annotation.
    fn chosen(&self, object: &Value) -> Result<Vec<Selector>> {
        let excludes = annotation(object, EXCLUDES);
        match (self.form, excludes) {
            (Form::Yaml, Some(excludes)) => {
                let refused = || Error::from(Refusal::Excludes(EXCLUDES));
                let text = STANDARD.decode(excludes).map_err(|_| refused())?;
                let text = String::from_utf8(text).map_err(|_| refused())?;
                text.split('\n').filter(|line| !line.is_empty()).map(Selector::parse).collect()
            }
            (Form::Yaml, None) | (Form::Json, _) => Ok(Vec::new()),
        }
    }
}

/// An annotation of a manifest.
pub(super) fn annotation<'a>(manifest: &'a Value, name: &str) -> Option<&'a str> {
    manifest.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

fn paths(selectors: &[Selector], object: &Value) -> Result<Vec<Path>> {
    let mut paths = Vec::new();
    selectors.iter().try_for_each(|selector| selector.find(object, &mut paths))?;
    Ok(paths)
}

/// Keeps only the signed annotations, like the controller's template. A missing map stays missing.
fn drop_annotations(object: &mut Value) -> Vec<Path> {
    let here = Path::default().member("metadata").member("annotations");
    let annotations = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
    let Some(Value::Object(annotations)) = annotations else { return Vec::new() };
    let signed = |name: &str| name == EXCLUDES || name == INCLUDES;
    let dropped = annotations.keys().filter(|name| !signed(name)).map(|name| here.member(name)).collect();
    annotations.retain(|name, _| signed(name));
    dropped
}

/// Collects the unsigned values, as they were in the manifest.
struct LeftOut<'a> {
    manifest: &'a Value,
    list: Vec<(Path, UncoveredReason, &'a Value)>,
}

impl LeftOut<'_> {
    fn add(&mut self, paths: &[Path], reason: UncoveredReason) {
        for path in paths {
            let found = path.find(self.manifest).filter(|value| !value.is_null());
            self.list.extend(found.map(|value| (path.clone(), reason, value)));
        }
    }

    /// Sorts by path. A value within another reported value is not reported; nor is the signature itself.
    fn finish(mut self) -> Vec<Uncovered> {
        let annotations = Path::default().member("metadata").member("annotations");
        if let Some(at) = self.list.iter().position(|(path, ..)| *path == annotations) {
            let (_, reason, value) = self.list.swap_remove(at);
            let each = value.as_object().into_iter().flatten();
            self.list.extend(each.map(|(name, value)| (annotations.member(name), reason, value)));
        }
        self.list.sort_by(|a, b| a.0.cmp(&b.0));
        let signatures = [SIGNATURE, BUNDLES_SIGNATURE, MORE_SIGNATURES].map(|name| annotations.member(name));
        let mut reported: Vec<(Path, Uncovered)> = Vec::new();
        for (path, reason, value) in self.list {
            let nested = reported.last().is_some_and(|(before, _)| before.contains(&path));
            if !nested && !signatures.contains(&path) {
                let uncovered = Uncovered::new(path.to_string(), reason, &go_json(value));
                reported.push((path, uncovered));
            }
        }
        reported.into_iter().map(|(_, uncovered)| uncovered).collect()
    }
}

/// JSON as Go's `json.Marshal` writes it: keys in byte order, no white space, and three characters escaped for HTML
/// (`encoding/json`, `HTMLEscape`).
fn go_json(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => {
            value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
        }
        Value::Array(list) => format!("[{}]", list.iter().map(go_json).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let member = |(name, value): (&String, &Value)| {
                format!("{}:{}", go_json(&name.as_str().into()), go_json(value))
            };
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
    }
}

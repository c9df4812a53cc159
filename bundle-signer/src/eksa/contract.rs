//! The three contracts: from a manifest to the bytes that AWS signs, and to the list of what they leave out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::path::{Path, Selector};
use super::shape::{Field, Typed, typed};
use super::{Refusal, Uncovered, Why, document, types};
use crate::trust::What;
use crate::{Error, Result};

/// What the signature of one kind of manifest covers, and in which form.
#[derive(Clone, Debug)]
pub(super) struct Contract {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    /// What trust files call it.
    pub(super) what: What,
    pub(super) fields: &'static [Field],
    /// What is left out whatever the manifest says.
    pub(super) excluded: &'static [&'static str],
    pub(super) form: Form,
}

/// How the rest is written down to be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// By `sigs.k8s.io/yaml`. The manifest's annotation may name more to leave out, and that annotation is signed.
    Yaml,
    /// By `encoding/json`. What annotations say is not asked, and they are left out.
    Json,
}

/// The prefix of the annotations of package bundles; so `DomainName` of `pkg/signature/manifest.go`.
pub(super) const SIGNATURE: &str = "eksa.aws.com/signature";
pub(super) const EXCLUDES: &str = "eksa.aws.com/excludes";
const INCLUDES: &str = "eksa.aws.com/includes";
/// Signatures beyond the one that upstream's format has room for, in base64 with spaces between. Upstream's programs pass
/// over it, and no contract signs it.
pub(super) const MORE_SIGNATURES: &str = "airlock.dev/signatures";
pub(super) const BUNDLES_SIGNATURE: &str = "anywhere.eks.amazonaws.com/signature";

/// `pkg/signature/manifest.go` of aws/eks-anywhere-packages.
pub(super) const PACKAGE_BUNDLE: Contract = Contract {
    api_version: "packages.eks.amazonaws.com/v1alpha1",
    kind: "PackageBundle",
    what: What::PackageBundle,
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

/// `pkg/signature/manifest.go` of aws/eks-anywhere, with the constants that it uses in place of the annotation.
pub(super) const BUNDLES: Contract = Contract {
    api_version: "anywhere.eks.amazonaws.com/v1alpha1",
    kind: "Bundles",
    what: What::Bundles,
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
    what: What::Release,
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

/// What a signature covers: the manifest's signed part, with the exact bytes that are hashed.
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

    /// The part of the manifest that they write down.
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

/// A manifest taken apart.
pub(super) struct Parts {
    pub(super) covered: Covered,
    pub(super) uncovered: Vec<Uncovered>,
}

impl Contract {
    /// Checks kind and version, and reads the manifest as its Go type does.
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

    /// Takes a manifest apart into what is signed and what is not.
    ///
    /// # Errors
    /// When it is not of this kind, its selectors are no paths or do not fit, or its text could be read as another.
    pub(super) fn apart(&self, manifest: &Value) -> Result<Parts> {
        let Typed { value: mut object, unknown } = self.typed(manifest)?;
        let mut left_out = LeftOut { manifest, list: Vec::new() };
        left_out.add(&unknown, Why::Unknown);

        // All places are found before anything is deleted, as jq's `del` does.
        let always = self.excluded.iter().map(|text| Selector::parse(text)).collect::<Result<Vec<_>>>()?;
        let always = places(&always, &object)?;
        let chosen = places(&self.chosen(&object)?, &object)?;
        left_out.add(&always, Why::Always);
        left_out.add(&chosen, Why::Excluded);
        let mut all = [always, chosen].concat();
        all.sort_unstable();
        all.dedup();
        for path in all.iter().rev() {
            path.delete(&mut object);
        }
        if self.form == Form::Yaml {
            left_out.add(&drop_annotations(&mut object), Why::Annotation);
        }
        document::check_signed(&object)?;
        let bytes = match self.form {
            Form::Yaml => gostd::yaml::write(&object),
            Form::Json => go_json(&object),
        };
        Ok(Parts { covered: Covered { bytes: bytes.into_bytes(), object }, uncovered: left_out.finish() })
    }

    /// The selectors that the manifest names itself.
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

fn places(selectors: &[Selector], object: &Value) -> Result<Vec<Path>> {
    let mut places = Vec::new();
    selectors.iter().try_for_each(|selector| selector.places(object, &mut places))?;
    Ok(places)
}

/// Keeps the annotations that are signed, by the pattern of the controller's template. No map stays no map.
fn drop_annotations(object: &mut Value) -> Vec<Path> {
    let here = Path::default().member("metadata").member("annotations");
    let annotations = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
    let Some(Value::Object(annotations)) = annotations else { return Vec::new() };
    let signed = |name: &str| name == EXCLUDES || name == INCLUDES;
    let dropped = annotations.keys().filter(|name| !signed(name)).map(|name| here.member(name)).collect();
    annotations.retain(|name, _| signed(name));
    dropped
}

/// Collects what is not signed, with the values of the manifest as it was read.
struct LeftOut<'a> {
    manifest: &'a Value,
    list: Vec<(Path, Why, &'a Value)>,
}

impl LeftOut<'_> {
    fn add(&mut self, paths: &[Path], why: Why) {
        for path in paths {
            let found = path.find(self.manifest).filter(|value| !value.is_null());
            self.list.extend(found.map(|value| (path.clone(), why, value)));
        }
    }

    /// In the order of paths; what lies in another is told by that one. The signature itself is not told.
    fn finish(mut self) -> Vec<Uncovered> {
        let annotations = Path::default().member("metadata").member("annotations");
        if let Some(at) = self.list.iter().position(|(path, ..)| *path == annotations) {
            let (_, why, value) = self.list.swap_remove(at);
            let each = value.as_object().into_iter().flatten();
            self.list.extend(each.map(|(name, value)| (annotations.member(name), why, value)));
        }
        self.list.sort_by(|a, b| a.0.cmp(&b.0));
        let signatures = [SIGNATURE, BUNDLES_SIGNATURE, MORE_SIGNATURES].map(|name| annotations.member(name));
        let mut told: Vec<(Path, Uncovered)> = Vec::new();
        for (path, why, value) in self.list {
            let nested = told.last().is_some_and(|(before, _)| before.holds(&path));
            if !nested && !signatures.contains(&path) {
                let uncovered = Uncovered::new(path.to_string(), why, &go_json(value));
                told.push((path, uncovered));
            }
        }
        told.into_iter().map(|(_, uncovered)| uncovered).collect()
    }
}

/// JSON as Go's `json.Marshal` writes it: keys in byte order, no white space, and three characters escaped for
/// the sake of HTML (`encoding/json`, `HTMLEscape`).
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

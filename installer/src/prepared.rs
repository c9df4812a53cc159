//! A prepared installation: the rendered chart, before anything is changed.

use oci::Digest;
use serde_json::Value;

use crate::error::Error;
use crate::object::{Object, Owner, read};
use crate::plan::Install;
use crate::record::Seed;
use crate::release::Record;

/// A chart that was pulled, verified and rendered for a cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Prepared {
    /// The plan.
    pub plan: Install,
    /// The target namespace.
    pub namespace: String,
    /// The objects, as YAML documents in install order, byte for byte as in Helm, except for images that were pinned to the
    /// digests of the bundle.
    pub manifest: String,
    /// The CRDs that are applied first, as YAML documents.
    pub definitions: String,
    /// The notes of the chart.
    pub notes: String,
    /// The number of the new revision.
    pub revision: u32,
    /// The name of the chart.
    pub chart: String,
    /// The version of the chart.
    pub chart_version: String,
    pub(crate) is_upgrade: bool,
    pub(crate) digest: Digest,
    pub(crate) seed: Seed,
    pub(crate) document: Value,
    /// Every object, with its namespace.
    pub(crate) objects: Vec<Value>,
}

impl Prepared {
    /// The digest of the chart.
    #[must_use]
    pub fn chart_digest(&self) -> &Digest {
        &self.digest
    }

    /// Whether a revision is of this plan: it has the same chart, values and namespace.
    #[must_use]
    pub fn is_of(&self, record: &Record) -> bool {
        record.chart_digest.as_ref() == Some(&self.digest)
            && record.config == self.plan.values
            && record.namespace == self.namespace
    }

    /// All objects, with lists expanded: CRDs, the manifest and hooks. Objects of namespaced kinds have a namespace.
    #[must_use]
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// The aggregated roles, with the release's annotations. In Kubernetes, only a cluster-admin can create or change them.
    ///
    /// # Errors
    /// If the rendered text is not YAML, or not an object.
    pub fn aggregated_roles(&self) -> Result<Vec<Value>, Error> {
        self.owned(|object| object.value.get("aggregationRule").is_some_and(Value::is_object))
    }

    /// The namespaces in the chart, with the release's annotations.
    ///
    /// # Errors
    /// If the rendered text is not YAML, or not an object.
    pub fn namespaces(&self) -> Result<Vec<Value>, Error> {
        self.owned(|object| object.kind == "Namespace" && object.api_version == "v1")
    }

    fn owned(&self, wanted: impl Fn(&Object) -> bool) -> Result<Vec<Value>, Error> {
        let owner = Owner { release: &self.plan.release, namespace: &self.namespace };
        let mut found = read(&self.manifest, &self.namespace)?;
        found.retain(wanted);
        for object in &mut found {
            object.own(owner);
        }
        Ok(found.into_iter().map(|object| object.value).collect())
    }
}

//! What a plan comes to in a cluster, before anything is changed.

use oci::Digest;
use serde_json::Value;

use crate::error::Error;
use crate::object::{Object, Owner, read};
use crate::plan::Install;
use crate::record::Seed;
use crate::release::Record;

/// A chart pulled, verified and rendered for a cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Prepared {
    /// The plan it is made of.
    pub plan: Install,
    /// The namespace that it goes to.
    pub namespace: String,
    /// The objects, as YAML documents in install order, byte for byte as Helm has them but for images that were named by
    /// the bundle's digests.
    pub manifest: String,
    /// The definitions that are applied before, as YAML documents.
    pub definitions: String,
    /// What the chart tells the user.
    pub notes: String,
    /// The revision it would become.
    pub revision: u32,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub chart_version: String,
    pub(crate) is_upgrade: bool,
    pub(crate) digest: Digest,
    pub(crate) seed: Seed,
    pub(crate) document: Value,
    /// Every object, with its namespace.
    pub(crate) objects: Vec<Value>,
}

impl Prepared {
    /// The chart's digest.
    #[must_use]
    pub fn chart_digest(&self) -> &Digest {
        &self.digest
    }

    /// Whether a revision is of this very plan: its chart, its values and its namespace.
    #[must_use]
    pub fn is_of(&self, record: &Record) -> bool {
        record.chart_digest.as_ref() == Some(&self.digest)
            && record.config == self.plan.values
            && record.namespace == self.namespace
    }

    /// Every object that it comes to, in lists too: definitions, the manifest's and hooks'. Those of kinds with
    /// namespaces say theirs.
    #[must_use]
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// The roles that are the sum of others, as the release has them. Kubernetes lets only those make or change them
    /// who may do everything.
    ///
    /// # Errors
    /// When what was rendered is no YAML, or no object.
    pub fn sums(&self) -> Result<Vec<Value>, Error> {
        self.owned(|object| object.value.get("aggregationRule").is_some_and(Value::is_object))
    }

    /// The namespaces that the chart brings, as the release has them.
    ///
    /// # Errors
    /// When what was rendered is no YAML, or no object.
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

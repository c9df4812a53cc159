//! The storage of release records in Secrets. Each step is one write, so that of concurrent writers one wins.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;
use time::OffsetDateTime;

use crate::cluster::{ApiRequest, Cluster, JSON, code};
use crate::error::Error;
use crate::record::{Stored, secret_name};
use crate::release::Status;

pub(crate) const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// The records of one release.
#[derive(Clone)]
pub(crate) struct Storage<'a> {
    cluster: &'a Cluster,
    namespace: &'a str,
    release: &'a str,
}

/// The statuses of all stored revisions, from old to new.
pub(crate) type Revisions = BTreeMap<u32, Status>;

/// The current Unix time in seconds.
pub(crate) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

impl<'a> Storage<'a> {
    pub(crate) fn new(cluster: &'a Cluster, namespace: &'a str, release: &'a str) -> Self {
        Self { cluster, namespace, release }
    }

    /// The statuses of all revisions. Only the metadata is read.
    pub(crate) async fn list(&self) -> Result<Revisions, Error> {
        // Helm allows 53 characters. Records are found by a label, whose value has at most 63.
        if self.release.len() > 63 {
            return Ok(Revisions::new());
        }
        let path = format!("{}?labelSelector=owner%3Dhelm%2Cname%3D{}", self.path(""), self.release);
        let request = ApiRequest { accept: METADATA_ONLY, ..ApiRequest::get(self.action("list"), path) };
        let response = self.cluster.request(&request).await?;
        let items = response.get("items").and_then(Value::as_array).into_iter().flatten();
        let revision = |item: &Value| {
            let labels = item.get("metadata")?.get("labels")?;
            let status = Status::parse(labels.get("status")?.as_str()?);
            Some((labels.get("version")?.as_str()?.parse().ok()?, status))
        };
        Ok(items.filter_map(revision).collect())
    }

    /// A revision, if it exists.
    pub(crate) async fn read(&self, revision: u32) -> Result<Option<Stored>, Error> {
        let request = ApiRequest::get(self.action("read"), self.path(&secret_name(self.release, revision)));
        self.cluster.find(&request).await?.map(|secret| Stored::decode(&secret)).transpose()
    }

    /// The newest revision.
    pub(crate) async fn newest(&self) -> Result<Option<Stored>, Error> {
        match self.list().await?.last_key_value() {
            Some((revision, _)) => self.read(*revision).await,
            None => Ok(None),
        }
    }

    /// Writes a new revision. It fails if the name exists, so a revision is created only once.
    pub(crate) async fn create(&self, stored: &mut Stored) -> Result<(), Error> {
        self.write(stored, Method::POST, self.path("")).await
    }

    /// Overwrites a revision at the resource version that was read.
    pub(crate) async fn update(&self, stored: &mut Stored) -> Result<(), Error> {
        let path = self.path(&secret_name(self.release, stored.record.revision));
        self.write(stored, Method::PUT, path).await
    }

    async fn write(&self, stored: &mut Stored, method: Method, path: String) -> Result<(), Error> {
        let secret = stored.encode(now())?;
        let body = secret.to_string().into_bytes();
        let action = self.action("write");
        let request = ApiRequest { action, method, path, content: JSON, accept: JSON, body: &body };
        let written = match self.cluster.request(&request).await {
            Ok(written) => written,
            // A write whose response was lost is repeated, and then conflicts with itself.
            Err(error) if code(&error) == Some(409) => self.own(stored, &secret).await?,
            Err(error) => return Err(error),
        };
        let version = written.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        version.unwrap_or_default().clone_into(&mut stored.version);
        Ok(())
    }

    /// The Secret in the cluster, if it has the content of this write.
    async fn own(&self, stored: &Stored, secret: &Value) -> Result<Value, Error> {
        let path = self.path(&secret_name(self.release, stored.record.revision));
        let found = self.cluster.find(&ApiRequest::get(self.action("read"), path)).await?;
        let same = |found: &Value| {
            found.get("data") == secret.get("data")
                && found.pointer("/metadata/annotations") == secret.pointer("/metadata/annotations")
        };
        found.filter(same).ok_or_else(|| Error::Changed { release: self.release.to_owned() })
    }

    pub(crate) async fn delete(&self, revision: u32) -> Result<(), Error> {
        let path = self.path(&secret_name(self.release, revision));
        let request = ApiRequest { method: Method::DELETE, ..ApiRequest::get(self.action("delete"), path) };
        self.cluster.find(&request).await.map(|_| ())
    }

    /// Deletes the oldest revisions beyond `limit`, but never the deployed one.
    pub(crate) async fn trim(&self, limit: usize) -> Result<(), Error> {
        let revisions = self.list().await?;
        let deployed = last(&revisions, |status| status == Status::Deployed);
        let spare = revisions.len().saturating_sub(limit.max(1));
        for revision in revisions.keys().filter(|revision| Some(**revision) != deployed).take(spare) {
            self.delete(*revision).await?;
        }
        Ok(())
    }

    fn path(&self, secret: &str) -> String {
        let slash = if secret.is_empty() { "" } else { "/" };
        format!("/api/v1/namespaces/{}/secrets{slash}{secret}", self.namespace)
    }

    fn action(&self, verb: &str) -> String {
        format!("{verb} the records of the release `{}`", self.release)
    }
}

/// The newest revision with a matching status.
pub(crate) fn last(revisions: &Revisions, is: impl Fn(Status) -> bool) -> Option<u32> {
    revisions.iter().rev().find(|(_, status)| is(**status)).map(|(revision, _)| *revision)
}

//! Where a release's records are: Secrets, written once for each step so that one writer wins.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;
use time::OffsetDateTime;

use crate::cluster::{Ask, Cluster, JSON, code};
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

/// The states of all revisions that are kept, from old to new.
pub(crate) type Revisions = BTreeMap<u32, Status>;

/// The time, in seconds since 1970.
pub(crate) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

impl<'a> Storage<'a> {
    pub(crate) fn new(cluster: &'a Cluster, namespace: &'a str, release: &'a str) -> Self {
        Self { cluster, namespace, release }
    }

    /// Which revisions there are; no more than that is read.
    pub(crate) async fn list(&self) -> Result<Revisions, Error> {
        // Helm takes 53 characters; a label, by which records are found, holds no more than this.
        if self.release.len() > 63 {
            return Ok(Revisions::new());
        }
        let path = format!("{}?labelSelector=owner%3Dhelm%2Cname%3D{}", self.path(""), self.release);
        let ask = Ask { accept: METADATA_ONLY, ..Ask::get(self.action("list"), path) };
        let answer = self.cluster.ask(&ask).await?;
        let items = answer.get("items").and_then(Value::as_array).into_iter().flatten();
        let revision = |item: &Value| {
            let labels = item.get("metadata")?.get("labels")?;
            let status = Status::parse(labels.get("status")?.as_str()?);
            Some((labels.get("version")?.as_str()?.parse().ok()?, status))
        };
        Ok(items.filter_map(revision).collect())
    }

    /// A revision, if it is there.
    pub(crate) async fn read(&self, revision: u32) -> Result<Option<Stored>, Error> {
        let ask = Ask::get(self.action("read"), self.path(&secret_name(self.release, revision)));
        self.cluster.find(&ask).await?.map(|secret| Stored::decode(&secret)).transpose()
    }

    /// The newest revision.
    pub(crate) async fn newest(&self) -> Result<Option<Stored>, Error> {
        match self.list().await?.last_key_value() {
            Some((revision, _)) => self.read(*revision).await,
            None => Ok(None),
        }
    }

    /// Writes a new revision. That its name is free is what makes it the only one.
    pub(crate) async fn create(&self, stored: &mut Stored) -> Result<(), Error> {
        self.write(stored, Method::POST, self.path("")).await
    }

    /// Writes a revision over the version that was read.
    pub(crate) async fn update(&self, stored: &mut Stored) -> Result<(), Error> {
        let path = self.path(&secret_name(self.release, stored.record.revision));
        self.write(stored, Method::PUT, path).await
    }

    async fn write(&self, stored: &mut Stored, method: Method, path: String) -> Result<(), Error> {
        let secret = stored.encode(now())?;
        let body = secret.to_string().into_bytes();
        let action = self.action("write");
        let ask = Ask { action, method, path, content: JSON, accept: JSON, body: &body };
        let written = match self.cluster.ask(&ask).await {
            Ok(written) => written,
            // A write whose answer was lost is tried again, and then finds itself.
            Err(error) if code(&error) == Some(409) => self.own(stored, &secret).await?,
            Err(error) => return Err(error),
        };
        let version = written.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        version.unwrap_or_default().clone_into(&mut stored.version);
        Ok(())
    }

    /// The Secret in the cluster, if it is what was to be written.
    async fn own(&self, stored: &Stored, secret: &Value) -> Result<Value, Error> {
        let path = self.path(&secret_name(self.release, stored.record.revision));
        let found = self.cluster.find(&Ask::get(self.action("read"), path)).await?;
        let same = |found: &Value| {
            found.get("data") == secret.get("data")
                && found.pointer("/metadata/annotations") == secret.pointer("/metadata/annotations")
        };
        found.filter(same).ok_or_else(|| Error::Changed { release: self.release.to_owned() })
    }

    pub(crate) async fn delete(&self, revision: u32) -> Result<(), Error> {
        let path = self.path(&secret_name(self.release, revision));
        let ask = Ask { method: Method::DELETE, ..Ask::get(self.action("delete"), path) };
        self.cluster.find(&ask).await.map(|_| ())
    }

    /// Takes away the oldest revisions beyond `most`, but never the one that is deployed.
    pub(crate) async fn trim(&self, most: usize) -> Result<(), Error> {
        let revisions = self.list().await?;
        let deployed = last(&revisions, |status| status == Status::Deployed);
        let spare = revisions.len().saturating_sub(most.max(1));
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

/// The newest revision in such a state.
pub(crate) fn last(revisions: &Revisions, is: impl Fn(Status) -> bool) -> Option<u32> {
    revisions.iter().rev().find(|(_, status)| is(**status)).map(|(revision, _)| *revision)
}

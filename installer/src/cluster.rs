//! The target cluster: what it can do, and objects of any kind as JSON.
//!
//! Everything asked here may be asked twice: reads, server-side apply, deletions and writes that name the version
//! they replace. So what fails for a moment, as while the API server restarts, is tried again here.

mod discovery;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::Stream;
use http::{Method, Request, header};
use kube::core::WatchEvent;
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) use self::discovery::{Discovery, Resource};
use crate::error::Error;
use crate::error::is_transient;
use crate::limits::Conflicts;
use crate::object::Object;

/// How long one answer may take, and how long what fails for a moment is tried again.
const ANSWER: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what a cluster can do is remembered.
const FRESH: Duration = Duration::from_secs(30);
/// What grants rights, unless the cluster's name is known.
const GRANTS: &str = "`airlock package rights --apply` grants what packages need";

#[derive(Clone)]
pub(crate) struct Cluster {
    client: kube::Client,
    manager: &'static str,
    known: Arc<Mutex<Option<Known>>>,
    /// How far the work is, for whoever wants to know.
    progress: Option<Arc<watch::Sender<String>>>,
    /// What grants rights, for people.
    grants: Arc<str>,
}

/// What the cluster could do, and when that was.
type Known = (Instant, Arc<Discovery>);

/// A request that can be made again.
pub(crate) struct Ask<'a> {
    pub(crate) action: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) content: &'static str,
    pub(crate) accept: &'static str,
    pub(crate) body: &'a [u8],
}

pub(crate) const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const PATCH: &str = "application/json-patch+json";

/// Whether a server-side apply is for real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Real,
    Dry,
}

/// Whether an object that is not there may be made. What else is wrong is told when it is made: the namespace or a
/// definition may be missing that comes before.
pub(crate) async fn may(cluster: &Cluster, object: &Object, conflicts: Conflicts) -> Result<(), Error> {
    if cluster.discovery().await?.resource(&object.api_version, &object.kind).is_none() {
        return Ok(());
    }
    match cluster.apply(object, Run::Dry, conflicts).await {
        Err(error @ Error::Rights { .. }) => Err(error),
        _ => Ok(()),
    }
}

/// The answer's code, if the API server gave one.
pub(crate) fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Kube { source, .. } => match source.as_ref() {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        },
        _ => None,
    }
}

impl Cluster {
    pub(crate) fn new(client: kube::Client, manager: &'static str) -> Self {
        Self { client, manager, known: Arc::default(), progress: None, grants: GRANTS.into() }
    }

    /// The same cluster, telling how far the work is.
    pub(crate) fn telling(self, progress: watch::Sender<String>) -> Self {
        Self { progress: Some(Arc::new(progress)), ..self }
    }

    /// The same cluster, where `grants` is what a person does who wants to grant rights.
    pub(crate) fn granted_by(self, grants: &str) -> Self {
        Self { grants: grants.into(), ..self }
    }

    /// Whether somebody wants to know how far the work is.
    pub(crate) fn is_told(&self) -> bool {
        self.progress.is_some()
    }

    /// Tells how far the work is, if somebody wants to know.
    pub(crate) fn tell(&self, words: impl FnOnce() -> String) {
        if let Some(progress) = &self.progress {
            progress.send_replace(words());
        }
    }

    /// What the API server's authorizer refuses, told as a lack of rights; what admission refuses stays as it is.
    fn rights(&self, object: &Object, error: Error) -> Error {
        match error {
            Error::Kube { source, .. } if is_lack_of_rights(&source) => {
                Error::Rights { object: object.to_string(), grants: self.grants.to_string(), source }
            }
            error => error,
        }
    }

    pub(crate) fn manager(&self) -> &'static str {
        self.manager
    }

    /// Asks until there is an answer that is no trouble of the moment.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Value, Error> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match self.ask_once(ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let passes = matches!(&error, Error::Kube { source, .. } if is_transient(source));
            if !passes || start.elapsed() + pause > PATIENCE {
                return Err(error);
            }
            tracing::debug!(action = ask.action, error = %error.words(), "the API server is asked again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(3));
        }
    }

    async fn ask_once(&self, ask: &Ask<'_>) -> Result<Value, Error> {
        let failed = |source| Error::Kube { action: ask.action.clone(), source: Box::new(source) };
        let request = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.path)
            .header(header::ACCEPT, ask.accept)
            .header(header::CONTENT_TYPE, ask.content)
            .body(ask.body.to_vec())
            .map_err(|source| failed(kube::Error::HttpError(source)))?;
        match tokio::time::timeout(ANSWER, self.client.request::<Value>(request)).await {
            Ok(answer) => answer.map_err(failed),
            Err(_) => Err(Error::Silent { action: ask.action.clone(), seconds: ANSWER.as_secs() }),
        }
    }

    /// An answer that may be "there is none".
    pub(crate) async fn find(&self, ask: &Ask<'_>) -> Result<Option<Value>, Error> {
        match self.ask(ask).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if code(&error) == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the cluster can do, asked a moment ago at most.
    pub(crate) async fn discovery(&self) -> Result<Arc<Discovery>, Error> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((when, known)) if when.elapsed() < FRESH => Ok(known),
            _ => self.discover().await,
        }
    }

    /// What the cluster can do now.
    pub(crate) async fn discover(&self) -> Result<Arc<Discovery>, Error> {
        let found = Arc::new(Discovery::ask(self).await?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Instant::now(), Arc::clone(&found)));
        Ok(found)
    }

    /// Where objects of a kind are. What is not known is asked for again, as it may be new.
    pub(crate) async fn resource(&self, object: &Object) -> Result<Resource, Error> {
        match self.try_resource(&object.api_version, &object.kind).await? {
            Some(resource) => Ok(resource),
            None => {
                Err(Error::UnknownKind { kind: object.kind.clone(), api_version: object.api_version.clone() })
            }
        }
    }

    /// Where objects of a kind are, if there is such a kind.
    pub(crate) async fn try_resource(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Resource>, Error> {
        if let Some(resource) = self.discovery().await?.resource(api_version, kind) {
            return Ok(Some(resource));
        }
        Ok(self.discover().await?.resource(api_version, kind))
    }

    /// An object as it is in the cluster. One of a kind that the cluster does not know is not there.
    pub(crate) async fn get(&self, object: &Object) -> Result<Option<Value>, Error> {
        let found = self.try_resource(&object.api_version, &object.kind).await?;
        let Some(resource) = found else { return Ok(None) };
        let path = resource.path(&object.namespace, &object.name);
        let found = self.find(&Ask::get(format!("read {object}"), path)).await;
        found.map_err(|error| self.rights(object, error))
    }

    /// Server-side apply; the answer is the object.
    pub(crate) async fn apply(
        &self,
        object: &Object,
        run: Run,
        conflicts: Conflicts,
    ) -> Result<Value, Error> {
        let resource = self.resource(object).await?;
        let mut value = object.value.clone();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut)
            && resource.is_namespaced()
        {
            metadata.insert("namespace".to_owned(), json!(object.namespace));
        }
        let force = conflicts == Conflicts::Take;
        let dry = if run == Run::Dry { "&dryRun=All" } else { "" };
        let path = format!(
            "{}?fieldManager={}&force={force}&fieldValidation=Strict{dry}",
            resource.path(&object.namespace, &object.name),
            self.manager,
        );
        // JSON is YAML.
        let body = value.to_string().into_bytes();
        let action = format!("apply {object}");
        let ask = Ask { action, method: Method::PATCH, path, content: APPLY, accept: JSON, body: &body };
        self.ask(&ask).await.map_err(|error| self.rights(object, conflict(object, error)))
    }

    /// What happens to an object from a version of it on, as far as the API server tells.
    pub(crate) async fn watch(
        &self,
        object: &Object,
        version: &str,
        time: Duration,
    ) -> Result<impl Stream<Item = kube::Result<WatchEvent<Value>>> + use<>, Error> {
        let action = format!("watch {object}");
        let failed = |source| Error::Kube { action: action.clone(), source: Box::new(source) };
        let path = format!(
            "{}?watch=true&fieldSelector=metadata.name%3D{}&resourceVersion={version}&timeoutSeconds={}",
            self.resource(object).await?.path(&object.namespace, ""),
            object.name,
            time.as_secs().max(1),
        );
        let request = Request::get(path).header(header::ACCEPT, JSON).body(Vec::new());
        let request = request.map_err(|source| failed(kube::Error::HttpError(source)))?;
        match tokio::time::timeout(ANSWER, self.client.request_events::<Value>(request)).await {
            Ok(events) => events.map_err(failed),
            Err(_) => Err(Error::Silent { action, seconds: ANSWER.as_secs() }),
        }
    }

    /// Makes a namespace, unless somebody was faster. Applying it would take the right to patch every namespace.
    pub(crate) async fn make_namespace(&self, namespace: &Object) -> Result<(), Error> {
        let body = namespace.value.to_string().into_bytes();
        let action = format!("make {namespace}");
        let path = format!("/api/v1/namespaces?fieldManager={}", self.manager);
        let ask = Ask { action, method: Method::POST, path, content: JSON, accept: JSON, body: &body };
        match self.ask(&ask).await {
            Err(error) if code(&error) == Some(409) => Ok(()),
            answer => answer.map(|_| ()).map_err(|error| self.rights(namespace, error)),
        }
    }

    /// Changes an object by a JSON patch.
    pub(crate) async fn rewrite(&self, object: &Object, changes: &Value) -> Result<Value, Error> {
        let path = self.resource(object).await?.path(&object.namespace, &object.name);
        let body = changes.to_string().into_bytes();
        let action = format!("take over {object}");
        let ask = Ask { action, method: Method::PATCH, path, content: PATCH, accept: JSON, body: &body };
        self.ask(&ask).await.map_err(|error| self.rights(object, error))
    }

    /// Deletes an object, if it is still the one with this UID. What depends on it goes in the background.
    pub(crate) async fn delete(&self, object: &Object, uid: &str) -> Result<(), Error> {
        let found = self.try_resource(&object.api_version, &object.kind).await?;
        let Some(resource) = found else { return Ok(()) };
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": { "uid": uid },
        });
        let body = options.to_string().into_bytes();
        let path = resource.path(&object.namespace, &object.name);
        let action = format!("delete {object}");
        let ask = Ask { action, method: Method::DELETE, path, content: JSON, accept: JSON, body: &body };
        match self.find(&ask).await {
            // Another object has taken the name.
            Err(error) if code(&error) == Some(409) => Ok(()),
            answer => answer.map(|_| ()).map_err(|error| self.rights(object, error)),
        }
    }
}

impl Ask<'_> {
    pub(crate) fn get(action: String, path: String) -> Self {
        Self { action, method: Method::GET, path, content: JSON, accept: JSON, body: &[] }
    }
}

/// A conflict of managers told by manager and field; any other error as it is.
fn conflict(object: &Object, error: Error) -> Error {
    let Error::Kube { source, .. } = &error else { return error };
    let kube::Error::Api(status) = source.as_ref() else { return error };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields = causes.filter(|cause| cause.reason == "FieldManagerConflict").map(|cause| {
        let manager = cause.message.split('"').nth(1).unwrap_or(&cause.message);
        (manager.to_owned(), cause.field.clone())
    });
    let fields: Vec<_> = fields.collect();
    if status.code == 409 && !fields.is_empty() {
        Error::Conflict { object: object.to_string(), fields }
    } else {
        error
    }
}

/// The refusals of RBAC have no reason of their own: that somebody may not do it, that he may not grant what he does
/// not hold, and that only who may do everything may make a role that is the sum of others.
fn is_lack_of_rights(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let text = &status.message;
    let refused = text.contains(" cannot ") && text.contains(" resource \"");
    let others =
        ["attempting to grant RBAC permissions not currently held", "must have cluster-admin privileges"];
    status.code == 403 && (refused || others.iter().any(|other| text.contains(other)))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_the_authorizer_refuses_is_told_from_what_admission_does() {
        let lacks = |message: &str| {
            let status = Status::failure(message, "Forbidden").with_code(403);
            is_lack_of_rights(&kube::Error::Api(Box::new(status)))
        };
        for message in [
            "services \"a\" is forbidden: User \"u\" cannot patch resource \"services\" in API group \"\" in the namespace \"n\"",
            "roles \"a\" is forbidden: user \"u\" (groups=[]) is attempting to grant RBAC permissions not currently held:\n{}",
            "clusterroles \"a\" is forbidden: must have cluster-admin privileges to use the aggregationRule",
        ] {
            assert!(lacks(message), "{message}");
        }
        for message in [
            "admission webhook \"w\" denied the request: the image is not signed",
            "pods \"a\" is forbidden: exceeded quota: q",
            "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
        ] {
            assert!(!lacks(message), "{message}");
        }
    }
}

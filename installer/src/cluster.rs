//! The target cluster: its discovery, and objects of any kind as JSON.
//!
//! Every request here can be repeated: reads, server-side apply, deletions, and writes that state the resource version
//! that they replace. So temporary failures, as while the API server restarts, are retried here.

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

/// The timeout of one request, and how long temporary failures are retried.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the discovery of a cluster is cached.
const DISCOVERY_LIFETIME: Duration = Duration::from_secs(30);
/// How to grant permissions, if the name of the cluster is not known.
const PERMISSION_HINT: &str = "`airlock package rights --apply` grants the permissions that packages need";

#[derive(Clone)]
pub(crate) struct Cluster {
    client: kube::Client,
    manager: &'static str,
    discovery: Arc<Mutex<Option<DiscoveryCache>>>,
    /// Receives progress messages.
    progress: Option<Arc<watch::Sender<String>>>,
    /// How to grant permissions, as text for people.
    permission_hint: Arc<str>,
}

/// The discovery of the cluster, and when it was fetched.
type DiscoveryCache = (Instant, Arc<Discovery>);

/// A request that can be repeated.
pub(crate) struct ApiRequest<'a> {
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

/// Whether a server-side apply is real or a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Real,
    Dry,
}

/// Checks the permission to create an object. Other errors are reported when it is created: the namespace or a CRD may
/// not exist yet.
pub(crate) async fn check_create_permission(
    cluster: &Cluster,
    object: &Object,
    conflicts: Conflicts,
) -> Result<(), Error> {
    if cluster.discovery().await?.resource(&object.api_version, &object.kind).is_none() {
        return Ok(());
    }
    match cluster.apply(object, Run::Dry, conflicts).await {
        Err(error @ Error::Rights { .. }) => Err(error),
        _ => Ok(()),
    }
}

/// The status code of the response, if the API server sent one.
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
        Self {
            client,
            manager,
            discovery: Arc::default(),
            progress: None,
            permission_hint: PERMISSION_HINT.into(),
        }
    }

    /// The same cluster, which reports progress.
    pub(crate) fn with_progress(self, progress: watch::Sender<String>) -> Self {
        Self { progress: Some(Arc::new(progress)), ..self }
    }

    /// The same cluster. `permission_hint` states how to grant permissions.
    pub(crate) fn with_permission_hint(self, permission_hint: &str) -> Self {
        Self { permission_hint: permission_hint.into(), ..self }
    }

    /// Whether progress is reported.
    pub(crate) fn has_progress(&self) -> bool {
        self.progress.is_some()
    }

    /// Reports progress.
    pub(crate) fn report(&self, message: impl FnOnce() -> String) {
        if let Some(progress) = &self.progress {
            progress.send_replace(message());
        }
    }

    /// Converts a rejection by the API server's authorizer to [`Error::Rights`]. Rejections by admission are not changed.
    fn classify(&self, object: &Object, error: Error) -> Error {
        match error {
            Error::Kube { source, .. } if is_missing_permission(&source) => Error::Rights {
                object: object.to_string(),
                permission_hint: self.permission_hint.to_string(),
                source,
            },
            error => error,
        }
    }

    pub(crate) fn manager(&self) -> &'static str {
        self.manager
    }

    /// Sends a request, and repeats it after temporary failures.
    pub(crate) async fn request(&self, request: &ApiRequest<'_>) -> Result<Value, Error> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            let error = match self.request_once(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_temporary = matches!(&error, Error::Kube { source, .. } if is_transient(source));
            if !is_temporary || start.elapsed() + pause > RETRY_TIMEOUT {
                return Err(error);
            }
            tracing::debug!(action = request.action, error = %error.one_line(), "repeating the request to the API server");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(3));
        }
    }

    async fn request_once(&self, request: &ApiRequest<'_>) -> Result<Value, Error> {
        let failed = |source| Error::Kube { action: request.action.clone(), source: Box::new(source) };
        let http = Request::builder()
            .method(request.method.clone())
            .uri(&request.path)
            .header(header::ACCEPT, request.accept)
            .header(header::CONTENT_TYPE, request.content)
            .body(request.body.to_vec())
            .map_err(|source| failed(kube::Error::HttpError(source)))?;
        match tokio::time::timeout(REQUEST_TIMEOUT, self.client.request::<Value>(http)).await {
            Ok(response) => response.map_err(failed),
            Err(_) => {
                Err(Error::Timeout { action: request.action.clone(), seconds: REQUEST_TIMEOUT.as_secs() })
            }
        }
    }

    /// Sends a request; a status of 404 is not an error.
    pub(crate) async fn find(&self, request: &ApiRequest<'_>) -> Result<Option<Value>, Error> {
        match self.request(request).await {
            Ok(response) => Ok(Some(response)),
            Err(error) if code(&error) == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The discovery of the cluster, from the cache if it is recent.
    pub(crate) async fn discovery(&self) -> Result<Arc<Discovery>, Error> {
        let cached = self.discovery.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match cached {
            Some((fetched, discovery)) if fetched.elapsed() < DISCOVERY_LIFETIME => Ok(discovery),
            _ => self.discover().await,
        }
    }

    /// Fetches the discovery of the cluster.
    pub(crate) async fn discover(&self) -> Result<Arc<Discovery>, Error> {
        let found = Arc::new(Discovery::fetch(self).await?);
        let mut cached = self.discovery.lock().unwrap_or_else(PoisonError::into_inner);
        *cached = Some((Instant::now(), Arc::clone(&found)));
        Ok(found)
    }

    /// The resource of an object's kind. If it is not in the cache, the discovery is fetched again, as the kind may be new.
    pub(crate) async fn resource(&self, object: &Object) -> Result<Resource, Error> {
        match self.try_resource(&object.api_version, &object.kind).await? {
            Some(resource) => Ok(resource),
            None => {
                Err(Error::UnknownKind { kind: object.kind.clone(), api_version: object.api_version.clone() })
            }
        }
    }

    /// The resource of a kind, if the kind exists.
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

    /// The object in the cluster; `None` if it does not exist, or if the cluster does not have its kind.
    pub(crate) async fn get(&self, object: &Object) -> Result<Option<Value>, Error> {
        let found = self.try_resource(&object.api_version, &object.kind).await?;
        let Some(resource) = found else { return Ok(None) };
        let path = resource.path(&object.namespace, &object.name);
        let found = self.find(&ApiRequest::get(format!("read {object}"), path)).await;
        found.map_err(|error| self.classify(object, error))
    }

    /// Applies an object server-side, and returns it.
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
        let request =
            ApiRequest { action, method: Method::PATCH, path, content: APPLY, accept: JSON, body: &body };
        self.request(&request).await.map_err(|error| self.classify(object, conflict(object, error)))
    }

    /// Watches an object, starting at a resource version.
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
        match tokio::time::timeout(REQUEST_TIMEOUT, self.client.request_events::<Value>(request)).await {
            Ok(events) => events.map_err(failed),
            Err(_) => Err(Error::Timeout { action, seconds: REQUEST_TIMEOUT.as_secs() }),
        }
    }

    /// Creates a namespace, unless it exists. Applying it would require the permission to patch every namespace.
    pub(crate) async fn create_namespace(&self, namespace: &Object) -> Result<(), Error> {
        let body = namespace.value.to_string().into_bytes();
        let action = format!("create {namespace}");
        let path = format!("/api/v1/namespaces?fieldManager={}", self.manager);
        let request =
            ApiRequest { action, method: Method::POST, path, content: JSON, accept: JSON, body: &body };
        match self.request(&request).await {
            Err(error) if code(&error) == Some(409) => Ok(()),
            result => result.map(|_| ()).map_err(|error| self.classify(namespace, error)),
        }
    }

    /// Changes an object with a JSON patch.
    pub(crate) async fn rewrite(&self, object: &Object, changes: &Value) -> Result<Value, Error> {
        let path = self.resource(object).await?.path(&object.namespace, &object.name);
        let body = changes.to_string().into_bytes();
        let action = format!("take over {object}");
        let request =
            ApiRequest { action, method: Method::PATCH, path, content: PATCH, accept: JSON, body: &body };
        self.request(&request).await.map_err(|error| self.classify(object, error))
    }

    /// Deletes an object, if it still has this UID. Its dependents are deleted in the background.
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
        let request =
            ApiRequest { action, method: Method::DELETE, path, content: JSON, accept: JSON, body: &body };
        match self.find(&request).await {
            // Another object now has the name.
            Err(error) if code(&error) == Some(409) => Ok(()),
            result => result.map(|_| ()).map_err(|error| self.classify(object, error)),
        }
    }
}

impl ApiRequest<'_> {
    pub(crate) fn get(action: String, path: String) -> Self {
        Self { action, method: Method::GET, path, content: JSON, accept: JSON, body: &[] }
    }
}

/// Converts a conflict of field managers to [`Error::Conflict`]. Other errors are not changed.
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

/// RBAC rejections have no machine-readable reason. There are three: a missing permission, granting permissions that the
/// user does not have, and creating an aggregated role without cluster-admin.
fn is_missing_permission(error: &kube::Error) -> bool {
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
    fn rejections_by_the_authorizer_and_by_admission_are_distinguished() {
        let is_missing = |message: &str| {
            let status = Status::failure(message, "Forbidden").with_code(403);
            is_missing_permission(&kube::Error::Api(Box::new(status)))
        };
        for message in [
            "services \"a\" is forbidden: User \"u\" cannot patch resource \"services\" in API group \"\" in the namespace \"n\"",
            "roles \"a\" is forbidden: user \"u\" (groups=[]) is attempting to grant RBAC permissions not currently held:\n{}",
            "clusterroles \"a\" is forbidden: must have cluster-admin privileges to use the aggregationRule",
        ] {
            assert!(is_missing(message), "{message}");
        }
        for message in [
            "admission webhook \"w\" denied the request: the image is not signed",
            "pods \"a\" is forbidden: exceeded quota: q",
            "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
        ] {
            assert!(!is_missing(message), "{message}");
        }
    }
}

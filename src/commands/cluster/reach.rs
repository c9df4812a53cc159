//! The cluster's API server: connection, requests and errors.

use std::borrow::Cow;
use std::path::Path;

use error_class::{Class, Classified};
use error_text::kubeconfig_class;
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::config::{KubeConfigOptions, KubeconfigError};
use serde_json::Value;

use super::kubeconfig;
use crate::cli::ReachArg;
use crate::failure::Usage;

/// The field manager of the command line.
pub(crate) const MANAGER: &str = "airlock-cli";

/// An error of a command about a cluster, with its class and hint.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ClusterError {
    message: String,
    class: Class,
    hint: Option<Cow<'static, str>>,
}

impl Classified for ClusterError {
    fn class(&self) -> Class {
        self.class
    }
}

impl ClusterError {
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// A named object does not exist.
    pub(crate) fn missing(message: String, hint: Option<&'static str>) -> anyhow::Error {
        Self { message, class: Class::Missing, hint: hint.map(Cow::Borrowed) }.into()
    }

    /// A kubeconfig that cannot be used. The path is the one that the user named.
    fn kubeconfig(path: Option<&Path>, error: &KubeconfigError) -> Self {
        let name = match (path, error) {
            (Some(path), _) => format!(" `{}`", path.display()),
            (None, KubeconfigError::ReadConfig(_, path)) => format!(" `{}`", path.display()),
            (None, _) => String::new(),
        };
        let reason = match error {
            KubeconfigError::ReadConfig(source, _) => source.to_string(),
            // The other lines quote the file, which contains secrets.
            error => error.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        let hint = "give --kubeconfig FILE and, if it has several contexts, --context NAME";
        Self {
            message: format!("the kubeconfig{name} cannot be used: {reason}"),
            class: kubeconfig_class(error),
            hint: Some(Cow::Borrowed(hint)),
        }
    }

    /// Like [`Self::missing`], with a hint that contains a command.
    pub(crate) fn missing_with_hint(message: String, hint: String) -> anyhow::Error {
        Self { message, class: Class::Missing, hint: Some(Cow::Owned(hint)) }.into()
    }

    /// A time-out.
    pub(crate) fn timed_out(message: String, hint: &'static str) -> anyhow::Error {
        Self { message, class: Class::Other, hint: Some(Cow::Borrowed(hint)) }.into()
    }

    /// A request that requires another command first, which the hint contains.
    pub(crate) fn needs_command(message: String, hint: String) -> anyhow::Error {
        Self { message, class: Class::Usage, hint: Some(Cow::Owned(hint)) }.into()
    }

    /// A registry that failed a request.
    pub(crate) fn registry_failed(message: String, hint: String) -> anyhow::Error {
        Self { message, class: Class::Network, hint: Some(Cow::Owned(hint)) }.into()
    }

    /// An object that a policy refuses.
    pub(crate) fn refused(message: String, hint: &'static str) -> anyhow::Error {
        Self { message, class: Class::Refused, hint: Some(Cow::Borrowed(hint)) }.into()
    }
}

/// An error of the API server, with the failed action.
pub(crate) fn api_error(doing: &str, error: &kube::Error) -> anyhow::Error {
    let kube::Error::Api(status) = error else {
        let mut causes = String::new();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            causes = inner.to_string();
            cause = inner.source();
        }
        let message = format!("{doing}: the API server does not answer: {causes}");
        let hint =
            Some(Cow::Borrowed("check the kubeconfig and its context: --kubeconfig FILE, --context NAME"));
        return ClusterError { message, class: Class::Network, hint }.into();
    };
    let denied = status.message.contains("denied the request");
    if status.code == 404 && is_unknown_kind(&status.message) {
        let message = format!("{doing}: the cluster does not have this kind: airlock is not installed");
        let hint = Some(Cow::Borrowed("run `airlock install controller`, which also installs the CRDs"));
        return ClusterError { message, class: Class::Missing, hint }.into();
    }
    let (class, hint) = match status.code {
        401 => (Class::Other, Some("the kubeconfig's credentials are not accepted")),
        403 if !denied => (Class::Other, Some("the user of the kubeconfig is not permitted to do this")),
        404 => (Class::Missing, None),
        409 => (Class::Other, None),
        _ if denied => (Class::Refused, None),
        400..=499 => (Class::Usage, None),
        _ if status.message.contains("failed calling webhook") => (
            Class::Other,
            Some(
                "no replica of the controller answers: check `kubectl get pods -n eksa-packages`, then run the command again",
            ),
        ),
        _ => (Class::Other, None),
    };
    ClusterError { message: format!("{doing}: {}", status.message), class, hint: hint.map(Cow::Borrowed) }
        .into()
}

/// Whether the API server's message is about a kind without a CRD.
fn is_unknown_kind(message: &str) -> bool {
    message.contains("404 page not found") || message.contains("could not find the requested resource")
}

/// A client of the cluster.
pub(crate) async fn connect(arg: &ReachArg) -> anyhow::Result<Client> {
    let unusable = |error| ClusterError::kubeconfig(arg.kubeconfig.as_deref(), &error);
    let file = kubeconfig::read(arg.kubeconfig.as_deref()).map_err(unusable)?;
    let options = KubeConfigOptions { context: arg.context.clone(), ..KubeConfigOptions::default() };
    // If another part of the program has done it, it is the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await.map_err(unusable)?;
    Client::try_from(config).map_err(|error| api_error("connecting", &error))
}

/// The API server's version.
pub(crate) async fn version(client: &Client) -> anyhow::Result<Info> {
    client.apiserver_version().await.map_err(|error| api_error("reading the server's version", &error))
}

/// An object for the API, from its manifest.
pub(crate) fn object(manifest: &Value) -> anyhow::Result<(DynamicObject, ApiResource)> {
    let text = |name: &str| manifest[name].as_str().unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let object: DynamicObject = serde_json::from_value(manifest.clone()).map_err(|error| Usage {
        message: format!("a manifest is not a Kubernetes object: {error}"),
        hint: "give it apiVersion, kind and metadata.name",
    })?;
    if kind.is_empty() || version.is_empty() || object.metadata.name.is_none() {
        let message = "a manifest has no apiVersion, kind or metadata.name".to_owned();
        return Err(Usage { message, hint: "every document of the file must be an object" }.into());
    }
    Ok((object, resource))
}

/// The API for an object, namespaced if the object names a namespace.
pub(crate) fn api(client: &Client, object: &DynamicObject, resource: &ApiResource) -> Api<DynamicObject> {
    match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

/// The display name of an object: `kind/name`.
pub(crate) fn object_name(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map(|types| types.kind.to_lowercase()).unwrap_or_default();
    format!("{kind}/{}", object.metadata.name.as_deref().unwrap_or_default())
}

/// Whether a change is made, or only validated by the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Made,
    Checked,
}

impl Change {
    pub(crate) fn of(dry_run: bool) -> Self {
        if dry_run { Self::Checked } else { Self::Made }
    }

    /// The suffix of a printed change.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::Made => "",
            Self::Checked => " (dry run)",
        }
    }
}

/// The result of applying an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ApplyResult {
    Created,
    Configured,
    Unchanged,
}

impl ApplyResult {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Applies a manifest by server-side apply.
pub(crate) async fn applied(
    client: &Client,
    manifest: &Value,
    manager: &str,
    change: Change,
) -> anyhow::Result<(DynamicObject, ApplyResult)> {
    let (object, resource) = object(manifest)?;
    let api = api(client, &object, &resource);
    let name = object.metadata.name.clone().unwrap_or_default();
    let doing = format!("applying {}", object_name(&object));
    let before = api.get_opt(&name).await.map_err(|error| api_error(&doing, &error))?;
    let params = PatchParams {
        dry_run: change == Change::Checked,
        force: true,
        field_manager: Some(manager.to_owned()),
        field_validation: Some(kube::api::ValidationDirective::Strict),
    };
    let after = api
        .patch(&name, &params, &Patch::Apply(manifest))
        .await
        .map_err(|error| api_error(&doing, &error))?;
    let version = |object: &DynamicObject| object.metadata.resource_version.clone();
    let did = match before {
        None => ApplyResult::Created,
        Some(before) if version(&before) == version(&after) => ApplyResult::Unchanged,
        Some(_) => ApplyResult::Configured,
    };
    Ok((after, did))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn error_for(code: u16, message: &str) -> ClusterError {
        let status = Status::failure(message, "").with_code(code);
        api_error("listing packages", &kube::Error::Api(Box::new(status))).downcast().unwrap()
    }

    #[test]
    fn a_missing_kind_means_that_airlock_is_not_installed() {
        for message in ["404 page not found", "the server could not find the requested resource"] {
            let error = error_for(404, message);
            assert_eq!((error.class(), error.hint().is_some()), (Class::Missing, true));
            assert!(error.to_string().ends_with("airlock is not installed"), "{error}");
        }
        let absent = error_for(404, "packages \"a\" not found");
        assert_eq!(
            (absent.to_string().as_str(), absent.hint()),
            ("listing packages: packages \"a\" not found", None)
        );
    }

    #[test]
    fn a_webhook_without_a_server_has_a_hint() {
        let down =
            error_for(500, "Internal error occurred: failed calling webhook \"a\": connection refused");
        assert!(down.hint().unwrap().contains("kubectl get pods -n eksa-packages"));
        assert_eq!(error_for(500, "etcdserver: request timed out").hint(), None);
    }
}

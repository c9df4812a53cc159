//! EKS Anywhere's three webhooks: this module fetches the state, and [`eksa`](crate::eksa) decides. If the state cannot
//! be fetched, the request is rejected.

use error_text::one_line;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use package_api::name::{Cluster, INTERNAL, PACKAGES_NAMESPACE, SYSTEM_NAMESPACE, cluster_namespace};
use package_api::{EKS_GROUP, Package, PackageBundle, PackageBundleController};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::review::{AdmissionResponse, Request};
use crate::context::Context;
use crate::eksa::{bundle, bundle_controller, package};
use crate::keys::BundleKeys;
use crate::workload;

/// The verb on `packages` that permits skipping the checks of a package.
pub(super) const BYPASS: &str = "bypass";

/// `packages`.
pub(super) async fn package(context: &Context, request: &Request) -> AdmissionResponse {
    let object: Package = match typed(&request.object) {
        Ok(object) => object,
        Err(response) => return response,
    };
    let old = request.old().and_then(|old| serde_json::from_value::<Package>(old.clone()).ok());
    let management = context.settings.cluster.as_str();
    let internal = object.annotation(INTERNAL) == Some("true");
    let may_bypass = internal && may_bypass(context, request).await;
    if may_bypass {
        tracing::warn!(
            package = request.subject(),
            user = request.user(),
            "a package is admitted without checks: it has the annotation {INTERNAL}, and the user has the permission"
        );
    }
    let bundle = active_bundle(context, &request.namespace).await;
    let bundle = bundle.as_ref().map_err(String::as_str);
    let namesake = match namesake(context, request, &object).await {
        Ok(namesake) => namesake,
        Err(error) => {
            return AdmissionResponse::denied(500, format!("getting packages: {}", one_line(&error)));
        }
    };
    let namesake = namesake.as_ref();
    let input = package::DecisionInput { old: old.as_ref(), bundle, management, namesake, may_bypass };
    package::decide(&object, &input).into()
}

/// For a new package: the package with the same name in the management cluster's other namespace.
async fn namesake(context: &Context, request: &Request, object: &Package) -> kube::Result<Option<Package>> {
    let management = cluster_namespace(&context.settings.cluster);
    let other = match request.namespace.as_str() {
        PACKAGES_NAMESPACE => management.as_str(),
        namespace if namespace == management => PACKAGES_NAMESPACE,
        _ => return Ok(None),
    };
    // A generated name is not assigned yet, and will not be one that exists.
    if request.operation != "CREATE" || object.name().is_empty() {
        return Ok(None);
    }
    Api::<Package>::namespaced(context.kube.clone(), other).get_opt(object.name()).await
}

/// `packagebundles`.
pub(super) fn bundle(context: &Context, request: &Request) -> AdmissionResponse {
    // An edit that does not change the spec and the annotations, such as one of finalizers, is checked as well: the check
    // is cheap and needs only the object.
    match BundleKeys::load(&context.settings.keys) {
        Ok(keys) => bundle::decide(&request.object, &keys.trust, &keys.encoded).into(),
        Err(error) => AdmissionResponse::denied(500, one_line(&error)),
    }
}

/// `packagebundlecontrollers`.
pub(super) async fn controller(context: &Context, request: &Request) -> AdmissionResponse {
    let object: PackageBundleController = match typed(&request.object) {
        Ok(object) => object,
        Err(response) => return response,
    };
    let old = request.old().and_then(|old| serde_json::from_value(old.clone()).ok());
    let active = object.spec.active_bundle.clone().unwrap_or_default();
    let bundles = if active.is_empty() { Ok(None) } else { bundle_named(context, &active).await };
    let bundles: Vec<_> = match bundles {
        Ok(bundle) => bundle.iter().map(|bundle| bundle.name().to_owned()).collect(),
        Err(error) => {
            return AdmissionResponse::denied(500, format!("listing package bundles: {}", one_line(&error)));
        }
    };
    let version = if bundles.is_empty() {
        Err("the server was not queried".to_owned())
    } else {
        version(context, object.name()).await
    };
    let kubernetes = version.as_ref().map(|(major, minor)| (major.as_str(), minor.as_str()));
    let kubernetes = kubernetes.map_err(String::as_str);
    let input = bundle_controller::DecisionInput { old: old.as_ref(), bundles: &bundles, kubernetes };
    bundle_controller::decide(&object, &input).into()
}

pub(super) fn typed<T: DeserializeOwned>(object: &Value) -> Result<T, AdmissionResponse> {
    serde_json::from_value(object.clone())
        .map_err(|error| AdmissionResponse::denied(400, format!("decoding request: {error}")))
}

/// The active bundle for the packages of a namespace.
async fn active_bundle(context: &Context, namespace: &str) -> Result<PackageBundle, String> {
    let management = &context.settings.cluster;
    let cluster = Cluster::of(namespace).unwrap_or(Cluster::Unnamed);
    let name = cluster.name(management);
    let controllers = Api::<PackageBundleController>::namespaced(context.kube.clone(), PACKAGES_NAMESPACE);
    let controller = controllers.get(name).await.map_err(|error| one_line(&error))?;
    let active = controller.spec.active_bundle.unwrap_or_default();
    if active.is_empty() {
        return Err(format!("no activeBundle set in PackageBundleController {name}"));
    }
    let bundle = bundle_named(context, &active).await.map_err(|error| one_line(&error))?;
    bundle.ok_or_else(|| format!("packagebundles.{EKS_GROUP} \"{active}\" not found"))
}

async fn bundle_named(context: &Context, name: &str) -> kube::Result<Option<PackageBundle>> {
    Api::<PackageBundle>::namespaced(context.kube.clone(), PACKAGES_NAMESPACE).get_opt(name).await
}

/// The major and minor version that a cluster's API server reports.
async fn version(context: &Context, cluster: &str) -> Result<(String, String), String> {
    let client = if cluster == context.settings.cluster {
        context.kube.clone()
    } else {
        client_of(context, cluster).await?
    };
    let version = client.apiserver_version().await.map_err(|error| one_line(&error))?;
    Ok((version.major, version.minor))
}

/// A client for another cluster, from the Secret that the Cluster API creates for it.
async fn client_of(context: &Context, cluster: &str) -> Result<Client, String> {
    let failed = |reason: String| {
        format!("initializing target client: getting kubeconfig for cluster \"{cluster}\": {reason}")
    };
    let secrets = Api::<Secret>::namespaced(context.kube.clone(), SYSTEM_NAMESPACE);
    let secret = secrets.get(&format!("{cluster}-kubeconfig")).await;
    let secret = secret.map_err(|error| failed(one_line(&error)))?;
    workload::client(&secret).await.map_err(failed)
}

/// Whether the user has permission to create packages without checks. If this cannot be determined, the user has not.
async fn may_bypass(context: &Context, request: &Request) -> bool {
    let user = &request.user_info;
    let attributes = ResourceAttributes {
        group: Some(EKS_GROUP.to_owned()),
        resource: Some("packages".to_owned()),
        verb: Some(BYPASS.to_owned()),
        namespace: Some(request.namespace.clone()),
        name: Some(request.name.clone()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: user.username.clone(),
        uid: user.uid.clone(),
        groups: user.groups.clone(),
        extra: user.extra.clone(),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews = Api::<SubjectAccessReview>::all(context.kube.clone());
    match reviews.create(&PostParams::default(), &review).await {
        Ok(review) => review.status.is_some_and(|status| status.allowed && status.denied != Some(true)),
        Err(error) => {
            tracing::warn!(
                error = one_line(&error),
                "cannot determine whether the user may skip the checks of packages"
            );
            false
        }
    }
}

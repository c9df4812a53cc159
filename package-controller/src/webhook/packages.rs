//! EKS Anywhere's three webhooks: what they decide on is fetched here, the decisions are
//! [`admission`](crate::admission)'s. What cannot be found out refuses.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use package_api::name::{Cluster, INTERNAL, PACKAGES_NAMESPACE, SYSTEM_NAMESPACE};
use package_api::{EKS_GROUP, Package, PackageBundle, PackageBundleController};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::review::{Answer, Request};
use crate::admission::{bundle, bundle_controller, package};
use crate::keys::BundleKeys;
use crate::run::Context;
use crate::{words, workload};

/// Who may do this with packages may have them pass unchecked.
pub(super) const BYPASS: &str = "bypass";

/// `packages`.
pub(super) async fn package(context: &Context, request: &Request) -> Answer {
    let object: Package = match typed(&request.object) {
        Ok(object) => object,
        Err(answer) => return answer,
    };
    let old = request.old().and_then(|old| serde_json::from_value::<Package>(old.clone()).ok());
    let management = context.settings.cluster.as_str();
    let internal = object.annotation(INTERNAL) == Some("true");
    let may_bypass = internal && may_bypass(context, request).await;
    if may_bypass {
        tracing::warn!(
            package = request.subject(),
            user = request.user(),
            "a package passes unchecked, by the annotation {INTERNAL} of somebody who may"
        );
    }
    let bundle = active_bundle(context, &request.namespace).await;
    let bundle = bundle.as_ref().map_err(String::as_str);
    let facts = package::Facts { old: old.as_ref(), bundle, management, may_bypass };
    package::decide(&object, &facts).into()
}

/// `packagebundles`.
pub(super) fn bundle(context: &Context, request: &Request) -> Answer {
    // An edit that leaves the spec and the annotations alone, as one of finalizers, is judged all the same: it is
    // cheap, and needs nothing but the object.
    match BundleKeys::load(&context.settings.keys) {
        Ok(keys) => bundle::decide(&request.object, &keys.trust, &keys.told).into(),
        Err(error) => Answer::denied(500, words(&error)),
    }
}

/// `packagebundlecontrollers`.
pub(super) async fn controller(context: &Context, request: &Request) -> Answer {
    let object: PackageBundleController = match typed(&request.object) {
        Ok(object) => object,
        Err(answer) => return answer,
    };
    let old = request.old().and_then(|old| serde_json::from_value(old.clone()).ok());
    let active = object.spec.active_bundle.clone().unwrap_or_default();
    let bundles = if active.is_empty() { Ok(None) } else { bundle_named(context, &active).await };
    let bundles: Vec<_> = match bundles {
        Ok(bundle) => bundle.iter().map(|bundle| bundle.name().to_owned()).collect(),
        Err(error) => return Answer::denied(500, format!("listing package bundles: {}", words(&error))),
    };
    let version = if bundles.is_empty() {
        Err("it was not asked".to_owned())
    } else {
        version(context, object.name()).await
    };
    let kubernetes = version.as_ref().map(|(major, minor)| (major.as_str(), minor.as_str()));
    let kubernetes = kubernetes.map_err(String::as_str);
    let facts = bundle_controller::Facts { old: old.as_ref(), bundles: &bundles, kubernetes };
    bundle_controller::decide(&object, &facts).into()
}

pub(super) fn typed<T: DeserializeOwned>(object: &Value) -> Result<T, Answer> {
    serde_json::from_value(object.clone())
        .map_err(|error| Answer::denied(400, format!("decoding request: {error}")))
}

/// The bundle that a package of this namespace is taken from.
async fn active_bundle(context: &Context, namespace: &str) -> Result<PackageBundle, String> {
    let management = &context.settings.cluster;
    let cluster = Cluster::of(namespace).unwrap_or(Cluster::Unnamed);
    let name = cluster.name(management);
    let controllers = Api::<PackageBundleController>::namespaced(context.kube.clone(), PACKAGES_NAMESPACE);
    let controller = controllers.get(name).await.map_err(|error| words(&error))?;
    let active = controller.spec.active_bundle.unwrap_or_default();
    if active.is_empty() {
        return Err(format!("no activeBundle set in PackageBundleController {name}"));
    }
    let bundle = bundle_named(context, &active).await.map_err(|error| words(&error))?;
    bundle.ok_or_else(|| format!("packagebundles.{EKS_GROUP} \"{active}\" not found"))
}

async fn bundle_named(context: &Context, name: &str) -> kube::Result<Option<PackageBundle>> {
    Api::<PackageBundle>::namespaced(context.kube.clone(), PACKAGES_NAMESPACE).get_opt(name).await
}

/// Major and minor as a cluster's API server says them.
async fn version(context: &Context, cluster: &str) -> Result<(String, String), String> {
    let client = if cluster == context.settings.cluster {
        context.kube.clone()
    } else {
        client_of(context, cluster).await?
    };
    let version = client.apiserver_version().await.map_err(|error| words(&error))?;
    Ok((version.major, version.minor))
}

/// Another cluster, by the secret that the Cluster API keeps for it.
async fn client_of(context: &Context, cluster: &str) -> Result<Client, String> {
    let failed = |why: String| {
        format!("initializing target client: getting kubeconfig for cluster \"{cluster}\": {why}")
    };
    let secrets = Api::<Secret>::namespaced(context.kube.clone(), SYSTEM_NAMESPACE);
    let secret = secrets.get(&format!("{cluster}-kubeconfig")).await;
    let secret = secret.map_err(|error| failed(words(&error)))?;
    workload::client(&secret).await.map_err(failed)
}

/// Whether the cluster's rights let whoever asks make packages that are not checked. Who cannot be asked about may
/// not.
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
        Ok(answer) => answer.status.is_some_and(|status| status.allowed && status.denied != Some(true)),
        Err(error) => {
            tracing::warn!(error = words(&error), "cannot ask who may have packages pass unchecked");
            false
        }
    }
}

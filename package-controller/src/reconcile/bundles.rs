//! Package bundles in the cluster: whether they can be used, and the active one of a cluster.

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use package_api::conditions::{self, Condition, ConditionStatus};
use package_api::name::PACKAGES_NAMESPACE;
use package_api::{BundleState, PackageBundle, PackageBundleControllerSpec, PackageBundleStatus};
use serde_json::json;

use super::shared::Shared;
use super::status::{self, now};
use crate::bundle;
use crate::error::Result;

/// How often an unchanged bundle is verified again: the trusted keys may have changed.
const VERIFY: Duration = Duration::from_mins(10);

/// The active bundle of a cluster.
///
/// # Errors
/// The problem, as text for the user.
pub(super) fn active(
    shared: &Shared,
    settings: &PackageBundleControllerSpec,
) -> Result<Arc<PackageBundle>, String> {
    let name = settings.active_bundle.as_deref().filter(|name| !name.is_empty());
    let name = name.ok_or("no bundle is active yet")?;
    let found = shared.state.bundles.get(&ObjectRef::new(name).within(PACKAGES_NAMESPACE));
    let found = found.ok_or_else(|| format!("packagebundles \"{name}\" not found"))?;
    match bundle::state(&found, &shared.context.settings.version) {
        BundleState::Available => {}
        state => return Err(format!("the bundle {name} cannot be used: it is {}", json!(state))),
    }
    let verified = shared.signatures.verify(&shared.context.settings.process.keys, &found);
    verified.map_err(|reason| format!("the bundle {name} cannot be used: {reason}"))?;
    Ok(found)
}

/// Writes the status of a bundle.
pub(super) async fn reconcile(bundle: Arc<PackageBundle>, shared: Arc<Shared>) -> Result<Action> {
    let old = bundle.status.as_ref();
    let verification = shared.signatures.verify(&shared.context.settings.process.keys, &bundle);
    let (is, reason, message) = match &verification {
        Ok(()) => (ConditionStatus::True, "Signed", "signed by a trusted key"),
        Err(message) => (ConditionStatus::False, "NotSigned", message.as_str()),
    };
    let known = old.and_then(|old| old.conditions.as_ref()).into_iter().flatten();
    let known = known.into_iter().find(|known| known.kind == conditions::VERIFIED && known.status == is);
    let verified = Condition {
        kind: conditions::VERIFIED.to_owned(),
        status: is,
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: known.map_or_else(now, |known| known.last_transition_time.clone()),
        observed_generation: bundle.metadata.generation,
    };
    let new = PackageBundleStatus {
        state: bundle::state(&bundle, &shared.context.settings.version),
        spec: Some(bundle.spec.clone()),
        conditions: Some(vec![verified]),
    };
    let api = Api::namespaced(shared.context.kube.clone(), bundle.namespace());
    let old = old.map_or_else(|| json!({}), |old| json!(old));
    status::write(&api, bundle.as_ref(), &old, &json!(new)).await.map_err(crate::error::Error::kube)?;
    Ok(Action::requeue(VERIFY))
}

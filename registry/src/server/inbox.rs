//! The inbox: a manifest that the gate does not admit under its tag waits there for its signatures. Only callers who may
//! push to the repository see it, and only by its digest, so that they can sign it. A signature that satisfies the gate
//! promotes it: the tag is set. Until then, the tag stays as it was.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::HeaderName;
use oci::{Digest, Manifest, RepositoryName, Selector, Tag};
use store::{Change, InboxLimits, NamingLimits, Store};

use super::App;
use super::answer;
use super::gate::{Gate, GateError, Push};
use super::handle::Call;
use super::manifests::check;
use super::observe::{Changed, Operation, Visitor};
use super::refusal::Refusal;
use super::running::Server;

const WARNING: HeaderName = HeaderName::from_static("warning");
/// The interval at which expired manifests are removed.
const SWEEP: Duration = Duration::from_mins(1);

/// Asks the gate about a push. Returns the limits of the inbox if the manifest has to wait there.
pub(super) fn ask(
    gate: Option<&dyn Gate>,
    push: &Push<'_>,
    inbox: Option<InboxLimits>,
) -> Result<Option<InboxLimits>, Refusal> {
    let Some(gate) = gate else { return Ok(None) };
    match (gate.push(push), inbox) {
        (Err(GateError::Denied { .. }), Some(most)) => Ok(Some(most)),
        (decision, _) => Ok(decision.map(|()| None)?),
    }
}

/// Adds a manifest to the inbox that the gate denies.
pub(super) fn hold(
    store: &Store,
    (change, digest): (&Changed, &Digest),
    manifest: Manifest,
    counted: Option<(String, NamingLimits)>,
    most: InboxLimits,
) -> Result<(), Refusal> {
    let Changed { repository, tags, visitor, .. } = change;
    let mut changes = check(store, (change, digest), &manifest, counted)?;
    let (repository, tags, digest) = (repository.clone(), tags.clone(), digest.clone());
    changes.push(Change::Hold { repository, tags, digest, manifest, most });
    Ok(store.commit_as(&visitor.actor(), changes)?)
}

/// Tells the client that the tag is not set. The specification prescribes this form.
pub(super) fn warn(response: &mut Response, change: &Changed, digest: &Digest, most: InboxLimits) {
    let Changed { repository, tags, .. } = change;
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    let (tags, hours) = (tags.join(", "), most.seconds / 3600);
    let text = format!(
        "299 - \"{repository}:{tags} is not set yet: the manifest waits {hours} h in the inbox for its signatures; \
         sign {repository}@{digest}\""
    );
    answer::set(response.headers_mut(), WARNING, text);
}

/// The manifest that a signature or an attestation is about.
pub(super) fn subject(manifest: &Manifest, tags: &[Tag]) -> Option<Digest> {
    let referred = manifest.subject().map(|subject| subject.digest.clone());
    referred.or_else(|| tags.iter().find_map(Tag::attached_to))
}

/// Sets the tags for which a manifest waits, if the gate admits it now. The push that led to this has succeeded, whatever
/// the gate decides.
pub(super) async fn promote(app: &App, call: &Call, repository: &RepositoryName, digest: Digest) {
    let Some(gate) = app.gate.clone() else { return };
    let (name, of) = (repository.clone(), digest.clone());
    let waits = app.look(call, move |store| Ok(!store.waits_for(&name, &of)?.is_empty())).await;
    if !matches!(waits, Ok(true)) {
        return;
    }
    let (name, of, visitor) = (repository.clone(), digest.clone(), call.visitor());
    let promoted = app.change(call, move |store| promote_in(store, &*gate, name, of, visitor)).await;
    match promoted {
        Ok(change) => tracing::debug!(%repository, %digest, tags = change.tags.len(), "promoted a manifest"),
        Err(refusal) => {
            tracing::info!(%repository, %digest, reason = refusal.message(), "a manifest stays in the inbox");
        }
    }
}

fn promote_in(
    store: &Store,
    gate: &dyn Gate,
    repository: RepositoryName,
    digest: Digest,
    visitor: Visitor,
) -> Result<Changed, Refusal> {
    let waiting = store.waits_for(&repository, &digest)?;
    let unknown = || Refusal::manifest_unknown(&repository, &Selector::Digest(digest.clone()));
    let manifest = store.manifest(&repository, &digest)?.ok_or_else(unknown)?;
    let push = Push {
        repository: &repository,
        digest: &digest,
        manifest: &manifest,
        tags: &waiting,
        visitor: &visitor,
    };
    gate.push(&push)?;
    let mut tags = Vec::new();
    for tag in waiting {
        let promote =
            Change::Promote { repository: repository.clone(), tag: tag.clone(), digest: digest.clone() };
        match store.commit_as(&visitor.actor(), vec![promote]) {
            Ok(()) => tags.push(tag),
            // A later push replaced it.
            Err(store::Error::NotWaiting { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if tags.is_empty() {
        return Err(unknown());
    }
    let operation = Operation::PromoteManifest;
    Ok(Changed { operation, repository, digest: Some(digest), tags, manifest: None, visitor })
}

/// Removes expired manifests, as long as the server runs.
pub(super) async fn expire(server: Server) {
    let mut sweeps = tokio::time::interval(SWEEP);
    loop {
        sweeps.tick().await;
        let app = server.app();
        if app.read_only {
            continue;
        }
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || expire_once(&app)).await {
            tracing::warn!(error, "cannot remove expired manifests from the inbox");
        }
    }
}

fn expire_once(app: &Arc<App>) -> Result<(), String> {
    for entry in app.store.expire_inbox().map_err(|error| error.to_string())? {
        let (operation, visitor) = (Operation::ExpireManifest, Visitor::default());
        let (repository, digest, tags) = (entry.repository, Some(entry.digest), vec![entry.tag]);
        let change = Changed { operation, repository, digest, tags, manifest: None, visitor };
        if let Some(observer) = &app.observer {
            observer.changed(&change).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

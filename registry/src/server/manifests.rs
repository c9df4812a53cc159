//! Manifests, pulled and pushed byte for byte.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use oci::distribution::ErrorCode;
use oci::{Digest, Manifest, MediaType, RepositoryName, Selector, Tag};
use serde_json::json;
use store::{Change, ManifestRow, NamingLimits, SizeMismatch, Store};

use super::App;
use super::answer::{self, Lasting};
use super::auth::Caller;
use super::gate::{Pull, Push};
use super::guard::memory::BodyError;
use super::handle::{Call, RepositoryCandidate};
use super::inbox;
use super::observe::{Changed, Operation};
use super::refusal::Refusal;

/// GET or HEAD. A manifest is served as it was pushed, whatever `Accept` states, because a digest identifies one form only.
pub(super) async fn pull(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    selector: Selector,
) -> Result<Response, Refusal> {
    let candidates = call.candidates(&repository);
    let head = call.is_head();
    let found = match recall(app, &candidates, &selector) {
        Some(found) => Some(found),
        None => look_up(app, call, candidates, selector.clone()).await?,
    };
    let Some(found) = found else {
        if app.missing.count(call, &repository, &selector) {
            app.metrics.missing();
        }
        return Err(Refusal::manifest_unknown(&repository, &selector));
    };
    app.pulls.note(&found.candidate.repository, &found.row.digest);
    let lasting = match selector {
        Selector::Tag(_) => Lasting::Movable,
        // Not all users of a cache may see it.
        Selector::Digest(_) if found.signer => Lasting::Movable,
        Selector::Digest(_) => app.lasting(call),
    };
    let mut response = if answer::is_known(&call.head.headers, &found.row.digest) {
        answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        let body = if head { Body::empty() } else { answer::in_memory(app, call, found.bytes).await? };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        answer::set(headers, CONTENT_TYPE, found.row.media_type.as_str());
        headers.insert(CONTENT_LENGTH, found.row.size.into());
        response
    };
    answer::identify(response.headers_mut(), &found.row.digest, lasting);
    found.candidate.set_namespace(&mut response);
    Ok(response)
}

struct FoundManifest {
    candidate: RepositoryCandidate,
    row: ManifestRow,
    bytes: Bytes,
    /// Whether the caller may only see it because it may sign it.
    signer: bool,
}

/// Finds a manifest in memory. Gates decide about every request, and may wait.
fn recall(app: &App, candidates: &[RepositoryCandidate], selector: &Selector) -> Option<FoundManifest> {
    let candidate = candidates.first().filter(|_| app.gate.is_none())?;
    let (row, bytes) = app.store.recall(&candidate.repository, selector).filter(|(row, _)| !row.held)?;
    Some(FoundManifest { candidate: candidate.clone(), row, bytes, signer: false })
}

async fn look_up(
    app: &App,
    call: &Call,
    candidates: Vec<RepositoryCandidate>,
    selector: Selector,
) -> Result<Option<FoundManifest>, Refusal> {
    let gate = app.gate.clone().map(|gate| (gate, call.visitor()));
    let by_default = app.authenticator.lets_push(&call.caller);
    let rights = call.rights.clone();
    // Whoever signs has to read. Without log-ins, everyone would be exempt from the gate.
    let may_sign = app.limits.inbox.is_some() && call.caller != Caller::Anonymous;
    let by_digest = matches!(selector, Selector::Digest(_));
    app.look(call, move |store| {
        let sees_held = |repository: &RepositoryName| rights.let_push(repository, by_default);
        let mut found = find(store, candidates, &selector, sees_held)?;
        if let (Some((gate, visitor)), Some(found)) = (&gate, &mut found) {
            let (repository, digest) = (&found.candidate.repository, &found.row.digest);
            if by_digest && may_sign && sees_held(repository) {
                found.signer = true;
            } else {
                gate.pull(&Pull { repository, digest, visitor })?;
            }
        }
        Ok(found)
    })
    .await
}

/// Finds a manifest, for both HEAD and GET: a manifest that is damaged, missing or unreadable is absent for both, so that
/// clients push it again. A manifest in the inbox is absent for callers who do not see it there.
fn find(
    store: &Store,
    candidates: Vec<RepositoryCandidate>,
    selector: &Selector,
    sees_held: impl Fn(&RepositoryName) -> bool,
) -> Result<Option<FoundManifest>, Refusal> {
    for candidate in candidates {
        let Some(row) = store.resolve(&candidate.repository, selector)? else { continue };
        if row.held && !sees_held(&candidate.repository) {
            continue;
        }
        match store.manifest(&candidate.repository, &row.digest) {
            Ok(Some(manifest)) => {
                let (bytes, signer) = (manifest.bytes().clone(), row.held);
                return Ok(Some(FoundManifest { candidate, row, bytes, signer }));
            }
            Ok(None) => tracing::error!(digest = %row.digest, "a manifest's file is damaged or missing"),
            Err(store::Error::Invalid(error)) => {
                tracing::error!(digest = %row.digest, %error, "a manifest cannot be read");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// PUT of a manifest.
pub(super) async fn push(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    selector: Selector,
) -> Result<Response, Refusal> {
    let tags = tags_of(call, &selector, app.limits.tags_per_push)?;
    let sent_as = sent_as(call)?;
    let largest = app.limits.manifest_bytes;
    let length = call.header(&CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    let refused = |error| Refusal::body(error, largest);
    if length.is_some_and(|length| length > largest) {
        return Err(refused(BodyError::TooLong));
    }
    // Until the response is sent, because the manifest stays in memory until then.
    let mut lease = call.memory(app).lease(call.network());
    let within = app.limits.manifest;
    let collected = lease.collect(call.take_body(), largest, app.limits.pace(), within).await;
    let bytes = collected.map_err(refused)?;
    let by = selector.clone();
    let (manifest, digest) = app.parse(call, move || parsed(bytes, sent_as.as_ref(), &by)).await?;
    let subject = manifest.subject().map(|subject| subject.digest.clone());
    let about = inbox::subject(&manifest, &tags);
    let gate = app.gate.clone().filter(|_| !tags.is_empty());
    let most = app.limits.inbox;
    let counted = app.limits.naming.map(|most| (call.limit_key(), most));
    let (name, named, visitor) = (repository.clone(), tags.clone(), call.visitor());
    let pushed = digest.clone();
    let changed = app
        .change(call, move |store| {
            let digest = pushed;
            let push = Push {
                repository: &name,
                digest: &digest,
                manifest: &manifest,
                tags: &named,
                visitor: &visitor,
            };
            let hold = inbox::ask(gate.as_deref(), &push, most)?;
            let operation = if hold.is_some() { Operation::HoldManifest } else { Operation::PushManifest };
            let mut change = Changed {
                operation,
                repository: name,
                digest: Some(digest.clone()),
                tags: named,
                manifest: None,
                visitor,
            };
            match hold {
                Some(most) => inbox::hold(store, (&change, &digest), manifest.clone(), counted, most)?,
                None => put(store, (&change, &digest), manifest.clone(), counted)?,
            }
            change.manifest = Some(manifest);
            Ok(change)
        })
        .await?;
    let held = changed.operation == Operation::HoldManifest;
    if let Some(about) = about.filter(|_| most.is_some() && !held) {
        inbox::promote(app, call, &repository, about).await;
    }
    let mut response = created((&changed, &digest), &selector, subject.as_ref());
    if let Some(most) = most.filter(|_| held) {
        inbox::warn(&mut response, &changed, &digest, most);
    }
    Ok(response)
}

/// The response to a push. A manifest that waits in the inbox has no tag to report.
fn created(
    (changed, digest): (&Changed, &Digest),
    selector: &Selector,
    subject: Option<&Digest>,
) -> Response {
    let Changed { operation, repository, tags, .. } = changed;
    let mut response = answer::done(StatusCode::CREATED);
    let headers = response.headers_mut();
    answer::set(headers, LOCATION, answer::manifest_path(repository, &Selector::Digest(digest.clone())));
    answer::set(headers, answer::CONTENT_DIGEST, digest.to_string());
    if let Some(subject) = subject {
        answer::set(headers, answer::OCI_SUBJECT, subject.to_string());
    }
    let is_tagged = *operation == Operation::PushManifest && !tags.is_empty();
    if matches!(selector, Selector::Digest(_)) && is_tagged {
        let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        answer::set(headers, answer::OCI_TAG, tags.join(", "));
    }
    response
}

/// The tags to set: the tag in the path, or those in the parameters of a push by digest.
fn tags_of(call: &Call, selector: &Selector, most: usize) -> Result<Vec<Tag>, Refusal> {
    let tags = match selector {
        Selector::Tag(tag) => return Ok(vec![tag.clone()]),
        Selector::Digest(_) => call.query.values("tag").map(str::parse).collect::<Result<Vec<Tag>, _>>(),
    };
    let tags = tags.map_err(|error| Refusal::invalid(ErrorCode::ManifestInvalid, &error))?;
    if tags.len() > most {
        let message = "the request sets too many tags";
        let detail = json!({ "most": most });
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, ErrorCode::Unsupported, message, detail));
    }
    Ok(tags)
}

fn sent_as(call: &Call) -> Result<Option<MediaType>, Refusal> {
    let parsed = call.header(&CONTENT_TYPE).map(str::parse).transpose();
    parsed.map_err(|error| Refusal::invalid(ErrorCode::ManifestInvalid, &error))
}

/// Parses the body, and returns the manifest with its digest, which must match the digest that it is pushed by.
fn parsed(
    bytes: Bytes,
    sent_as: Option<&MediaType>,
    selector: &Selector,
) -> Result<(Manifest, Digest), Refusal> {
    let manifest = Manifest::parse(bytes, sent_as).map_err(|error| Refusal::manifest_invalid(&error))?;
    let digest = match selector {
        Selector::Tag(_) => manifest.digest(),
        Selector::Digest(expected) => Digest::of(expected.algorithm(), manifest.bytes()),
    };
    match selector {
        Selector::Digest(expected) if *expected != digest => Err(Refusal::blob_mismatch(expected, &digest)),
        _ => Ok((manifest, digest)),
    }
}

fn put(
    store: &Store,
    (change, digest): (&Changed, &Digest),
    manifest: Manifest,
    counted: Option<(String, NamingLimits)>,
) -> Result<(), Refusal> {
    let mut changes = check(store, (change, digest), &manifest, counted)?;
    let Changed { repository, tags, visitor, .. } = change;
    let (name, of) = (|| repository.clone(), || digest.clone());
    changes.push(Change::PushManifest { repository: name(), digest: of(), manifest });
    changes.extend(tags.iter().map(|tag| Change::SetTag {
        repository: name(),
        tag: tag.clone(),
        digest: of(),
    }));
    Ok(store.commit_as(&visitor.actor(), changes)?)
}

/// Checks a manifest before it is stored, and returns the changes that come before that.
pub(super) fn check(
    store: &Store,
    (change, digest): (&Changed, &Digest),
    manifest: &Manifest,
    counted: Option<(String, NamingLimits)>,
) -> Result<Vec<Change>, Refusal> {
    let repository = &change.repository;
    let missing = missing(store, repository, manifest)?;
    if !missing.is_empty() {
        return Err(Refusal::blobs_missing(repository, &missing));
    }
    refuse_wrong_sizes(store, repository, manifest)?;
    let mut changes = Vec::new();
    if let Some((pusher, most)) = counted {
        let (repository, digest, manifest) = (repository.clone(), digest.clone(), manifest.clone());
        changes.push(Change::CountPushed { repository, digest, manifest, pusher, most });
    }
    changes.extend(Change::expect_blobs(repository, manifest));
    Ok(changes)
}

/// The blobs of an image that the repository lacks. The children of an index and a subject may be pushed later, and foreign
/// layers are stored elsewhere.
fn missing(store: &Store, repository: &RepositoryName, manifest: &Manifest) -> Result<Vec<Digest>, Refusal> {
    let mut missing = Vec::new();
    for blob in manifest.blobs().filter(|blob| !blob.media_type.is_foreign() || blob.urls.is_empty()) {
        let linked = store.blob_in(repository, &blob.digest)?;
        // A damaged blob counts as missing, so that the client pushes it again.
        let present = linked.is_some() && store.blob(&blob.digest)?.map(|found| found.size) == linked;
        if !present && !missing.contains(&blob.digest) {
            missing.push(blob.digest.clone());
        }
    }
    Ok(missing)
}

/// Checks that sizes in descriptors match, because no client can pull content with a wrong size. Content that the repository
/// lacks counts for nothing, so that no one learns what other repositories have.
fn refuse_wrong_sizes(
    store: &Store,
    repository: &RepositoryName,
    manifest: &Manifest,
) -> Result<(), Refusal> {
    let mut wrong = Vec::new();
    for mismatch in store.size_mismatches(manifest) {
        let selector = Selector::Digest(mismatch.digest.clone());
        if store.blob_in(repository, &mismatch.digest)?.is_some()
            || store.resolve(repository, &selector)?.is_some()
        {
            wrong.push(mismatch);
        }
    }
    if let Some(subject) = manifest.subject()
        && let Some(row) = store.resolve(repository, &Selector::Digest(subject.digest.clone()))?
        && row.size != subject.size
    {
        wrong.push(SizeMismatch { digest: row.digest, said: subject.size, found: row.size });
    }
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::sizes(&wrong)) }
}

/// DELETE of a tag alone, or of a manifest with all its tags.
pub(super) async fn delete(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    selector: Selector,
) -> Result<Response, Refusal> {
    let visitor = call.visitor();
    app.change(call, move |store| {
        let Some(row) = store.resolve(&repository, &selector)? else {
            return Err(Refusal::manifest_unknown(&repository, &selector));
        };
        let name = repository.clone();
        let (operation, tags, change) = match selector {
            Selector::Tag(tag) => {
                (Operation::DeleteTag, vec![tag.clone()], Change::DeleteTag { repository: name, tag })
            }
            Selector::Digest(digest) => {
                (Operation::DeleteManifest, Vec::new(), Change::DeleteManifest { repository: name, digest })
            }
        };
        store.commit_as(&visitor.actor(), vec![change])?;
        Ok(Changed { operation, repository, digest: Some(row.digest), tags, manifest: None, visitor })
    })
    .await?;
    Ok(answer::done(StatusCode::ACCEPTED))
}

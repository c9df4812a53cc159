//! Manifests in and out, byte for byte.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use oci::distribution::ErrorCode;
use oci::{Digest, Manifest, MediaType, RepositoryName, Selector, Tag};
use serde_json::json;
use store::{Change, ManifestRow, Misfit, NamingLimits, Store};

use super::App;
use super::answer::{self, Lasting};
use super::gate::{Pull, Push};
use super::guard::memory::Unread;
use super::handle::{Call, RepositoryCandidate};
use super::observe::{Changed, Operation};
use super::refusal::Refusal;

/// GET or HEAD. What was pushed is served whatever `Accept` says: digests name one form only.
pub(super) async fn pull(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    selector: Selector,
) -> Result<Response, Refusal> {
    let places = call.places(&repository);
    let (wanted, head) = (selector.clone(), call.is_head());
    let gate = app.gate.clone().map(|gate| (gate, call.visitor()));
    let found = app
        .look(call, move |store| {
            let found = find(store, places, &wanted)?;
            if let (Some((gate, visitor)), Some(found)) = (&gate, &found) {
                let (repository, digest) = (&found.place.repository, &found.row.digest);
                gate.pull(&Pull { repository, digest, visitor })?;
            }
            Ok(found)
        })
        .await?;
    let Some(found) = found else { return Err(Refusal::manifest_unknown(&repository, &selector)) };
    let lasting = match selector {
        Selector::Tag(_) => Lasting::Movable,
        Selector::Digest(_) => app.lasting(call),
    };
    let mut response = if answer::is_known(&call.head.headers, &found.row.digest) {
        answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        let body = if head {
            Body::empty()
        } else {
            answer::held(app, call, found.manifest.bytes().clone()).await?
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        answer::set(headers, CONTENT_TYPE, found.row.media_type.as_str());
        headers.insert(CONTENT_LENGTH, found.row.size.into());
        response
    };
    answer::identify(response.headers_mut(), &found.row.digest, lasting);
    found.place.name_in(&mut response);
    Ok(response)
}

struct Found {
    place: RepositoryCandidate,
    row: ManifestRow,
    manifest: Manifest,
}

/// HEAD and GET find the same: a manifest that is damaged, gone or cannot be read is absent for both, so that clients
/// push it again.
fn find(
    store: &Store,
    places: Vec<RepositoryCandidate>,
    selector: &Selector,
) -> Result<Option<Found>, Refusal> {
    for place in places {
        let Some(row) = store.resolve(&place.repository, selector)? else { continue };
        match store.manifest(&place.repository, &row.digest) {
            Ok(Some(manifest)) => return Ok(Some(Found { place, row, manifest })),
            Ok(None) => tracing::error!(digest = %row.digest, "a manifest's file is damaged or gone"),
            Err(store::Error::Invalid(error)) => {
                tracing::error!(digest = %row.digest, %error, "a manifest cannot be read");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// PUT.
pub(super) async fn push(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    selector: Selector,
) -> Result<Response, Refusal> {
    let tags = tags_of(call, &selector, app.limits.tags_per_push)?;
    let sent_as = sent_as(call)?;
    let most = app.limits.manifest_bytes;
    let length = call.header(&CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    let unread = |unread| Refusal::unread(unread, most);
    if length.is_some_and(|length| length > most) {
        return Err(unread(Unread::TooLong));
    }
    // Until the answer is given: the manifest is held as long.
    let mut held = call.memory(app).hold(call.network());
    let within = app.limits.manifest;
    let collected = held.collect(call.take_body(), most, app.limits.pace(), within).await;
    let bytes = collected.map_err(unread)?;
    let by = selector.clone();
    let (manifest, digest) = app.parse(call, move || parsed(bytes, sent_as.as_ref(), &by)).await?;
    let subject = manifest.subject().map(|subject| subject.digest.clone());
    let gate = app.gate.clone().filter(|_| !tags.is_empty());
    let counted = app.limits.naming.map(|most| (call.who(), most));
    let (name, named, visitor) = (repository.clone(), tags.clone(), call.visitor());
    let changed = app
        .change(call, move |store| {
            if let Some(gate) = gate {
                let (digest, manifest) = (&digest, &manifest);
                gate.push(&Push { repository: &name, digest, manifest, tags: &named, visitor: &visitor })?;
            }
            put(store, &name, (named.clone(), digest.clone(), manifest.clone()), counted)?;
            let (deed, manifest) = (Operation::PushManifest, Some(manifest));
            Ok(Changed { deed, repository: name, digest, tags: named, manifest, visitor })
        })
        .await?;
    let digest = changed.digest;
    let mut response = answer::done(StatusCode::CREATED);
    let headers = response.headers_mut();
    answer::set(headers, LOCATION, answer::manifest_path(&repository, &Selector::Digest(digest.clone())));
    answer::set(headers, answer::CONTENT_DIGEST, digest.to_string());
    if let Some(subject) = subject {
        answer::set(headers, answer::OCI_SUBJECT, subject.to_string());
    }
    if matches!(selector, Selector::Digest(_)) && !tags.is_empty() {
        let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        answer::set(headers, answer::OCI_TAG, tags.join(", "));
    }
    Ok(response)
}

/// Tags to set: the one in the path, or those in the parameters of a push by digest.
fn tags_of(call: &Call, selector: &Selector, most: usize) -> Result<Vec<Tag>, Refusal> {
    let tags = match selector {
        Selector::Tag(tag) => return Ok(vec![tag.clone()]),
        Selector::Digest(_) => call.query.values("tag").map(str::parse).collect::<Result<Vec<Tag>, _>>(),
    };
    let tags = tags.map_err(|error| Refusal::invalid(ErrorCode::ManifestInvalid, &error))?;
    if tags.len() > most {
        let message = "the request sets too many tags at once";
        let detail = json!({ "most": most });
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, ErrorCode::Unsupported, message, detail));
    }
    Ok(tags)
}

fn sent_as(call: &Call) -> Result<Option<MediaType>, Refusal> {
    let parsed = call.header(&CONTENT_TYPE).map(str::parse).transpose();
    parsed.map_err(|error| Refusal::invalid(ErrorCode::ManifestInvalid, &error))
}

/// What came, and its digest: the one that it is pushed by, which must be its own.
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
    repository: &RepositoryName,
    (tags, digest, manifest): (Vec<Tag>, Digest, Manifest),
    counted: Option<(String, NamingLimits)>,
) -> Result<(), Refusal> {
    let missing = missing(store, repository, &manifest)?;
    if !missing.is_empty() {
        return Err(Refusal::blobs_missing(repository, &missing));
    }
    refuse_wrong_sizes(store, repository, &manifest)?;
    let (name, of) = (|| repository.clone(), || digest.clone());
    let mut changes = Vec::new();
    if let Some((pusher, most)) = counted {
        let manifest = manifest.clone();
        changes.push(Change::CountPushed { repository: name(), digest: of(), manifest, pusher, most });
    }
    changes.push(Change::PutManifest { repository: name(), digest: of(), manifest });
    changes.extend(tags.into_iter().map(|tag| Change::SetTag { repository: name(), tag, digest: of() }));
    Ok(store.commit(changes)?)
}

/// What an image needs and the repository lacks. An index's children and a subject may come later, and
/// foreign layers live elsewhere.
fn missing(store: &Store, repository: &RepositoryName, manifest: &Manifest) -> Result<Vec<Digest>, Refusal> {
    let mut missing = Vec::new();
    for blob in manifest.blobs().filter(|blob| !blob.media_type.is_foreign() || blob.urls.is_empty()) {
        let linked = store.blob_in(repository, &blob.digest)?;
        // A damaged one is missing, so that the client pushes it again.
        let present = linked.is_some() && store.blob(&blob.digest)?.map(|found| found.size) == linked;
        if !present && !missing.contains(&blob.digest) {
            missing.push(blob.digest.clone());
        }
    }
    Ok(missing)
}

/// Size and digest both bind: no client can pull what is described wrongly.
fn refuse_wrong_sizes(
    store: &Store,
    repository: &RepositoryName,
    manifest: &Manifest,
) -> Result<(), Refusal> {
    let mut wrong = store.misfits(manifest);
    if let Some(subject) = manifest.subject()
        && let Some(row) = store.resolve(repository, &Selector::Digest(subject.digest.clone()))?
        && row.size != subject.size
    {
        wrong.push(Misfit { digest: row.digest, said: subject.size, found: row.size });
    }
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::sizes(&wrong)) }
}

/// DELETE: a tag alone, or a manifest with all tags on it.
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
        let (deed, tags, change) = match selector {
            Selector::Tag(tag) => {
                (Operation::DeleteTag, vec![tag.clone()], Change::DeleteTag { repository: name, tag })
            }
            Selector::Digest(digest) => {
                (Operation::DeleteManifest, Vec::new(), Change::DeleteManifest { repository: name, digest })
            }
        };
        store.commit(vec![change])?;
        Ok(Changed { deed, repository, digest: row.digest, tags, manifest: None, visitor })
    })
    .await?;
    Ok(answer::done(StatusCode::ACCEPTED))
}

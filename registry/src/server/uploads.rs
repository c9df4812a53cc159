//! Blob uploads: in one request, streamed, in chunks, or mounted from another repository.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderValue, StatusCode};
use oci::distribution::ErrorCode;
use oci::{Algorithm, Digest, RepositoryName};
use serde_json::json;
use store::{Change, Store, Upload, UploadId};

use super::App;
use super::access::{Allow, Rights};
use super::answer;
use super::handle::Call;
use super::intake;
use super::observe::{Changed, Operation};
use super::range::Chunk;
use super::refusal::Refusal;

/// The maximum number of repositories that are searched for one from which a blob may be mounted.
const SOURCES: usize = 64;

/// POST: mounts a blob, receives a whole blob, or starts a session.
pub(super) async fn start(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
) -> Result<Response, Refusal> {
    if let Some(text) = call.query.value("digest-algorithm") {
        // This is only a hint: the digest at the end of the session decides.
        text.parse::<Algorithm>().map_err(|error| Refusal::invalid(ErrorCode::DigestInvalid, &error))?;
    }
    if let Some(digest) = digest_parameter(call, "mount")? {
        let from = call.query.value("from").map(str::to_owned);
        let (target, wanted) = (repository.clone(), digest.clone());
        let rights = call.rights.clone();
        let found = app.run(move |store| can_mount(store, &rights, from.as_deref(), &wanted)).await?;
        if found {
            let (change, linked) = (incoming(call, target, digest.clone()), digest.clone());
            app.change(call, move |store| link(store, change, linked)).await?;
            return Ok(created(&repository, &digest));
        }
    } else if let Some(digest) = digest_parameter(call, "digest")? {
        return whole(app, call, repository, digest).await;
    }
    let target = repository.clone();
    let id = app.run(move |store| Ok(store.create_upload(&target)?)).await?;
    let mut response = answer::done(StatusCode::ACCEPTED);
    answer::upload_headers(response.headers_mut(), &repository, &id, 0);
    Ok(response)
}

fn digest_parameter(call: &Call, name: &str) -> Result<Option<Digest>, Refusal> {
    let parsed = call.query.value(name).map(str::parse).transpose();
    parsed.map_err(|error| Refusal::invalid(ErrorCode::DigestInvalid, &error))
}

/// Whether another repository (the given one, or any) that the caller may pull from has a blob with an undamaged file.
fn can_mount(store: &Store, rights: &Rights, from: Option<&str>, digest: &Digest) -> Result<bool, Refusal> {
    let sources = match from.map(str::parse::<RepositoryName>) {
        Some(from) => from.into_iter().collect(),
        None => store.repositories_with_blob(digest, SOURCES)?,
    };
    let from = sources.into_iter().find(|source| rights.allow(source, Allow::Pull));
    let Some(from) = from else { return Ok(false) };
    let linked = store.blob_in(&from, digest)?;
    Ok(linked.is_some() && store.blob(digest)?.map(|found| found.size) == linked)
}

/// The change of an uploaded blob.
fn incoming(call: &Call, repository: RepositoryName, digest: Digest) -> Changed {
    Changed {
        operation: Operation::PushBlob,
        repository,
        digest: Some(digest),
        tags: Vec::new(),
        manifest: None,
        visitor: call.visitor(),
    }
}

/// Links a blob in the store to the repository.
fn link(store: &Store, change: Changed, digest: Digest) -> Result<Changed, Refusal> {
    let repository = change.repository.clone();
    store.commit(vec![Change::LinkBlob { repository, digest }])?;
    Ok(change)
}

/// Receives a whole blob in one POST.
async fn whole(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    digest: Digest,
) -> Result<Response, Refusal> {
    let algorithm = digest.algorithm();
    let room = Room::of(app, call, &repository, 0).await?;
    let permit = app.transfer(call).await?;
    let writer = app.run(move |store| Ok(store.writer(algorithm)?)).await?;
    let most = room.most(Some(app.limits.uploads.repository_bytes));
    let received = intake::receive(writer, call.take_body(), most, (app.limits.pace(), &permit)).await;
    let (writer, _) = received.map_err(|refusal| room.judge(refusal))?;
    let (change, linked) = (incoming(call, repository.clone(), digest.clone()), digest.clone());
    app.change(call, move |store| {
        writer.publish(Some(&linked))?;
        link(store, change, linked)
    })
    .await?;
    Ok(created(&repository, &digest))
}

/// PATCH: the next chunk, or a stream.
pub(super) async fn append(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    id: UploadId,
) -> Result<Response, Refusal> {
    let upload = append_body(app, call, &repository, &id).await?;
    let mut response = answer::done(StatusCode::ACCEPTED);
    answer::upload_headers(response.headers_mut(), &repository, &id, upload.offset());
    release(upload).await;
    Ok(response)
}

/// PUT: the last chunk, if any, and the digest of all.
pub(super) async fn finish(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    id: UploadId,
) -> Result<Response, Refusal> {
    let Some(digest) = digest_parameter(call, "digest")? else {
        let detail = json!({ "hint": "give the digest of the whole blob: `?digest=sha256:...`" });
        let message = "the upload cannot be finished without a digest";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid, message, detail));
    };
    let upload = append_body(app, call, &repository, &id).await?;
    let (change, linked) = (incoming(call, repository.clone(), digest.clone()), digest.clone());
    app.change(call, move |store| {
        upload.publish(&linked)?;
        link(store, change, linked)
    })
    .await?;
    Ok(created(&repository, &digest))
}

async fn append_body(
    app: &Arc<App>,
    call: &Call,
    repository: &RepositoryName,
    id: &UploadId,
) -> Result<Upload, Refusal> {
    let chunk = chunk_of(call)?;
    let permit = app.transfer(call).await?;
    let upload = open(app, repository, id).await?;
    let offset = upload.offset();
    if chunk.is_some_and(|chunk| chunk.first != offset) {
        release(upload).await;
        return Err(out_of_order(repository, id, offset));
    }
    let room = match Room::of(app, call, repository, offset).await {
        Ok(room) => room,
        Err(refusal) => {
            release(upload).await;
            return Err(refusal);
        }
    };
    let body: Body = call.take_body();
    let most = room.most(chunk.map(Chunk::len));
    let received = intake::receive(upload, body, most, (app.limits.pace(), &permit)).await;
    let (upload, received) = received.map_err(|refusal| room.judge(refusal))?;
    if let Some(chunk) = chunk
        && chunk.len() != received
    {
        release(upload).await;
        return Err(wrong_length(chunk.len(), received));
    }
    Ok(upload)
}

/// The bytes that the quotas of a repository allow in a request body, and the error for more. The commit decides for good;
/// this refuses earlier, when the length of the body is known or more bytes arrive than are allowed.
struct Room(Option<(u64, store::Error)>);

impl Room {
    /// The room for the body of a request, after `offset` bytes that an upload has already.
    async fn of(
        app: &Arc<App>,
        call: &Call,
        repository: &RepositoryName,
        offset: u64,
    ) -> Result<Self, Refusal> {
        let name = repository.clone();
        let found = app.run(move |store| Ok(store.quota_room(&name)?)).await?;
        let Some((left, error)) = found else { return Ok(Self(None)) };
        let length = call.header(&CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        // An upload without more bytes can end: the repository may have the blob already.
        if length.is_some_and(|length| length > 0 && offset.saturating_add(length) > left) {
            return Err(error.into());
        }
        Ok(Self(Some((left.saturating_sub(offset), error))))
    }

    /// The maximum length of the body, which is `most` without a quota.
    fn most(&self, most: Option<u64>) -> Option<u64> {
        let left = self.0.as_ref().map(|(left, _)| *left);
        left.into_iter().chain(most).min()
    }

    /// The reason why a body was refused that was received up to [`Self::most`].
    fn judge(self, refusal: Refusal) -> Refusal {
        match self.0 {
            Some((left, error)) if refusal.received().is_some_and(|received| received > left) => error.into(),
            _ => refusal,
        }
    }
}

/// The chunk's range from its `Content-Range`; without one, the chunk is appended.
fn chunk_of(call: &Call) -> Result<Option<Chunk>, Refusal> {
    let Some(text) = call.header(&CONTENT_RANGE) else { return Ok(None) };
    let length = call.header(&CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    match (Chunk::parse(text), length) {
        // Some clients finish an upload with an empty PUT that still has a `Content-Range`.
        (_, Some(0)) => Ok(None),
        (Some(chunk), Some(length)) if chunk.len() != length => Err(wrong_length(chunk.len(), length)),
        (Some(chunk), _) => Ok(Some(chunk)),
        (None, _) => {
            let detail = json!({ "content-range": text, "hint": "write `first-last`, without a unit" });
            let message = "the chunk's range is invalid";
            Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::BlobUploadInvalid, message, detail))
        }
    }
}

fn wrong_length(stated: u64, found: u64) -> Refusal {
    let detail = json!({ "said": stated, "found": found });
    let message = "the chunk's range and length differ";
    Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::SizeInvalid, message, detail)
}

/// A chunk at the wrong offset. The session continues where it was; the headers state the offset.
fn out_of_order(repository: &RepositoryName, id: &UploadId, offset: u64) -> Refusal {
    let detail = json!({ "next": offset, "hint": "send the chunk that starts at `next`" });
    let message = "the chunk does not start at the end of the received bytes";
    let mut refusal =
        Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::BlobUploadInvalid, message, detail);
    for (name, value) in
        [(LOCATION, answer::upload_path(repository, id)), (RANGE, answer::upload_range(offset))]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            refusal = refusal.header(name, value);
        }
    }
    refusal
}

async fn open(app: &Arc<App>, repository: &RepositoryName, id: &UploadId) -> Result<Upload, Refusal> {
    let (repository, id) = (repository.clone(), id.clone());
    app.run(move |store| {
        store.upload(&repository, &id)?.ok_or_else(|| Refusal::upload_unknown(&id.to_string()))
    })
    .await
}

/// Closes an upload on the blocking pool, because closing a file may wait for the disk.
async fn release(upload: Upload) {
    let _ = tokio::task::spawn_blocking(move || drop(upload)).await;
}

/// GET: the offset of a session, also while another request writes to it.
pub(super) async fn status(
    app: &Arc<App>,
    repository: RepositoryName,
    id: UploadId,
) -> Result<Response, Refusal> {
    let (name, session) = (repository.clone(), id.clone());
    let offset = app.run(move |store| Ok(store.upload_offset(&name, &session)?)).await?;
    let offset = offset.ok_or_else(|| Refusal::upload_unknown(&id.to_string()))?;
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    answer::upload_headers(response.headers_mut(), &repository, &id, offset);
    Ok(response)
}

/// DELETE: ends a session.
pub(super) async fn cancel(
    app: &Arc<App>,
    repository: RepositoryName,
    id: UploadId,
) -> Result<Response, Refusal> {
    app.run(move |store| {
        let ended = store.cancel_upload(&repository, &id)?;
        if ended { Ok(()) } else { Err(Refusal::upload_unknown(&id.to_string())) }
    })
    .await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

fn created(repository: &RepositoryName, digest: &Digest) -> Response {
    let mut response = answer::done(StatusCode::CREATED);
    let headers = response.headers_mut();
    answer::set(headers, LOCATION, answer::blob_path(repository, digest));
    answer::set(headers, answer::CONTENT_DIGEST, digest.to_string());
    response
}

//! Pushing blobs: one request, two, or many chunks, or a mount (end-4 to end-6, end-11, end-13, end-14).

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use oci::distribution::ErrorCode;
use oci::{Digest, RepositoryName};
use serde_json::json;
use store::{Change, Store, Upload, UploadId};

use super::range::Chunk;
use super::refusal::Refusal;
use super::{Asked, Registry, answer, transfer};

impl Registry {
    pub(super) async fn start_upload(
        &self,
        repository: RepositoryName,
        asked: &Asked,
        body: Body,
    ) -> Result<Response, Refusal> {
        if let Some(digest) = digest_of(asked, "mount")? {
            let from = asked.query.value("from").and_then(|from| from.parse::<RepositoryName>().ok());
            let named = asked.query.value("from").is_some();
            let target = repository.clone();
            let mounted =
                self.blocking(move |store| mount(store, target, digest, from.as_ref(), named)).await?;
            if let Some(response) = mounted {
                return Ok(response);
            }
        }
        let Some(digest) = digest_of(asked, "digest")? else {
            return self
                .blocking(move |store| {
                    let id = store.create_upload(&repository)?;
                    Ok(accepted(&repository, &id, 0, StatusCode::ACCEPTED))
                })
                .await;
        };
        self.push_at_once(repository, digest, asked, body).await
    }

    async fn push_at_once(
        &self,
        repository: RepositoryName,
        digest: Digest,
        asked: &Asked,
        body: Body,
    ) -> Result<Response, Refusal> {
        let empty = asked.headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
        let (owner, wanted) = (repository.clone(), digest.clone());
        let known = self.blocking(move |store| Ok(store.blob_in(&owner, &wanted)?.is_some())).await?;
        if known && empty {
            return Ok(created(&repository, &digest));
        }
        let owner = repository.clone();
        let (id, upload) = self
            .blocking(move |store| {
                let id = store.create_upload(&owner)?;
                let upload = open(store, &owner, &id)?;
                Ok((id, upload))
            })
            .await?;
        let outcome = match transfer::receive(body, upload, self.limits.idle).await {
            Ok(upload) => self.publish(repository.clone(), upload, digest).await,
            Err(refusal) => Err(refusal),
        };
        if outcome.is_err() {
            // Nobody knows this session's name.
            self.blocking(move |store| Ok(store.cancel_upload(&repository, &id)?)).await?;
        }
        outcome
    }

    pub(super) async fn append_upload(
        &self,
        repository: RepositoryName,
        id: UploadId,
        asked: &Asked,
        body: Body,
    ) -> Result<Response, Refusal> {
        let upload = self.continue_upload(&repository, &id, asked).await?;
        let upload = transfer::receive(body, upload, self.limits.idle).await?;
        Ok(accepted(&repository, &id, upload.offset(), StatusCode::ACCEPTED))
    }

    pub(super) async fn finish_upload(
        &self,
        repository: RepositoryName,
        id: UploadId,
        asked: &Asked,
        body: Body,
    ) -> Result<Response, Refusal> {
        let digest = digest_of(asked, "digest")?.ok_or_else(|| {
            let detail = json!({ "hint": "add ?digest=sha256:... to the upload's location" });
            Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::DigestInvalid, "the digest is missing", detail)
        })?;
        let upload = self.continue_upload(&repository, &id, asked).await?;
        let upload = transfer::receive(body, upload, self.limits.idle).await?;
        self.publish(repository, upload, digest).await
    }

    pub(super) async fn upload_status(
        &self,
        repository: RepositoryName,
        id: UploadId,
    ) -> Result<Response, Refusal> {
        self.blocking(move |store| {
            let offset = open(store, &repository, &id)?.offset();
            Ok(accepted(&repository, &id, offset, StatusCode::NO_CONTENT))
        })
        .await
    }

    pub(super) async fn cancel_upload(
        &self,
        repository: RepositoryName,
        id: UploadId,
    ) -> Result<Response, Refusal> {
        self.blocking(move |store| {
            if store.cancel_upload(&repository, &id)? {
                Ok(answer::empty(StatusCode::NO_CONTENT))
            } else {
                Err(Refusal::upload_unknown(&id.to_string()))
            }
        })
        .await
    }

    /// Opens a session for the chunk at hand, which must begin where the session ends.
    async fn continue_upload(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
        asked: &Asked,
    ) -> Result<Upload, Refusal> {
        let (owner, name) = (repository.clone(), id.clone());
        let upload = self.blocking(move |store| open(store, &owner, &name)).await?;
        if let Err(message) = check_chunk(&asked.headers, upload.offset()) {
            let detail =
                json!({ "offset": upload.offset(), "hint": "GET the upload's location tells where it ends" });
            let mut headers = HeaderMap::new();
            answer::upload_headers(&mut headers, repository, id, upload.offset());
            let mut refusal = Refusal::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                ErrorCode::BlobUploadInvalid,
                message,
                detail,
            );
            for name in [LOCATION, RANGE] {
                if let Some(value) = headers.remove(&name) {
                    refusal = refusal.header(name, value);
                }
            }
            return Err(refusal);
        }
        Ok(upload)
    }

    async fn publish(
        &self,
        repository: RepositoryName,
        upload: Upload,
        digest: Digest,
    ) -> Result<Response, Refusal> {
        self.blocking(move |store| {
            upload.publish(&digest)?;
            store
                .commit(vec![Change::LinkBlob { repository: repository.clone(), digest: digest.clone() }])?;
            Ok(created(&repository, &digest))
        })
        .await
    }
}

fn check_chunk(headers: &HeaderMap, offset: u64) -> Result<(), &'static str> {
    let Some(range) = headers.get(CONTENT_RANGE) else { return Ok(()) };
    let chunk = range.to_str().ok().and_then(Chunk::parse).ok_or("the chunk's range cannot be understood")?;
    if chunk.first != offset {
        return Err("the chunk does not begin where the upload ends");
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length != chunk.len()) {
        return Err("the chunk's range and length differ");
    }
    Ok(())
}

/// Links a blob of another repository; `None` where there is nothing to link, and an upload begins instead.
fn mount(
    store: &Store,
    repository: RepositoryName,
    digest: Digest,
    from: Option<&RepositoryName>,
    named: bool,
) -> Result<Option<Response>, Refusal> {
    let found = match from {
        Some(from) => store.blob_in(from, &digest)?.is_some(),
        None if named => false,
        None => store.repository_with_blob(&digest)?.is_some(),
    };
    if !found || store.has_blob(&digest)?.is_none() {
        return Ok(None);
    }
    let response = created(&repository, &digest);
    store.commit(vec![Change::LinkBlob { repository, digest }])?;
    Ok(Some(response))
}

fn open(store: &Store, repository: &RepositoryName, id: &UploadId) -> Result<Upload, Refusal> {
    store.upload(repository, id)?.ok_or_else(|| Refusal::upload_unknown(&id.to_string()))
}

fn digest_of(asked: &Asked, key: &str) -> Result<Option<Digest>, Refusal> {
    let parse = |text: &str| text.parse().map_err(|error| Refusal::invalid(ErrorCode::DigestInvalid, &error));
    asked.query.value(key).map(parse).transpose()
}

fn accepted(repository: &RepositoryName, id: &UploadId, offset: u64, status: StatusCode) -> Response {
    let mut response =
        if status == StatusCode::NO_CONTENT { answer::empty(status) } else { answer::done(status) };
    answer::upload_headers(response.headers_mut(), repository, id, offset);
    response
}

fn created(repository: &RepositoryName, digest: &Digest) -> Response {
    let mut response = answer::done(StatusCode::CREATED);
    let headers = response.headers_mut();
    answer::set(headers, LOCATION, answer::blob_path(repository, digest));
    answer::set(headers, answer::CONTENT_DIGEST, digest.to_string());
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

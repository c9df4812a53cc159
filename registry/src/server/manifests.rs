//! Pulling, pushing and deleting manifests (end-3, end-7, end-9).

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use oci::distribution::ErrorCode;
use oci::{Digest, Manifest, MediaType, RepositoryName, Selector, Tag};
use serde_json::json;
use store::{Change, Store};

use super::refusal::Refusal;
use super::{Asked, Registry, answer, set_namespace};

/// Tags that one push may set by `?tag=`.
const MOST_TAGS: usize = 100;

impl Registry {
    pub(super) async fn pull_manifest(
        &self,
        repository: RepositoryName,
        selector: Selector,
        asked: &Asked,
    ) -> Result<Response, Refusal> {
        let (repository, namespace) = self.namespaced(repository, asked).await?;
        let lasting = match selector {
            Selector::Digest(_) => self.lasting(),
            Selector::Tag(_) => answer::Lasting::Movable,
        };
        let (digest, manifest) = self
            .blocking(move |store| {
                let unknown = || Refusal::manifest_unknown(&repository, &selector);
                let row = store.resolve(&repository, &selector)?.ok_or_else(unknown)?;
                let manifest = store.manifest(&repository, &row.digest)?.ok_or_else(unknown)?;
                Ok((row.digest, manifest))
            })
            .await?;
        let mut response = if answer::is_known(&asked.headers, &digest) {
            answer::empty(StatusCode::NOT_MODIFIED)
        } else {
            let body = if asked.method == Method::HEAD { Bytes::new() } else { manifest.bytes().clone() };
            let mut response = Response::new(Body::from(body));
            let headers = response.headers_mut();
            answer::set(headers, CONTENT_TYPE, manifest.media_type().as_str());
            headers.insert(CONTENT_LENGTH, HeaderValue::from(manifest.bytes().len()));
            response
        };
        answer::identify(response.headers_mut(), &digest, lasting);
        set_namespace(&mut response, namespace);
        Ok(response)
    }

    pub(super) async fn push_manifest(
        &self,
        repository: RepositoryName,
        selector: Selector,
        asked: &Asked,
        body: Body,
    ) -> Result<Response, Refusal> {
        let bytes = self.manifest_body(body).await?;
        let sent_as =
            asked.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()?.parse::<MediaType>().ok());
        let manifest =
            Manifest::parse(bytes, sent_as.as_ref()).map_err(|error| Refusal::manifest_invalid(&error))?;
        let digest = match &selector {
            Selector::Tag(_) => manifest.digest(),
            Selector::Digest(expected) => {
                let found = Digest::of(expected.algorithm(), manifest.bytes());
                if found != *expected {
                    return Err(Refusal::blob_mismatch(expected, &found));
                }
                found
            }
        };
        let tags = tags(&selector, asked)?;
        let mut response = answer::done(StatusCode::CREATED);
        let headers = response.headers_mut();
        answer::set(headers, LOCATION, answer::manifest_path(&repository, &selector));
        answer::set(headers, answer::CONTENT_DIGEST, digest.to_string());
        if let Some(subject) = manifest.subject() {
            answer::set(headers, answer::OCI_SUBJECT, subject.digest.to_string());
        }
        if matches!(selector, Selector::Digest(_)) && !tags.is_empty() {
            let names: Vec<_> = tags.iter().map(Tag::as_str).collect();
            answer::set(headers, answer::OCI_TAG, names.join(", "));
        }
        self.blocking(move |store| put(store, &repository, &digest, manifest, tags)).await?;
        Ok(response)
    }

    async fn manifest_body(&self, body: Body) -> Result<Bytes, Refusal> {
        let limit = self.limits.manifest;
        let collected = tokio::time::timeout(self.limits.idle, Limited::new(body, limit).collect()).await;
        match collected {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let detail = json!({ "limit": limit });
                let message = "the manifest is too large";
                Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::ManifestInvalid, message, detail))
            }
            Ok(Err(_)) | Err(_) => Err(Refusal::body_lost(0)),
        }
    }

    pub(super) async fn delete_manifest(
        &self,
        repository: RepositoryName,
        selector: Selector,
    ) -> Result<Response, Refusal> {
        self.blocking(move |store| {
            if store.resolve(&repository, &selector)?.is_none() {
                return Err(Refusal::manifest_unknown(&repository, &selector));
            }
            store.commit(vec![match selector {
                Selector::Tag(tag) => Change::DeleteTag { repository, tag },
                Selector::Digest(digest) => Change::DeleteManifest { repository, digest },
            }])?;
            Ok(answer::done(StatusCode::ACCEPTED))
        })
        .await
    }
}

/// The tags that a push sets: the one in the path, or those of `?tag=` beside a digest.
fn tags(selector: &Selector, asked: &Asked) -> Result<Vec<Tag>, Refusal> {
    let parse =
        |text: &str| text.parse().map_err(|error| Refusal::invalid(ErrorCode::ManifestInvalid, &error));
    match selector {
        Selector::Tag(tag) => Ok(vec![tag.clone()]),
        Selector::Digest(_) => {
            let tags: Vec<Tag> = asked.query.values("tag").map(parse).collect::<Result<_, _>>()?;
            if tags.len() > MOST_TAGS {
                let detail = json!({ "limit": MOST_TAGS });
                return Err(Refusal::new(
                    StatusCode::URI_TOO_LONG,
                    ErrorCode::Unsupported,
                    "too many tags",
                    detail,
                ));
            }
            Ok(tags)
        }
    }
}

/// Checks that all blobs are there, then publishes manifest and tags together. Children of an index may be
/// absent (a sparse index), and so may the subject and layers that must not be distributed.
fn put(
    store: &Store,
    repository: &RepositoryName,
    digest: &Digest,
    manifest: Manifest,
    tags: Vec<Tag>,
) -> Result<(), Refusal> {
    let mut missing = Vec::new();
    for blob in manifest.blobs() {
        let elsewhere = blob.media_type.is_foreign() || !blob.urls.is_empty();
        if !elsewhere && store.blob_in(repository, &blob.digest)?.is_none() {
            missing.push(blob.digest.clone());
        }
    }
    if !missing.is_empty() {
        return Err(Refusal::blobs_missing(repository, &missing));
    }
    let mut changes =
        vec![Change::PutManifest { repository: repository.clone(), digest: digest.clone(), manifest }];
    changes.extend(tags.into_iter().map(|tag| Change::SetTag {
        repository: repository.clone(),
        tag,
        digest: digest.clone(),
    }));
    Ok(store.commit(changes)?)
}

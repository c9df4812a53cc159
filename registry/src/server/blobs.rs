//! Pulling and deleting blobs (end-2, end-10).

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE};
use http::{HeaderValue, Method, StatusCode};
use oci::distribution::ErrorCode;
use oci::{Digest, RepositoryName};
use serde_json::json;
use store::{BlobFile, Change};

use super::range::{Span, Wanted, wanted};
use super::refusal::Refusal;
use super::{Asked, Registry, answer, set_namespace, transfer};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Between the parts of an answer with several ranges. Clients want letters, digits, `:` and `-` only.
const BOUNDARY: &str = "airlock-range-7f3a9c51";

impl Registry {
    pub(super) async fn pull_blob(
        &self,
        repository: RepositoryName,
        digest: Digest,
        asked: &Asked,
    ) -> Result<Response, Refusal> {
        let (repository, namespace) = self.namespaced(repository, asked).await?;
        let wanted = digest.clone();
        let blob = self.blocking(move |store| {
            let linked = store.blob_in(&repository, &wanted)?.is_some();
            let blob = if linked { store.blob(&wanted)? } else { None };
            blob.ok_or_else(|| Refusal::blob_unknown(&repository, &wanted))
        });
        let blob = blob.await?;
        let mut response = if answer::is_known(&asked.headers, &digest) {
            answer::empty(StatusCode::NOT_MODIFIED)
        } else {
            content(blob, &digest, asked)?
        };
        answer::identify(response.headers_mut(), &digest, self.lasting());
        set_namespace(&mut response, namespace);
        Ok(response)
    }

    pub(super) async fn delete_blob(
        &self,
        repository: RepositoryName,
        digest: Digest,
    ) -> Result<Response, Refusal> {
        self.blocking(move |store| {
            if store.blob_in(&repository, &digest)?.is_none() {
                return Err(Refusal::blob_unknown(&repository, &digest));
            }
            if store.blob_is_referenced(&repository, &digest)? {
                let detail = json!({ "digest": digest.to_string(), "hint": "delete the manifests that name it first" });
                let message = "a manifest of the repository names the blob";
                return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message, detail));
            }
            store.commit(vec![Change::UnlinkBlob { repository, digest }])?;
            Ok(answer::done(StatusCode::ACCEPTED))
        })
        .await
    }
}

/// The blob, or what was asked of it.
fn content(blob: BlobFile, digest: &Digest, asked: &Asked) -> Result<Response, Refusal> {
    let size = blob.size;
    let current =
        asked.headers.get(IF_RANGE).is_none_or(|etag| etag.as_bytes() == answer::etag(digest).as_bytes());
    let range = asked.headers.get(RANGE).and_then(|range| range.to_str().ok());
    let wanted = match range {
        Some(range) if current && asked.method == Method::GET => wanted(range, size),
        _ => Wanted::Whole,
    };
    let mut response = match wanted {
        Wanted::Whole if asked.method == Method::HEAD => sized(StatusCode::OK, Body::empty(), size),
        Wanted::Whole => whole(blob),
        Wanted::Spans(spans) => match spans[..] {
            [span] => part(blob, span),
            _ => parts(blob, &spans),
        },
        Wanted::Unsatisfiable => {
            let value = HeaderValue::from_str(&format!("bytes */{size}"))
                .map_err(|error| Refusal::internal(&error))?;
            let detail = json!({ "size": size });
            let message = "the blob has no such range";
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            return Err(
                Refusal::new(status, ErrorCode::SizeInvalid, message, detail).header(CONTENT_RANGE, value)
            );
        }
        Wanted::TooMany => return Err(Refusal::query("Range")),
    };
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.entry(CONTENT_TYPE).or_insert(OCTETS);
    Ok(response)
}

fn whole(blob: BlobFile) -> Response {
    let size = blob.size;
    let spans = if size == 0 { Vec::new() } else { vec![Span { start: 0, len: size }] };
    sized(StatusCode::OK, Body::from_stream(transfer::download(blob.file, spans)), size)
}

fn part(blob: BlobFile, span: Span) -> Response {
    let value = span.content_range(blob.size);
    let body = Body::from_stream(transfer::download(blob.file, vec![span]));
    let mut response = sized(StatusCode::PARTIAL_CONTENT, body, span.len);
    answer::set(response.headers_mut(), CONTENT_RANGE, value);
    response
}

/// Several ranges, in the order asked, each a part of its own (RFC 9110, section 14.6).
fn parts(blob: BlobFile, spans: &[Span]) -> Response {
    let head = |span: &Span| {
        let range = span.content_range(blob.size);
        format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\nContent-Range: {range}\r\n\r\n"
        )
    };
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    let length = spans.iter().map(|span| head(span).len() as u64 + span.len).sum::<u64>() + end.len() as u64;
    let file = std::sync::Arc::new(blob.file);
    let pieces: Vec<_> = spans.iter().map(|span| (head(span), *span)).collect();
    let bodies = stream::iter(pieces).flat_map(move |(head, span)| {
        let head = stream::iter([Ok(Bytes::from(head))]);
        // Parts are read one after another, each with its own handle on the file.
        let content = match file.try_clone() {
            Ok(file) => transfer::download(file, vec![span]).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        };
        head.chain(content)
    });
    let body = Body::from_stream(bodies.chain(stream::iter([Ok(Bytes::from(end))])));
    let mut response = sized(StatusCode::PARTIAL_CONTENT, body, length);
    let kind = format!("multipart/byteranges; boundary={BOUNDARY}");
    answer::set(response.headers_mut(), CONTENT_TYPE, kind);
    response
}

fn sized(status: StatusCode, body: Body, length: u64) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

//! Blob downloads: complete, partial, or in several parts.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, StatusCode};
use oci::distribution::ErrorCode;
use oci::{Digest, RepositoryName};
use serde_json::json;
use store::{BlobFile, Change, Identity, Store};

use super::App;
use super::answer::{self, Lasting};
use super::content::{Content, FilePart, Findings, Part};
use super::download::{self, TransferPermit};
use super::handle::{Call, RepositoryCandidate};
use super::observe::{Changed, Operation};
use super::range::{self, Span, Wanted};
use super::refusal::Refusal;
use super::sendfile::{self, Queue};

/// How long a transfer waits before others that keep the server waiting end, one at a time.
const RELIEF: Duration = Duration::from_millis(250);

const OCTETS: &str = "application/octet-stream";

/// GET or HEAD of a blob in the repository.
pub(super) async fn pull(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    digest: Digest,
) -> Result<Response, Refusal> {
    let candidates = call.candidates(&repository);
    let wanted = digest.clone();
    let head = call.is_head();
    let (candidate, blob) = app
        .run(move |store| {
            if head {
                // A client that pushes asks first, and then relies on the answer.
                store.has_blob(&wanted)?;
            }
            find(store, candidates, &repository, &wanted)
        })
        .await?;
    let lasting = app.lasting(call);
    if answer::is_known(&call.head.headers, &digest) {
        let mut response = answer::empty(StatusCode::NOT_MODIFIED);
        answer::identify(response.headers_mut(), &digest, lasting);
        return Ok(response);
    }
    let plan = Plan::of(call, &digest, blob.size)?;
    let body = if call.is_head() {
        Body::empty()
    } else {
        send(app, call, content(app, &digest, blob, plan.segments)).await?
    };
    let mut response = Response::new(body);
    *response.status_mut() = plan.status;
    let headers = response.headers_mut();
    headers.extend(plan.headers);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer::identify(headers, &digest, lasting);
    candidate.set_namespace(&mut response);
    Ok(response)
}

/// The segments of a blob.
fn content(app: &App, digest: &Digest, blob: BlobFile, segments: Vec<Segment>) -> Content {
    let BlobFile { file, size, identity, hashed } = blob;
    let findings = Box::new(StoredBlob { store: app.store.clone(), digest: digest.clone(), identity });
    // A single span of all bytes is the whole blob, even if the client requested a range.
    let is_whole = segments == [Segment::File(Span { start: 0, len: size })];
    let file = Arc::new(file);
    let part = |segment| match segment {
        Segment::Text(bytes) => Part::Text(bytes),
        Segment::File(Span { start, len }) => {
            Part::File(FilePart { file: Arc::clone(&file), at: start, len })
        }
    };
    let parts = segments.into_iter().map(part).collect();
    if is_whole {
        Content::whole(parts, digest.clone(), hashed, findings)
    } else {
        Content::partial(parts, digest.clone(), findings)
    }
}

async fn send(app: &App, call: &Call, mut content: Content) -> Result<Body, Refusal> {
    if let Some(bytes) = content.small() {
        return Ok(Body::from(bytes));
    }
    let permit = app.transfer(call).await?;
    Ok(match call.head.extensions.get::<Queue>() {
        Some(queue) => sendfile::body(queue.clone(), content, permit),
        None => download::body(content, app.limits.pace(), permit),
    })
}

/// A blob of the store whose bytes are sent.
struct StoredBlob {
    store: Store,
    digest: Digest,
    identity: Identity,
}

impl Findings for StoredBlob {
    fn is_sound(&self) {
        self.store.record_hashed(&self.digest, self.identity);
    }

    /// Moves a damaged blob to the quarantine before the client gets the error, so that a retry does not find it.
    fn is_damaged(&self, error: &io::Error) {
        let (digest, sound) = (&self.digest, self.store.verify_blob(&self.digest));
        tracing::error!(%digest, %error, ?sound, "a blob cannot be read, or does not match its digest");
    }
}

/// A blob whose file is missing or truncated counts as absent, so that clients push it again.
fn find(
    store: &Store,
    candidates: Vec<RepositoryCandidate>,
    requested: &RepositoryName,
    digest: &Digest,
) -> Result<(RepositoryCandidate, BlobFile), Refusal> {
    for candidate in candidates {
        let Some(size) = store.blob_in(&candidate.repository, digest)? else { continue };
        match store.blob(digest)? {
            Some(blob) if blob.size == size => return Ok((candidate, blob)),
            Some(_) | None => tracing::error!(%digest, "a blob's file is damaged or missing"),
        }
    }
    Err(Refusal::blob_unknown(requested, digest))
}

/// A segment of a response body.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(Bytes),
    File(Span),
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::Text(bytes) => bytes.len() as u64,
            Self::File(span) => span.len,
        }
    }
}

/// The planned response to a download.
#[derive(Debug)]
struct Plan {
    status: StatusCode,
    headers: HeaderMap,
    segments: Vec<Segment>,
}

impl Plan {
    fn of(call: &Call, digest: &Digest, size: u64) -> Result<Self, Refusal> {
        let current = call.header(&IF_RANGE).is_none_or(|known| known == answer::etag(digest));
        let wanted = match call.header(&RANGE) {
            Some(range) if current && !call.is_head() => range::wanted(range, size),
            _ => Wanted::Whole,
        };
        match wanted {
            Wanted::Whole => {
                let span = Span { start: 0, len: size };
                Ok(Self::new(StatusCode::OK, OCTETS, vec![Segment::File(span)]))
            }
            Wanted::Spans(spans) => match spans[..] {
                [span] => {
                    let mut plan = Self::new(StatusCode::PARTIAL_CONTENT, OCTETS, vec![Segment::File(span)]);
                    answer::set(&mut plan.headers, CONTENT_RANGE, span.content_range(size));
                    Ok(plan)
                }
                _ => Ok(Self::parts(&spans, digest, size)),
            },
            Wanted::Unsatisfiable => Err(unsatisfiable(size)),
            Wanted::TooMany => {
                let message = "the request has too many ranges";
                let detail = json!({ "most": range::MOST_RANGES });
                Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::Unsupported, message, detail))
            }
        }
    }

    /// One part for each span, in the requested order, because clients count them.
    fn parts(spans: &[Span], digest: &Digest, size: u64) -> Self {
        // Unlike in mail, parts have lengths, so the boundary need not be absent from the blob.
        let boundary = &digest.hex()[..32];
        let mut segments = Vec::with_capacity(spans.len() * 2 + 1);
        for (index, span) in spans.iter().enumerate() {
            let line = if index == 0 { "" } else { "\r\n" };
            let range = span.content_range(size);
            let head =
                format!("{line}--{boundary}\r\nContent-Type: {OCTETS}\r\nContent-Range: {range}\r\n\r\n");
            segments.push(Segment::Text(Bytes::from(head)));
            segments.push(Segment::File(*span));
        }
        segments.push(Segment::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
        let content_type = format!("multipart/byteranges; boundary={boundary}");
        Self::new(StatusCode::PARTIAL_CONTENT, &content_type, segments)
    }

    fn new(status: StatusCode, content_type: &str, segments: Vec<Segment>) -> Self {
        let mut headers = HeaderMap::new();
        answer::set(&mut headers, CONTENT_TYPE, content_type);
        headers.insert(CONTENT_LENGTH, segments.iter().map(Segment::len).sum::<u64>().into());
        Self { status, headers, segments }
    }
}

fn unsatisfiable(size: u64) -> Refusal {
    let message = "the blob has no bytes in the range";
    let refusal = Refusal::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorCode::SizeInvalid,
        message,
        json!({ "size": size }),
    );
    match HeaderValue::from_str(&format!("bytes */{size}")) {
        Ok(value) => refusal.header(CONTENT_RANGE, value),
        Err(_) => refusal,
    }
}

/// Removes a blob from a repository, if no manifest uses it.
pub(super) async fn delete(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    digest: Digest,
) -> Result<Response, Refusal> {
    let visitor = call.visitor();
    app.change(call, move |store| {
        if store.blob_in(&repository, &digest)?.is_none() {
            return Err(Refusal::blob_unknown(&repository, &digest));
        }
        if store.blob_is_referenced(&repository, &digest)? {
            let detail = json!({
                "digest": digest.to_string(),
                "hint": "delete the manifests that use the blob first",
            });
            let message = "a manifest in the repository uses the blob";
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorCode::Unsupported,
                message,
                detail,
            ));
        }
        store.commit(vec![Change::UnlinkBlob { repository: repository.clone(), digest: digest.clone() }])?;
        Ok(Changed {
            operation: Operation::DeleteBlob,
            repository,
            digest: Some(digest),
            tags: Vec::new(),
            manifest: None,
            visitor,
        })
    })
    .await?;
    Ok(answer::done(StatusCode::ACCEPTED))
}

impl App {
    /// How long content that is requested by digest may be cached, and by whom.
    pub(super) fn lasting(&self, call: &Call) -> Lasting {
        let private =
            self.authenticator.is_closed() || call.head.headers.contains_key(http::header::AUTHORIZATION);
        if private { Lasting::Private } else { Lasting::Public }
    }

    /// Waits until another transfer may start. This limits the memory for buffers; each client has a limited share. If all
    /// transfers are in use, those that keep the server waiting end.
    pub(super) async fn transfer(&self, call: &Call) -> Result<TransferPermit, Refusal> {
        let _waiting = self.metrics.waiting();
        let parties = call.parties();
        let mut acquiring = std::pin::pin!(self.transfers.acquire(&parties));
        let deadline = Instant::now() + self.limits.stall;
        loop {
            match tokio::time::timeout(RELIEF, acquiring.as_mut()).await {
                Ok(Some(ticket)) => return Ok(TransferPermit::new(ticket, self.transfers.clone())),
                Err(_) if Instant::now() < deadline => {}
                Ok(None) | Err(_) => return Err(Refusal::too_many("too many transfers are in progress")),
            }
            let (used, most) = self.transfers.in_use();
            if used == most {
                call.relieve();
            }
        }
    }
}

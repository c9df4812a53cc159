//! Bytes between connections and files. Each stream holds two buffers at most, and crosses to the blocking pool
//! once for each of them, never for a small frame.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, Stream};
use http_body_util::BodyExt as _;
use store::Upload;
use tokio::task::JoinHandle;

use super::range::Span;
use super::refusal::Refusal;

/// The unit of reading and writing.
const BUFFER: usize = 256 * 1024;

/// Runs `work` on the blocking pool.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Refusal::internal(&error)),
    }
}

/// A file's spans as a stream; while one buffer is sent, the next is read.
pub(super) fn download(file: File, spans: Vec<Span>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let mut rest = spans.into_iter().rev().collect::<Vec<_>>();
    let first = next(&mut rest).map(|span| read(file, span));
    stream::unfold((first, rest), |(reading, mut rest)| async move {
        let outcome = reading?.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        match outcome {
            Ok((file, bytes)) => {
                let reading = next(&mut rest).map(|span| read(file, span));
                Some((Ok(bytes), (reading, rest)))
            }
            Err(error) => Some((Err(error), (None, Vec::new()))),
        }
    })
}

type Reading = JoinHandle<io::Result<(File, Bytes)>>;

/// Takes the next buffer's worth off the spans, which are in reverse order.
fn next(rest: &mut Vec<Span>) -> Option<Span> {
    let span = rest.pop()?;
    let len = span.len.min(BUFFER as u64);
    if len < span.len {
        rest.push(Span { start: span.start + len, len: span.len - len });
    }
    Some(Span { start: span.start, len })
}

fn read(mut file: File, span: Span) -> Reading {
    tokio::task::spawn_blocking(move || {
        file.seek(SeekFrom::Start(span.start))?;
        let mut bytes = Vec::with_capacity(usize::try_from(span.len).unwrap_or(BUFFER));
        (&mut file).take(span.len).read_to_end(&mut bytes)?;
        // A blob is immutable: a shorter file is damaged, and the connection must break, not end early.
        if bytes.len() as u64 == span.len {
            Ok((file, bytes.into()))
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    })
}

/// Appends a body to an upload. When the body breaks off, what came before stays in the session.
pub(super) async fn receive(mut body: Body, mut upload: Upload, idle: Duration) -> Result<Upload, Refusal> {
    let mut batch: Vec<Bytes> = Vec::new();
    let mut held = 0;
    let mut received = 0;
    loop {
        let frame = match tokio::time::timeout(idle, body.frame()).await {
            Ok(None) => return append(upload, batch).await,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) | Err(_) => {
                append(upload, batch).await?;
                return Err(Refusal::body_lost(received));
            }
        };
        if let Ok(bytes) = frame.into_data() {
            held += bytes.len();
            received += bytes.len() as u64;
            batch.push(bytes);
        }
        if held >= BUFFER {
            held = 0;
            upload = append(upload, std::mem::take(&mut batch)).await?;
        }
    }
}

async fn append(mut upload: Upload, batch: Vec<Bytes>) -> Result<Upload, Refusal> {
    blocking(move || {
        for bytes in &batch {
            upload.write(bytes)?;
        }
        Ok(upload)
    })
    .await
}

//! Writes request bodies to the store: frames are gathered, and written and hashed on the blocking pool in large batches
//! while the next batch arrives.

use std::mem;
use std::time::Instant;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body::Body as _;
use store::{BlobWriter, Upload};
use tokio::task::JoinHandle;

use super::download::TransferPermit;
use super::guard::pace::{Credit, Pace};
use super::refusal::Refusal;

/// Receives the bytes.
pub(super) trait Sink: Send + 'static {
    fn write(&mut self, bytes: &[u8]) -> store::Result<()>;
}

impl Sink for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> store::Result<()> {
        Self::write(self, bytes)
    }
}

impl Sink for Upload {
    fn write(&mut self, bytes: &[u8]) -> store::Result<()> {
        Self::write(self, bytes)
    }
}

/// Writes a body, and returns the sink with the number of bytes. The bytes of an interrupted body are written, too, so that
/// an upload can resume. A body that is longer than `most` is refused immediately.
pub(super) async fn receive<S: Sink>(
    sink: S,
    body: Body,
    most: Option<u64>,
    (pace, permit): (Pace, &TransferPermit),
) -> Result<(S, u64), Refusal> {
    if body.is_end_stream() {
        return Ok((sink, 0));
    }
    let (mut frames, mut credit) = (body.into_data_stream(), Credit::new(pace));
    let mut writing = spawn(sink, Vec::new());
    let mut received = 0_u64;
    loop {
        let (batch, end) = gather(&mut frames, permit.buffer_size(), &mut credit).await;
        let len: u64 = batch.iter().map(|frame| frame.len() as u64).sum();
        received += len;
        let sink = join(writing).await?;
        if most.is_some_and(|most| received > most) {
            return Err(Refusal::body_too_long(received));
        }
        writing = spawn(sink, batch);
        match end {
            End::More => {}
            End::Whole => return Ok((join(writing).await?, received)),
            End::Lost => {
                join(writing).await?;
                return Err(Refusal::body_lost(received));
            }
        }
    }
}

enum End {
    More,
    Whole,
    Lost,
}

/// Gathers a batch. A client that sends too slowly counts as interrupted.
async fn gather(frames: &mut BodyDataStream, size: u64, credit: &mut Credit) -> (Vec<Bytes>, End) {
    let mut batch = Vec::new();
    let mut len = 0;
    while len < size {
        let begun = Instant::now();
        match tokio::time::timeout(credit.left(), frames.next()).await {
            Ok(Some(Ok(bytes))) => {
                let kept_pace = credit.spend(begun.elapsed(), bytes.len() as u64);
                len += bytes.len() as u64;
                batch.push(bytes);
                if !kept_pace {
                    return (batch, End::Lost);
                }
            }
            Ok(None) => return (batch, End::Whole),
            Ok(Some(Err(_))) | Err(_) => return (batch, End::Lost),
        }
    }
    (batch, End::More)
}

fn spawn<S: Sink>(mut sink: S, mut batch: Vec<Bytes>) -> JoinHandle<store::Result<S>> {
    tokio::task::spawn_blocking(move || {
        for bytes in mem::take(&mut batch) {
            sink.write(&bytes)?;
        }
        Ok(sink)
    })
}

async fn join<S>(writing: JoinHandle<store::Result<S>>) -> Result<S, Refusal> {
    Ok(writing.await.map_err(|error| Refusal::internal(&error))??)
}

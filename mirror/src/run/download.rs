//! Downloads one blob from its origin into the store. An interrupted download resumes where it stopped; content that does
//! not match its digest is dropped and fetched again, whether it came in this run or in an earlier one.

use std::io::Read as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::StreamExt as _;
use registry::client::Client;
use store::{PartialBlob, Store};

use super::downloads::{Download, Origin};
use super::error::WrongContent;
use super::{Error, fetch};
use crate::reporter::Reporter;
use crate::source::archive::Slice;

/// Bytes are written to the store in batches of this size.
const BATCH: usize = 512 * 1024;
/// How often a download that was interrupted without progress is retried.
const MOST_RETRIES: u32 = 6;
/// An interrupted download has made progress if it received at least this number of bytes.
const PROGRESS: u64 = 1 << 20;
/// The pause between checks of a blob that another process fetches.
const PAUSE: Duration = Duration::from_millis(200);
/// How often content that does not match its digest is fetched again.
const MOST_REFETCHES: u32 = 2;

/// The sender of the bytes, for messages.
struct Sender {
    name: String,
    html: bool,
    encoding: Option<String>,
}

/// The attempts so far.
struct Attempts {
    failures: u32,
    refetches: u32,
    /// The offset of the last failure.
    at: u64,
    /// The bytes reported so far.
    counted: u64,
}

/// Fetches a blob, makes it durable and returns its size. If only referrers list the blob, with different sizes, each
/// size is tried, because it is not known in advance which of them is correct.
///
/// # Errors
/// [`Error::Fetch`] or [`Error::Content`], when retries did not help.
pub(super) async fn download(
    wanted: &Download,
    client: &Client,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<u64, Error> {
    let mut outcome = one_size(wanted, client, store, reporter).await;
    for size in &wanted.sizes {
        if !matches!(&outcome, Err(error) if error.is_broken()) {
            break;
        }
        let mut other = wanted.clone();
        other.blob.size = *size;
        outcome = one_size(&other, client, store, reporter).await;
    }
    outcome
}

async fn one_size(
    download: &Download,
    client: &Client,
    store: &Store,
    reporter: &dyn Reporter,
) -> Result<u64, Error> {
    let mut partial = match claim(download, store, reporter).await? {
        BlobClaim::Acquired(partial) => partial,
        BlobClaim::Fetched(size) => {
            reporter.advance(size);
            return Ok(size);
        }
    };
    let mut attempts = Attempts { failures: 0, refetches: 0, at: 0, counted: 0 };
    // A partial blob from an earlier run may be complete, or wrong.
    if download.size().is_some_and(|size| partial.len() >= size) && !is_right(download, &partial) {
        partial.truncate()?;
    }
    let (mut origin, mut others) = (&download.origin, download.others.iter());
    loop {
        attempts.report(&partial, reporter);
        if download.size().is_some() && is_right(download, &partial) {
            break;
        }
        let attempt = transfer(download, origin, client, partial).await?;
        partial = attempt.partial;
        match attempt.outcome {
            Ok(_) if is_right(download, &partial) => break,
            Ok(sender) => {
                let error = wrong_content(download, &partial, &sender);
                partial.truncate()?;
                if sender.html
                    || attempts.refetches >= MOST_REFETCHES
                    || matches!(origin, Origin::Slice(_) | Origin::Inline(_))
                {
                    return Err(error);
                }
                attempts.refetches += 1;
                reporter.warn(&format!("{error}; fetching it again"));
            }
            // A registry may lack a foreign layer: try its other origins.
            Err(error) if download.is_foreign() && error.is_absent() => {
                let (image, layer) = (download.name.clone(), download.blob.digest.clone());
                let reason = "neither in its registry nor at an allowed URL";
                origin = others.next().ok_or(Error::Layer { image, layer, reason })?;
                partial.truncate()?;
            }
            Err(error) => attempts.retry(download, &partial, error, reporter).await?,
        }
    }
    let (size, counted) = (partial.len(), attempts.counted);
    fetch::blocking(move || Ok(partial.publish()?)).await?;
    reporter.advance(size.saturating_sub(counted));
    Ok(size)
}

/// The result of claiming a blob.
enum BlobClaim {
    Acquired(Box<PartialBlob>),
    /// Another process fetched the blob while this one waited.
    Fetched(u64),
}

/// Claims a blob. Waits while another process fetches it, for as long as commands wait for each other.
async fn claim(download: &Download, store: &Store, reporter: &dyn Reporter) -> Result<BlobClaim, Error> {
    let begun = Instant::now();
    loop {
        let (digest, target) = (download.blob.digest.clone(), store.clone());
        let opened = fetch::blocking(move || Ok(target.partial(&digest))).await?;
        let busy = match opened {
            Err(busy @ store::Error::PartialBusy { .. }) if begun.elapsed() < store::PATIENCE => busy,
            opened => return Ok(BlobClaim::Acquired(Box::new(opened?))),
        };
        if begun.elapsed() < PAUSE {
            reporter.warn(&format!("{}: {busy}; waiting", download.name));
        }
        tokio::time::sleep(PAUSE).await;
        let there = store.has_blob(&download.blob.digest)?;
        if let Some(size) = there.filter(|size| download.size().is_none_or(|expected| expected == *size)) {
            return Ok(BlobClaim::Fetched(size));
        }
    }
}

impl Attempts {
    fn report(&mut self, partial: &PartialBlob, reporter: &dyn Reporter) {
        reporter.advance(partial.len().saturating_sub(self.counted));
        self.counted = self.counted.max(partial.len());
    }

    /// Waits before the next attempt, or fails if there are no more attempts.
    async fn retry(
        &mut self,
        download: &Download,
        partial: &PartialBlob,
        error: registry::client::Error,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        if let registry::client::Error::Short { at, .. } = &error
            && partial.digest() == download.blob.digest
        {
            // The content matches the digest, so the stated size is wrong.
            let sender = Sender { name: at.to_string(), html: false, encoding: None };
            return Err(wrong_content(download, partial, &sender));
        }
        if partial.len() >= self.at.saturating_add(PROGRESS) {
            self.failures = 0;
        }
        if !error.is_passing() || self.failures >= MOST_RETRIES {
            return Err(Error::Fetch { item: named(download), source: error });
        }
        self.failures += 1;
        self.at = partial.len();
        reporter.warn(&format!("{}: {error}; trying again", download.name));
        tokio::time::sleep(Duration::from_millis(250 << self.failures)).await;
        Ok(())
    }
}

fn is_right(download: &Download, partial: &PartialBlob) -> bool {
    download.size().is_none_or(|size| size == partial.len()) && partial.digest() == download.blob.digest
}

fn named(download: &Download) -> String {
    if download.size().is_none() {
        return download.name.clone();
    }
    format!("{}, blob {}", download.name, download.blob.digest)
}

fn wrong_content(download: &Download, partial: &PartialBlob, sender: &Sender) -> Error {
    let rule = match download.size() {
        Some(size) if size != partial.len() => format!("its size must be {size} bytes"),
        _ if sender.html => {
            "the server sent an HTML page, most often a login or error page instead of the file".to_owned()
        }
        _ => match &sender.encoding {
            Some(encoding) => format!("the server states the content encoding `{encoding}`"),
            None => "the bytes must match their digest".to_owned(),
        },
    };
    Error::Content(Box::new(WrongContent {
        item: named(download),
        from: sender.name.clone(),
        size: partial.len(),
        found: partial.digest(),
        expected: download.blob.digest.clone(),
        rule,
    }))
}

/// One attempt to receive a blob.
struct Transfer {
    /// The blob, with the bytes that were received.
    partial: Box<PartialBlob>,
    /// The sender, or the failed request.
    outcome: Result<Sender, registry::client::Error>,
}

/// Appends to a partial blob until the stream ends. Received bytes are kept, even after an error.
async fn transfer(
    download: &Download,
    origin: &Origin,
    client: &Client,
    mut partial: Box<PartialBlob>,
) -> Result<Transfer, Error> {
    let from = partial.len();
    let bytes = match origin {
        Origin::Registry(host, repository) => client.blob(host, repository, &download.blob, from).await,
        Origin::Url(url) => client.file(url.secret(), from).await,
        Origin::Slice(slice) => return copy(slice.clone(), partial).await,
        Origin::Inline(bytes) => {
            partial.truncate()?;
            let partial = write(partial, vec![Bytes::copy_from_slice(bytes)]).await?;
            let sender = Sender { name: "the manifest".to_owned(), html: false, encoding: None };
            return Ok(Transfer { partial, outcome: Ok(sender) });
        }
    };
    let mut bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Transfer { partial, outcome: Err(error) }),
    };
    let (name, html, encoding) = (bytes.at.to_string(), bytes.html, bytes.encoding.take());
    let sender = Sender { name, html: html && !is_page(&download.name), encoding };
    if bytes.start != from {
        partial.truncate()?;
    }
    let mut batch: Vec<Bytes> = Vec::new();
    let mut held = 0;
    loop {
        let next = bytes.stream.next().await;
        let ended = !matches!(next, Some(Ok(_)));
        if let Some(Ok(bytes)) = &next {
            held += bytes.len();
            batch.push(bytes.clone());
        }
        if ended || held >= BATCH {
            held = 0;
            partial = write(partial, std::mem::take(&mut batch)).await?;
        }
        match next {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Ok(Transfer { partial, outcome: Err(error) }),
            None => return Ok(Transfer { partial, outcome: Ok(sender) }),
        }
    }
}

/// Whether a file name is that of a web page.
fn is_page(name: &str) -> bool {
    let end = name.rsplit('.').next().unwrap_or_default();
    ["html", "htm"].iter().any(|page| end.eq_ignore_ascii_case(page))
}

/// Writes one batch on the blocking pool. A batch that has begun is written, even if the caller is dropped.
async fn write(mut partial: Box<PartialBlob>, batch: Vec<Bytes>) -> Result<Box<PartialBlob>, Error> {
    fetch::blocking(move || {
        for bytes in batch {
            partial.write(&bytes)?;
        }
        Ok(partial)
    })
    .await
}

async fn copy(slice: Slice, mut partial: Box<PartialBlob>) -> Result<Transfer, Error> {
    fetch::blocking(move || {
        let name = slice.path.display().to_string();
        let failed = |source| Error::File { path: name.clone(), source };
        partial.truncate()?;
        let mut file = slice.open().map_err(failed)?;
        let mut buffer = vec![0; BATCH];
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => break,
                count => partial.write(&buffer[..count])?,
            }
        }
        let sender = Sender { name: format!("`{name}`"), html: false, encoding: None };
        Ok(Transfer { partial, outcome: Ok(sender) })
    })
    .await
}

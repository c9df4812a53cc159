//! One blob from where it is into the store. What breaks off goes on where it broke; what is not what its digest says
//! is dropped and fetched anew, whether it came now or in an earlier run.

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

/// Bytes cross to the store in batches of this size.
const BATCH: usize = 512 * 1024;
/// How often a download that broke and brought little is taken up again.
const TRIES: u32 = 6;
/// With so many more bytes, a download that broke counts as one that makes progress.
const PROGRESS: u64 = 1 << 20;
/// Between two looks at a blob that another process fetches.
const PAUSE: Duration = Duration::from_millis(200);
/// How often content that is not what its digest says is fetched anew.
const ANEW: u32 = 2;

/// Who sent the bytes, for messages.
struct Sender {
    name: String,
    html: bool,
    encoding: Option<String>,
}

/// What was done so far.
struct Attempts {
    failures: u32,
    anew: u32,
    /// Where the last failure was.
    at: u64,
    /// What the reporter was told of.
    counted: u64,
}

/// Fetches a blob and makes it durable; gives its size. Where only what is said about images names it, and with several
/// sizes, each is tried: which of them is right, nobody knows before.
///
/// # Errors
/// [`Error::Fetch`] or [`Error::Content`], when trying again did not help.
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
    let mut partial = match turn(download, store, reporter).await? {
        Turn::Ours(partial) => *partial,
        Turn::Done(size) => {
            reporter.advance(size);
            return Ok(size);
        }
    };
    let mut attempts = Attempts { failures: 0, anew: 0, at: 0, counted: 0 };
    // What an earlier run left may be all there is, or wrong.
    if download.size().is_some_and(|size| partial.len() >= size) && !is_right(download, &partial) {
        partial.truncate()?;
    }
    let (mut origin, mut others) = (&download.origin, download.others.iter());
    loop {
        attempts.tell(&partial, reporter);
        if download.size().is_some() && is_right(download, &partial) {
            break;
        }
        match transfer(download, origin, client, &mut partial).await {
            Ok(_) if is_right(download, &partial) => break,
            Ok(sender) => {
                let error = wrong(download, &partial, &sender);
                partial.truncate()?;
                if sender.html
                    || attempts.anew >= ANEW
                    || matches!(origin, Origin::Slice(_) | Origin::Inline(_))
                {
                    return Err(error);
                }
                attempts.anew += 1;
                reporter.warn(&format!("{error}; fetching it again"));
            }
            // A layer that its registry need not have: where else it may be had.
            Err(Error::Client(error)) if download.is_foreign() && error.is_absent() => {
                let (image, layer) = (download.name.clone(), download.blob.digest.clone());
                let why = "neither in its registry nor at an allowed URL";
                origin = others.next().ok_or(Error::Layer { image, layer, why })?;
                partial.truncate()?;
            }
            Err(Error::Client(error)) => attempts.again(download, &partial, error, reporter).await?,
            Err(error) => return Err(error),
        }
    }
    let (size, counted) = (partial.len(), attempts.counted);
    fetch::blocking(move || Ok(partial.publish()?)).await?;
    reporter.advance(size.saturating_sub(counted));
    Ok(size)
}

/// Whose turn it is to fetch a blob.
enum Turn {
    Ours(Box<PartialBlob>),
    /// Another process fetched it while we waited.
    Done(u64),
}

/// Waits while another process fetches the same blob, as long as commands wait for each other.
async fn turn(download: &Download, store: &Store, reporter: &dyn Reporter) -> Result<Turn, Error> {
    let begun = Instant::now();
    loop {
        let (digest, target) = (download.blob.digest.clone(), store.clone());
        let opened = fetch::blocking(move || Ok(target.partial(&digest))).await?;
        let busy = match opened {
            Err(busy @ store::Error::PartialBusy { .. }) if begun.elapsed() < store::PATIENCE => busy,
            opened => return Ok(Turn::Ours(Box::new(opened?))),
        };
        if begun.elapsed() < PAUSE {
            reporter.warn(&format!("{}: {busy}; waiting", download.name));
        }
        tokio::time::sleep(PAUSE).await;
        let there = store.has_blob(&download.blob.digest)?;
        if let Some(size) = there.filter(|size| download.size().is_none_or(|expected| expected == *size)) {
            return Ok(Turn::Done(size));
        }
    }
}

impl Attempts {
    fn tell(&mut self, partial: &PartialBlob, reporter: &dyn Reporter) {
        reporter.advance(partial.len().saturating_sub(self.counted));
        self.counted = self.counted.max(partial.len());
    }

    /// Waits before the next try, unless there is to be none.
    async fn again(
        &mut self,
        download: &Download,
        partial: &PartialBlob,
        error: registry::client::Error,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        if let registry::client::Error::Short { at, .. } = &error
            && partial.digest() == download.blob.digest
        {
            // All that the digest stands for is there: it is the size that is wrong.
            let sender = Sender { name: at.to_string(), html: false, encoding: None };
            return Err(wrong(download, partial, &sender));
        }
        if partial.len() >= self.at.saturating_add(PROGRESS) {
            self.failures = 0;
        }
        if !error.is_passing() || self.failures >= TRIES {
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

fn wrong(download: &Download, partial: &PartialBlob, sender: &Sender) -> Error {
    let rule = match download.size() {
        Some(size) if size != partial.len() => format!("its size must be {size} bytes"),
        _ if sender.html => {
            "the server sent an HTML page, most often a login or error page instead of the file".to_owned()
        }
        _ => match &sender.encoding {
            Some(encoding) => format!("the server says that it applied the encoding `{encoding}`"),
            None => "the bytes must hash to their digest".to_owned(),
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

/// One try: from where the file ends to the end of the stream. What came stays, whatever happens.
async fn transfer(
    download: &Download,
    origin: &Origin,
    client: &Client,
    partial: &mut PartialBlob,
) -> Result<Sender, Error> {
    let from = partial.len();
    let bytes = match origin {
        Origin::Registry(host, repository) => client.blob(host, repository, &download.blob, from).await,
        Origin::Url(url) => client.file(url.secret(), from).await,
        Origin::Slice(slice) => return copy(slice, partial),
        Origin::Inline(bytes) => {
            partial.truncate()?;
            write(partial, vec![Bytes::copy_from_slice(bytes)])?;
            return Ok(Sender { name: "the manifest".to_owned(), html: false, encoding: None });
        }
    };
    let mut bytes = bytes.map_err(Error::Client)?;
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
            write(partial, std::mem::take(&mut batch))?;
        }
        match next {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Error::Client(error)),
            None => return Ok(sender),
        }
    }
}

/// Whether a file is a web page by its name.
fn is_page(name: &str) -> bool {
    let end = name.rsplit('.').next().unwrap_or_default();
    ["html", "htm"].iter().any(|page| end.eq_ignore_ascii_case(page))
}

/// The one place where the mirror's downloads block: a batch at a time, beside the other tasks' threads.
fn write(partial: &mut PartialBlob, batch: Vec<Bytes>) -> Result<(), Error> {
    tokio::task::block_in_place(|| {
        for bytes in batch {
            partial.write(&bytes)?;
        }
        Ok(())
    })
}

fn copy(slice: &Slice, partial: &mut PartialBlob) -> Result<Sender, Error> {
    let name = slice.path.display().to_string();
    let failed = |source| Error::File { path: name.clone(), source };
    tokio::task::block_in_place(|| {
        partial.truncate()?;
        let mut file = slice.open().map_err(failed)?;
        let mut buffer = vec![0; BATCH];
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => break,
                count => partial.write(&buffer[..count])?,
            }
        }
        Ok::<_, Error>(())
    })?;
    Ok(Sender { name: format!("`{name}`"), html: false, encoding: None })
}

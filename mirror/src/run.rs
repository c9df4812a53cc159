//! From a mirror file into the store, and a lock of what that came to.
//!
//! Manifests are asked for first and give the plan, once upstream's signatures are what the mirror file demands; then blobs are fetched, each durable before it counts; names
//! come last, in one commit, and then the lock. A run that was killed goes on within the blob at which it was.

mod about;
mod charts;
mod download;
mod downloads;
mod eks;
mod error;
mod failures;
mod fetch;
mod local;
mod make;
mod named;
mod names;
pub mod plan;
mod provenance;
mod resolve;
mod stored_chart;
mod upstream;
mod walk;

use std::collections::BTreeSet;
use std::path::Path;

use futures::stream::{self, StreamExt as _};
use oci::{Digest, RepositoryName, Tag};
use registry::client::{Client, ClientConfig, HostRule, ProxySettings, check_certificates};
use serde::Serialize;
use store::Store;

pub use self::error::{Error, WrongContent};
pub use self::fetch::write_durably;
pub use self::plan::{Download, MirrorPlan, Origin};
pub use self::provenance::{MOST_PROVENANCE, verify_chart};
pub use self::stored_chart::{StoredChart, stored_chart};
use crate::config::MirrorConfig;
use crate::lock::{Lock, Unavailable};
use crate::reporter::{Reporter, State};
use crate::source::Wanted;

/// Servers that are asked at once for the size of a file.
const SIZES_AT_ONCE: usize = 8;

/// What a run did, or with `--dry-run` would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MirrorReport {
    /// Each item of the mirror file.
    pub items: Vec<ItemReport>,
    /// All together.
    pub totals: Totals,
    /// Tags that point at something else than before.
    pub moved: Vec<MovedTag>,
    /// Signatures, attestations and SBOMs that are listed and left out: broken ones, and those that their registry does not
    /// have.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unavailable: BTreeSet<Unavailable>,
}

/// One item's fate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemReport {
    /// How the mirror file names it.
    pub source: String,
    /// Its digest, once known.
    pub digest: Option<String>,
    /// How it came to be in the store.
    pub state: State,
    /// Its bytes.
    pub bytes: u64,
}

/// A tag that an import points at something else: a newer drive does so, and an older one does it backwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedTag {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Tag,
    /// What it pointed at.
    pub from: Digest,
    /// What it points at now.
    pub to: Digest,
}

/// Bytes by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Of items that were in the store before.
    pub present_bytes: u64,
    /// Of blobs that were there by another item or an earlier run.
    pub reused_bytes: u64,
    /// Over the network or from files.
    pub fetched_bytes: u64,
    /// Hashed: all that is not present.
    pub verified_bytes: u64,
}

/// The client that a mirror file asks for. It remembers what upstreams say: a run reads one state of them.
///
/// # Errors
/// When a certificate file, a proxy's address or Docker's configuration is not usable.
pub fn client(
    config: &MirrorConfig,
    docker_config: Option<std::path::PathBuf>,
    proxies: ProxySettings,
) -> Result<Client, Error> {
    let mut hosts = Vec::new();
    for rule in &config.registries {
        hosts.push(HostRule {
            host: rule.host.clone(),
            endpoint: rule.mirror.clone(),
            prefix: rule.prefix.clone(),
            plain_http: rule.plain_http,
            ca_pem: rule.ca_file.as_deref().map(|path| certificates(rule.host.as_str(), path)).transpose()?,
        });
    }
    let config = ClientConfig { hosts, docker_config, proxies, remembers: true, ..ClientConfig::default() };
    Client::new(config).map_err(Error::Client)
}

/// A file of certificates that can be used.
fn certificates(host: &str, path: &Path) -> Result<Vec<u8>, Error> {
    let name = || path.display().to_string();
    let bytes = input::read(path, input::MOST).map_err(|source| Error::File { path: name(), source })?;
    check_certificates(host, &bytes).map_err(|source| Error::Certificates { path: name(), source })?;
    Ok(bytes)
}

/// The lock that is there before a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Locks<'a> {
    /// Whose digests references mean; none to ask anew.
    pub followed: Option<&'a Lock>,
    /// What was made here is carried on from it, followed or not.
    pub before: Option<&'a Lock>,
    /// Whether the mirror file was renamed or moved: the lock is written anew then, with the same digests.
    pub renamed: bool,
}

/// Plans a run: what is named, what it comes to, what is missing. With a lock, references mean what they meant.
///
/// # Errors
/// When a source cannot be read, or a registry not be asked.
pub async fn plan(
    config: &MirrorConfig,
    client: &Client,
    store: &Store,
    locks: Locks<'_>,
    reporter: &dyn Reporter,
) -> Result<MirrorPlan, Error> {
    let lock = locks.followed;
    let (wants, mut failed) = wants(config, client, (store, lock), reporter).await?;
    if let Some(lock) = lock.filter(|_| !locks.renamed)
        && failed.is_empty()
        && let Some(plan) = tokio::task::block_in_place(|| plan::satisfied(config, &wants, lock, store))?
        && upstream::holds_in_store(config, lock, store).await?
    {
        return Ok(plan);
    }
    let (resolved, unresolved) = resolve::resolve(config, client, &wants, lock, store).await?;
    failed.extend(unresolved);
    failed.extend(upstream::verify(config, client, &resolved).await?);
    let mut plan = plan::plan(config, resolved, store)?;
    plan.made = locks.before.into_iter().flat_map(Lock::made_here).cloned().collect();
    plan.failed = failed;
    for left_out in &plan.unavailable {
        reporter.warn(&left_out.to_string());
    }
    ask_sizes(&mut plan, client).await;
    Ok(plan)
}

/// What the sources name. A run that keeps going reads each by itself, and gives what failed beside.
async fn wants(
    config: &MirrorConfig,
    client: &Client,
    known: (&Store, Option<&Lock>),
    reporter: &dyn Reporter,
) -> Result<(Vec<Wanted>, Vec<Error>), Error> {
    if !config.keep_going {
        return Ok((resolve::wants(config, client, known, reporter).await?, Vec::new()));
    }
    let (mut wants, mut failed) = (Vec::new(), Vec::new());
    for source in &config.sources {
        let one = MirrorConfig { sources: vec![source.clone()], ..config.clone() };
        match resolve::wants(&one, client, known, reporter).await {
            Ok(found) => wants.extend(found),
            Err(error) => failed.push(error),
        }
    }
    Ok((resolve::once(wants)?, failed))
}

/// Asks the servers of files how large these are, so that a plan can tell.
async fn ask_sizes(plan: &mut MirrorPlan, client: &Client) {
    let asks = plan.downloads.iter().map(|download| async move {
        match &download.origin {
            Origin::Url(url) if download.blob.size == 0 => {
                client.announced_size(url.secret()).await.unwrap_or(0)
            }
            Origin::Url(_) | Origin::Registry(..) | Origin::Slice(_) | Origin::Inline(_) => 0,
        }
    });
    let sizes: Vec<u64> = stream::iter(asks).buffered(SIZES_AT_ONCE).collect().await;
    for (download, size) in plan.downloads.iter_mut().zip(sizes) {
        download.announced = size;
    }
    for item in &mut plan.items {
        let of_item = plan.downloads.iter().filter(|download| download.name == item.report.source);
        item.report.bytes += of_item.map(|download| download.announced).sum::<u64>();
    }
}

/// Fetches what the plan lists, names it in the store, and writes the lock of the mirror file `file`.
///
/// # Errors
/// When something cannot be fetched or is not what its digest says; nothing is named then. With `keep_going`, what
/// failed while it was planned, too.
pub async fn run(
    plan: MirrorPlan,
    client: &Client,
    store: &Store,
    (lock_path, file): (&Path, &str),
    reporter: &dyn Reporter,
) -> Result<MirrorReport, Error> {
    if plan.done {
        return Ok(plan.report());
    }
    let (mut lock, report) = Box::pin(fetch::fetch(plan, client, store, reporter)).await?;
    lock.file = Some(file.to_owned());
    let (path, bytes) = (lock_path.to_owned(), lock.to_bytes());
    fetch::blocking(move || fetch::write_durably(&path, &bytes)).await?;
    Ok(report)
}

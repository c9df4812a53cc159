//! Mirrors the sources of a mirror file into the store, and writes the lock.
//!
//! A run first fetches the manifests, which give the plan, and verifies the upstream signatures that the mirror file
//! requires. It then fetches the blobs; a blob counts once it is durable. It writes names last, in one commit, and then
//! the lock. A run after a kill resumes within the blob that was being fetched.

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
mod pins;
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

/// The number of servers that are asked for file sizes concurrently.
const SIZES_AT_ONCE: usize = 8;

/// The result of a run, or of a run that `--dry-run` simulates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MirrorReport {
    /// The items of the mirror file.
    pub items: Vec<ItemReport>,
    /// The totals of all items.
    pub totals: Totals,
    /// Tags that point to another digest than before.
    pub moved: Vec<MovedTag>,
    /// Signatures, attestations and SBOMs that are listed but left out: broken ones, and those that their registry does
    /// not have.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unavailable: BTreeSet<Unavailable>,
}

/// The result for one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemReport {
    /// Its name in the mirror file.
    pub source: String,
    /// Its digest, once known.
    pub digest: Option<String>,
    /// How it got into the store.
    pub state: State,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A tag that an import moves to another digest: forward for a newer drive, backward for an older one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedTag {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Tag,
    /// The digest that it pointed to.
    pub from: Digest,
    /// The digest that it points to now.
    pub to: Digest,
}

/// Bytes by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Bytes of items that were in the store before.
    pub present_bytes: u64,
    /// Bytes of blobs that were in the store from another item or an earlier run.
    pub reused_bytes: u64,
    /// Bytes that came over the network or from files.
    pub fetched_bytes: u64,
    /// Bytes that were hashed: all that were not present.
    pub verified_bytes: u64,
}

/// The client for a mirror file. It caches upstream responses, so that a run sees one consistent state.
///
/// # Errors
/// When a certificate file, a proxy address or the Docker configuration is not usable.
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

/// Reads a certificate file and checks that it is usable.
fn certificates(host: &str, path: &Path) -> Result<Vec<u8>, Error> {
    let name = || path.display().to_string();
    let bytes = input::read(path, input::MAX_SIZE).map_err(|source| Error::File { path: name(), source })?;
    check_certificates(host, &bytes).map_err(|source| Error::Certificates { path: name(), source })?;
    Ok(bytes)
}

/// The lock from before a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Locks<'a> {
    /// The lock whose digests the references resolve to; `None` resolves all references again.
    pub followed: Option<&'a Lock>,
    /// The lock whose bundles that were made here are kept, whether or not its digests are followed.
    pub before: Option<&'a Lock>,
    /// Whether the mirror file was renamed or moved: the lock is then rewritten with the same digests.
    pub renamed: bool,
}

/// The lock that a run writes.
#[derive(Clone, Copy, Debug)]
pub struct LockTarget<'a> {
    /// Its path.
    pub path: &'a Path,
    /// The mirror file that it belongs to, relative to its folder.
    pub mirror_file: &'a str,
}

/// A completed run.
#[derive(Clone, Debug)]
pub struct Mirrored {
    /// The result.
    pub report: MirrorReport,
    /// The lock that was written, or that was already satisfied.
    pub lock: Lock,
}

/// Plans a run: reads the sources, resolves the references, and finds missing content. With a lock, references resolve
/// to the digests in it.
///
/// # Errors
/// When a source cannot be read, or a request to a registry fails.
pub async fn plan(
    config: &MirrorConfig,
    client: &Client,
    store: &Store,
    locks: Locks<'_>,
    reporter: &dyn Reporter,
) -> Result<MirrorPlan, Error> {
    let lock = locks.followed;
    let (mut wants, mut failed) = wants(config, client, store, lock, reporter).await?;
    if let Some(lock) = lock.filter(|_| !locks.renamed)
        && failed.is_empty()
    {
        let plan;
        (plan, wants) = satisfied(config.clone(), wants, lock.clone(), store.clone()).await?;
        if let Some(plan) = plan
            && upstream::holds_in_store(config, lock, store).await?
        {
            return Ok(plan);
        }
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

/// The plan if the store satisfies the lock, and the items again.
async fn satisfied(
    config: MirrorConfig,
    wants: Vec<Wanted>,
    lock: Lock,
    store: Store,
) -> Result<(Option<MirrorPlan>, Vec<Wanted>), Error> {
    fetch::blocking(move || Ok((plan::satisfied(&config, &wants, lock, &store)?, wants))).await
}

/// The content of the sources. With `keep_going`, each source is read by itself, and failures are returned separately.
async fn wants(
    config: &MirrorConfig,
    client: &Client,
    store: &Store,
    lock: Option<&Lock>,
    reporter: &dyn Reporter,
) -> Result<(Vec<Wanted>, Vec<Error>), Error> {
    if !config.keep_going {
        return Ok((resolve::wants(config, client, store, lock, reporter).await?, Vec::new()));
    }
    let (mut wants, mut failed) = (Vec::new(), Vec::new());
    for source in &config.sources {
        let one = MirrorConfig { sources: vec![source.clone()], ..config.clone() };
        match resolve::wants(&one, client, store, lock, reporter).await {
            Ok(found) => wants.extend(found),
            Err(error) => failed.push(error),
        }
    }
    Ok((resolve::deduplicate(wants)?, failed))
}

/// Asks servers for the sizes of files, so that the plan can state them.
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

/// Fetches the content that the plan lists, names it in the store, and writes the lock.
///
/// # Errors
/// When content cannot be fetched or does not match its digest; nothing is named then. With `keep_going`, also when
/// planning failed for an item.
pub async fn run(
    mut plan: MirrorPlan,
    client: &Client,
    store: &Store,
    target: LockTarget<'_>,
    reporter: &dyn Reporter,
) -> Result<Mirrored, Error> {
    if let Some(lock) = plan.satisfied.take() {
        return Ok(Mirrored { report: plan.report(), lock });
    }
    let mut mirrored = Box::pin(fetch::fetch(plan, client, store, reporter)).await?;
    mirrored.lock.file = Some(target.mirror_file.to_owned());
    let (path, bytes) = (target.path.to_owned(), mirrored.lock.to_bytes());
    fetch::blocking(move || fetch::write_durably(&path, &bytes)).await?;
    Ok(mirrored)
}

#[cfg(test)]
mod tests;

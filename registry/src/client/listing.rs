//! Listings of referrers, bounded in pages, entries and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, LINK};
use http::{HeaderMap, HeaderValue, StatusCode};
use oci::{Descriptor, Digest, RegistryHost, RepositoryName, Selector, Tag, media_type};

use super::body::whole;
use super::error::{At, Error};
use super::token::is_html;
use super::transport::{Ask, Transport};
use super::wire::Answer;
use super::{Client, MOST_BYTES};

/// Referrers of one subject.
const MOST_REFERRERS: usize = 10_000;
/// Bytes of all pages together.
const MOST_LISTED: usize = 32 << 20;

/// Pages of one list that is read as far as it goes.
const MOST_PAGES: usize = 256;

/// What refers to a manifest, as far as it was read.
#[derive(Clone, Debug)]
pub struct Referrers {
    /// Their descriptors, in the order of their digests.
    pub entries: Vec<Descriptor>,
    /// Whether the registry left out those of other artifact types, as it was asked to.
    pub filtered: bool,
    /// Whether there are more.
    pub cut: bool,
}

/// A page of referrers.
enum Page {
    /// Its entries, how many bytes it had, where the next one is, and whether it has one artifact type only.
    Entries(Vec<Descriptor>, usize, Option<String>, bool),
    /// The registry has no such API.
    NoApi,
}

impl Client {
    /// What refers to `subject`: the referrers API's answer, or for registries without it the index that clients
    /// keep under a tag (distribution specification 1.1, "Referrers Tag Schema").
    ///
    /// # Errors
    /// When it cannot be asked: never "none" for "unknown".
    pub async fn referrers(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let Some(memory) = &self.0.memory else {
            return self.ask_referrers(host, repository, subject).await;
        };
        let slot = memory.referrers(host, repository, subject);
        let asked = slot.0.get_or_try_init(|| async {
            let found = self.ask_referrers(host, repository, subject).await?;
            memory.listed(&found);
            Ok(found)
        });
        asked.await.cloned()
    }

    async fn ask_referrers(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let endpoint = self.endpoint(host)?;
        if self.0.memory.is_some() && endpoint.lacks_referrers(repository) {
            return self.tagged_referrers(host, repository, subject).await;
        }
        let first = format!("referrers/{subject}");
        let (mut found, mut bytes, mut seen) = (BTreeMap::new(), 0, BTreeSet::new());
        let mut path = Some(first);
        while let Some(page) = path.take() {
            if !seen.insert(page.clone()) {
                return Err(endpoint.protocol("a page of referrers that leads back to itself"));
            }
            match self.page(&endpoint, repository, page).await? {
                Page::NoApi => return self.tagged_referrers(host, repository, subject).await,
                Page::Entries(entries, size, next, _) => {
                    bytes += size;
                    found.extend(entries.into_iter().map(|entry| (entry.digest.clone(), entry)));
                    path = next;
                }
            }
            let at = || Box::new(endpoint.wire.at(&endpoint.base, Some(host.as_str())));
            if found.len() > MOST_REFERRERS || seen.len() > MOST_REFERRERS {
                return Err(Error::TooMany { at: at(), limit: MOST_REFERRERS, what: "referrers" });
            }
            if bytes > MOST_LISTED {
                return Err(Error::TooMany { at: at(), limit: MOST_LISTED, what: "bytes of referrers" });
            }
        }
        Ok(found.into_values().collect())
    }

    /// What refers to `subject` and is of one artifact type, where the registry can tell them apart: as much of it as is
    /// read. For readers whom what anyone may have put there must not stop.
    ///
    /// # Errors
    /// When it cannot be asked: never "none" for "unknown".
    pub async fn referrers_of(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        subject: &Digest,
        kind: Option<&str>,
    ) -> Result<Referrers, Error> {
        let endpoint = self.endpoint(host)?;
        let mut answer = Referrers { entries: Vec::new(), filtered: kind.is_some(), cut: false };
        let query = kind.map(|kind| format!("?artifactType={}", query_value(kind))).unwrap_or_default();
        let (mut found, mut pages, mut bytes) = (BTreeMap::new(), 0, 0);
        let mut path = Some(format!("referrers/{subject}{query}"));
        while let Some(page) = path.take() {
            match self.page(&endpoint, repository, page).await? {
                Page::NoApi => {
                    let entries = self.tagged_referrers(host, repository, subject).await?;
                    return Ok(Referrers { entries, filtered: false, cut: false });
                }
                Page::Entries(entries, size, next, filtered) => {
                    (pages, bytes) = (pages + 1, bytes + size);
                    answer.filtered &= filtered;
                    let before = found.len();
                    found.extend(entries.into_iter().map(|entry| (entry.digest.clone(), entry)));
                    // A page without anything new would be followed by others like it.
                    let ends = pages == MOST_PAGES || bytes > MOST_LISTED || found.len() == before;
                    answer.cut |= ends && next.is_some();
                    path = next.filter(|_| !ends);
                }
            }
        }
        answer.entries = found.into_values().collect();
        Ok(answer)
    }

    /// One page; again when it broke off.
    async fn page(
        &self,
        endpoint: &Transport,
        repository: &RepositoryName,
        path: String,
    ) -> Result<Page, Error> {
        self.0.wire.whole(|| endpoint.referrers_page(repository, path.clone())).await
    }

    async fn tagged_referrers(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, Error> {
        let tag = Selector::Tag(Tag::of_referrers(subject));
        let index = self.manifest(host, repository, &tag).await?;
        // The subject itself, or what has a subject, is no list of referrers.
        let index = index.filter(|index| index.digest() != *subject && index.subject().is_none());
        Ok(index.map(|index| index.children().to_vec()).unwrap_or_default())
    }
}

impl Transport {
    async fn referrers_page(&self, repository: &RepositoryName, path: String) -> Result<Page, Error> {
        let _permit = self.permit().await;
        let mut ask = Ask::get(repository, path);
        ask.headers.insert(ACCEPT, HeaderValue::from_static(media_type::OCI_INDEX));
        let answer = self.send(&ask).await?;
        let kind = answer.response.headers().get(CONTENT_TYPE);
        let is = |prefix: &str| kind.is_some_and(|kind| kind.as_bytes().starts_with(prefix.as_bytes()));
        match answer.response.status() {
            StatusCode::OK if is(media_type::OCI_INDEX) => {}
            // Some registries without the API answer other pages, or that the path makes no sense.
            StatusCode::OK
            | StatusCode::NOT_FOUND
            | StatusCode::BAD_REQUEST
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::METHOD_NOT_ALLOWED => {
                // A page of the web server and not of the registry: the path is unknown for every digest.
                if answer.response.status() == StatusCode::NOT_FOUND && !is("application/json") {
                    let mut without =
                        self.known.without_referrers.lock().unwrap_or_else(PoisonError::into_inner);
                    without.insert(repository.clone());
                }
                return Ok(Page::NoApi);
            }
            _ => return Err(self.refused(answer).await),
        }
        let filters =
            answer.response.headers().get("oci-filters-applied").and_then(|value| value.to_str().ok());
        let filtered = filters.is_some_and(|filters| filters.contains("artifactType"));
        let next = next_page(answer.response.headers(), &format!("/v2/{}/", self.remote(repository)));
        let Answer { response, at, .. } = answer;
        let html = is_html(response.headers());
        let bytes = whole(response, self.wire.bounds(at.clone(), MOST_BYTES)).await?;
        entries(&bytes, at, html).map(|entries| Page::Entries(entries, bytes.len(), next, filtered))
    }

    fn lacks_referrers(&self, repository: &RepositoryName) -> bool {
        let without = self.known.without_referrers.lock().unwrap_or_else(PoisonError::into_inner);
        without.contains(repository)
    }
}

fn entries(bytes: &Bytes, at: At, html: bool) -> Result<Vec<Descriptor>, Error> {
    /// One entry that is malformed leaves out itself, and not the others.
    #[derive(serde::Deserialize)]
    struct List {
        #[serde(default)]
        manifests: Option<Vec<serde_json::Value>>,
    }
    let list: Result<List, _> = serde_json::from_slice(bytes);
    let read = |entry| serde_json::from_value::<Descriptor>(entry).ok();
    list.map(|list| list.manifests.unwrap_or_default().into_iter().filter_map(read).collect())
        .map_err(|source| Error::Referrers { at: Box::new(at), html, source })
}

/// A value within a query.
fn query_value(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The rest of a list, below the repository's path (RFC 8288 `Link` with `rel="next"`).
fn next_page(headers: &HeaderMap, below: &str) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let path = target.find("/v2/").map(|at| &target[at..])?;
    if !parameters.contains("next") {
        return None;
    }
    path.strip_prefix(below).map(str::to_owned)
}

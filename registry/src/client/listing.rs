//! Listings of referrers, bounded in pages, entries and bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::PoisonError;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, LINK};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use oci::{Descriptor, Digest, RegistryHost, RepositoryName, Selector, Tag, media_type};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::body::whole;
use super::error::{At, Error};
use super::token::is_html;
use super::transport::{Ask, Transport};
use super::wire::Reply;
use super::{Client, MOST_BYTES};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Referrers of one subject.
const MOST_REFERRERS: usize = 10_000;
/// Bytes of all pages together.
const MOST_LISTED: usize = 32 << 20;

/// A page of a list of referrers.
#[derive(Debug)]
pub struct ReferrerPage {
    /// Their descriptors, without annotations and other members that are optional, but for the artifact type.
    pub entries: Vec<Descriptor>,
    /// Whether the registry left out those of other artifact types, as it was asked to.
    pub filtered: bool,
    /// The bytes that came.
    pub bytes: usize,
    /// Where the list goes on.
    pub next: Option<NextPage>,
}

/// Where a list of referrers goes on, as the registry said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextPage(String);

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
        let (mut found, mut bytes, mut seen) = (BTreeMap::new(), 0, BTreeSet::new());
        let mut next = None;
        loop {
            let page = self.referrer_page(host, repository, subject, None, next.as_ref()).await?;
            bytes += page.bytes;
            found.extend(page.entries.into_iter().map(|entry| (entry.digest.clone(), entry)));
            let at = || Box::new(endpoint.wire.at(&endpoint.base, Some(host.as_str())));
            if found.len() > MOST_REFERRERS || seen.len() > MOST_REFERRERS {
                return Err(Error::TooMany { at: at(), limit: MOST_REFERRERS, what: "referrers" });
            }
            if bytes > MOST_LISTED {
                return Err(Error::TooMany { at: at(), limit: MOST_LISTED, what: "bytes of referrers" });
            }
            next = page.next;
            match &next {
                None => return Ok(found.into_values().collect()),
                Some(next) if !seen.insert(next.clone()) => {
                    return Err(endpoint.protocol("a page of referrers that leads back to itself"));
                }
                Some(_) => {}
            }
        }
    }

    /// One page of what refers to `subject` and is of one artifact type, where the registry can tell them apart. For
    /// readers whom what anyone may have put there must not stop: they read as far as they need.
    ///
    /// # Errors
    /// When it cannot be asked: never "none" for "unknown".
    pub async fn referrer_page(
        &self,
        host: &RegistryHost,
        repository: &RepositoryName,
        subject: &Digest,
        kind: Option<&str>,
        at: Option<&NextPage>,
    ) -> Result<ReferrerPage, Error> {
        let endpoint = self.endpoint(host)?;
        let query = kind.map(|kind| format!("?artifactType={}", query_value(kind))).unwrap_or_default();
        let path = at.map_or_else(|| format!("referrers/{subject}{query}"), |next| next.0.clone());
        // The whole list takes fewer requests with long pages.
        let few = kind.is_some() && at.is_none();
        let asked = || endpoint.referrer_page(repository, path.clone(), few);
        if let Some(mut page) = self.0.wire.whole(asked).await? {
            page.filtered &= kind.is_some();
            return Ok(page);
        }
        let entries = self.tagged_referrers(host, repository, subject).await?;
        Ok(ReferrerPage { entries, filtered: false, bytes: 0, next: None })
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
    /// A page; none where the registry has no such API.
    async fn referrer_page(
        &self,
        repository: &RepositoryName,
        path: String,
        few: bool,
    ) -> Result<Option<ReferrerPage>, Error> {
        let _permit = self.permit().await;
        let mut ask = Ask::get(repository, path);
        ask.headers.insert(ACCEPT, HeaderValue::from_static(media_type::OCI_INDEX));
        if few {
            // airlock's own registry heeds it.
            ask.headers.insert(PREFER, HeaderValue::from_static("maxpagesize=16"));
        }
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
                        self.state.without_referrers.lock().unwrap_or_else(PoisonError::into_inner);
                    without.insert(repository.clone());
                }
                return Ok(None);
            }
            _ => return Err(self.refused(answer).await),
        }
        let filters =
            answer.response.headers().get("oci-filters-applied").and_then(|value| value.to_str().ok());
        let filtered = filters.is_some_and(|filters| filters.contains("artifactType"));
        let next = next_page(answer.response.headers(), &format!("/v2/{}/", self.remote(repository)));
        let Reply { response, at, .. } = answer;
        let html = is_html(response.headers());
        let bytes = whole(response, self.wire.bounds(at.clone(), MOST_BYTES)).await?;
        let entries = entries(&bytes, at, html)?;
        Ok(Some(ReferrerPage { entries, filtered, bytes: bytes.len(), next: next.map(NextPage) }))
    }

    fn lacks_referrers(&self, repository: &RepositoryName) -> bool {
        let without = self.state.without_referrers.lock().unwrap_or_else(PoisonError::into_inner);
        without.contains(repository)
    }
}

/// The entries of a page, one after the other: what anyone may have written into annotations is not kept. One that is
/// malformed leaves out itself, and not the others.
fn entries(bytes: &Bytes, at: At, html: bool) -> Result<Vec<Descriptor>, Error> {
    #[derive(serde::Deserialize)]
    struct List {
        #[serde(default, deserialize_with = "some")]
        manifests: Vec<Descriptor>,
    }
    fn some<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<Descriptor>, D::Error> {
        list.deserialize_option(Entries)
    }
    let list: Result<List, _> = serde_json::from_slice(bytes);
    list.map(|list| list.manifests).map_err(|source| Error::Referrers { at: Box::new(at), html, source })
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<Descriptor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of descriptors")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, list: D) -> Result<Self::Value, D::Error> {
        list.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(raw) = list.next_element::<&RawValue>()? {
            if let Ok(entry) = serde_json::from_str::<Descriptor>(raw.get()) {
                let Descriptor { media_type, digest, size, artifact_type, .. } = entry;
                entries.push(Descriptor { artifact_type, ..Descriptor::new(media_type, digest, size) });
            }
        }
        Ok(entries)
    }
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

//! Tags, repositories and referrers, in pages.

mod visible;

use std::sync::Arc;

use axum::response::Response;
use http::HeaderName;
use oci::distribution::{Catalog, TagList};
use oci::{Descriptor, Digest, RepositoryName, media_type};
use serde::Serialize;
use store::{PageLimits, ReferrerPosition};

use super::App;
use super::answer;
use super::handle::Call;
use super::refusal::Refusal;
use super::route::percent_encode;

pub(super) use self::visible::Positions;

/// The limits for referrers in one response: clients read at most 4 MiB, and some read only the first page. A manifest has at
/// most that size, and so has a page with a single entry.
const PAGE: PageLimits = PageLimits { entries: 1000, bytes: 2 << 20, large: true };

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The requested page of a listing.
struct Page {
    size: Option<usize>,
    after: Option<String>,
}

impl Page {
    fn of(call: &Call) -> Result<Self, Refusal> {
        let size = match call.query.value("n") {
            None => None,
            Some(text) => Some(number(text).ok_or_else(|| Refusal::query("n"))?),
        };
        Ok(Self { size, after: call.query.value("last").map(str::to_owned) })
    }

    /// One more than the page size, to find out whether there is a next page.
    fn limit(&self) -> Option<usize> {
        self.size.map(|size| size.saturating_add(1))
    }

    /// Truncates to the page size; returns the link to the next page, if any.
    fn cut(&self, call: &Call, found: &mut Vec<String>) -> Option<String> {
        let size = self.size?;
        let more = found.len() > size;
        found.truncate(size);
        let last = found.last().filter(|_| more)?;
        let mut link = format!("{}?n={size}&last={}", call.head.uri.path(), percent_encode(last));
        if let Some(host) = call.query.value("ns") {
            link.push_str("&ns=");
            link.push_str(&percent_encode(host));
        }
        Some(link)
    }
}

/// A page size. A number that overflows requests all entries.
fn number(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(usize::MAX))
}

/// The tags of a repository in byte order.
pub(super) async fn tags(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
) -> Result<Response, Refusal> {
    let page = Page::of(call)?;
    let (limit, after) = (page.limit(), page.after.clone());
    let candidates = call.candidates(&repository);
    let found = app
        .look(call, move |store| {
            for candidate in candidates {
                if store.repository_exists(&candidate.repository)? {
                    let tags = store.tags(&candidate.repository, after.as_deref(), limit)?;
                    return Ok(Some((candidate, tags)));
                }
            }
            Ok(None)
        })
        .await?;
    let Some((candidate, tags)) = found else { return Err(Refusal::name_unknown(&repository)) };
    let mut tags = tags.into_iter().map(|(tag, _)| tag.as_str().to_owned()).collect();
    let next = page.cut(call, &mut tags);
    let list = TagList { name: repository.as_str().to_owned(), tags };
    let mut response = answer::long_json(app, call, "application/json", &list).await?;
    if let Some(next) = next {
        answer::link_next(response.headers_mut(), &next);
    }
    candidate.set_namespace(&mut response);
    Ok(response)
}

/// All repositories that the caller may pull from, in byte order.
pub(super) async fn catalog(app: &Arc<App>, call: &Call) -> Result<Response, Refusal> {
    let page = Page::of(call)?;
    if !call.rights.show_all() {
        return visible::catalog(app, call, page).await;
    }
    let (limit, after) = (page.limit(), page.after.clone());
    let found = app.look(call, move |store| Ok(store.repositories(after.as_deref(), limit)?)).await?;
    let mut repositories = found.into_iter().map(String::from).collect();
    let next = page.cut(call, &mut repositories);
    let mut response = answer::long_json(app, call, "application/json", &Catalog { repositories }).await?;
    if let Some(next) = next {
        answer::link_next(response.headers_mut(), &next);
    }
    Ok(response)
}

/// The response body: an image index, even for an unknown subject.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Referrers {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

/// The referrers of a manifest, which need not exist: signatures first, in pages that every client can read.
pub(super) async fn referrers(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
    subject: Digest,
) -> Result<Response, Refusal> {
    let filter = call.query.value("artifactType").filter(|kind| !kind.is_empty()).map(str::to_owned);
    let filtered = filter.is_some();
    let after = call.query.value("last").map(position).transpose()?;
    let candidates = call.candidates(&repository);
    let limits = match preferred_size(call) {
        Some(entries) => PageLimits { entries: entries.clamp(1, PAGE.entries), large: false, ..PAGE },
        None => PAGE,
    };
    let found = app
        .look(call, move |store| {
            for candidate in candidates {
                let name = &candidate.repository;
                let page = store.referrer_page(name, &subject, filter.as_deref(), after.as_ref(), limits)?;
                if !page.descriptors.is_empty() {
                    return Ok(Some((candidate, page)));
                }
            }
            Ok(None)
        })
        .await?;
    let (candidate, page) = found.map_or_else(Default::default, |(candidate, page)| (Some(candidate), page));
    let next = page.next.map(|next| next_referrers(call, &next));
    let manifests = page.descriptors;
    let body = Referrers { schema_version: 2, media_type: media_type::OCI_INDEX, manifests };
    let mut response = answer::long_json(app, call, media_type::OCI_INDEX, &body).await?;
    if filtered {
        answer::set(response.headers_mut(), answer::OCI_FILTERS, "artifactType");
    }
    if let Some(next) = next {
        answer::link_next(response.headers_mut(), &next);
    }
    if let Some(candidate) = candidate {
        candidate.set_namespace(&mut response);
    }
    Ok(response)
}

/// The page size that a client prefers, `Prefer: maxpagesize=N` (RFC 7240): a search for a signature needs few entries.
fn preferred_size(call: &Call) -> Option<usize> {
    call.header(&PREFER)?.split(',').find_map(|one| one.trim().strip_prefix("maxpagesize=")?.parse().ok())
}

/// Parses the position in a link to the next page.
fn position(text: &str) -> Result<ReferrerPosition, Refusal> {
    let parse = || {
        let mut parts = text.splitn(3, '.');
        let (rank, turn, digest) = (parts.next()?, parts.next()?, parts.next()?);
        Some(ReferrerPosition {
            rank: rank.parse().ok()?,
            turn: turn.parse().ok()?,
            digest: digest.parse().ok()?,
        })
    };
    parse().ok_or_else(|| Refusal::query("last"))
}

fn next_referrers(call: &Call, last: &ReferrerPosition) -> String {
    let ReferrerPosition { rank, turn, digest } = last;
    let mut link = format!("{}?last={rank}.{turn}.{digest}", call.head.uri.path());
    for key in ["artifactType", "ns"] {
        if let Some(value) = call.query.value(key) {
            link.extend(["&", key, "=", &percent_encode(value)]);
        }
    }
    link
}

//! Tags, repositories and referrers (end-8, end-12, and the catalog).

use axum::response::Response;
use http::HeaderValue;
use oci::distribution::{Catalog, TagList};
use oci::{Descriptor, Digest, Index, RepositoryName, media_type};

use super::refusal::Refusal;
use super::route::percent_encode;
use super::{Asked, Registry, answer, set_namespace};

/// Entries of a page when the client does not say.
const PAGE: usize = 10_000;

const JSON: &str = "application/json";

/// Which part of a list is wanted.
struct Page {
    size: usize,
    after: Option<String>,
}

impl Page {
    fn of(asked: &Asked) -> Result<Self, Refusal> {
        let size = match asked.query.value("n") {
            Some(text) => text.parse::<usize>().map_err(|_| Refusal::query("n"))?.min(PAGE),
            None => PAGE,
        };
        Ok(Self { size, after: asked.query.value("last").map(str::to_owned) })
    }

    /// Cuts a list that was asked for with one entry more; gives the link to the next page.
    fn cut(&self, path: &str, names: &mut Vec<String>) -> Option<String> {
        if names.len() <= self.size {
            return None;
        }
        names.truncate(self.size);
        let last = names.last()?;
        Some(format!("{path}?n={}&last={}", self.size, percent_encode(last)))
    }
}

impl Registry {
    pub(super) async fn tags(&self, repository: RepositoryName, asked: &Asked) -> Result<Response, Refusal> {
        let (repository, namespace) = self.namespaced(repository, asked).await?;
        let page = Page::of(asked)?;
        let mut response = self
            .blocking(move |store| {
                if !store.repository_exists(&repository)? {
                    return Err(Refusal::name_unknown(&repository));
                }
                let tags = store.tags(&repository, page.after.as_deref(), Some(page.size + 1))?;
                let mut tags: Vec<String> = tags.into_iter().map(|(tag, _)| tag.to_string()).collect();
                let next = page.cut(&format!("/v2/{repository}/tags/list"), &mut tags);
                let mut response = answer::json(JSON, &TagList { name: repository.to_string(), tags })?;
                if let Some(next) = next {
                    answer::link_next(response.headers_mut(), &next);
                }
                Ok(response)
            })
            .await?;
        set_namespace(&mut response, namespace);
        Ok(response)
    }

    pub(super) async fn catalog(&self, asked: &Asked) -> Result<Response, Refusal> {
        let page = Page::of(asked)?;
        self.blocking(move |store| {
            let names = store.repositories(page.after.as_deref(), Some(page.size + 1))?;
            let mut repositories: Vec<String> = names.into_iter().map(String::from).collect();
            let next = page.cut("/v2/_catalog", &mut repositories);
            let mut response = answer::json(JSON, &Catalog { repositories })?;
            if let Some(next) = next {
                answer::link_next(response.headers_mut(), &next);
            }
            Ok(response)
        })
        .await
    }

    /// Always a list, even for what was never pushed: a subject may come after its referrers.
    pub(super) async fn referrers(
        &self,
        repository: RepositoryName,
        digest: Digest,
        asked: &Asked,
    ) -> Result<Response, Refusal> {
        let (repository, namespace) = self.namespaced(repository, asked).await?;
        let filter = asked.query.value("artifactType").map(str::to_owned);
        let filtered = filter.is_some();
        let manifests: Vec<Descriptor> =
            self.blocking(move |store| Ok(store.referrers(&repository, &digest, filter.as_deref())?)).await?;
        let index = Index {
            schema_version: 2,
            media_type: media_type::OCI_INDEX.parse().ok(),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        };
        let mut response = answer::json(media_type::OCI_INDEX, &index)?;
        if filtered {
            response.headers_mut().insert(answer::OCI_FILTERS, HeaderValue::from_static("artifactType"));
        }
        set_namespace(&mut response, namespace);
        Ok(response)
    }
}

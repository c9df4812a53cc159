//! The catalog of a caller that may not pull from every repository.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use oci::RepositoryName;
use oci::distribution::Catalog;

use super::super::handle::Call;
use super::super::refusal::Refusal;
use super::super::route::percent_encode;
use super::super::{App, answer, tokens};
use super::Page;

/// The number of names that are read at once.
const BATCH: usize = 1000;
/// The maximum number of batches for one page. A page may be shorter than requested; its link then leads to the rest.
const BATCHES: usize = 16;
/// The maximum number of kept positions.
const KEPT: usize = 256;

/// The positions at which unfinished searches go on, by random names. A link with the position itself would show the caller
/// the name of a repository that it may not see.
#[derive(Default)]
pub(in crate::server) struct Positions(Mutex<VecDeque<(String, RepositoryName)>>);

impl Positions {
    fn keep(&self, at: RepositoryName) -> Result<String, Refusal> {
        let name = tokens::random()?;
        let mut positions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if positions.len() >= KEPT {
            positions.pop_front();
        }
        positions.push_back((name.clone(), at));
        Ok(name)
    }

    fn find(&self, name: &str) -> Option<String> {
        let positions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        positions.iter().find(|(known, _)| known == name).map(|(_, at)| at.to_string())
    }
}

/// The visible repositories after a position, in byte order. The work for a page is limited.
pub(super) async fn catalog(app: &Arc<App>, call: &Call, page: Page) -> Result<Response, Refusal> {
    // A position that is no longer kept: the search begins again after the last visible name.
    let kept = call.query.value("position").and_then(|name| app.positions.find(name));
    let mut after = kept.or_else(|| page.after.clone());
    let (mut shown, mut unfinished) = (Vec::new(), None);
    for _ in 0..BATCHES {
        let (from, rights) = (after.clone(), call.rights.clone());
        let batch = app.look(call, move |store| {
            let names = store.repositories(from.as_deref(), Some(BATCH))?;
            let last = names.last().filter(|_| names.len() == BATCH).cloned();
            let shown: Vec<String> =
                names.into_iter().filter(|name| rights.show(name)).map(String::from).collect();
            Ok((shown, last))
        });
        let (found, last) = batch.await?;
        shown.extend(found);
        after = last.as_ref().map(ToString::to_string);
        unfinished = last;
        if unfinished.is_none() || page.limit().is_some_and(|limit| shown.len() >= limit) {
            break;
        }
    }
    let is_full = page.limit().is_some_and(|limit| shown.len() >= limit);
    let next = match unfinished {
        Some(at) if !is_full && page.size != Some(0) => {
            let last = shown.last().or(page.after.as_ref());
            Some(rest(call, page.size, last.map_or("", String::as_str), &app.positions.keep(at)?))
        }
        _ => page.cut(call, &mut shown),
    };
    let body = Catalog { repositories: shown };
    let mut response = answer::long_json(app, call, "application/json", &body).await?;
    if let Some(next) = next {
        answer::link_next(response.headers_mut(), &next);
    }
    Ok(response)
}

/// The link to the rest of an unfinished search.
fn rest(call: &Call, size: Option<usize>, last: &str, position: &str) -> String {
    let size = size.map(|size| format!("n={size}&")).unwrap_or_default();
    format!("{}?{size}last={}&position={position}", call.head.uri.path(), percent_encode(last))
}

//! Whole repositories.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use oci::RepositoryName;
use store::Change;

use super::App;
use super::answer;
use super::handle::Call;
use super::observe::{Changed, Operation};
use super::refusal::Refusal;

/// DELETE of a repository with its manifests, tags and links. The history of its tags stays.
pub(super) async fn delete(
    app: &Arc<App>,
    call: &Call,
    repository: RepositoryName,
) -> Result<Response, Refusal> {
    let visitor = call.visitor();
    app.change(call, move |store| {
        if !store.repository_exists(&repository)? {
            return Err(Refusal::name_unknown(&repository));
        }
        let change = Change::DeleteRepository { repository: repository.clone() };
        store.commit_as(&visitor.actor(), vec![change])?;
        let (operation, tags) = (Operation::DeleteRepository, Vec::new());
        Ok(Changed { operation, repository, digest: None, tags, manifest: None, visitor })
    })
    .await?;
    Ok(answer::done(StatusCode::ACCEPTED))
}

//! One failure or all of them: whether a run stops at the first.

use futures::stream::{Stream, StreamExt as _};

use super::Error;

/// What succeeded, in order, and what failed. Without `keep_going` the first failure ends the work; with it the rest is
/// done.
///
/// # Errors
/// Without `keep_going`, the first failure.
pub(super) async fn sorted<T>(
    results: impl Stream<Item = Result<T, Error>>,
    keep_going: bool,
) -> Result<(Vec<T>, Vec<Error>), Error> {
    let mut results = std::pin::pin!(results);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    while let Some(result) = results.next().await {
        match result {
            Ok(value) => done.push(value),
            Err(error) if keep_going => failed.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok((done, failed))
}

impl Error {
    /// One error of several.
    pub(super) fn of(mut failed: Vec<Self>) -> Self {
        match (failed.len(), failed.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                failed.extend(last);
                Self::Several(failed)
            }
        }
    }

    /// The same with the name of the item that it is about, where the error does not name it itself.
    pub(super) fn about(self, item: &str) -> Self {
        match self {
            Self::Client(source) => Self::Fetch { item: item.to_owned(), source },
            other => other,
        }
    }

    /// What went wrong and why, in one line.
    pub(crate) fn in_one_line(&self) -> String {
        evidence::in_words(self)
    }
}

/// Failures as a list.
pub(super) fn list(failed: &[Error]) -> String {
    failed.iter().map(|error| format!("\n- {}", error.in_one_line())).collect()
}

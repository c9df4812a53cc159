//! Failure handling: whether a run stops at the first failure or collects all of them.

use futures::stream::{Stream, StreamExt as _};

use super::Error;

/// The successes, in order, and the failures. Without `keep_going`, the first failure ends the work.
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
    /// Combines several errors into one.
    pub(super) fn of(mut failed: Vec<Self>) -> Self {
        match (failed.len(), failed.pop()) {
            (1, Some(only)) => only,
            (_, last) => {
                failed.extend(last);
                Self::Several(failed)
            }
        }
    }

    /// Adds the name of the item to an error that does not name it.
    pub(super) fn about(self, item: &str) -> Self {
        match self {
            Self::Client(source) => Self::Fetch { item: item.to_owned(), source },
            other => other,
        }
    }

    /// The error and its causes in one line.
    pub(crate) fn in_one_line(&self) -> String {
        evidence::in_words(self)
    }
}

/// Failures as a list.
pub(super) fn list(failed: &[Error]) -> String {
    failed.iter().map(|error| format!("\n- {}", error.in_one_line())).collect()
}

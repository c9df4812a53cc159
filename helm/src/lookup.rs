//! What a chart may learn of a cluster: nothing, unless the caller says so.

use serde_json::Value;

/// The answers to the template function `lookup`. A render runs on a thread of its own, hence `Sync`.
pub trait Lookup: Sync {
    /// The object `name` in `namespace`, or with an empty name the list of them; `None` when there is none.
    ///
    /// # Errors
    /// The text that the chart's author sees when the answer cannot be had.
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, String>;
}

/// Knows no cluster: every answer is empty, as in `helm template`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deny;

impl Lookup for Deny {
    fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Option<Value>, String> {
        Ok(None)
    }
}

//! Access of a chart to a cluster: none, unless the caller allows it.

use serde_json::Value;

/// The results of the template function `lookup`. A render runs on its own thread, hence `Sync`.
pub trait Lookup: Sync {
    /// The object `name` in `namespace`, or with an empty name the list of objects; `None` if nothing exists.
    ///
    /// # Errors
    /// The lookup failed: the error text for the user.
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, String>;
}

/// Denies access to a cluster: every result is empty, as in `helm template`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deny;

impl Lookup for Deny {
    fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Option<Value>, String> {
        Ok(None)
    }
}

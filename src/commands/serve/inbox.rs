//! The inbox of a registry in the configuration file.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use store::InboxLimits;

/// The inbox, which holds manifests that the gate `push` refuses under a tag. The limits apply to each repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(rename = "InboxText")]
pub(super) struct InboxText {
    /// How long a manifest waits for its signatures.
    #[schemars(range(min = 1))]
    hours: u32,
    /// The maximum number of tags with manifests in the inbox.
    #[schemars(range(min = 1))]
    manifests: u32,
    /// The maximum size of these manifests and their content, in MiB.
    #[serde(rename = "sizeMiB")]
    #[schemars(range(min = 1))]
    size: u32,
}

impl Default for InboxText {
    fn default() -> Self {
        Self { hours: 24, manifests: 100, size: 20_480 }
    }
}

impl InboxText {
    pub(super) fn limits(&self) -> Result<InboxLimits, String> {
        let Self { hours, manifests, size } = *self;
        for (name, value) in [("hours", hours), ("manifests", manifests), ("sizeMiB", size)] {
            if value == 0 {
                return Err(format!("`gates.inbox.{name}` is too small, expected at least 1"));
            }
        }
        let (entries, bytes) = (manifests.into(), u64::from(size) << 20);
        Ok(InboxLimits { entries, bytes, seconds: u64::from(hours) * 3600 })
    }
}

/// The limits as the file states them.
pub(super) fn described(limits: InboxLimits) -> Value {
    let InboxLimits { entries, bytes, seconds } = limits;
    json!({ "hours": seconds / 3600, "manifests": entries, "sizeMiB": bytes >> 20 })
}

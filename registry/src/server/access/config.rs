//! The section `access` of the registry's configuration file. Except for `admin`, no action includes another one. Clients
//! read before they push, so pushing usually needs `pull`, too.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::external::CertificateConfig;

/// Who may do what. What no policy allows is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccessConfig {
    /// The password file, as `htpasswd -B` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub htpasswd: Option<PathBuf>,
    /// The file of robot accounts, as `airlock robot` writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robots: Option<PathBuf>,
    /// How client certificates identify users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<CertificateConfig>,
    /// Groups of users, for `group:NAME` in policies. A member `group:NAME` is a group that an issuer of tokens or a
    /// directory reports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<String>>,
    /// The policies. An action is allowed if one of them allows it; their order does not matter.
    pub policies: Vec<PolicyConfig>,
}

/// Allows actions in repositories.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "Policy")]
pub struct PolicyConfig {
    /// Patterns of repository names: `*` matches within a path segment, `**` across segments.
    pub repositories: Vec<String>,
    /// Who: `anonymous` (everyone), `authenticated` (every user and robot account), `user:NAME`, `group:NAME` or
    /// `robot:NAME`.
    pub to: Vec<String>,
    /// The allowed actions.
    pub allow: Vec<Allow>,
}

/// What a policy allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Action")]
pub enum Allow {
    /// Read, and see in the catalog.
    Pull,
    /// Push, and overwrite tags.
    Push,
    /// Delete tags, manifests and blobs.
    Delete,
    /// All of these.
    Admin,
}

impl Allow {
    /// All actions.
    pub const ALL: [Self; 4] = [Self::Pull, Self::Push, Self::Delete, Self::Admin];

    /// The name in configuration files and token scopes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }

    /// Whether one of the allowed actions includes this one.
    pub(super) fn is_in(self, allowed: &[Self]) -> bool {
        allowed.contains(&self) || allowed.contains(&Self::Admin)
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

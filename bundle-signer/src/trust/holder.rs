//! Whose word counts: what keys and identities of a trust file have in common. Roles, groups, gates and revocations
//! know nothing else.

use super::role::Deed;
use super::{Role, What};

/// The holder of a key, or of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub(super) name: String,
    pub(super) hint: String,
    pub(super) replaces: Option<String>,
    pub(super) roles: Option<Vec<Role>>,
}

impl Holder {
    /// The name in the trust file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// By what it is revoked: the hint of its key, or that of its identity.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// The name of the one that it replaces, if any.
    #[must_use]
    pub fn replaces(&self) -> Option<&str> {
        self.replaces.as_deref()
    }

    /// What it may sign; when there is none, drives and statements about images, or anything by an open file.
    /// Identities always have some.
    #[must_use]
    pub fn roles(&self) -> Option<&[Role]> {
        self.roles.as_deref()
    }

    pub(super) fn may(&self, deed: &Deed<'_>, open: bool) -> bool {
        match &self.roles {
            None => open || !deed.what.is_manifest(),
            Some(roles) => roles.iter().any(|role| role.allows(deed)),
        }
    }

    /// Whether some role is for this, whatever else it asks.
    pub(super) fn may_ever(&self, what: &What, open: bool) -> bool {
        match &self.roles {
            None => open || !what.is_manifest(),
            Some(roles) => roles.iter().any(|role| role.is_for(what)),
        }
    }
}

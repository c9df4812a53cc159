//! The common parts of keys and identities of a trust file. Roles, groups, gates and revocations use only these.

use super::role::RoleRequest;
use super::{ContentKind, Role};

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

    /// The hint of its key or its identity, which a revocation contains.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// The name of the key or identity that it replaces, if any.
    #[must_use]
    pub fn replaces(&self) -> Option<&str> {
        self.replaces.as_deref()
    }

    /// What it may sign. Without roles: drives and statements about images, or anything if the file is open.
    /// Identities always have roles.
    #[must_use]
    pub fn roles(&self) -> Option<&[Role]> {
        self.roles.as_deref()
    }

    pub(super) fn may(&self, request: &RoleRequest<'_>, open: bool) -> bool {
        match &self.roles {
            None => open || !request.content.is_manifest(),
            Some(roles) => roles.iter().any(|role| role.allows(request)),
        }
    }

    /// Whether a role allows this kind of content, regardless of its other conditions.
    pub(super) fn may_ever(&self, content: &ContentKind, open: bool) -> bool {
        match &self.roles {
            None => open || !content.is_manifest(),
            Some(roles) => roles.iter().any(|role| role.is_for(content)),
        }
    }
}

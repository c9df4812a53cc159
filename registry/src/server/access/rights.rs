//! What the caller of one request may do: the policies, narrowed by the scope of its token.

use std::sync::Arc;

use oci::RepositoryName;

use super::super::auth::Caller;
use super::config::Allow;
use super::policies::Policies;
use super::scope::Scopes;

/// The rights of a request's caller.
#[derive(Clone, Debug)]
pub(in crate::server) enum Rights {
    /// Nothing: the caller is not known yet.
    Nothing,
    /// Everything: there are no policies, and [`Permission`](super::super::route::Permission) was checked.
    Everything,
    /// What the policies allow.
    Policies(Arc<Limited>),
}

/// Rights with limits.
#[derive(Debug)]
pub(in crate::server) struct Limited {
    policies: Arc<Policies>,
    caller: Caller,
    scopes: Option<Scopes>,
}

/// The decision about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Verdict {
    Allowed,
    /// The policies do not allow it.
    Denied,
    /// The policies allow it, but the token's scope does not include it.
    OutOfScope,
}

impl Rights {
    /// The rights of a caller, with the scopes of its token, if these narrow them.
    pub(in crate::server) fn of(policies: &Arc<Policies>, caller: Caller, scopes: Option<Scopes>) -> Self {
        Self::Policies(Arc::new(Limited { policies: Arc::clone(policies), caller, scopes }))
    }

    /// Whether the caller may do this.
    pub(in crate::server) fn allow(&self, repository: &RepositoryName, action: Allow) -> bool {
        self.judge(repository, [repository], action) == Verdict::Allowed
    }

    /// Decides about an action in one of several repositories. The scope of a token is about the name in the request, which
    /// differs from the repository's for a mirror.
    pub(in crate::server) fn judge<'a>(
        &self,
        requested: &RepositoryName,
        repositories: impl IntoIterator<Item = &'a RepositoryName>,
        action: Allow,
    ) -> Verdict {
        match self {
            Self::Nothing => Verdict::Denied,
            Self::Everything => Verdict::Allowed,
            Self::Policies(limited) => {
                let Limited { policies, caller, scopes } = &**limited;
                if !repositories.into_iter().any(|repository| policies.allow(caller, repository, action)) {
                    return Verdict::Denied;
                }
                let within = scopes.as_ref().is_none_or(|scopes| scopes.allow(requested, action));
                if within { Verdict::Allowed } else { Verdict::OutOfScope }
            }
        }
    }

    /// Decides about listing repositories. Every user may list those that it may pull from.
    pub(in crate::server) fn judge_catalog(&self) -> Verdict {
        match self {
            Self::Nothing => Verdict::Denied,
            Self::Everything => Verdict::Allowed,
            Self::Policies(limited) => match &limited.scopes {
                Some(scopes) if !scopes.allow_catalog() => Verdict::OutOfScope,
                None if limited.caller == Caller::Anonymous && !limited.policies.allow_anonymous() => {
                    Verdict::Denied
                }
                Some(_) | None => Verdict::Allowed,
            },
        }
    }

    /// Whether a repository is in the caller's catalog.
    pub(in crate::server) fn show(&self, repository: &RepositoryName) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Policies(limited) => limited.policies.allow(&limited.caller, repository, Allow::Pull),
        }
    }

    /// Whether the policies let the caller push to a repository, whatever the scope of its token: clients ask for a narrow
    /// scope when they read. `by_default` is the answer without policies.
    pub(in crate::server) fn let_push(&self, repository: &RepositoryName, by_default: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => by_default,
            Self::Policies(limited) => limited.policies.allow(&limited.caller, repository, Allow::Push),
        }
    }

    /// Whether all repositories are in the caller's catalog, as far as this is obvious.
    pub(in crate::server) fn show_all(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Policies(limited) => limited.policies.allow_all_pulls(&limited.caller),
        }
    }

    /// Whether the policies apply to a caller that has logged in.
    pub(in crate::server) fn are_of_a_known_caller(&self) -> bool {
        matches!(self, Self::Policies(limited) if limited.caller != Caller::Anonymous)
    }
}

//! The scopes of tokens, `repository:NAME:pull,push` and `registry:catalog:*`. They narrow what the policies allow.

use std::sync::Arc;

use oci::RepositoryName;

use super::config::Allow;

/// The maximum number of scopes of one token.
const MOST: usize = 32;

/// The scopes of a token. Without any, it proves only who the caller is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::server) struct Scopes(Arc<[Scope]>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Catalog,
    Repository(RepositoryName, Vec<Allow>),
}

impl Scopes {
    /// Parses `scope` parameters, each with one or more scopes. Unknown and malformed scopes allow nothing, and are left out.
    /// `None`: there are too many.
    pub(in crate::server) fn parse<'a>(parameters: impl Iterator<Item = &'a str>) -> Option<Self> {
        // In a query, `+` can be an encoded space. No scope has a plus.
        let texts = parameters.flat_map(|text| text.split([' ', '+']));
        let mut scopes: Vec<Scope> = texts.filter_map(Scope::parse).take(MOST + 1).collect();
        scopes.sort_unstable();
        scopes.dedup();
        (scopes.len() <= MOST).then(|| Self(scopes.into()))
    }

    /// Whether the scopes include an action in a repository.
    pub(super) fn allow(&self, repository: &RepositoryName, action: Allow) -> bool {
        self.0.iter().any(|scope| match scope {
            Scope::Catalog => false,
            Scope::Repository(name, allowed) => name == repository && action.is_in(allowed),
        })
    }

    pub(super) fn allow_catalog(&self) -> bool {
        self.0.contains(&Scope::Catalog)
    }
}

impl Scope {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        match kind {
            "registry" => (name == "catalog" && actions == "*").then_some(Self::Catalog),
            "repository" => {
                let known = |action: &str| Allow::ALL.into_iter().find(|known| known.as_str() == action);
                let actions = actions.split(',').map(|action| if action == "*" { "admin" } else { action });
                let mut allowed: Vec<Allow> = actions.filter_map(known).collect();
                allowed.sort_unstable();
                allowed.dedup();
                Some(Self::Repository(name.parse().ok()?, allowed))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(scopes: &[&str], repository: &str, action: Allow) -> bool {
        Scopes::parse(scopes.iter().copied()).unwrap().allow(&repository.parse().unwrap(), action)
    }

    #[test]
    fn scopes_come_in_one_parameter_or_in_several() {
        let one = ["repository:a/b:pull,push repository:c:delete"];
        let several = ["repository:a/b:push,pull", "repository:c:delete"];
        for scopes in [&one[..], &several[..], &["repository:a/b:pull,push+repository:c:delete"]] {
            assert!(allow(scopes, "a/b", Allow::Pull) && allow(scopes, "a/b", Allow::Push));
            assert!(allow(scopes, "c", Allow::Delete) && !allow(scopes, "c", Allow::Pull));
            assert!(!allow(scopes, "a/b", Allow::Delete) && !allow(scopes, "a", Allow::Pull));
        }
        let parse = |scopes: &[&str]| Scopes::parse(scopes.iter().copied());
        assert_eq!(parse(&one), parse(&several));
        assert!(allow(&["repository:a:*"], "a", Allow::Delete));
    }

    #[test]
    fn malformed_scopes_allow_nothing() {
        for bad in
            ["", "repository", "repository:a", "repository:A:pull", "repository::pull", "x:a:pull", "a:b:c:d"]
        {
            assert_eq!(Scopes::parse([bad].into_iter()), Some(Scopes::default()), "{bad}");
        }
        assert!(!allow(&["repository:a:PULL,read"], "a", Allow::Pull));
        assert!(!allow(&["registry:catalog:*"], "catalog", Allow::Pull));
        let catalog = |text| Scopes::parse([text].into_iter()).unwrap().allow_catalog();
        assert!(catalog("registry:catalog:*") && !catalog("registry:catalog:pull"));
    }

    #[test]
    fn too_many_scopes_are_refused() {
        let many = |count: usize| (0..count).map(|at| format!("repository:r{at}:pull ")).collect::<String>();
        assert!(Scopes::parse([many(MOST).as_str()].into_iter()).is_some());
        assert!(Scopes::parse([many(MOST + 1).as_str()].into_iter()).is_none());
    }
}

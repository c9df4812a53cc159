//! Identities in a trust file: somebody for whom an authority vouches, under a root whose authorities count. Their
//! signatures are verified by [`keyless`](crate::keyless) alone.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use super::document::IdentityText;
use super::{Holder, Role, TrustFile, What, unknown};
use crate::keyless::{self, Evidence, Identity, TrustedRoot, Wanted};
use crate::{Error, Result};

/// What is asked for a root that is named by its path.
pub(super) type ReadRoot<'a> = dyn Fn(&str) -> std::io::Result<String> + 'a;

/// An identity with the name by which people know it, and the root that it is verified under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIdentity {
    pub(super) holder: Holder,
    identity: Identity,
    root: Root,
}

/// A trusted root and its text, which identities share.
#[derive(Clone)]
struct Root {
    text: Arc<str>,
    parsed: Arc<TrustedRoot>,
}

impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Root {}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parsed.fmt(f)
    }
}

impl TrustedIdentity {
    /// An identity, verified under a root that is given as the text of its `trusted_root.json`.
    ///
    /// # Errors
    /// [`Error::TrustIdentity`] when the root cannot be used.
    pub fn new(name: &str, identity: Identity, root: &str, what: Vec<What>) -> Result<Self> {
        let root = Root::parse(root).map_err(refused(name))?;
        Self::checked(name, identity, root, (None, vec![Role::of(what)]))
    }

    fn checked(
        name: &str,
        identity: Identity,
        root: Root,
        (replaces, roles): (Option<String>, Vec<Role>),
    ) -> Result<Self> {
        // A drive's bundle has no room for a certificate, and manifests of EKS Anywhere are signed by keys.
        let kinds = roles.iter().flat_map(Role::what);
        if let Some(what) = kinds.into_iter().find(|what| !matches!(what, What::Statement(_))) {
            let expected = "what an identity can sign: `signature`, a name of a predicate type, or a URI; drives and \
                            manifests of EKS Anywhere are signed by keys";
            return Err(unknown("sign", &what.to_string(), expected));
        }
        let hint = hint(&identity);
        let holder = Holder { name: name.to_owned(), hint, replaces, roles: Some(roles) };
        Ok(Self { holder, identity, root })
    }

    /// What it has in common with keys.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The name in the trust file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.holder.name
    }

    /// By what it is revoked, whichever root it stands under: base64 of the SHA-256 of its texts.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.holder.hint
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whose certificates, logs and timestamps count for it.
    #[must_use]
    pub fn root(&self) -> &TrustedRoot {
        &self.root.parsed
    }

    pub(super) fn text(&self) -> IdentityText {
        let split = |wanted: Wanted<'_>| match wanted {
            Wanted::Exact(text) => (Some(text.to_owned()), None),
            Wanted::Pattern(text) => (None, Some(text.to_owned())),
        };
        let (certificate_identity, certificate_identity_regexp) = split(self.identity.subject());
        let (certificate_oidc_issuer, certificate_oidc_issuer_regexp) = split(self.identity.issuer());
        IdentityText {
            name: self.holder.name.clone(),
            certificate_identity,
            certificate_identity_regexp,
            certificate_oidc_issuer,
            certificate_oidc_issuer_regexp,
            trusted_root: self.root.text.as_ref().to_owned(),
            replaces: self.holder.replaces.clone(),
            roles: self.holder.roles.iter().flatten().map(Role::text).collect(),
        }
    }
}

impl Root {
    fn parse(text: &str) -> keyless::Result<Self> {
        let parsed = Arc::new(TrustedRoot::from_json(text.as_bytes())?);
        Ok(Self { text: Arc::from(text), parsed })
    }
}

pub(super) fn read_all(texts: Vec<IdentityText>, read: &ReadRoot<'_>) -> Result<Vec<TrustedIdentity>> {
    let mut identities: Vec<TrustedIdentity> = Vec::new();
    for text in texts {
        let name = text.name.clone();
        let root = if text.trusted_root.trim_start().starts_with('{') {
            text.trusted_root.clone()
        } else {
            let path = &text.trusted_root;
            read(path).map_err(|source| Error::TrustRootFile { path: path.clone(), source })?
        };
        let known = identities.iter().map(|known| &known.root).find(|known| *known.text == *root);
        let root = known.cloned().map_or_else(|| Root::parse(&root), Ok).map_err(refused(&name))?;
        let (subject, issuer) = (subject(&text)?, issuer(&text)?);
        let identity = Identity::new(subject, issuer).map_err(refused(&name))?;
        if text.roles.is_empty() {
            return Err(unknown("roles", "[]", "a list with something in it: what the identity may sign"));
        }
        let roles = text.roles.into_iter().map(Role::read).collect::<Result<_>>()?;
        identities.push(TrustedIdentity::checked(&name, identity, root, (text.replaces, roles))?);
    }
    Ok(identities)
}

fn refused(name: &str) -> impl FnOnce(keyless::Error) -> Error {
    let name = name.to_owned();
    move |source| Error::TrustIdentity { name, source: Box::new(source) }
}

fn subject(text: &IdentityText) -> Result<Wanted<'_>> {
    one(
        &text.name,
        (&text.certificate_identity, "certificateIdentity"),
        (&text.certificate_identity_regexp, "certificateIdentityRegexp"),
    )
}

fn issuer(text: &IdentityText) -> Result<Wanted<'_>> {
    one(
        &text.name,
        (&text.certificate_oidc_issuer, "certificateOidcIssuer"),
        (&text.certificate_oidc_issuer_regexp, "certificateOidcIssuerRegexp"),
    )
}

type Member<'a> = (&'a Option<String>, &'static str);

fn one<'a>(name: &str, (exact, one): Member<'a>, (pattern, other): Member<'a>) -> Result<Wanted<'a>> {
    match (exact, pattern) {
        (Some(text), None) => Ok(Wanted::Exact(text)),
        (None, Some(text)) => Ok(Wanted::Pattern(text)),
        (None, None) | (Some(_), Some(_)) => {
            Err(Error::TrustIdentityText { name: name.to_owned(), one, other })
        }
    }
}

/// The root is not in it: a newer root must not make a revocation say nothing.
fn hint(identity: &Identity) -> String {
    let part = |wanted: Wanted<'_>| match wanted {
        Wanted::Exact(text) => serde_json::json!({ "exact": text }),
        Wanted::Pattern(text) => serde_json::json!({ "pattern": text }),
    };
    let text = serde_json::json!(["airlock identity", part(identity.subject()), part(identity.issuer())]);
    STANDARD.encode(digest(&SHA256, text.to_string().as_bytes()))
}

impl TrustFile {
    /// The identities, in the file's order, revoked ones among them.
    #[must_use]
    pub fn identities(&self) -> &[TrustedIdentity] {
        &self.identities
    }

    /// The identity whose signature this is. A signature that fits several is that of the first, exact ones before
    /// patterns, whatever each may sign: so one person is one signer.
    ///
    /// # Errors
    /// [`Error::BundleCertificate`] when the file has no identity, [`Error::Keyless`] for why it is none of theirs.
    pub(crate) fn identify(
        &self,
        verify: impl Fn(&[&Identity], &TrustedRoot) -> keyless::Result<(usize, Evidence)>,
    ) -> Result<(&TrustedIdentity, Evidence)> {
        let (mut roots, mut failed): (Vec<&Root>, Option<keyless::Error>) = (Vec::new(), None);
        for known in &self.identities {
            if !roots.contains(&&known.root) {
                roots.push(&known.root);
            }
        }
        for root in roots {
            let mut under: Vec<_> = self.identities.iter().filter(|known| known.root == *root).collect();
            under.sort_by_key(|known| !known.identity.is_exact());
            let identities: Vec<_> = under.iter().map(|known| &known.identity).collect();
            match verify(&identities, &root.parsed) {
                Ok((which, evidence)) => {
                    let identity = under.get(which).ok_or(Error::BundleCertificate)?;
                    return Ok((identity, evidence));
                }
                // What a root says that knows the signature tells more than what another one lacks.
                Err(error) if failed.is_none() || error.is_of_another() => failed = Some(error),
                Err(_) => {}
            }
        }
        Err(failed.map_or(Error::BundleCertificate, |error| Error::Keyless(Box::new(error))))
    }
}

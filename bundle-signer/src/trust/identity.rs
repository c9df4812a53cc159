//! Identities in a trust file: signers with a certificate, and the root that the certificate is verified under. Their
//! signatures are verified only by [`keyless`](crate::keyless).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use super::document::IdentityText;
use super::{ContentKind, Holder, Role, TrustFile, unknown};
use crate::keyless::{self, Evidence, Identity, Matcher, TrustedRoot};
use crate::{Error, Result};

/// Reads a root that is given by its path.
pub(super) type ReadRoot<'a> = dyn Fn(&str) -> std::io::Result<String> + 'a;

/// An identity with its name, and the root that it is verified under.
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
    pub fn new(name: &str, identity: Identity, root: &str, content: Vec<ContentKind>) -> Result<Self> {
        let root = Root::parse(root).map_err(refused(name))?;
        Self::checked(name, identity, root, None, vec![Role::of(content)])
    }

    fn checked(
        name: &str,
        identity: Identity,
        root: Root,
        replaces: Option<String>,
        roles: Vec<Role>,
    ) -> Result<Self> {
        // A drive's bundle has no room for a certificate, and manifests of EKS Anywhere are signed by keys.
        let kinds = roles.iter().flat_map(Role::content);
        if let Some(content) = kinds.into_iter().find(|content| !matches!(content, ContentKind::Statement(_)))
        {
            let expected = "`signature`, the name of a predicate type, or a URI; drives and manifests of EKS Anywhere \
                            must be signed by keys";
            return Err(unknown("sign", &content.to_string(), expected));
        }
        let hint = hint(&identity);
        let holder = Holder { name: name.to_owned(), hint, replaces, roles: Some(roles) };
        Ok(Self { holder, identity, root })
    }

    /// The part that keys and identities have in common.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The name in the trust file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.holder.name
    }

    /// The hint that a revocation contains, independent of the root: base64 of the SHA-256 of its matchers.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.holder.hint
    }

    /// The identity.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The trusted root for its signatures.
    #[must_use]
    pub fn root(&self) -> &TrustedRoot {
        &self.root.parsed
    }

    pub(super) fn text(&self) -> IdentityText {
        let split = |matcher: Matcher<'_>| match matcher {
            Matcher::Exact(text) => (Some(text.to_owned()), None),
            Matcher::Pattern(text) => (None, Some(text.to_owned())),
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
            return Err(unknown("roles", "[]", "a non-empty list of what the identity may sign"));
        }
        let roles = text.roles.into_iter().map(Role::read).collect::<Result<_>>()?;
        identities.push(TrustedIdentity::checked(&name, identity, root, text.replaces, roles)?);
    }
    Ok(identities)
}

fn refused(name: &str) -> impl FnOnce(keyless::Error) -> Error {
    let name = name.to_owned();
    move |source| Error::TrustIdentity { name, source: Box::new(source) }
}

fn subject(text: &IdentityText) -> Result<Matcher<'_>> {
    one(
        &text.name,
        (&text.certificate_identity, "certificateIdentity"),
        (&text.certificate_identity_regexp, "certificateIdentityRegexp"),
    )
}

fn issuer(text: &IdentityText) -> Result<Matcher<'_>> {
    one(
        &text.name,
        (&text.certificate_oidc_issuer, "certificateOidcIssuer"),
        (&text.certificate_oidc_issuer_regexp, "certificateOidcIssuerRegexp"),
    )
}

type Member<'a> = (&'a Option<String>, &'static str);

fn one<'a>(name: &str, (exact, one): Member<'a>, (pattern, other): Member<'a>) -> Result<Matcher<'a>> {
    match (exact, pattern) {
        (Some(text), None) => Ok(Matcher::Exact(text)),
        (None, Some(text)) => Ok(Matcher::Pattern(text)),
        (None, None) | (Some(_), Some(_)) => {
            Err(Error::TrustIdentityText { name: name.to_owned(), one, other })
        }
    }
}

/// The hint does not include the root: a newer root must not make a revocation ineffective.
fn hint(identity: &Identity) -> String {
    let part = |matcher: Matcher<'_>| match matcher {
        Matcher::Exact(text) => serde_json::json!({ "exact": text }),
        Matcher::Pattern(text) => serde_json::json!({ "pattern": text }),
    };
    let text = serde_json::json!(["airlock identity", part(identity.subject()), part(identity.issuer())]);
    STANDARD.encode(digest(&SHA256, text.to_string().as_bytes()))
}

impl TrustFile {
    /// The identities, in the file's order, including revoked ones.
    #[must_use]
    pub fn identities(&self) -> &[TrustedIdentity] {
        &self.identities
    }

    /// The identity that made a signature. If several match, it is the first one, exact ones before patterns, regardless
    /// of their roles: so one person is one signer.
    ///
    /// # Errors
    /// [`Error::BundleCertificate`] when the file has no identities, [`Error::Keyless`] when none of them made it.
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
                Ok((matched, evidence)) => {
                    let identity = under.get(matched).ok_or(Error::BundleCertificate)?;
                    return Ok((identity, evidence));
                }
                // The error of a root under which the signature is valid is more specific than that of other roots.
                Err(error) if failed.is_none() || error.is_identity_mismatch() => failed = Some(error),
                Err(_) => {}
            }
        }
        Err(failed.map_or(Error::BundleCertificate, |error| Error::Keyless(Box::new(error))))
    }
}

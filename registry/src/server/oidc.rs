//! Tokens of OIDC issuers, such as those of Kubernetes' service accounts (RFC 7519, signed as in RFC 7515).
//!
//! Nothing in a token selects its key but `kid`, in the keys of a configured issuer, and the kind of a key decides which
//! algorithms it verifies. There are no symmetric algorithms. rustls' provider verifies the signatures.
//!
//! `keys`: sets of keys; `source`: where they come from; `token`: the parts of a token; `claims`: what it says.
//!
//! `text -> SignedToken -> Claims -> ExternalUser`

mod claims;
mod der;
mod keys;
mod source;
mod token;

use std::fmt;
use std::path::PathBuf;

use oci::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use self::claims::Claims;
use self::source::KeySource;
use self::token::SignedToken;
use super::access::ExternalUser;
use crate::Error;

pub(super) use self::token::is_token;

/// An issuer of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "Oidc")]
pub struct OidcConfig {
    /// The issuer, exactly as tokens name it (`iss`).
    pub issuer: String,
    /// The audience that tokens must have (`aud`).
    pub audience: String,
    /// The file of the issuer's public keys (JWKS), relative to this file. Either this or `jwksURL` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<PathBuf>,
    /// The `https` URL of the issuer's public keys. The registry contacts another server only if this is set.
    #[serde(default, rename = "jwksURL", skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// With `jwksURL`: CA certificates to trust in addition to those of the system, PEM, relative to this file.
    #[serde(default, rename = "jwksCA", skip_serializing_if = "Option::is_none")]
    pub jwks_ca: Option<PathBuf>,
    /// The claim that is the user name.
    #[serde(default = "sub")]
    pub username_claim: String,
    /// The claim with the user's groups, a text or a list of texts. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// A prefix for the names of users.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username_prefix: String,
    /// A prefix for the names of groups.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub groups_prefix: String,
}

fn sub() -> String {
    "sub".to_owned()
}

/// An issuer with its keys.
#[derive(Clone)]
pub struct OidcIssuer {
    config: OidcConfig,
    source: KeySource,
    digest: Digest,
}

/// Why a token identifies no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed,
    Issuer,
    Algorithm,
    Key,
    Signature,
    Audience,
    Expired,
    Early,
    Username,
    /// Not the token's fault.
    Unavailable,
}

impl Fault {
    /// The reason, for the client.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "the token is malformed",
            Self::Issuer => "this registry does not accept tokens from this issuer",
            Self::Algorithm => "this registry does not accept the token's signature algorithm",
            Self::Key => "the token is signed with a key that is not among the issuer's keys",
            Self::Signature => "the token's signature is invalid",
            Self::Audience => "the token is for another audience",
            Self::Expired => "the token has expired",
            Self::Early => "the token is not valid yet",
            Self::Username => "the token does not contain a valid user name",
            Self::Unavailable => "the keys of the token's issuer cannot be fetched",
        }
    }
}

impl OidcIssuer {
    /// An issuer. `keys` is the content of the file of its keys, and `ca` that of `jwksCA`.
    ///
    /// # Errors
    /// When the configuration has neither keys nor a URL or has both, or when one of them cannot be used.
    pub fn new(config: OidcConfig, keys: Option<&str>, ca: Option<&str>) -> Result<Self, Error> {
        if config.issuer.is_empty() || config.audience.is_empty() || config.username_claim.is_empty() {
            return Err(Error::OidcEmpty(config.issuer));
        }
        let source = match (keys, &config.jwks_url) {
            (Some(text), None) if ca.is_none() => KeySource::fixed(&config.issuer, text)?,
            (None, Some(url)) => KeySource::remote(&config.issuer, url, ca)?,
            _ => return Err(Error::OidcKeys(config.issuer)),
        };
        let digest = Digest::sha256(format!("{config:?} {keys:?} {ca:?}").as_bytes());
        Ok(Self { config, source, digest })
    }

    /// What changes with the configuration and with the file of keys.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    async fn identify(&self, token: &SignedToken<'_>, now: OffsetDateTime) -> Result<ExternalUser, Fault> {
        let keys = self.source.keys(|keys| token.keys(keys).next().is_some()).await?;
        token.verify(&keys)?;
        let Claims { name, groups, until } = token.claims().check(&self.config, now)?;
        Ok(ExternalUser { name, groups, source: self.digest.clone(), certificate: None, until: Some(until) })
    }
}

impl fmt::Debug for OidcIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OidcIssuer({})", self.config.issuer)
    }
}

/// The user of a token. Several issuers may have the same name, such as clusters with the default configuration.
pub(super) async fn identify(
    issuers: &[OidcIssuer],
    text: &str,
    now: OffsetDateTime,
) -> Result<ExternalUser, Fault> {
    let token = SignedToken::parse(text).ok_or(Fault::Malformed)?;
    let named = issuers.iter().filter(|issuer| token.claims().is_of(&issuer.config.issuer));
    let mut fault = Fault::Issuer;
    for issuer in named {
        match issuer.identify(&token, now).await {
            Ok(identity) => return Ok(identity),
            // What is wrong with a token whose signature is right says more.
            Err(found) if fault == Fault::Issuer || !matches!(found, Fault::Key | Fault::Signature) => {
                fault = found;
            }
            Err(_) => {}
        }
    }
    Err(fault)
}

#[cfg(test)]
mod tests;

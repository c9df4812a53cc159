//! What a request presents to identify its caller.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::super::certificates::ClientCertificate;
use super::super::guard::address::Network;

/// What a request presents to identify its caller, and where it comes from.
#[derive(Clone, Copy)]
pub(in crate::server) struct Presented<'a> {
    pub(in crate::server) headers: &'a HeaderMap,
    /// The client certificate of the connection.
    pub(in crate::server) certificate: Option<&'a ClientCertificate>,
    pub(in crate::server) network: Network,
}

/// The credentials of a request.
pub(super) enum Credentials {
    None,
    Token(String),
    Password(String, Vec<u8>),
    Unknown,
}

/// The credentials of a request. Podman and skopeo send empty credentials if they have none and get a challenge.
pub(super) fn credentials(headers: &HeaderMap) -> Credentials {
    let Some(value) = headers.get(AUTHORIZATION).filter(|value| !is_empty(value)) else {
        return Credentials::None;
    };
    let Some(text) = value.to_str().ok() else { return Credentials::Unknown };
    match (text.split_once(' '), basic(text)) {
        (_, Some((user, password))) => Credentials::Password(user, password),
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => {
            Credentials::Token(token.trim().to_owned())
        }
        _ => Credentials::Unknown,
    }
}

/// The user name that a request claims, or `None` without credentials. A token claims no name.
pub(in crate::server) fn claimed(headers: &HeaderMap) -> Option<String> {
    match credentials(headers) {
        Credentials::None | Credentials::Token(_) => None,
        Credentials::Password(user, _) => Some(user),
        Credentials::Unknown => Some(String::new()),
    }
}

/// Whether a request has a token.
pub(in crate::server) fn has_token(headers: &HeaderMap) -> bool {
    matches!(credentials(headers), Credentials::Token(_))
}

fn is_empty(value: &HeaderValue) -> bool {
    value.to_str().ok().and_then(basic).is_some_and(|(user, password)| user.is_empty() && password.is_empty())
}

/// The user and password of a `Basic` header.
fn basic(value: &str) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((String::from_utf8(decoded[..colon].to_vec()).ok()?, decoded[colon + 1..].to_vec()))
}

//! Tokens: Docker and similar clients exchange a password for a token, and use an anonymous token for anonymous pulls.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::answer;
use super::auth::Caller;
use super::guard::address::Client;
use super::refusal::Refusal;

/// The path of the token endpoint.
pub(super) const PATH: &str = "/token";
/// The token of clients without a password.
pub(super) const ANONYMOUS: &str = "anonymous";
/// The lifetime of a token.
const LIFE: Duration = Duration::from_hours(1);
/// A token with less remaining lifetime is not issued again.
const REST: Duration = Duration::from_mins(30);
const BYTES: usize = 32;

/// The tokens of users. Each user has at most two.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, (String, Instant)>>);

impl Tokens {
    /// The user of a valid token.
    pub(super) fn user(&self, token: &str, now: Instant) -> Option<String> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (user, until) = tokens.get(token)?;
        (now < *until).then(|| user.clone())
    }

    /// Issues a token for a user; returns it with its remaining lifetime.
    fn issue(&self, user: &str, now: Instant) -> Result<(String, Duration), Refusal> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, until)| now < *until);
        let own = tokens.iter().find(|(_, (owner, until))| owner == user && *until - now >= REST);
        if let Some((token, (_, until))) = own {
            return Ok((token.clone(), *until - now));
        }
        let mut bytes = [0; BYTES];
        let provider = rustls::crypto::ring::default_provider();
        if provider.secure_random.fill(&mut bytes).is_err() {
            return Err(Refusal::internal(&std::io::Error::other("no random bytes are available")));
        }
        let token = URL_SAFE_NO_PAD.encode(bytes);
        tokens.insert(token.clone(), (user.to_owned(), now + LIFE));
        Ok((token, LIFE))
    }

    /// The response to a token request.
    pub(super) fn grant(&self, caller: &Caller) -> Result<Response, Refusal> {
        let (token, life) = match caller {
            Caller::Anonymous => (ANONYMOUS.to_owned(), LIFE),
            Caller::User(user) => self.issue(user, Instant::now())?,
        };
        let value = json!({ "token": token, "access_token": token, "expires_in": life.as_secs() });
        let mut response = answer::json("application/json", &value)?;
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// The challenge that makes clients request a token, at the host name of their request. A client that sent no host name can
/// only be asked for a password.
pub(super) fn challenge(head: &Parts, client: Option<&Client>, scope: Option<&str>) -> Option<HeaderValue> {
    let proxied = client.is_some_and(|client| client.proxied);
    let field = |name: HeaderName| head.headers.get(name)?.to_str().ok();
    let forwarded = || field(HeaderName::from_static("x-forwarded-host")).filter(|_| proxied);
    let authority = || head.uri.authority().map(http::uri::Authority::as_str);
    let host = forwarded().or_else(|| field(HOST)).or_else(authority)?;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        return None;
    }
    let scheme = if client.is_some_and(|client| client.secure) { "https" } else { "http" };
    let scope = scope.map(|scope| format!(",scope=\"{scope}\"")).unwrap_or_default();
    let text = format!("Bearer realm=\"{scheme}://{host}{PATH}\",service=\"airlock\"{scope}");
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_at_most_two_tokens_and_each_expires() {
        let (tokens, begun) = (Tokens::default(), Instant::now());
        let (first, _) = tokens.issue("ann", begun).unwrap();
        assert_eq!(tokens.issue("ann", begun).unwrap().0, first);
        assert_eq!(tokens.user(&first, begun), Some("ann".to_owned()));
        assert_eq!(tokens.user("other", begun), None);
        let later = begun + LIFE.saturating_sub(REST) + Duration::from_secs(1);
        let (second, _) = tokens.issue("ann", later).unwrap();
        assert_ne!(second, first);
        assert_eq!(tokens.user(&first, later), Some("ann".to_owned()));
        assert_eq!(tokens.user(&first, begun + LIFE), None);
        for step in 0..1000 {
            tokens.issue("ann", later + Duration::from_secs(step)).unwrap();
        }
        assert!(tokens.0.lock().unwrap().len() <= 2);
    }
}

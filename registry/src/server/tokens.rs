//! Tokens: Docker and similar clients exchange a password for a token, and use an anonymous token for anonymous pulls.

mod form;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use oci::Digest;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::access::Scopes;
use super::answer;
use super::auth::Caller;
use super::guard::address::Client;
use super::refusal::Refusal;

pub(super) use self::form::form;

/// The path of the token endpoint.
pub(super) const PATH: &str = "/token";
/// The token of clients without a password.
const ANONYMOUS: &str = "anonymous";
const BYTES: usize = 32;
/// The maximum number of tokens of one user. Above it, the oldest one is dropped, and its client requests another one.
const MOST: usize = 256;

/// How long tokens are valid.
#[derive(Clone, Copy)]
struct Life {
    whole: Duration,
    /// A token with less remaining lifetime is not issued again.
    rest: Duration,
}

/// Tokens for everything that the user may do.
const WIDE: Life = Life { whole: Duration::from_hours(1), rest: Duration::from_mins(30) };
/// Tokens with scopes.
const NARROW: Life = Life { whole: Duration::from_mins(10), rest: Duration::from_mins(5) };

/// The tokens of users.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, (Holder, Instant)>>);

/// Whom a token identifies, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) caller: Caller,
    /// If `None`, the token is for everything that the caller may do.
    pub(super) scopes: Option<Scopes>,
    /// What identifies the password that the token was issued for.
    pub(super) credential: Option<Digest>,
}

impl Holder {
    fn of(caller: Caller) -> Self {
        Self { caller, scopes: None, credential: None }
    }
}

impl Tokens {
    /// The holder of a valid token.
    pub(super) fn holder(&self, token: &str, now: Instant) -> Option<Holder> {
        if token == ANONYMOUS {
            return Some(Holder::of(Caller::Anonymous));
        }
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (holder, until) = tokens.get(token)?;
        (now < *until).then(|| holder.clone())
    }

    /// Issues a token; returns it with its remaining lifetime.
    fn issue(&self, holder: Holder, life: Life, now: Instant) -> Result<(String, Duration), Refusal> {
        if holder.caller == Caller::Anonymous {
            return Ok((ANONYMOUS.to_owned(), life.whole));
        }
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, until)| now < *until);
        let same = tokens.iter().find(|(_, (known, until))| *known == holder && *until - now >= life.rest);
        if let Some((token, (_, until))) = same {
            return Ok((token.clone(), *until - now));
        }
        let own = || tokens.iter().filter(|(_, (known, _))| known.caller.user() == holder.caller.user());
        if own().count() >= MOST
            && let Some(oldest) = own().min_by_key(|(_, (_, until))| *until).map(|(token, _)| token.clone())
        {
            tokens.remove(&oldest);
        }
        let token = random()?;
        tokens.insert(token.clone(), (holder, now + life.whole));
        Ok((token, life.whole))
    }

    /// The response to a token request, with a token for everything that the caller may do.
    pub(super) fn grant(&self, caller: &Caller) -> Result<Response, Refusal> {
        let (token, life) = self.issue(Holder::of(caller.clone()), WIDE, Instant::now())?;
        response(&json!({ "token": token, "access_token": token, "expires_in": life.as_secs() }))
    }

    /// The response to a token request, with a token for scopes.
    pub(super) fn grant_narrow(&self, holder: Holder) -> Result<Response, Refusal> {
        let (token, life) = self.issue(holder, NARROW, Instant::now())?;
        let now = OffsetDateTime::now_utc().truncate_to_second();
        let now = now.format(&Rfc3339).map_err(|error| Refusal::internal(&error))?;
        response(&json!({
            "token": token, "access_token": token, "expires_in": life.as_secs(), "issued_at": now,
        }))
    }
}

/// A text that no one can guess.
pub(super) fn random() -> Result<String, Refusal> {
    let mut bytes = [0; BYTES];
    let provider = rustls::crypto::ring::default_provider();
    if provider.secure_random.fill(&mut bytes).is_err() {
        return Err(Refusal::internal(&std::io::Error::other("no random bytes are available")));
    }
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn response(value: &Value) -> Result<Response, Refusal> {
    let mut response = answer::json("application/json", value)?;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The challenge that makes clients request a token, at the host name of their request. A client that sent no host name can
/// only be asked for a password. The fault tells a client what is wrong with the token that it sent.
pub(super) fn challenge(
    head: &Parts,
    client: Option<&Client>,
    scope: Option<&str>,
    fault: Option<&str>,
) -> Option<HeaderValue> {
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
    let fault = fault.map(|fault| format!(",error=\"{fault}\"")).unwrap_or_default();
    let text = format!("Bearer realm=\"{scheme}://{host}{PATH}\",service=\"airlock\"{scope}{fault}");
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Holder {
        Holder::of(Caller::User(name.to_owned()))
    }

    #[test]
    fn a_user_has_at_most_two_tokens_and_each_expires() {
        let (tokens, begun) = (Tokens::default(), Instant::now());
        let issue = |now| tokens.issue(user("ann"), WIDE, now).unwrap().0;
        let first = issue(begun);
        assert_eq!(issue(begun), first);
        assert_eq!(tokens.holder(&first, begun), Some(user("ann")));
        assert_eq!(tokens.holder("other", begun), None);
        let later = begun + WIDE.whole.saturating_sub(WIDE.rest) + Duration::from_secs(1);
        let second = issue(later);
        assert_ne!(second, first);
        assert_eq!(tokens.holder(&first, later), Some(user("ann")));
        assert_eq!(tokens.holder(&first, begun + WIDE.whole), None);
        for step in 0..1000 {
            issue(later + Duration::from_secs(step));
        }
        assert!(tokens.0.lock().unwrap().len() <= 2);
    }

    #[test]
    fn tokens_with_different_scopes_differ_and_are_bounded() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let issue = |name: &str, at: usize| {
            let scope = format!("repository:r{at}:pull");
            let scopes = Scopes::parse([scope.as_str()].into_iter());
            tokens.issue(Holder { scopes, ..user(name) }, NARROW, now).unwrap().0
        };
        let other = issue("bob", 0);
        let (first, second) = (issue("ann", 0), issue("ann", 1));
        assert_ne!(first, second);
        assert_eq!(issue("ann", 0), first);
        for at in 2..3 * MOST {
            issue("ann", at);
        }
        assert_eq!(tokens.0.lock().unwrap().len(), MOST + 1);
        assert!(tokens.holder(&other, now).is_some(), "one user does not push out another one's tokens");
    }

    #[test]
    fn a_token_of_an_old_password_is_not_issued_again() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let issue = |credential: &[u8]| {
            let credential = Some(Digest::sha256(credential));
            tokens.issue(Holder { credential, ..user("ann") }, NARROW, now).unwrap().0
        };
        assert_ne!(issue(b"old"), issue(b"new"));
        assert_eq!(issue(b"new"), issue(b"new"));
    }
}

//! Authorization: what a registry asks for, and the tokens of its token service (distribution's `token.md` and
//! `oauth.md`).

use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::body::{Bounds, whole};
use super::credentials::Credential;
use super::error::{At, Error, page};
use super::wire::{Call, Reply, Wire, basic, leaves_tls, secret};

/// A token and what surrounds it are not larger than this.
const MOST_TOKEN: u64 = 1 << 20;
/// The client ID of this program at token services.
const CLIENT: &str = "airlock";

/// What a registry asks for with status 401.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// What a token is for.
pub(super) struct Purpose<'a> {
    /// The registry's address, for the rule that nothing leaves TLS.
    pub(super) registry: &'a Url,
    /// The registry as it stands in references.
    pub(super) host: &'a str,
    /// The repository's name at the endpoint.
    pub(super) repository: &'a str,
    pub(super) push: bool,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl Challenge {
    /// The best challenge of an answer: a token's before a password's.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let all = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut found: Vec<Self> = all.flat_map(parse).collect();
        let bearer = found.iter().position(|challenge| matches!(challenge, Self::Bearer { .. }));
        if found.is_empty() { None } else { Some(found.swap_remove(bearer.unwrap_or(0))) }
    }
}

/// The challenges of one header (RFC 9110, section 11.6.1).
fn parse(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for part in parts(text) {
        let (name, value) = part.split_once('=').unwrap_or((part.as_str(), ""));
        match name.trim().rsplit_once(char::is_whitespace) {
            Some((scheme, name)) => {
                found.push((scheme.trim().to_ascii_lowercase(), vec![parameter(name, value)]));
            }
            None if !part.contains('=') => found.push((name.trim().to_ascii_lowercase(), Vec::new())),
            None => {
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push(parameter(name, value));
                }
            }
        }
    }
    let challenges = found.into_iter().map(|(scheme, parameters)| {
        let of = |name: &str| {
            let value = parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
            value.filter(|value| !value.is_empty())
        };
        match (scheme.as_str(), of("realm")) {
            ("basic", _) => Some(Challenge::Basic),
            ("bearer", Some(realm)) => {
                Some(Challenge::Bearer { realm, service: of("service"), scope: of("scope") })
            }
            _ => None,
        }
    });
    challenges.flatten().collect()
}

fn parameter(name: &str, value: &str) -> (String, String) {
    let value = value.trim();
    let inner = value.strip_prefix('"').map_or(value, |inner| inner.strip_suffix('"').unwrap_or(inner));
    (name.trim().to_ascii_lowercase(), inner.replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// The parts between commas that stand outside of quotes.
fn parts(text: &str) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ',' if !quoted => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        part.push(c);
    }
    parts.push(part);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

impl Wire {
    /// The value of `Authorization` that answers a challenge; none where there is nothing to answer it with.
    ///
    /// # Errors
    /// When the token service gives no token.
    pub(super) async fn authorize(
        &self,
        challenge: &Challenge,
        credential: Option<&Credential>,
        purpose: &Purpose<'_>,
    ) -> Result<Option<HeaderValue>, Error> {
        match (challenge, credential) {
            (_, Some(Credential::Registry(token))) => Ok(secret(&format!("Bearer {token}"))),
            (Challenge::Basic, Some(Credential::Password(user, password))) => Ok(basic(user, password)),
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service, scope }, credential) => {
                let scopes = scopes(scope.as_deref(), purpose);
                let mut url = realm_url(realm, purpose)?;
                if let Some(Credential::Identity(token)) = credential {
                    let grant = [("grant_type", "refresh_token"), ("refresh_token", token)];
                    let call = form(url, service.as_deref(), &scopes, &grant, purpose);
                    return self.whole(|| self.token(&call, None)).await.map(Some);
                }
                if let Some(service) = service {
                    url.query_pairs_mut().append_pair("service", service);
                }
                for scope in &scopes {
                    url.query_pairs_mut().append_pair("scope", scope);
                }
                let post = match credential {
                    Some(Credential::Password(user, password)) => {
                        let grant = [("grant_type", "password"), ("username", user), ("password", password)];
                        Some(form(realm_url(realm, purpose)?, service.as_deref(), &scopes, &grant, purpose))
                    }
                    _ => None,
                };
                let mut call = Call::get(url);
                call.host = Some(purpose.host.to_owned());
                if let Some(Credential::Password(user, password)) = credential {
                    call.url.query_pairs_mut().append_pair("account", user);
                    call.authorization = basic(user, password);
                }
                self.whole(|| self.token(&call, post.as_ref())).await.map(Some)
            }
        }
    }

    /// Asks for a token. `post` is how a service is asked that knows only the way of OAuth 2.
    async fn token(&self, call: &Call, post: Option<&Call>) -> Result<HeaderValue, Error> {
        let mut answer = self.send(call).await?;
        let knows_no_get = matches!(
            answer.response.status(),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED
        );
        if let Some(post) = post.filter(|_| knows_no_get) {
            answer = self.send(post).await?;
        }
        let Reply { response, at, .. } = answer;
        let refused = |at: &At, reason: String| Error::Token { at: Box::new(at.clone()), reason };
        let (status, html) = (response.status(), is_html(response.headers()));
        match status {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if call.has_secret() => {
                return Err(refused(&at, format!("it refused the credentials with status {status}")));
            }
            _ => return Err(refused(&at, format!("it answered with status {status}"))),
        }
        let bytes = whole(response, self.bounds(at.clone(), MOST_TOKEN)).await?;
        // What is malformed may still hold a token: only where is said.
        let token: Token = serde_json::from_slice(&bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            refused(&at, format!("its answer is malformed at line {line}, column {column}{}", page(&html)))
        })?;
        let token = token.token.filter(|token| !token.is_empty()).or(token.access_token);
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| refused(&at, "its answer has no token".to_owned()))?;
        secret(&format!("Bearer {token}")).ok_or_else(|| refused(&at, "its token is malformed".to_owned()))
    }

    /// Bounds for a body that is read whole.
    pub(super) fn bounds(&self, at: At, most: u64) -> Bounds {
        Bounds { at, most, expected: None, idle: self.idle, least: self.least }
    }
}

impl Call {
    fn has_secret(&self) -> bool {
        self.authorization.is_some() || self.body.is_some()
    }
}

/// Whether an answer calls itself a web page.
pub(super) fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim().to_ascii_lowercase().starts_with("text/html")
}

/// What is asked for: the repository, and what else the registry names.
fn scopes(asked: Option<&str>, purpose: &Purpose<'_>) -> Vec<String> {
    let actions = if purpose.push { "pull,push" } else { "pull" };
    let own = format!("repository:{}:{actions}", purpose.repository);
    let others = asked.into_iter().flat_map(str::split_whitespace);
    let others = others.filter(|scope| !scope.starts_with("repository:")).map(str::to_owned);
    std::iter::once(own).chain(others).collect()
}

/// The token service's address. It is the registry's to name, but not to be in clear where the registry is not.
fn realm_url(realm: &str, purpose: &Purpose<'_>) -> Result<Url, Error> {
    let at = |url: &str| {
        Box::new(At { url: super::shown_url(url), host: Some(purpose.host.to_owned()), proxy: None })
    };
    let refused = |reason: &str| Error::Token { at: at(realm), reason: reason.to_owned() };
    let mut url = Url::parse(realm).map_err(|_| refused("its address is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("its address is not an HTTP URL"));
    }
    if leaves_tls(purpose.registry, &url) {
        return Err(refused(
            "it uses plain HTTP although the registry uses HTTPS, so no request is sent to it",
        ));
    }
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok(url)
}

/// Asks for an access token by a grant of OAuth 2.
fn form(
    url: Url,
    service: Option<&str>,
    scopes: &[String],
    grant: &[(&str, &str)],
    purpose: &Purpose<'_>,
) -> Call {
    let mut form = url.clone();
    form.set_query(None);
    {
        let mut pairs = form.query_pairs_mut();
        pairs.extend_pairs(grant);
        pairs.append_pair("client_id", CLIENT).append_pair("scope", &scopes.join(" "));
        if let Some(service) = service {
            pairs.append_pair("service", service);
        }
    }
    let body = form.query().unwrap_or_default().to_owned();
    let mut call = Call::get(url);
    call.method = Method::POST;
    call.repeats = true;
    call.host = Some(purpose.host.to_owned());
    call.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    call.body = Some(body.into());
    call
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_with_quotes_commas_and_in_any_case() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        for (text, expected) in [
            ("Basic realm=\"a, b\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://t.io/x\",service=\"s\",scope=\"repository:a:pull,push\"",
                Some(bearer("https://t.io/x", Some("s"), Some("repository:a:pull,push"))),
            ),
            ("BEARER REALM=https://t.io , service=s", Some(bearer("https://t.io", Some("s"), None))),
            ("Basic realm=\"x\", Bearer realm=\"https://t.io\"", Some(bearer("https://t.io", None, None))),
            ("Bearer service=\"s\"", None),
            ("Negotiate", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(WWW_AUTHENTICATE, text.parse().unwrap());
            assert_eq!(Challenge::of(&headers), expected, "{text}");
        }
    }

    #[test]
    fn d1_a_token_service_in_clear_is_not_asked_for_a_registry_with_tls() {
        let registry = "https://r.io/".parse().unwrap();
        let purpose = Purpose { registry: &registry, host: "r.io", repository: "a", push: false };
        assert!(realm_url("http://t.io/token", &purpose).is_err());
        assert!(realm_url("file:///etc/passwd", &purpose).is_err());
        assert_eq!(realm_url("https://u:p@t.io/token", &purpose).unwrap().as_str(), "https://t.io/token");
    }

    proptest::proptest! {
        #[test]
        fn any_challenge_is_read_without_a_panic(text in "\\PC{0,200}", signs in "[\"\\\\,= a]{0,40}") {
            parse(&text);
            parse(&format!("Bearer realm={signs}"));
        }
    }
}

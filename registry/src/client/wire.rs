//! The one way out for all requests, of registries, token services and files alike: one TLS configuration, the
//! proxies, and redirects.
//!
//! Credentials belong to the origin (scheme, host and port) of the URL that was asked for. A redirect to another
//! origin loses them, and none leads from HTTPS to plain HTTP.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use url::Url;

use super::config::ClientConfig;
use super::error::{At, Error};
use super::exchange::{Body, Exchange, ExchangeError, Request, Response};
use super::proxy::Proxies;
use super::shown::shown;
use super::tls::Trust;

const MOST_REDIRECTS: usize = 10;
/// All connections of a client.
pub(super) struct Wire {
    /// Made when needed: reading the system's CA certificates takes a while.
    exchange: OnceLock<Exchange>,
    trust: Trust,
    proxies: Arc<Proxies>,
    pub(super) idle: Duration,
    pub(super) least: u64,
    pub(super) tries: u32,
    pub(super) pause: Duration,
}

/// What to ask.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// For the URL's origin alone.
    pub(super) authorization: Option<HeaderValue>,
    /// A small body that can be sent again.
    pub(super) body: Option<Bytes>,
    /// The registry that this is about, for messages.
    pub(super) host: Option<String>,
    /// Whether it may be made twice, whatever its method.
    pub(super) repeats: bool,
}

/// An answer and who gave it.
pub(super) struct Reply {
    pub(super) response: Response,
    /// Where it came from in the end.
    pub(super) url: Url,
    pub(super) at: At,
}

impl Call {
    /// A reading request. User and password in the URL become its authorization, so that its rule applies to them.
    pub(super) fn get(mut url: Url) -> Self {
        let authorization = basic_of(&url);
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let (method, headers) = (Method::GET, HeaderMap::new());
        Self { method, url, headers, authorization, body: None, host: None, repeats: false }
    }
}

/// User and password of a URL as the value of an `Authorization` header.
pub(super) fn basic_of(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
    basic(&decoded(url.username()), &decoded(url.password().unwrap_or_default()))
}

/// The value of `Authorization` for a user and password; it is never printed.
pub(super) fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    secret(&format!("Basic {pair}"))
}

/// A header value that is never printed.
pub(super) fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Wire {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, Error> {
        Ok(Self {
            exchange: OnceLock::new(),
            trust: Trust::new(&config.hosts)?,
            proxies: Arc::new(Proxies::new(&config.proxies)?),
            idle: config.idle,
            least: config.least,
            tries: config.tries,
            pause: config.pause,
        })
    }

    fn exchange(&self) -> Result<&Exchange, Error> {
        if let Some(made) = self.exchange.get() {
            return Ok(made);
        }
        let ring = || Arc::new(rustls::crypto::ring::default_provider());
        let provider = rustls::crypto::CryptoProvider::get_default().map_or_else(ring, Arc::clone);
        let tls = self.trust.config(&provider).map_err(Error::Tls)?;
        let made = Exchange::new(tls, Arc::clone(&self.proxies), self.idle);
        Ok(self.exchange.get_or_init(|| made))
    }

    /// One request, and those that it is redirected to.
    pub(super) async fn once(&self, call: &Call) -> Result<Reply, Error> {
        let mut url = call.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut headers = call.headers.clone();
            if let Some(value) = &call.authorization
                && url.origin() == call.url.origin()
            {
                headers.insert(AUTHORIZATION, value.clone());
            }
            let body = call.body.clone().map_or(Body::Empty, Body::Bytes);
            let request = Request { method: call.method.clone(), url: url.clone(), headers, body };
            let answer = self.execute(request, call.host.as_deref()).await?;
            match redirect(call, &answer)? {
                None => return Ok(answer),
                Some(next) => url = next,
            }
        }
        let to = shown(&url);
        Err(Error::Redirect {
            at: Box::new(self.at(&call.url, call.host.as_deref())),
            to,
            reason: "too many redirects",
        })
    }

    /// One request and its answer, whatever that is.
    pub(super) async fn execute(&self, request: Request, host: Option<&str>) -> Result<Reply, Error> {
        let url = request.url.clone();
        let at = self.at(&url, host);
        match self.exchange()?.execute(request).await {
            Ok(response) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                let proxy = at.proxy.clone().unwrap_or_else(|| at.url.clone());
                Err(Error::Proxy { proxy, at: Box::new(At { proxy: None, ..at }), source: None })
            }
            Ok(response) => Ok(Reply { response, url, at }),
            Err(source) => Err(failed(at, source)),
        }
    }

    pub(super) fn at(&self, url: &Url, host: Option<&str>) -> At {
        At { url: shown(url), host: host.map(str::to_owned), proxy: self.proxies.name(url) }
    }
}

/// A connection that was not made is the proxy's fault where there is one, unless the certificate is refused: that is
/// the server's, whom the proxy has connected.
fn failed(at: At, source: ExchangeError) -> Error {
    match at.proxy.clone() {
        Some(proxy) if source.is_connect() && !Error::is_tls(&source) => {
            Error::Proxy { proxy, at: Box::new(At { proxy: None, ..at }), source: Some(source) }
        }
        _ => Error::Request { at: Box::new(at), source },
    }
}

/// Where an answer leads, if it leads anywhere.
fn redirect(call: &Call, answer: &Reply) -> Result<Option<Url>, Error> {
    let reads = matches!(call.method, Method::GET | Method::HEAD);
    match answer.response.status().as_u16() {
        301..=303 if reads => {}
        307 | 308 => {}
        _ => return Ok(None),
    }
    let target = answer.response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let Some(mut target) = target.and_then(|text| answer.url.join(text).ok()) else { return Ok(None) };
    // What another server says is no password of ours.
    let _ = target.set_username("");
    let _ = target.set_password(None);
    let refused =
        |reason| Err(Error::Redirect { at: Box::new(answer.at.clone()), to: shown(&target), reason });
    if leaves_tls(&answer.url, &target) {
        return refused("a redirect from HTTPS to plain HTTP is not followed");
    }
    if !matches!(target.scheme(), "http" | "https") {
        return refused("only `http` and `https` are followed");
    }
    if call.body.is_some() && target.origin() != call.url.origin() {
        return refused("content is not sent to a server other than the intended one");
    }
    Ok(Some(target))
}

/// Whether what was encrypted would go on in clear.
pub(super) fn leaves_tls(from: &Url, to: &Url) -> bool {
    from.scheme() == "https" && to.scheme() != "https"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leads_from_tls_to_plain_http() {
        let leaves = |from: &str, to: &str| leaves_tls(&from.parse().unwrap(), &to.parse().unwrap());
        assert!(leaves("https://a.example/x", "http://a.example/x"));
        assert!(!leaves("https://a.example/x", "https://b.example/x"));
        assert!(!leaves("http://127.0.0.1:5000/x", "http://127.0.0.1:5001/x"));
        assert!(!leaves("http://a.example/x", "https://a.example/x"));
    }

    #[test]
    fn a_password_in_a_url_is_decoded_and_not_printed() {
        let call = Call::get("https://us%40er:p%3aw@a.example/x".parse().unwrap());
        let value = call.authorization.unwrap();
        assert!(value.is_sensitive() && value == basic("us@er", "p:w").unwrap());
        assert_eq!(call.url.as_str(), "https://a.example/x");
    }
}

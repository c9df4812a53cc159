//! Where the keys of an issuer come from: a file, which was read before, or a URL.
//!
//! A token can name a key that does not exist, so that anyone can cause a fetch; but fetches are rare, one at a time, and
//! limited in bytes and time, and requests with known keys do not wait for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oci::RegistryHost;
use url::Url;

use super::Fault;
use super::keys::KeySet;
use crate::Error;
use crate::client::{Client, ClientConfig, HostRule};

/// The maximum size of a set of keys, in bytes.
const MOST: u64 = 1 << 20;
/// The maximum time for a fetch.
const WITHIN: Duration = Duration::from_secs(10);
/// The minimum time between two fetches.
const PAUSE: Duration = Duration::from_secs(30);
/// Keys that are older are fetched again before they are used.
const FRESH: Duration = Duration::from_mins(15);
/// Keys that are older are not used.
const LONGEST: Duration = Duration::from_hours(1);

#[derive(Clone)]
pub(super) enum KeySource {
    Fixed(Arc<KeySet>),
    Remote(Arc<Remote>),
}

pub(super) struct Remote {
    issuer: String,
    url: String,
    client: Client,
    fetched: Mutex<Option<(Arc<KeySet>, Instant)>>,
    /// The time of the last attempt. Held while fetching.
    last: tokio::sync::Mutex<Option<Instant>>,
}

impl KeySource {
    pub(super) fn fixed(issuer: &str, text: &str) -> Result<Self, Error> {
        KeySet::parse(issuer, text.as_bytes()).map(|keys| Self::Fixed(Arc::new(keys)))
    }

    pub(super) fn remote(issuer: &str, url: &str, ca: Option<&str>) -> Result<Self, Error> {
        let wrong = || Error::OidcUrl { issuer: issuer.to_owned(), url: url.to_owned() };
        let parsed = Url::parse(url).ok().filter(|url| url.scheme() == "https").ok_or_else(wrong)?;
        let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = format!("{}{port}", parsed.host_str().unwrap_or_default());
        let host: RegistryHost = host.parse().map_err(|_| wrong())?;
        let rule = ca.map(|ca| HostRule {
            host: host.clone(),
            endpoint: host,
            prefix: None,
            plain_http: false,
            ca_pem: Some(ca.as_bytes().to_vec()),
        });
        let config = ClientConfig {
            hosts: rule.into_iter().collect(),
            idle: WITHIN,
            tries: 0,
            ..ClientConfig::default()
        };
        let client = Client::new(config)
            .map_err(|source| Error::OidcClient { issuer: issuer.to_owned(), source: Box::new(source) })?;
        let (issuer, url) = (issuer.to_owned(), url.to_owned());
        let (fetched, last) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self::Remote(Arc::new(Remote { issuer, url, client, fetched, last })))
    }

    /// The keys. `suffice` tells whether a set has the key that is needed; if not, a newer one may have it.
    pub(super) async fn keys(&self, suffice: impl Fn(&KeySet) -> bool) -> Result<Arc<KeySet>, Fault> {
        let remote = match self {
            Self::Fixed(keys) => return Ok(Arc::clone(keys)),
            Self::Remote(remote) => remote,
        };
        if let Some((keys, age)) = remote.known()
            && age < FRESH
            && suffice(&keys)
        {
            return Ok(keys);
        }
        // In a task of its own, so that a client that gives up does not end it.
        let fetching = tokio::spawn(Arc::clone(remote).fetch());
        let _ = fetching.await;
        let known = remote.known().filter(|(_, age)| *age < LONGEST);
        known.map(|(keys, _)| keys).ok_or(Fault::Unavailable)
    }
}

impl Remote {
    fn known(&self) -> Option<(Arc<KeySet>, Duration)> {
        let fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.as_ref().map(|(keys, when)| (Arc::clone(keys), when.elapsed()))
    }

    /// Fetches the keys, unless that was tried a moment ago.
    async fn fetch(self: Arc<Self>) {
        let mut last = self.last.lock().await;
        if last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        let text = tokio::time::timeout(WITHIN, self.client.small_file(&self.url, MOST)).await;
        let keys = match text {
            Ok(Ok(text)) => KeySet::parse(&self.issuer, &text),
            Ok(Err(source)) => {
                Err(Error::OidcClient { issuer: self.issuer.clone(), source: Box::new(source) })
            }
            Err(_) => Err(Error::OidcSlow(self.issuer.clone())),
        };
        match keys {
            Ok(keys) => {
                let fetched = Some((Arc::new(keys), Instant::now()));
                *self.fetched.lock().unwrap_or_else(PoisonError::into_inner) = fetched;
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "the keys of an issuer of tokens cannot be fetched");
            }
        }
    }
}

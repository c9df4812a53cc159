//! Users of a directory (LDAP, RFC 4511): the registry finds the entry of a user name, binds as this entry with the password,
//! and reads its groups.
//!
//! `config`: the section of the configuration file; `session`: one connection; `cache`: recent logins.
//!
//! `user name, password -> entry -> groups -> ExternalUser`

mod cache;
mod config;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oci::Digest;
use url::Url;

use self::cache::Cache;
pub use self::config::{LdapConfig, LdapGroupSearch, LdapUserSearch};
use self::session::Trouble;
use super::access::{ExternalUser, user_name};
use super::guard::address::Network;
use super::guard::fair::{FairQueue, QueueLimits};
use crate::{Error, client};

/// The maximum time for a login.
const WITHIN: Duration = Duration::from_secs(10);
/// The maximum number of simultaneous logins, of those of one client, of its waiting logins, and of clients that wait.
const LIMITS: QueueLimits = QueueLimits { at_once: 16, share: 4, waiting: 32, keys: 64 };
/// The maximum length of a password, in bytes.
const LONGEST: usize = 1024;

/// A directory, ready to be asked.
pub struct LdapDirectory {
    config: LdapConfig,
    url: Url,
    /// The password of `bindDN`.
    password: Option<String>,
    tls: Option<Arc<rustls::ClientConfig>>,
    digest: Digest,
    cache: Cache,
    logins: FairQueue<Network>,
}

/// Why the directory identifies no user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Wrong,
    /// Too many logins of this client wait.
    Busy,
    /// Not the user's fault.
    Unavailable,
}

impl LdapDirectory {
    /// A directory. `password` is the content of `bindPasswordFile`, and `ca` that of `ca`.
    ///
    /// # Errors
    /// When the settings contradict each other, would send passwords to other machines without TLS, or cannot be used.
    pub fn new(config: LdapConfig, password: Option<&str>, ca: Option<&str>) -> Result<Self, Error> {
        let password = password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let url = config.check(password.as_deref())?;
        let is_secure = url.scheme() == "ldaps" || config.start_tls;
        let tls = is_secure
            .then(|| client::tls_config(url.host_str().unwrap_or_default(), ca.map(str::as_bytes)))
            .transpose()
            .map_err(|source| Error::LdapTls(Box::new(source)))?;
        let digest = Digest::sha256(format!("{config:?} {ca:?}").as_bytes());
        let mut salt = [0; 32];
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut salt).map_err(|_| Error::LdapRandom)?;
        let (cache, logins) = (Cache::new(salt), FairQueue::new(LIMITS));
        Ok(Self { config, url, password, tls: tls.map(Arc::new), digest, cache, logins })
    }

    /// What changes with the configuration, but not with the password of `bindDN`.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The user with this name and password, if they were right a moment ago.
    pub(super) fn known(&self, user: &str, password: &[u8]) -> Option<Arc<ExternalUser>> {
        self.cache.get(&self.cache.key(user, password), Instant::now())
    }

    /// The user with this name and password.
    pub(super) async fn identify(
        self: &Arc<Self>,
        user: &str,
        password: Vec<u8>,
        network: Network,
    ) -> Result<Arc<ExternalUser>, Fault> {
        let name = user_name(&self.config.username_prefix, user).ok_or(Fault::Wrong)?;
        let key = self.cache.key(user, &password);
        let password = usable(password).ok_or(Fault::Wrong)?;
        let ticket = self.logins.acquire(&[network]).await.ok_or(Fault::Busy)?;
        // While waiting, another request may have had the same password checked.
        if let Some(known) = self.cache.get(&key, Instant::now()) {
            return Ok(known);
        }
        let (directory, user) = (Arc::clone(self), user.to_owned());
        // In a task of its own, so that the ticket is kept when a client gives up.
        let session = tokio::spawn(async move {
            let session = session::log_in(&directory, &user, &password);
            let result = tokio::time::timeout(WITHIN, session).await.unwrap_or(Err(Trouble::Slow));
            drop(ticket);
            result
        });
        let groups = match session.await.unwrap_or(Err(Trouble::Malformed)) {
            Ok(groups) => groups,
            Err(Trouble::Wrong) => return Err(Fault::Wrong),
            Err(trouble) => {
                let cause = std::error::Error::source(&trouble).map(ToString::to_string);
                tracing::warn!(error = %trouble, cause, name, "the LDAP server identifies no user");
                let is_several = matches!(trouble, Trouble::Several);
                return Err(if is_several { Fault::Wrong } else { Fault::Unavailable });
            }
        };
        let source = self.digest.clone();
        let user = Arc::new(ExternalUser { name, groups, source, certificate: None, until: None });
        self.cache.add(key, Arc::clone(&user), Instant::now());
        Ok(user)
    }
}

/// A password that may be sent. A bind with an empty one succeeds for every name (RFC 4513, 5.1.2).
fn usable(password: Vec<u8>) -> Option<String> {
    let password = String::from_utf8(password).ok()?;
    (!password.is_empty() && password.len() <= LONGEST && !password.contains('\0')).then_some(password)
}

impl fmt::Debug for LdapDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LdapDirectory({})", self.url)
    }
}

#[cfg(test)]
mod tests;

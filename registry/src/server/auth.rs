//! Who may do what: nobody asked, or a bcrypt password file.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use oci::Digest;
use tokio::sync::Semaphore;

use super::refusal::Refusal;
use super::route::Right;
use crate::Error;

/// So many checked passwords are remembered.
const REMEMBERED: usize = 1024;

/// So many passwords are checked at once: each check takes a core for tens of milliseconds.
const CHECKS_AT_ONCE: usize = 2;

/// Compared with when there is no user at all. An unknown user is compared with another one's hash, which costs
/// what a known one's does, so that the time tells nothing.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuWs5mBqzjTsBVGMIsqc8fWCQQfEWyyPK";

/// Who may use the registry.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Anybody may pull and push.
    Anonymous,
    /// Users with passwords may pull and push.
    Htpasswd {
        /// Their names and password hashes.
        users: Htpasswd,
        /// Whether anybody may pull.
        anonymous_pull: bool,
    },
}

/// A password file as Apache's `htpasswd -B` writes it.
#[derive(Clone, Default)]
pub struct Htpasswd(HashMap<String, String>);

impl Htpasswd {
    /// Reads `user:hash` lines; empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// When a line is malformed, its hash is not bcrypt, or a user comes twice.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut users = HashMap::new();
        for (line, content) in (1..).zip(text.lines().map(str::trim)) {
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (user, hash) = content.split_once(':').ok_or(Error::PasswordLine { line })?;
            if user.is_empty() {
                return Err(Error::PasswordLine { line });
            }
            let known = ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix));
            if !known || bcrypt::HashParts::from_str(hash).is_err() {
                return Err(Error::PasswordHash { line, user: user.to_owned() });
            }
            if users.insert(user.to_owned(), hash.to_owned()).is_some() {
                return Err(Error::PasswordTwice { line, user: user.to_owned() });
            }
        }
        Ok(Self(users))
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody can log in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Htpasswd {
    /// Whether there is such a user, and the hash to check a password with. An unknown user's costs what a known
    /// one's does, so that time does not tell who is known.
    fn hash_of(&self, user: &str) -> (bool, &str) {
        let own = self.0.get(user);
        let any = own.or_else(|| self.0.values().next());
        (own.is_some(), any.map_or(NOBODY, String::as_str))
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Htpasswd({} users)", self.0.len())
    }
}

/// What came of looking at a request's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Anybody may do this; whether a password would let the caller do more.
    Anonymous { challenge: bool },
    /// A user who knew the password.
    User(String),
}

impl Caller {
    /// The user's name, if there is one.
    pub(super) fn user(&self) -> Option<String> {
        match self {
            Self::Anonymous { .. } => None,
            Self::User(name) => Some(name.clone()),
        }
    }
}

/// Checks credentials.
pub(super) struct Authenticator {
    auth: Auth,
    checks: Arc<Semaphore>,
    /// SHA-256 of name and password of those that were right.
    remembered: Mutex<Vec<Digest>>,
}

impl Authenticator {
    pub(super) fn new(auth: Auth) -> Self {
        let checks = Arc::new(Semaphore::new(CHECKS_AT_ONCE));
        Self { auth, checks, remembered: Mutex::default() }
    }

    /// Whether answers depend on who asks.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.auth, Auth::Htpasswd { anonymous_pull: false, .. })
    }

    /// Lets the caller through, or says why not. A wrong password is refused even where none was needed.
    pub(super) async fn authorize(&self, right: Right, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let Auth::Htpasswd { users, anonymous_pull } = &self.auth else {
            return Ok(Caller::Anonymous { challenge: false });
        };
        if right == Right::None {
            return Ok(Caller::Anonymous { challenge: false });
        }
        match headers.get(AUTHORIZATION).filter(|value| !is_nobody(value)) {
            None if right == Right::Pull && *anonymous_pull => Ok(Caller::Anonymous { challenge: true }),
            None => Err(Refusal::unauthorized("a user name and a password are needed")),
            Some(value) => {
                let (user, password) = value
                    .to_str()
                    .ok()
                    .and_then(basic)
                    .ok_or_else(|| Refusal::unauthorized("only basic credentials are understood"))?;
                let (known, hash) = users.hash_of(&user);
                if self.matches(&user, password, hash).await? && known {
                    return Ok(Caller::User(user));
                }
                tracing::warn!(user, "a log-in failed");
                Err(Refusal::unauthorized("the user name or the password is wrong"))
            }
        }
    }

    async fn matches(&self, user: &str, password: Vec<u8>, hash: &str) -> Result<bool, Refusal> {
        let mut credentials = user.as_bytes().to_vec();
        credentials.push(0);
        credentials.extend_from_slice(&password);
        let key = Digest::sha256(&credentials);
        if self.remembers(&key) {
            return Ok(true);
        }
        let checks = Arc::clone(&self.checks);
        let _turn = checks.acquire_owned().await.map_err(|error| Refusal::internal(&error))?;
        // While waiting for the turn another request may have checked the same password.
        if self.remembers(&key) {
            return Ok(true);
        }
        let hash = hash.to_owned();
        let good = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false))
            .await
            .map_err(|error| Refusal::internal(&error))?;
        if good {
            let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            if remembered.len() == REMEMBERED {
                remembered.remove(0);
            }
            remembered.push(key);
        }
        Ok(good)
    }

    fn remembers(&self, key: &Digest) -> bool {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}

/// Whom credentials claim to be; none where there are none.
pub(super) fn claimed(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION).filter(|value| !is_nobody(value))?;
    Some(value.to_str().ok().and_then(basic).map(|(user, _)| user).unwrap_or_default())
}

/// Podman and skopeo send empty credentials where they have none but were told that some would help.
fn is_nobody(value: &HeaderValue) -> bool {
    value.to_str().ok().and_then(basic).is_some_and(|(user, password)| user.is_empty() && password.is_empty())
}

/// User and password of a `Basic` header.
fn basic(value: &str) -> Option<(String, Vec<u8>)> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((String::from_utf8(decoded[..colon].to_vec()).ok()?, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests;

//! Authentication and authorization: none, by a bcrypt password file, or by policies.

mod policies;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::num::NonZero;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use oci::Digest;

use super::access::{Policies, Rights, Robots};
use super::guard::address::Network;
use super::guard::fair::{FairQueue, QueueLimits};
use super::guard::rates::Rates;
use super::refusal::Refusal;
use super::route::Permission;
use super::tokens::Tokens;
use crate::Error;

/// The maximum number of accepted passwords in the cache.
const MOST_ACCEPTED: usize = 1024;
/// The maximum number of wrong passwords in the cache.
const MOST_WRONG: usize = 256;
/// A wrong password that is repeated within this time is refused without a check.
const WRONG_FOR: Duration = Duration::from_secs(30);

/// The maximum number of waiting checks of one client. Each takes a core for tens of milliseconds.
const WAITING: usize = 32;
/// The maximum number of clients with waiting checks.
const CLIENTS: usize = 64;
/// The number of passwords of one client that are checked without delay. Correct passwords are not counted.
const GUESSES: u32 = 40;
/// The interval after which one more password is checked.
const GUESS: Duration = Duration::from_millis(500);
/// The delay of the refusal for clients that send more.
const FULL: Duration = Duration::from_secs(1);

/// The hash for unknown users, without its cost.
const DUMMY_HASH: &str = "abcdefghijklmnopqrstuuWs5mBqzjTsBVGMIsqc8fWCQQfEWyyPK";
/// The cost of that hash if the password file has no users.
const COST: u32 = 10;

/// The authentication of users.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everyone may pull and push.
    Anonymous,
    /// Users with passwords may pull and push.
    Htpasswd {
        /// Their names and password hashes.
        users: Htpasswd,
        /// Whether everyone may pull.
        anonymous_pull: bool,
    },
    /// Policies decide what users, robot accounts and anonymous clients may do.
    Policies(Arc<Policies>),
}

/// A password file in the format of Apache's `htpasswd -B`.
#[derive(Clone, Default)]
pub struct Htpasswd(HashMap<String, Hash>);

/// A bcrypt hash, and its cost as a power of two.
#[derive(Clone)]
struct Hash {
    text: String,
    cost: u32,
}

impl Htpasswd {
    /// Reads `user:hash` lines; empty lines and lines that begin with `#` are ignored.
    ///
    /// # Errors
    /// When a line is malformed, its hash is not bcrypt, or a user is listed twice.
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
            let parts = bcrypt::HashParts::from_str(hash).ok().filter(|_| known);
            let Some(cost) = parts.map(|parts| parts.get_cost()) else {
                return Err(Error::PasswordHash { line, user: user.to_owned() });
            };
            if users.insert(user.to_owned(), Hash { text: hash.to_owned(), cost }).is_some() {
                return Err(Error::PasswordTwice { line, user: user.to_owned() });
            }
        }
        Ok(Self(users))
    }

    /// The number of users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the file has no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn has(&self, user: &str) -> bool {
        self.0.contains_key(user)
    }

    /// What identifies a user's password, and tells nothing about it.
    pub(super) fn fingerprint(&self, user: &str) -> Option<Digest> {
        self.0.get(user).map(|hash| Digest::sha256(hash.text.as_bytes()))
    }
}

/// The check of one password. A wrong password costs the same for every user name, so that the time does not reveal which
/// users exist.
struct Check {
    known: bool,
    hash: String,
    /// The costs of additional hashes for a wrong password: together with the hash's own cost, they amount to the highest
    /// cost in the file.
    padding: std::ops::Range<u32>,
}

impl Htpasswd {
    fn check(&self, user: &str) -> Check {
        let highest = self.0.values().map(|hash| hash.cost).max().unwrap_or(COST);
        if let Some(own) = self.0.get(user) {
            Check { known: true, hash: own.text.clone(), padding: own.cost..highest }
        } else {
            let hash = format!("$2b${highest:02}${DUMMY_HASH}");
            Check { known: false, hash, padding: highest..highest }
        }
    }
}

impl Check {
    fn run(&self, password: &[u8]) -> bool {
        let good = bcrypt::verify(password, &self.hash).unwrap_or(false) && self.known;
        if !good {
            // Each step of the cost doubles the work: 2^c + 2^c + 2^(c+1) + ... + 2^(h-1) = 2^h.
            for cost in self.padding.clone() {
                let _ = std::hint::black_box(bcrypt::hash_with_salt(password, cost, [0; 16]));
            }
        }
        good
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Htpasswd({} users)", self.0.len())
    }
}

/// The authenticated caller of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A caller without credentials.
    Anonymous,
    /// A user with the right password.
    User(String),
    /// A robot account with the right secret.
    Robot(String),
}

impl Caller {
    /// The user name, if the caller has logged in.
    pub(super) fn user(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::User(name) => Some(name.clone()),
            Self::Robot(name) => Some(format!("{}{name}", Robots::PREFIX)),
        }
    }
}

/// Checks credentials.
pub(super) struct Authenticator {
    auth: Auth,
    tokens: Arc<Tokens>,
    checks: FairQueue<Network>,
    guesses: Arc<Rates>,
    /// The SHA-256 of name and password of accepted credentials.
    accepted: Mutex<Vec<Digest>>,
    /// The SHA-256 of name and password of recent wrong credentials.
    wrong: Mutex<VecDeque<(Digest, Instant)>>,
    /// Passwords that are being checked: of several requests with the same password, only the first one checks it.
    pending: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

/// The credentials of a request.
enum Credentials {
    None,
    Token(String),
    Password(String, Vec<u8>),
    Unknown,
}

impl Authenticator {
    pub(super) fn new(auth: Auth) -> Self {
        if let Auth::Policies(policies) = &auth {
            policies.warn_of_unknown();
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        // Half of the cores stay available for users with cached passwords.
        let at_once = (cores / 2).max(1);
        let limits = QueueLimits { at_once, share: at_once, waiting: WAITING, keys: CLIENTS };
        let checks = FairQueue::new(limits);
        let (accepted, wrong, pending) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (tokens, guesses) = (Arc::default(), Arc::new(Rates::new(GUESSES, GUESS)));
        Self { auth, tokens, checks, guesses, accepted, wrong, pending }
    }

    /// Whether responses depend on the caller.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.auth, Auth::Htpasswd { anonymous_pull: false, .. } | Auth::Policies(_))
    }

    /// Whether this caller may push if there are no policies.
    pub(super) fn lets_push(&self, caller: &Caller) -> bool {
        matches!(self.auth, Auth::Anonymous) || *caller != Caller::Anonymous
    }

    /// Whether clients must request a token. Docker asks for a password only if `/v2/` is refused, and if it is refused with
    /// `Basic`, Docker cannot pull without a password. So every client gets a token, which identifies its user, if any.
    pub(super) fn gives_tokens(&self) -> bool {
        matches!(self.auth, Auth::Htpasswd { anonymous_pull: true, .. } | Auth::Policies(_))
    }

    /// Authorizes the caller, or returns the refusal. A wrong password is refused even if none is required. With policies, the
    /// returned rights must still be asked.
    pub(super) async fn authorize(
        &self,
        permission: Permission,
        headers: &HeaderMap,
        network: Network,
    ) -> Result<(Caller, Rights), Refusal> {
        let caller = match &self.auth {
            Auth::Anonymous => Caller::Anonymous,
            Auth::Htpasswd { users, anonymous_pull } => {
                self.permit((users, *anonymous_pull), permission, headers, network).await?
            }
            Auth::Policies(policies) => return self.identify(policies, permission, headers, network).await,
        };
        Ok((caller, Rights::Everything))
    }

    /// Authorizes the caller by the password file alone.
    async fn permit(
        &self,
        (users, anonymous_pull): (&Htpasswd, bool),
        permission: Permission,
        headers: &HeaderMap,
        network: Network,
    ) -> Result<Caller, Refusal> {
        if permission == Permission::None {
            return Ok(Caller::Anonymous);
        }
        let required = || Refusal::unauthorized("a user name and a password are required");
        let anonymous = |allowed: bool| if allowed { Ok(Caller::Anonymous) } else { Err(required()) };
        match credentials(headers) {
            Credentials::None => {
                anonymous(anonymous_pull && matches!(permission, Permission::Pull | Permission::Token))
            }
            Credentials::Token(token) if anonymous_pull && permission != Permission::Token => {
                match self.tokens.holder(&token, Instant::now()).map(|holder| holder.caller) {
                    Some(Caller::Anonymous) => {
                        anonymous(matches!(permission, Permission::Pull | Permission::LogIn))
                    }
                    Some(user) => Ok(user),
                    None => Err(Refusal::unauthorized("the token is not valid, or has expired")),
                }
            }
            Credentials::Token(_) | Credentials::Unknown => {
                Err(Refusal::unauthorized("only a user name and a password are supported"))
            }
            Credentials::Password(user, password) => {
                if self.matches(users, &user, password, network).await? {
                    return Ok(Caller::User(user));
                }
                Err(Refusal::unauthorized("the user name or the password is wrong"))
            }
        }
    }

    async fn matches(
        &self,
        users: &Htpasswd,
        user: &str,
        password: Vec<u8>,
        network: Network,
    ) -> Result<bool, Refusal> {
        let mut credentials = user.as_bytes().to_vec();
        credentials.push(0);
        credentials.extend_from_slice(&password);
        let key = Digest::sha256(&credentials);
        if let Some(known) = self.cached(&key) {
            return Ok(known);
        }
        let pending = self.pending(&key);
        let result = {
            let _first = pending.lock().await;
            // While waiting, another request may have had the same password checked.
            match self.cached(&key) {
                Some(known) => Ok(known),
                None => self.compute(users.check(user), password, network, &key).await,
            }
        };
        let mut all = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // One reference in the map, and this one.
        if Arc::strong_count(&pending) == 2 {
            all.remove(&key);
        }
        result
    }

    fn pending(&self, key: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() >= MOST_ACCEPTED {
            // Requests that were cancelled leave their entries behind.
            pending.retain(|_, waiting| Arc::strong_count(waiting) > 1);
        }
        Arc::clone(pending.entry(key.clone()).or_default())
    }

    async fn compute(
        &self,
        check: Check,
        password: Vec<u8>,
        network: Network,
        key: &Digest,
    ) -> Result<bool, Refusal> {
        let often = !self.guesses.count(network, Instant::now());
        let ticket = if often { None } else { self.checks.acquire(&[network]).await };
        let Some(ticket) = ticket else {
            tokio::time::sleep(FULL).await;
            return Err(Refusal::too_many(
                "too many passwords of this client were wrong or are waiting to be checked",
            ));
        };
        let checking = tokio::task::spawn_blocking(move || {
            let good = check.run(&password);
            drop(ticket);
            good
        });
        let good = checking.await.map_err(|error| Refusal::internal(&error))?;
        if good {
            self.guesses.give_back(network);
            let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
            if accepted.len() == MOST_ACCEPTED {
                accepted.remove(0);
            }
            accepted.push(key.clone());
        } else {
            let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            if wrong.len() == MOST_WRONG {
                wrong.pop_front();
            }
            wrong.push_back((key.clone(), Instant::now()));
        }
        Ok(good)
    }

    /// The cached result for credentials.
    fn cached(&self, key: &Digest) -> Option<bool> {
        if self.accepted.lock().unwrap_or_else(PoisonError::into_inner).contains(key) {
            return Some(true);
        }
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = wrong.iter().rev().take_while(|(_, when)| when.elapsed() < WRONG_FOR);
        recent.into_iter().any(|(known, _)| known == key).then_some(false)
    }
}

/// The credentials of a request. Podman and skopeo send empty credentials if they have none and get a challenge.
fn credentials(headers: &HeaderMap) -> Credentials {
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
pub(super) fn claimed(headers: &HeaderMap) -> Option<String> {
    match credentials(headers) {
        Credentials::None | Credentials::Token(_) => None,
        Credentials::Password(user, _) => Some(user),
        Credentials::Unknown => Some(String::new()),
    }
}

/// Whether a request has a token.
pub(super) fn has_token(headers: &HeaderMap) -> bool {
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

#[cfg(test)]
mod tests;

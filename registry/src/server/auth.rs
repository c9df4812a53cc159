//! Who may do what: nobody asked, or a bcrypt password file.

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

use super::guard::address::Network;
use super::guard::fair::Fair;
use super::guard::rates::Rates;
use super::refusal::Refusal;
use super::route::Right;
use super::tokens::{self, Tokens};
use crate::Error;

/// So many checked passwords are remembered, and so many wrong ones for a while.
const REMEMBERED: usize = 1024;
const WRONG: usize = 256;
/// A wrong password that comes again within this time is refused without a check.
const WRONG_FOR: Duration = Duration::from_secs(30);

/// So many checks of one client wait, and of so many clients. Each takes a core for tens of milliseconds.
const WAITING: usize = 32;
const CLIENTS: usize = 64;
/// So many passwords of one client are checked at once, and one more after so long. What was right is not counted.
const GUESSES: u32 = 40;
const GUESS: Duration = Duration::from_millis(500);
/// Whoever sends more is kept waiting for his refusal.
const FULL: Duration = Duration::from_secs(1);

/// The hash that a password is compared with when there is no such user, without its cost.
const NOBODY: &str = "abcdefghijklmnopqrstuuWs5mBqzjTsBVGMIsqc8fWCQQfEWyyPK";
/// Its cost when there is no user at all.
const COST: u32 = 10;

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
pub struct Htpasswd(HashMap<String, Hash>);

/// A bcrypt hash, and the power of two that it costs.
#[derive(Clone)]
struct Hash {
    text: String,
    cost: u32,
}

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

/// What is computed for one password. A wrong one costs the same whoever it is for, so that the time does not tell who
/// is known.
struct Check {
    known: bool,
    hash: String,
    /// Costs of what is computed beside, when the password is wrong: with the hash's own they come to the highest in
    /// the file.
    beside: std::ops::Range<u32>,
}

impl Htpasswd {
    fn check(&self, user: &str) -> Check {
        let highest = self.0.values().map(|hash| hash.cost).max().unwrap_or(COST);
        match self.0.get(user) {
            Some(own) => Check { known: true, hash: own.text.clone(), beside: own.cost..highest },
            None => {
                Check { known: false, hash: format!("$2b${highest:02}${NOBODY}"), beside: highest..highest }
            }
        }
    }
}

impl Check {
    fn run(&self, password: &[u8]) -> bool {
        let good = bcrypt::verify(password, &self.hash).unwrap_or(false) && self.known;
        if !good {
            // Each step of the cost doubles the work: 2^c + 2^c + 2^(c+1) + ... + 2^(h-1) = 2^h.
            for cost in self.beside.clone() {
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

/// What came of looking at a request's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Anybody may do this.
    Anonymous,
    /// A user who knew the password.
    User(String),
}

impl Caller {
    /// The user's name, if there is one.
    pub(super) fn user(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::User(name) => Some(name.clone()),
        }
    }
}

/// Checks credentials.
pub(super) struct Authenticator {
    auth: Auth,
    pub(super) tokens: Tokens,
    checks: Fair<Network>,
    guesses: Rates,
    /// SHA-256 of name and password of those that were right.
    remembered: Mutex<Vec<Digest>>,
    /// The same of those that were wrong just now.
    wrong: Mutex<VecDeque<(Digest, Instant)>>,
    /// Passwords that are being checked: of many who send the same one, the first has it checked.
    pending: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

/// What a request shows.
enum Shown {
    Nothing,
    Token(String),
    Password(String, Vec<u8>),
    Unknown,
}

impl Authenticator {
    pub(super) fn new(auth: Auth) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        // Half of the cores are left for those who know their password.
        let at_once = (cores / 2).max(1);
        let checks = Fair::new((at_once, at_once), WAITING, CLIENTS);
        let (remembered, wrong, pending) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (tokens, guesses) = (Tokens::default(), Rates::new(GUESSES, GUESS));
        Self { auth, tokens, checks, guesses, remembered, wrong, pending }
    }

    /// Whether answers depend on who asks.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.auth, Auth::Htpasswd { anonymous_pull: false, .. })
    }

    /// Whether clients are to ask for a token. Docker asks for a password only where `/v2/` is refused, and where it is
    /// refused by `Basic`, it cannot pull without one; tokens are given to anybody, and tell who pulls and who pushes.
    pub(super) fn gives_tokens(&self) -> bool {
        matches!(self.auth, Auth::Htpasswd { anonymous_pull: true, .. })
    }

    /// Lets the caller through, or says why not. A wrong password is refused even where none was needed.
    pub(super) async fn authorize(
        &self,
        right: Right,
        headers: &HeaderMap,
        network: Network,
    ) -> Result<Caller, Refusal> {
        let Auth::Htpasswd { users, anonymous_pull } = &self.auth else { return Ok(Caller::Anonymous) };
        if right == Right::None {
            return Ok(Caller::Anonymous);
        }
        let needed = || Refusal::unauthorized("a user name and a password are needed");
        let anonymous = |allowed: bool| if allowed { Ok(Caller::Anonymous) } else { Err(needed()) };
        match shown(headers) {
            Shown::Nothing => anonymous(*anonymous_pull && matches!(right, Right::Pull | Right::Token)),
            Shown::Token(token) if *anonymous_pull && right != Right::Token => {
                if token == tokens::ANYBODY {
                    return anonymous(matches!(right, Right::Pull | Right::LogIn));
                }
                let user = self.tokens.user(&token, Instant::now());
                user.map(Caller::User)
                    .ok_or_else(|| Refusal::unauthorized("the token is not valid, or has expired"))
            }
            Shown::Token(_) | Shown::Unknown => {
                Err(Refusal::unauthorized("only a user name and a password are understood"))
            }
            Shown::Password(user, password) => {
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
        if let Some(known) = self.knows(&key) {
            return Ok(known);
        }
        let pending = self.pending(&key);
        let result = {
            let _first = pending.lock().await;
            // While waiting, another request may have had the same password checked.
            match self.knows(&key) {
                Some(known) => Ok(known),
                None => self.compute(users.check(user), password, network, &key).await,
            }
        };
        let mut all = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's own and this one.
        if Arc::strong_count(&pending) == 2 {
            all.remove(&key);
        }
        result
    }

    fn pending(&self, key: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() >= REMEMBERED {
            // Requests that were given up leave theirs behind.
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
        let turn = if often { None } else { self.checks.turn(&network).await };
        let Some(turn) = turn else {
            tokio::time::sleep(FULL).await;
            return Err(Refusal::too_many(
                "too many passwords of this client were wrong, or wait to be checked",
            ));
        };
        let checking = tokio::task::spawn_blocking(move || {
            let good = check.run(&password);
            drop(turn);
            good
        });
        let good = checking.await.map_err(|error| Refusal::internal(&error))?;
        if good {
            self.guesses.give_back(network);
            let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            if remembered.len() == REMEMBERED {
                remembered.remove(0);
            }
            remembered.push(key.clone());
        } else {
            let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
            if wrong.len() == WRONG {
                wrong.pop_front();
            }
            wrong.push_back((key.clone(), Instant::now()));
        }
        Ok(good)
    }

    /// What is known of credentials without a check.
    fn knows(&self, key: &Digest) -> Option<bool> {
        if self.remembered.lock().unwrap_or_else(PoisonError::into_inner).contains(key) {
            return Some(true);
        }
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = wrong.iter().rev().take_while(|(_, when)| when.elapsed() < WRONG_FOR);
        recent.into_iter().any(|(known, _)| known == key).then_some(false)
    }
}

/// Reads what a request shows. Podman and skopeo send empty credentials where they have none but were told that some
/// would help.
fn shown(headers: &HeaderMap) -> Shown {
    let Some(value) = headers.get(AUTHORIZATION).filter(|value| !is_nobody(value)) else {
        return Shown::Nothing;
    };
    let Some(text) = value.to_str().ok() else { return Shown::Unknown };
    match (text.split_once(' '), basic(text)) {
        (_, Some((user, password))) => Shown::Password(user, password),
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => {
            Shown::Token(token.trim().to_owned())
        }
        _ => Shown::Unknown,
    }
}

/// Whom a password claims to be of; none where none is shown. A token that has expired claims nothing.
pub(super) fn claimed(headers: &HeaderMap) -> Option<String> {
    match shown(headers) {
        Shown::Nothing | Shown::Token(_) => None,
        Shown::Password(user, _) => Some(user),
        Shown::Unknown => Some(String::new()),
    }
}

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

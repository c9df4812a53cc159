//! Authentication and authorization: none, by a password file, or by policies.
//!
//! `credentials`: what a request presents; `htpasswd`: the password file; `policies`: who the caller is, with policies.

mod credentials;
mod htpasswd;
mod policies;

use std::collections::{HashMap, VecDeque};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oci::Digest;

use self::credentials::{Credentials, credentials};
pub(super) use self::credentials::{Presented, claimed, has_token};
use self::htpasswd::Check;
pub use self::htpasswd::Htpasswd;
use super::access::{ExternalUser, Policies, Rights, Robots};
use super::guard::address::Network;
use super::guard::fair::{FairQueue, QueueLimits};
use super::guard::rates::Rates;
use super::refusal::Refusal;
use super::route::Permission;
use super::tokens::Tokens;

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

/// The authenticated caller of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A caller without credentials.
    Anonymous,
    /// A user with the right password.
    User(String),
    /// A robot account with the right secret.
    Robot(String),
    /// A user that another source than the password file identified.
    External(Arc<ExternalUser>),
}

impl Caller {
    /// The user name, if the caller has logged in.
    pub(super) fn user(&self) -> Option<String> {
        match self {
            Self::Anonymous => None,
            Self::User(name) => Some(name.clone()),
            Self::Robot(name) => Some(format!("{}{name}", Robots::PREFIX)),
            Self::External(user) => Some(user.name.clone()),
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
        presented: Presented<'_>,
    ) -> Result<(Caller, Rights), Refusal> {
        let caller = match &self.auth {
            Auth::Anonymous => Caller::Anonymous,
            Auth::Htpasswd { users, anonymous_pull } => {
                self.permit((users, *anonymous_pull), permission, presented).await?
            }
            Auth::Policies(policies) => return self.identify(policies, permission, presented).await,
        };
        Ok((caller, Rights::Everything))
    }

    /// Authorizes the caller by the password file alone.
    async fn permit(
        &self,
        (users, anonymous_pull): (&Htpasswd, bool),
        permission: Permission,
        presented: Presented<'_>,
    ) -> Result<Caller, Refusal> {
        if permission == Permission::None {
            return Ok(Caller::Anonymous);
        }
        let required = || Refusal::unauthorized("a user name and a password are required");
        let anonymous = |allowed: bool| if allowed { Ok(Caller::Anonymous) } else { Err(required()) };
        match credentials(presented.headers) {
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
                if self.matches(users, &user, password, presented.network).await? {
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

#[cfg(test)]
mod tests;

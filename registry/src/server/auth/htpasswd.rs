//! The password file.

mod argon2id;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use oci::Digest;

use self::argon2id::Argon2id;
use crate::Error;

/// The cost of a wrong password if the password file has no users.
const COST: u32 = 10;

/// A password file in the format of Apache's `htpasswd -B`, also with hashes by Argon2id.
#[derive(Clone, Default)]
pub struct Htpasswd(HashMap<String, Hash>);

#[derive(Clone)]
struct Hash {
    text: String,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// Bcrypt, with its cost as a power of two.
    Bcrypt(u32),
    Argon2id(Argon2id),
}

impl Hash {
    fn parse(text: &str) -> Option<Self> {
        let kind = if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            Kind::Bcrypt(bcrypt::HashParts::from_str(text).ok()?.get_cost())
        } else {
            Kind::Argon2id(Argon2id::parse(text)?)
        };
        Some(Self { text: text.to_owned(), kind })
    }

    fn is_of(&self, password: &[u8]) -> bool {
        match &self.kind {
            Kind::Bcrypt(_) => bcrypt::verify(password, &self.text).unwrap_or(false),
            Kind::Argon2id(hash) => hash.is_of(password),
        }
    }

    fn bcrypt(&self) -> Option<u32> {
        match self.kind {
            Kind::Bcrypt(cost) => Some(cost),
            Kind::Argon2id(_) => None,
        }
    }

    /// The work of a check by Argon2id.
    fn argon(&self) -> u32 {
        match &self.kind {
            Kind::Bcrypt(_) => 0,
            Kind::Argon2id(hash) => hash.work(),
        }
    }
}

impl Htpasswd {
    /// Reads `user:hash` lines; empty lines and lines that begin with `#` are ignored.
    ///
    /// # Errors
    /// When a line is malformed, its hash is neither bcrypt nor Argon2id within the limits, or a user is listed twice.
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
            let Some(parsed) = Hash::parse(hash) else {
                return Err(Error::PasswordHash { line, user: user.to_owned() });
            };
            if users.insert(user.to_owned(), parsed).is_some() {
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

    pub(in crate::server) fn users(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(in crate::server) fn has(&self, user: &str) -> bool {
        self.0.contains_key(user)
    }

    /// What identifies a user's password, and tells nothing about it.
    pub(in crate::server) fn fingerprint(&self, user: &str) -> Option<Digest> {
        self.0.get(user).map(|hash| Digest::sha256(hash.text.as_bytes()))
    }
}

/// The check of one password. A wrong password costs the same for every user name, so that the time does not reveal which
/// users exist: as much as the most costly bcrypt hash in the file and the most costly Argon2id hash together.
pub(super) struct Check {
    own: Option<Hash>,
    /// The costs of additional bcrypt hashes for a wrong password.
    bcrypt: Vec<u32>,
    /// The additional work by Argon2id for a wrong password.
    argon: u32,
}

impl Htpasswd {
    pub(super) fn check(&self, user: &str) -> Check {
        let own = self.0.get(user).cloned();
        let none = if self.0.is_empty() { Some(COST) } else { None };
        let highest = self.0.values().filter_map(Hash::bcrypt).max().or(none);
        let bcrypt = match (own.as_ref().and_then(Hash::bcrypt), highest) {
            // Each step of the cost doubles the work: 2^c + 2^c + 2^(c+1) + ... + 2^(h-1) = 2^h.
            (Some(own), Some(highest)) => (own..highest).collect(),
            (_, highest) => highest.into_iter().collect(),
        };
        let most = self.0.values().map(Hash::argon).max().unwrap_or_default();
        let argon = most - own.as_ref().map(Hash::argon).unwrap_or_default();
        Check { own, bcrypt, argon }
    }
}

impl Check {
    pub(super) fn run(&self, password: &[u8]) -> bool {
        let good = self.own.as_ref().is_some_and(|hash| hash.is_of(password));
        if !good {
            for cost in &self.bcrypt {
                let _ = std::hint::black_box(bcrypt::hash_with_salt(password, *cost, [0; 16]));
            }
            argon2id::spend(self.argon, password);
        }
        good
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Htpasswd({} users)", self.0.len())
    }
}

#[cfg(test)]
mod tests;

//! The password file.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use oci::Digest;

use crate::Error;

/// The hash for unknown users, without its cost.
const DUMMY_HASH: &str = "abcdefghijklmnopqrstuuWs5mBqzjTsBVGMIsqc8fWCQQfEWyyPK";
/// The cost of that hash if the password file has no users.
const COST: u32 = 10;

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
/// users exist.
pub(super) struct Check {
    known: bool,
    hash: String,
    /// The costs of additional hashes for a wrong password: together with the hash's own cost, they amount to the highest
    /// cost in the file.
    padding: std::ops::Range<u32>,
}

impl Htpasswd {
    pub(super) fn check(&self, user: &str) -> Check {
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
    pub(super) fn run(&self, password: &[u8]) -> bool {
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

#[cfg(test)]
mod tests;

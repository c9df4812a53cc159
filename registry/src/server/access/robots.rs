//! Robot accounts: their file, and the check of their secrets.
//!
//! A secret is 256 random bits, so one salted SHA-256 protects it: no one can try enough secrets, however fast the hash is.

use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oci::{Digest, RepositoryName, RepositoryPattern};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::config::Allow;
use crate::Error;

/// The beginning of every secret, by which scanners for leaked secrets find it.
const MARK: &str = "airlock_";
const SECRET: usize = 32;
const SALT: usize = 16;
/// The maximum length of a name.
const LONGEST: usize = 64;

/// The salt and the hash for unknown accounts, which no secret has.
static NOBODY: LazyLock<(String, Digest)> =
    LazyLock::new(|| (URL_SAFE_NO_PAD.encode([0; SALT]), Digest::sha256(b"")));

/// The robot accounts of a registry, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "RobotsFile", into = "RobotsFile")]
pub struct Robots(BTreeMap<String, Robot>);

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RobotsFile {
    robots: Vec<Robot>,
}

/// A robot account. It logs in as `robot$NAME`.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Robot {
    /// The name, without `robot$`.
    pub name: String,
    /// The purpose, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The time of its creation.
    #[serde(with = "time_text")]
    pub created: OffsetDateTime,
    /// The time from which its secret is refused.
    #[serde(default, with = "time_text::option", skip_serializing_if = "Option::is_none")]
    pub expires: Option<OffsetDateTime>,
    /// The time at which it was revoked.
    #[serde(default, with = "time_text::option", skip_serializing_if = "Option::is_none")]
    pub revoked: Option<OffsetDateTime>,
    /// The most that it may do, if the policies allow it, too. If empty, only the policies decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<RobotScope>,
    salt: String,
    hash: Digest,
}

/// Actions in repositories.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RobotScope {
    /// Patterns of repository names.
    pub repositories: Vec<RepositoryPattern>,
    /// The actions.
    pub allow: Vec<Allow>,
}

/// A robot account that does not exist yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRobot {
    /// The name, without `robot$`.
    pub name: String,
    /// The purpose, for people.
    pub description: String,
    /// The time from which its secret is refused.
    pub expires: Option<OffsetDateTime>,
    /// The most that it may do, if the policies allow it, too. If empty, only the policies decide.
    pub scope: Vec<RobotScope>,
}

/// Whether a robot account may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RobotState {
    /// It may.
    Active,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
}

/// The result of a robot account's attempt to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Login {
    Accepted,
    /// The name or the secret is wrong.
    Wrong,
    /// The secret is right.
    Expired,
    /// The secret is right.
    Revoked,
}

impl Robots {
    /// The beginning of the user name of every robot account.
    pub const PREFIX: &str = "robot$";
    /// The number of random bytes that a new account needs.
    pub const RANDOM: usize = SECRET + SALT;

    /// Parses the file of robot accounts.
    ///
    /// # Errors
    /// When the text is not such a file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(Error::RobotsFile)
    }

    /// The text of the file.
    ///
    /// # Errors
    /// Never in practice: every value can be written.
    pub fn to_text(&self) -> Result<String, Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n").map_err(Error::RobotsFile)
    }

    /// The accounts and a new one, and its secret, which is not stored.
    ///
    /// # Errors
    /// When the name or the scope is malformed, the name exists, or the account has already expired.
    pub fn create(
        &self,
        new: NewRobot,
        now: OffsetDateTime,
        random: &[u8; Self::RANDOM],
    ) -> Result<(Self, String), Error> {
        let NewRobot { name, description, expires, scope } = new;
        if self.0.contains_key(&name) {
            return Err(Error::RobotExists(name));
        }
        let (secret, salt) = random.split_at(SECRET);
        let secret = format!("{MARK}{}", URL_SAFE_NO_PAD.encode(secret));
        let salt = URL_SAFE_NO_PAD.encode(salt);
        let hash = hash(&salt, secret.as_bytes());
        let robot =
            Robot { name, description, created: now, expires, revoked: None, scope, salt, hash }.checked()?;
        if robot.state(now) != RobotState::Active {
            return Err(Error::RobotExpired(robot.name));
        }
        let mut robots = self.clone();
        robots.0.insert(robot.name.clone(), robot);
        Ok((robots, secret))
    }

    /// The accounts with one of them revoked. Its name stays taken.
    ///
    /// # Errors
    /// When there is no such account, or it was revoked before.
    pub fn revoke(&self, name: &str, now: OffsetDateTime) -> Result<Self, Error> {
        let mut robots = self.clone();
        match robots.0.get_mut(name) {
            None => Err(Error::RobotUnknown(name.to_owned())),
            Some(robot) if robot.revoked.is_some() => Err(Error::RobotRevoked(name.to_owned())),
            Some(robot) => {
                robot.revoked = Some(now);
                Ok(robots)
            }
        }
    }

    /// An account by its name, without `robot$`.
    #[must_use]
    pub fn robot(&self, name: &str) -> Option<&Robot> {
        self.0.get(name)
    }

    /// All accounts by name, also expired and revoked ones.
    pub fn iter(&self) -> impl Iterator<Item = &Robot> {
        self.0.values()
    }

    /// Checks a secret. The time depends neither on whether the name exists nor on how much of the secret is right.
    pub(in crate::server) fn log_in(&self, name: &str, secret: &[u8], now: OffsetDateTime) -> Login {
        let known = self.0.get(name);
        let (salt, expected) = known.map_or((&NOBODY.0, &NOBODY.1), |robot| (&robot.salt, &robot.hash));
        let right = are_equal(&hash(salt, secret), expected);
        match known.filter(|_| right).map(|robot| robot.state(now)) {
            None => Login::Wrong,
            Some(RobotState::Active) => Login::Accepted,
            Some(RobotState::Expired) => Login::Expired,
            Some(RobotState::Revoked) => Login::Revoked,
        }
    }
}

impl Robot {
    /// Whether it may log in.
    #[must_use]
    pub fn state(&self, now: OffsetDateTime) -> RobotState {
        match self {
            Self { revoked: Some(_), .. } => RobotState::Revoked,
            Self { expires: Some(expires), .. } if *expires <= now => RobotState::Expired,
            _ => RobotState::Active,
        }
    }

    /// Whether its scope includes an action in a repository.
    pub(super) fn is_within_scope(&self, repository: &RepositoryName, action: Allow) -> bool {
        let includes = |scope: &RobotScope| {
            action.is_in(&scope.allow) && scope.repositories.iter().any(|pattern| pattern.matches(repository))
        };
        self.scope.is_empty() || self.scope.iter().any(includes)
    }

    /// What identifies its secret, and tells nothing about it.
    pub(super) fn fingerprint(&self) -> Digest {
        Digest::sha256(self.hash.to_string().as_bytes())
    }

    fn checked(self) -> Result<Self, Error> {
        let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let name = self.name.as_bytes();
        let good = name.len() <= LONGEST
            && name.iter().all(|byte| is_end(*byte) || b"._-".contains(byte))
            && name.first().is_some_and(|byte| is_end(*byte))
            && name.last().is_some_and(|byte| is_end(*byte));
        if !good {
            return Err(Error::RobotName(self.name));
        }
        if self.scope.iter().any(|scope| scope.repositories.is_empty() || scope.allow.is_empty()) {
            return Err(Error::RobotScope(self.name));
        }
        Ok(self)
    }
}

impl fmt::Debug for Robot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Robot({})", self.name)
    }
}

impl TryFrom<RobotsFile> for Robots {
    type Error = Error;

    fn try_from(file: RobotsFile) -> Result<Self, Error> {
        let mut robots = BTreeMap::new();
        for robot in file.robots {
            let robot = robot.checked()?;
            if let Some(twice) = robots.insert(robot.name.clone(), robot) {
                return Err(Error::RobotExists(twice.name));
            }
        }
        Ok(Self(robots))
    }
}

impl From<Robots> for RobotsFile {
    fn from(robots: Robots) -> Self {
        Self { robots: robots.0.into_values().collect() }
    }
}

fn hash(salt: &str, secret: &[u8]) -> Digest {
    Digest::sha256(&[salt.as_bytes(), b":", secret].concat())
}

/// Compares all bytes, wherever the first difference is.
fn are_equal(one: &Digest, other: &Digest) -> bool {
    let (one, other) = (one.to_string(), other.to_string());
    let pairs = one.bytes().zip(other.bytes());
    one.len() == other.len() && black_box(pairs.fold(0, |differences, (a, b)| differences | (a ^ b))) == 0
}

/// Times as RFC 3339 text.
mod time_text {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    pub(super) fn serialize<S: Serializer>(time: &OffsetDateTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&time.format(&Rfc3339).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<OffsetDateTime, D::Error> {
        OffsetDateTime::parse(&String::deserialize(from)?, &Rfc3339).map_err(D::Error::custom)
    }

    pub(super) mod option {
        use super::{Deserializer, OffsetDateTime, Serializer};

        #[expect(clippy::ref_option, reason = "serde requires this signature")]
        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<OffsetDateTime>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                None => to.serialize_none(),
                Some(time) => super::serialize(time, to),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<OffsetDateTime>, D::Error> {
            super::deserialize(from).map(Some)
        }
    }
}

#[cfg(test)]
mod tests;

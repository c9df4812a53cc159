//! The errors of this crate.

use std::io;

use error_class::{Class, Classified};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's socket failed.
    #[error("cannot accept connections")]
    Accept(#[source] io::Error),
    /// The CAs of client certificates are not PEM.
    #[error("the client CA certificates are malformed")]
    ClientAuthorityPem(#[source] rustls::pki_types::pem::Error),
    /// A CA of client certificates is malformed.
    #[error("a client CA certificate is malformed")]
    ClientAuthority(#[source] rustls::Error),
    /// There is no CA of client certificates.
    #[error("the file contains no client CA certificate")]
    NoClientAuthority,
    /// A field of an issuer of tokens is empty.
    #[error("the issuer `{0}`: `issuer`, `audience` or `usernameClaim` is empty")]
    OidcEmpty(String),
    /// An issuer has neither a file of keys nor a URL, or both.
    #[error("the issuer `{0}` needs either `keys`, or `jwksURL` and possibly `jwksCA`")]
    OidcKeys(String),
    /// The URL of an issuer's keys cannot be used.
    #[error("the issuer `{issuer}`: `{url}` is not an `https` URL")]
    OidcUrl {
        /// The issuer.
        issuer: String,
        /// The URL.
        url: String,
    },
    /// The keys of an issuer are malformed.
    #[error("the keys of the issuer `{issuer}` are not a JSON Web Key Set")]
    OidcKeySet {
        /// The issuer.
        issuer: String,
        /// What is wrong with them.
        #[source]
        source: serde_json::Error,
    },
    /// The keys of an issuer have a private part.
    #[error("the keys of the issuer `{0}` include a private key")]
    OidcPrivateKey(String),
    /// None of the keys of an issuer can be used.
    #[error("the keys of the issuer `{0}` include no usable key")]
    OidcNoKey(String),
    /// The keys of an issuer cannot be fetched.
    #[error("the keys of the issuer `{issuer}` cannot be fetched")]
    OidcClient {
        /// The issuer.
        issuer: String,
        /// Why.
        #[source]
        source: Box<crate::client::Error>,
    },
    /// The keys of an issuer did not arrive in time.
    #[error("timed out while fetching the keys of the issuer `{0}`")]
    OidcSlow(String),
    /// The configuration of a directory contradicts itself, or is not safe.
    #[error("`access.ldap`: {problem}")]
    Ldap {
        /// What is wrong.
        problem: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The CA certificates of a directory cannot be used.
    #[error("the CA certificates of `access.ldap` cannot be used")]
    LdapTls(#[source] Box<crate::client::Error>),
    /// The system has no random bytes.
    #[error("no random bytes are available")]
    LdapRandom,
    /// A line of a password file is not `user:hash`.
    #[error("line {line} of the password file is not `user:hash`")]
    PasswordLine {
        /// The line's number, from 1.
        line: usize,
    },
    /// A line of a password file has a hash of another kind, or one that needs too much memory or time.
    #[error(
        "line {line} of the password file: the hash of `{user}` is neither bcrypt nor Argon2id within the limits"
    )]
    PasswordHash {
        /// The line's number, from 1.
        line: usize,
        /// The user.
        user: String,
    },
    /// A password file lists a user twice.
    #[error("line {line} of the password file: `{user}` is listed twice")]
    PasswordTwice {
        /// The line's number, from 1.
        line: usize,
        /// The user.
        user: String,
    },
    /// A field of a policy is empty, so that the policy would never apply.
    #[error("policy {policy}: `{field}` is empty")]
    PolicyEmpty {
        /// The policy's number, from 1.
        policy: usize,
        /// The field.
        field: &'static str,
    },
    /// A policy has a malformed pattern.
    #[error("policy {policy}, `repositories`: `{pattern}` is not a pattern of repository names")]
    PolicyPattern {
        /// The policy's number, from 1.
        policy: usize,
        /// The pattern.
        pattern: String,
    },
    /// A policy is about a malformed subject.
    #[error("policy {policy}, `to`: `{subject}` names no one")]
    PolicySubject {
        /// The policy's number, from 1.
        policy: usize,
        /// The subject.
        subject: String,
    },
    /// A policy is about a group that is not defined.
    #[error("policy {policy}, `to`: the group `{group}` is not defined in `groups`")]
    PolicyGroup {
        /// The policy's number, from 1.
        policy: usize,
        /// The group.
        group: String,
    },
    /// A user has the name of a robot account.
    #[error("the password file lists `{0}`, which is the name of a robot account")]
    UserIsRobot(String),
    /// A file of robot accounts is malformed.
    #[error("the file of robot accounts is malformed")]
    RobotsFile(#[source] serde_json::Error),
    /// The name of a robot account is malformed.
    #[error("`{0}` is not a name for a robot account")]
    RobotName(String),
    /// A part of the scope of a robot account is empty, so that it would allow nothing.
    #[error("the scope of the robot account `{0}` has a part without repositories or actions")]
    RobotScope(String),
    /// The name of a new robot account is taken.
    #[error("the robot account `{0}` already exists")]
    RobotExists(String),
    /// No robot account has this name.
    #[error("there is no robot account `{0}`")]
    RobotUnknown(String),
    /// The robot account was revoked before.
    #[error("the robot account `{0}` was already revoked")]
    RobotRevoked(String),
    /// A new robot account has already expired.
    #[error("the robot account `{0}` would already have expired")]
    RobotExpired(String),
    /// An address range is malformed.
    #[error("`{0}` is not an IP address or a range of IP addresses")]
    Cidr(String),
}

impl Error {
    /// What to do about the error, if something can be done.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::PasswordLine { .. } | Self::PasswordHash { .. } => {
                Some("create the line again with `htpasswd -nB USER`")
            }
            Self::ClientAuthorityPem(_) | Self::ClientAuthority(_) | Self::NoClientAuthority => {
                Some("provide the CA certificates in PEM format")
            }
            Self::OidcEmpty(_) => Some("give each field a value, or omit `usernameClaim`"),
            Self::OidcKeys(_) => Some("give one of them"),
            Self::OidcUrl { .. } => Some("give the URL of the keys, which begins with `https://`"),
            Self::OidcKeySet { .. } | Self::OidcNoKey(_) => Some(
                "save the document at the issuer's `jwks_uri`; for a cluster: `kubectl get --raw /openid/v1/jwks`",
            ),
            Self::Ldap { hint, .. } => Some(hint),
            Self::LdapTls(_) => Some("provide the certificates of the server's CA, PEM"),
            Self::OidcPrivateKey(_) => Some("provide only the public keys, and rotate the private key"),
            Self::PasswordTwice { .. } => Some("remove one of the two lines"),
            Self::Cidr(_) => Some("write it as 10.0.0.0/8 or as a single address"),
            Self::PolicyEmpty { .. } => Some("list at least one value, or remove the policy"),
            Self::PolicyPattern { .. } => Some(
                "write it as `team-a/app`, `team-a/*` (one segment) or `team-a/**` (any number of segments)",
            ),
            Self::PolicySubject { .. } => {
                Some("write `anonymous`, `authenticated`, `user:NAME`, `group:NAME` or `robot:NAME`")
            }
            Self::PolicyGroup { .. } => Some("define the group, or correct its name"),
            Self::UserIsRobot(_) => Some("give the user a name that does not begin with `robot$`"),
            Self::RobotsFile(_) => Some("create and change the file with `airlock robot` only"),
            Self::RobotName(_) => {
                Some("use up to 64 of a-z, 0-9, `.`, `_` and `-`, with a letter or digit at both ends")
            }
            Self::RobotScope(_) => Some("give both repositories and actions, or no scope"),
            Self::RobotExists(_) => {
                Some("choose another name; the name of a revoked account cannot be used again")
            }
            Self::RobotUnknown(_) => Some("`airlock robot list` shows the names"),
            Self::RobotExpired(_) => Some("give a time in the future"),
            Self::OidcClient { .. }
            | Self::OidcSlow(_)
            | Self::LdapRandom
            | Self::RobotRevoked(_)
            | Self::Accept(_) => None,
        }
    }
}

impl Classified for Error {
    fn class(&self) -> Class {
        match self {
            Self::ClientAuthorityPem(_)
            | Self::ClientAuthority(_)
            | Self::NoClientAuthority
            | Self::OidcEmpty(_)
            | Self::OidcKeys(_)
            | Self::OidcUrl { .. }
            | Self::OidcKeySet { .. }
            | Self::OidcPrivateKey(_)
            | Self::OidcNoKey(_)
            | Self::Ldap { .. }
            | Self::PasswordLine { .. }
            | Self::PasswordHash { .. }
            | Self::PasswordTwice { .. }
            | Self::PolicyEmpty { .. }
            | Self::PolicyPattern { .. }
            | Self::PolicySubject { .. }
            | Self::PolicyGroup { .. }
            | Self::UserIsRobot(_)
            | Self::RobotsFile(_)
            | Self::RobotName(_)
            | Self::RobotScope(_)
            | Self::RobotExists(_)
            | Self::RobotRevoked(_)
            | Self::RobotExpired(_)
            | Self::Cidr(_) => Class::Usage,
            Self::RobotUnknown(_) => Class::Missing,
            Self::Accept(source) => source.class(),
            Self::OidcClient { source, .. } | Self::LdapTls(source) => source.class(),
            Self::OidcSlow(_) => Class::Network,
            Self::LdapRandom => Class::Other,
        }
    }
}

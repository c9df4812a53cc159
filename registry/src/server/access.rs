//! Who may do what: policies about repositories, for users, groups, robot accounts and anonymous clients.
//!
//! A policy allows actions; nothing denies them. What no policy allows is refused, before the store is asked, so that a
//! refusal tells nothing about the repository. Each request is decided by the current policies. The scope of a token and
//! the scope of a robot account only narrow what the policies allow.
//!
//! `check`: the check of a request; `config`: the section of the configuration file; `external`: users
//! that are not in the password file; `policies`: decisions;
//! `robots`: robot accounts; `scope`: the scopes of tokens; `rights`: what the caller of one request may do.
//!
//! `AccessConfig + Htpasswd + Robots -> Policies -> Rights`

mod check;
mod config;
mod external;
mod policies;
mod rights;
mod robots;
mod scope;

pub use oci::RepositoryPattern;

pub use self::config::{AccessConfig, Allow, PolicyConfig};
pub use self::external::{CertificateConfig, CertificateName};
pub use self::policies::Policies;
pub use self::robots::{NewRobot, Robot, RobotScope, RobotState, Robots};

pub(super) use self::check::check;
pub(super) use self::external::{ExternalUser, user_name};
pub(super) use self::rights::{Rights, Verdict};
pub(super) use self::robots::Login;
pub(super) use self::scope::Scopes;

//! The policies of a registry, checked, with the users and robot accounts that they are about.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use oci::{Digest, RepositoryName, RepositoryPattern};
use time::OffsetDateTime;

use super::super::auth::{Caller, Htpasswd};
use super::super::ldap::LdapDirectory;
use super::super::oidc::OidcIssuer;
use super::config::{AccessConfig, Allow, PolicyConfig};
use super::external::CertificateConfig;
use super::robots::{Robot, RobotState, Robots};
use crate::Error;

/// What a member of a group begins with if it is a group that a source of users reports.
const GROUP: &str = "group:";

/// Who may do what.
pub struct Policies {
    policies: Vec<Policy>,
    groups: BTreeMap<String, Members>,
    htpasswd: Htpasswd,
    robots: Robots,
    certificates: Option<CertificateConfig>,
    oidc: Vec<OidcIssuer>,
    ldap: Option<Arc<LdapDirectory>>,
}

/// The members of a group.
#[derive(Default)]
struct Members {
    users: HashSet<String>,
    /// Groups that a source of users reports.
    groups: HashSet<String>,
}

struct Policy {
    repositories: Vec<RepositoryPattern>,
    to: Vec<Subject>,
    allow: Vec<Allow>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Anonymous,
    Authenticated,
    User(String),
    Group(String),
    Robot(String),
}

impl Policies {
    /// Checks the configuration. `htpasswd` and `robots` are the contents of the files that it names. Users and robot
    /// accounts of policies may be missing from them, so that removing a user never makes a configuration invalid: see
    /// [`Policies::unknown`].
    ///
    /// # Errors
    /// When a field of a policy is empty or has a malformed or undefined value, or when the name of a user is that of a
    /// robot account.
    pub fn new(config: AccessConfig, htpasswd: Htpasswd, robots: Robots) -> Result<Self, Error> {
        if let Some(user) = htpasswd.users().find(|user| user.starts_with(Robots::PREFIX)) {
            return Err(Error::UserIsRobot(user.to_owned()));
        }
        let defined: BTreeSet<&str> = config.groups.keys().map(String::as_str).collect();
        let policies =
            (1..).zip(&config.policies).map(|(number, policy)| Policy::new(number, policy, &defined));
        let policies = policies.collect::<Result<_, _>>()?;
        let groups = config.groups.into_iter().map(|(name, members)| (name, Members::new(members))).collect();
        let (certificates, oidc, ldap) = (config.certificates, Vec::new(), None);
        Ok(Self { policies, groups, htpasswd, robots, certificates, oidc, ldap })
    }

    /// These policies with issuers of tokens, which identify further users.
    #[must_use]
    pub fn with_oidc(self, oidc: Vec<OidcIssuer>) -> Self {
        Self { oidc, ..self }
    }

    /// These policies with a directory, which identifies further users.
    #[must_use]
    pub fn with_ldap(self, ldap: Option<LdapDirectory>) -> Self {
        Self { ldap: ldap.map(Arc::new), ..self }
    }

    /// The users and robot accounts that the policies and groups name, but that do not exist: `user:ann`, `robot:ci`.
    #[must_use]
    pub fn unknown(&self) -> BTreeSet<String> {
        let subjects = self.policies.iter().flat_map(|policy| &policy.to).cloned();
        let members = self.groups.values().flat_map(|group| &group.users).cloned().map(Subject::User);
        // Whom other sources identify is not known in advance.
        let are_all_known = self.certificates.is_none() && self.oidc.is_empty() && self.ldap.is_none();
        let is_unknown = |subject: &Subject| match subject {
            Subject::User(name) => are_all_known && !self.htpasswd.has(name),
            Subject::Robot(name) => self.robots.robot(name).is_none(),
            Subject::Anonymous | Subject::Authenticated | Subject::Group(_) => false,
        };
        subjects.chain(members).filter(is_unknown).map(|subject| subject.to_string()).collect()
    }

    pub(in crate::server) fn warn_of_unknown(&self) {
        let unknown = self.unknown();
        if !unknown.is_empty() {
            tracing::warn!(?unknown, "policies or groups name users or robot accounts that do not exist");
        }
    }

    pub(in crate::server) fn htpasswd(&self) -> &Htpasswd {
        &self.htpasswd
    }

    pub(in crate::server) fn certificates(&self) -> Option<&CertificateConfig> {
        self.certificates.as_ref()
    }

    pub(in crate::server) fn oidc(&self) -> &[OidcIssuer] {
        &self.oidc
    }

    pub(in crate::server) fn ldap(&self) -> Option<&Arc<LdapDirectory>> {
        self.ldap.as_ref()
    }

    pub(in crate::server) fn robots(&self) -> &Robots {
        &self.robots
    }

    /// Whether anonymous clients may do anything at all.
    pub(in crate::server) fn allow_anonymous(&self) -> bool {
        self.policies.iter().any(|policy| policy.to.contains(&Subject::Anonymous))
    }

    /// Whether the caller may do this.
    pub(in crate::server) fn allow(
        &self,
        caller: &Caller,
        repository: &RepositoryName,
        action: Allow,
    ) -> bool {
        let matches = |policy: &&Policy| {
            action.is_in(&policy.allow)
                && policy.repositories.iter().any(|pattern| pattern.matches(repository))
        };
        let within = || match caller {
            Caller::Anonymous | Caller::User(_) | Caller::External(_) => true,
            Caller::Robot(name) => {
                self.robots.robot(name).is_some_and(|robot| robot.is_within_scope(repository, action))
            }
        };
        self.policies.iter().filter(matches).any(|policy| self.is_for(policy, caller, &within))
    }

    /// Whether the caller may pull from every repository, as far as this is obvious.
    pub(super) fn allow_all_pulls(&self, caller: &Caller) -> bool {
        let matches = |policy: &&Policy| {
            Allow::Pull.is_in(&policy.allow) && policy.repositories.iter().any(RepositoryPattern::matches_all)
        };
        let within = || match caller {
            Caller::Anonymous | Caller::User(_) | Caller::External(_) => true,
            Caller::Robot(name) => self.robots.robot(name).is_some_and(|robot| robot.scope.is_empty()),
        };
        self.policies.iter().filter(matches).any(|policy| self.is_for(policy, caller, &within))
    }

    /// Whether the policy is about the caller. What everyone may do, a robot account may do beyond its scope: it could
    /// leave out its secret.
    fn is_for(&self, policy: &Policy, caller: &Caller, within: &impl Fn() -> bool) -> bool {
        let named = |subject: &Subject| match (subject, caller) {
            (Subject::Authenticated, Caller::User(_) | Caller::Robot(_) | Caller::External(_)) => true,
            (Subject::User(name), Caller::User(user)) => name == user,
            (Subject::User(name), Caller::External(user)) => *name == user.name,
            (Subject::Group(group), Caller::User(user)) => self.has_member(group, user, None),
            (Subject::Group(group), Caller::External(user)) => {
                self.has_member(group, &user.name, Some(&user.groups))
            }
            (Subject::Robot(name), Caller::Robot(robot)) => name == robot,
            _ => false,
        };
        policy.to.contains(&Subject::Anonymous) || (policy.to.iter().any(named) && within())
    }

    /// Whether a user is in a group, by name or by the groups that its source reports.
    fn has_member(&self, group: &str, user: &str, reported: Option<&BTreeSet<String>>) -> bool {
        self.groups.get(group).is_some_and(|members| {
            members.users.contains(user)
                || reported.into_iter().flatten().any(|group| members.groups.contains(group))
        })
    }

    /// What identifies the caller's current password or secret, if the caller may still log in.
    pub(in crate::server) fn credential(&self, caller: &Caller, now: OffsetDateTime) -> Option<Digest> {
        match caller {
            Caller::Anonymous => None,
            Caller::User(name) => self.htpasswd.fingerprint(name),
            Caller::Robot(name) => {
                let robot = self.robots.robot(name).filter(|robot| robot.state(now) == RobotState::Active);
                robot.map(Robot::fingerprint)
            }
            Caller::External(user) => {
                let by_certificate = self.certificates.as_ref().map(CertificateConfig::digest);
                let known = by_certificate.as_ref() == Some(&user.source)
                    || self.oidc.iter().any(|issuer| *issuer.digest() == user.source)
                    || self.ldap.as_ref().is_some_and(|directory| *directory.digest() == user.source);
                let ended = user.until.is_some_and(|until| until <= now);
                (known && !ended).then(|| user.source.clone())
            }
        }
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policies({} policies)", self.policies.len())
    }
}

impl Members {
    fn new(members: Vec<String>) -> Self {
        let mut sorted = Self::default();
        for member in members {
            match member.strip_prefix(GROUP) {
                Some(group) => sorted.groups.insert(group.to_owned()),
                None => sorted.users.insert(member),
            };
        }
        sorted
    }
}

impl Policy {
    fn new(policy: usize, config: &PolicyConfig, groups: &BTreeSet<&str>) -> Result<Self, Error> {
        let empty = [
            ("repositories", config.repositories.is_empty()),
            ("to", config.to.is_empty()),
            ("allow", config.allow.is_empty()),
        ];
        if let Some((field, _)) = empty.into_iter().find(|(_, is_empty)| *is_empty) {
            return Err(Error::PolicyEmpty { policy, field });
        }
        let pattern =
            |text: &String| text.parse().map_err(|_| Error::PolicyPattern { policy, pattern: text.clone() });
        let subject = |text: &String| {
            let subject =
                Subject::parse(text).ok_or_else(|| Error::PolicySubject { policy, subject: text.clone() })?;
            match subject {
                Subject::Group(group) if !groups.contains(group.as_str()) => {
                    Err(Error::PolicyGroup { policy, group })
                }
                subject => Ok(subject),
            }
        };
        Ok(Self {
            repositories: config.repositories.iter().map(pattern).collect::<Result<_, _>>()?,
            to: config.to.iter().map(subject).collect::<Result<_, _>>()?,
            allow: config.allow.clone(),
        })
    }
}

impl Subject {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "anonymous" => return Some(Self::Anonymous),
            "authenticated" => return Some(Self::Authenticated),
            _ => {}
        }
        let (kind, name) = text.split_once(':').filter(|(_, name)| !name.is_empty())?;
        match kind {
            "user" => Some(Self::User(name.to_owned())),
            "group" => Some(Self::Group(name.to_owned())),
            "robot" => Some(Self::Robot(name.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Authenticated => f.write_str("authenticated"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Robot(name) => write!(f, "robot:{name}"),
        }
    }
}

#[cfg(test)]
mod tests;

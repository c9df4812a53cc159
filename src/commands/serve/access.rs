//! Who may pull and push.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use registry::server::access::{AccessConfig, CertificateConfig, Policies, PolicyConfig, Robots};
use registry::server::{Auth, Htpasswd, LdapConfig, LdapDirectory, OidcConfig, OidcIssuer};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::document::below;
use super::plan::Form;
use super::sources::Sources;
use crate::failure::{Usage, unusable};

/// Who may pull and push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Access {
    /// A password file (`htpasswd -B`), relative to this file. Without policies, its users may pull and push.
    pub(super) htpasswd: Option<PathBuf>,
    /// What everyone may do without a password. Default: `none` with a password file, otherwise `push`; `push` must be
    /// given if other machines can reach the registry.
    pub(super) anonymous: Option<Anonymous>,
    /// With policies: the file of robot accounts, as `airlock robot` writes it, relative to this file.
    pub(super) robots: Option<PathBuf>,
    /// With policies, for listeners with `tls.clientCA`: how client certificates identify users.
    pub(super) certificates: Option<CertificateConfig>,
    /// With policies: issuers of tokens (OIDC), such as clusters, which identify further users.
    pub(super) oidc: Vec<OidcConfig>,
    /// With policies: a directory (LDAP), which identifies further users by their passwords.
    pub(super) ldap: Option<LdapConfig>,
    /// With policies: groups of users, for `group:NAME`. A member `group:NAME` is a group that an issuer or a directory reports.
    pub(super) groups: BTreeMap<String, Vec<String>>,
    /// Who may do what. What no policy allows is denied.
    pub(super) policies: Option<Vec<PolicyConfig>>,
}

/// What everyone may do without a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Anonymous {
    /// Nothing.
    None,
    /// Pull.
    Pull,
    /// Pull, push and delete.
    Push,
}

impl Access {
    /// With paths relative to a folder.
    pub(super) fn below(mut self, folder: &Path) -> Self {
        self.htpasswd = self.htpasswd.map(|path| below(folder, path));
        self.robots = self.robots.map(|path| below(folder, path));
        for issuer in &mut self.oidc {
            issuer.keys = issuer.keys.take().map(|path| below(folder, path));
            issuer.jwks_ca = issuer.jwks_ca.take().map(|path| below(folder, path));
        }
        if let Some(ldap) = &mut self.ldap {
            ldap.ca = ldap.ca.take().map(|path| below(folder, path));
            ldap.bind_password_file = ldap.bind_password_file.take().map(|path| below(folder, path));
        }
        self
    }

    /// Checks that the settings do not contradict each other.
    pub(super) fn check(&self, form: Form) -> Result<(), Usage> {
        if self.policies.is_some() && self.anonymous.is_some() {
            let message = "`access.anonymous` has no effect beside `access.policies`".to_owned();
            return Err(Usage { message, hint: "write a policy with `to: [anonymous]` instead" });
        }
        let need_policies = [
            ("robots", self.robots.is_some()),
            ("groups", !self.groups.is_empty()),
            ("certificates", self.certificates.is_some()),
            ("oidc", !self.oidc.is_empty()),
            ("ldap", self.ldap.is_some()),
        ];
        let unused = need_policies.iter().find(|(_, given)| *given && self.policies.is_none());
        if let Some((name, _)) = unused {
            let message = format!("`access.{name}` has no effect without `access.policies`");
            return Err(Usage { message, hint: "add `access.policies`: docs/access.md" });
        }
        let (message, hint) = match (self.htpasswd.is_some(), self.anonymous) {
            (true, Some(Anonymous::Push)) => (
                form.hint(
                    "--anonymous-push contradicts --htpasswd",
                    "`access.anonymous: push` contradicts `access.htpasswd`",
                ),
                "omit one of them",
            ),
            (false, Some(Anonymous::Pull)) => (
                form.hint(
                    "--anonymous-pull has no effect without a password file",
                    "`access.anonymous: pull` has no effect without a password file",
                ),
                form.hint(
                    "give --htpasswd FILE, or omit --anonymous-pull",
                    "set `access.htpasswd`, or omit `access.anonymous`",
                ),
            ),
            (false, Some(Anonymous::None)) => (
                "with `access.anonymous: none` and without a password file, no one could use the registry",
                "set `access.htpasswd`, or omit `access.anonymous`",
            ),
            _ => return Ok(()),
        };
        Err(Usage { message: message.to_owned(), hint })
    }

    /// Checks that client certificates are both accepted by a listener and used.
    pub(super) fn check_certificates(&self, are_accepted: bool) -> Result<(), Usage> {
        let (message, hint) = match (are_accepted, self.certificates.is_some()) {
            (true, false) => (
                "`tls.clientCA` has no effect without `access.certificates`",
                "add `access.certificates: {usernameFrom: commonName}`, or remove `tls.clientCA`",
            ),
            (false, true) => (
                "`access.certificates` has no effect, because no listener has `tls.clientCA`",
                "set `tls.clientCA` on a listener, or remove `access.certificates`",
            ),
            (true, true) | (false, false) => return Ok(()),
        };
        Err(Usage { message: message.to_owned(), hint })
    }

    /// Reads the password file and the robot accounts.
    pub(super) fn load(&self, sources: &mut Sources) -> anyhow::Result<Auth> {
        let users = self.htpasswd.as_deref().map(|path| users(path, sources)).transpose()?;
        if let Some(policies) = &self.policies {
            return Ok(Auth::Policies(Arc::new(self.policies(policies, users, sources)?)));
        }
        let Some(users) = users else { return Ok(Auth::Anonymous) };
        Ok(Auth::Htpasswd { users, anonymous_pull: self.anonymous == Some(Anonymous::Pull) })
    }

    fn policies(
        &self,
        policies: &[PolicyConfig],
        users: Option<Htpasswd>,
        sources: &mut Sources,
    ) -> anyhow::Result<Policies> {
        let robots = match &self.robots {
            Some(path) => {
                let failed = format!("the file of robot accounts `{}` cannot be used", path.display());
                Robots::parse(&sources.read(path)?).map_err(unusable(failed))?
            }
            None => Robots::default(),
        };
        let (groups, policies) = (self.groups.clone(), policies.to_vec());
        let certificates = self.certificates.clone();
        let config = AccessConfig { certificates, groups, policies, ..AccessConfig::default() };
        let failed = "the policies cannot be used".to_owned();
        let policies = Policies::new(config, users.unwrap_or_default(), robots).map_err(unusable(failed))?;
        Ok(policies.with_oidc(self.issuers(sources)?).with_ldap(self.directory(sources)?))
    }

    fn directory(&self, sources: &mut Sources) -> anyhow::Result<Option<LdapDirectory>> {
        let Some(config) = &self.ldap else { return Ok(None) };
        let mut text = |path: &Option<PathBuf>| path.as_deref().map(|path| sources.read(path)).transpose();
        let (password, ca) = (text(&config.bind_password_file)?, text(&config.ca)?);
        let directory = LdapDirectory::new(config.clone(), password.as_deref(), ca.as_deref());
        directory.map(Some).map_err(unusable("`access.ldap` cannot be used".to_owned()))
    }

    fn issuers(&self, sources: &mut Sources) -> anyhow::Result<Vec<OidcIssuer>> {
        let issuer = |config: &OidcConfig| {
            let mut text =
                |path: &Option<PathBuf>| path.as_deref().map(|path| sources.read(path)).transpose();
            let (keys, ca) = (text(&config.keys)?, text(&config.jwks_ca)?);
            let failed = "an issuer of `access.oidc` cannot be used".to_owned();
            OidcIssuer::new(config.clone(), keys.as_deref(), ca.as_deref()).map_err(unusable(failed))
        };
        self.oidc.iter().map(issuer).collect()
    }

    /// The files with passwords, accounts and keys.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let issuers = self.oidc.iter().flat_map(|issuer| [&issuer.keys, &issuer.jwks_ca]);
        let directory = self.ldap.iter().flat_map(|ldap| [&ldap.ca, &ldap.bind_password_file]);
        let own = [&self.htpasswd, &self.robots].into_iter();
        own.chain(issuers).chain(directory).flatten().map(PathBuf::as_path)
    }

    /// Whether both, with these files, give the same users the same permissions.
    pub(super) fn is_same(&self, sources: &Sources, (other, others): (&Self, &Sources)) -> bool {
        self == other && self.files().all(|path| sources.has_same(others, Some(path)))
    }

    /// As `--check` prints it.
    pub(super) fn described(&self) -> Value {
        if let Some(policies) = &self.policies {
            return json!({
                "htpasswd": self.htpasswd,
                "robots": self.robots,
                "certificates": self.certificates,
                "oidc": self.oidc,
                "ldap": self.ldap,
                "policies": policies.len(),
            });
        }
        let anonymous = match (self.htpasswd.is_some(), self.anonymous) {
            (true, None) | (_, Some(Anonymous::None)) => "none",
            (_, Some(Anonymous::Pull)) => "pull",
            (false, None) | (_, Some(Anonymous::Push)) => "push",
        };
        json!({ "htpasswd": self.htpasswd, "anonymous": anonymous })
    }
}

/// Reads a password file.
fn users(path: &Path, sources: &mut Sources) -> anyhow::Result<Htpasswd> {
    let text = sources.read(path)?;
    if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
        let message = format!("`{}` lists no user, so no one could log in", path.display());
        return Err(Usage { message, hint: "add one with `htpasswd -B FILE USER`" }.into());
    }
    let failed = format!("the password file `{}` cannot be used", path.display());
    Htpasswd::parse(&text).map_err(unusable(failed))
}

#[cfg(test)]
mod tests {
    use Anonymous as A;

    use super::*;

    #[test]
    fn contradictions_are_refused() {
        let check = |htpasswd: bool, anonymous| {
            let htpasswd = htpasswd.then(|| "users".into());
            let access = Access { htpasswd, anonymous, ..Access::default() };
            access.check(Form::File).is_ok()
        };
        assert!(check(true, None) && check(true, Some(A::None)) && check(true, Some(A::Pull)));
        assert!(check(false, None) && check(false, Some(A::Push)));
        assert!(!check(true, Some(A::Push)) && !check(false, Some(A::Pull)) && !check(false, Some(A::None)));
    }
}

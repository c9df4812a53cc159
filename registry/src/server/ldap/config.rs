//! The section `access.ldap` of the registry's configuration file.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::Error;

/// What the name of the user replaces in a filter.
const USER: &str = "{user}";
/// What the distinguished name of the user replaces in a filter.
const DN: &str = "{dn}";

/// A directory that identifies users by their passwords.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "Ldap")]
pub struct LdapConfig {
    /// The server: `ldaps://HOST[:PORT]` or `ldap://HOST[:PORT]`.
    pub url: String,
    /// With `ldap://`: whether TLS is started before anything else is sent.
    #[serde(default, rename = "startTLS", skip_serializing_if = "std::ops::Not::not")]
    pub start_tls: bool,
    /// Whether passwords may be sent to another machine without TLS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// CA certificates to trust in addition to those of the system, PEM, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// The distinguished name that searches. Default: an anonymous search.
    #[serde(default, rename = "bindDN", skip_serializing_if = "Option::is_none")]
    pub bind_dn: Option<String>,
    /// The file with the password of `bindDN`, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_password_file: Option<PathBuf>,
    /// How the entry of a user is found.
    pub user_search: LdapUserSearch,
    /// How the groups of a user are found. Default: users have no groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_search: Option<LdapGroupSearch>,
    /// A text before the names of users.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username_prefix: String,
    /// A text before the names of groups.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub groups_prefix: String,
}

/// How the entry of a user is found. Exactly one entry must match.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LdapUserSearch {
    /// The entry to search below.
    pub base: String,
    /// The filter; the user name replaces `{user}`.
    #[serde(default = "by_uid")]
    pub filter: String,
}

/// How the groups of a user are found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LdapGroupSearch {
    /// The entry to search below.
    pub base: String,
    /// The filter; the user's distinguished name replaces `{dn}`, and the user name `{user}`.
    #[serde(default = "by_member")]
    pub filter: String,
    /// The attribute that is the name of a group.
    #[serde(default = "common_name")]
    pub name: String,
}

fn by_uid() -> String {
    "(uid={user})".to_owned()
}

fn by_member() -> String {
    "(member={dn})".to_owned()
}

fn common_name() -> String {
    "cn".to_owned()
}

impl LdapConfig {
    /// The URL of the server, if everything fits together. `password` is that of `bindDN`.
    pub(super) fn check(&self, password: Option<&str>) -> Result<Url, Error> {
        let wrong = |problem, hint| Err(Error::Ldap { problem, hint });
        let Some(url) = Url::parse(&self.url).ok().filter(is_plain) else {
            return wrong(
                "`url` is not that of a server",
                "write `ldaps://HOST` or `ldap://HOST`, possibly with a port",
            );
        };
        let secure = match (url.scheme(), self.start_tls) {
            ("ldaps", true) => return wrong("`startTLS` contradicts `ldaps://`", "omit `startTLS`"),
            ("ldaps", false) | (_, true) => true,
            _ => false,
        };
        if !secure && !self.insecure && !is_loopback(&url) {
            return wrong(
                "passwords would be sent to another machine without TLS",
                "write `ldaps://`, or add `startTLS: true`",
            );
        }
        if !secure && self.ca.is_some() {
            return wrong("`ca` has no effect without TLS", "write `ldaps://`, or add `startTLS: true`");
        }
        match (&self.bind_dn, password) {
            (None, None) => {}
            (Some(name), Some(password)) if !name.is_empty() && !password.is_empty() => {}
            _ => {
                return wrong(
                    "`bindDN` and a password in `bindPasswordFile` belong together",
                    "give both, or none of them for an anonymous search",
                );
            }
        }
        let user = &self.user_search.filter;
        if !user.contains(USER) || !is_filter(user) {
            return wrong(
                "`userSearch.filter` is not a filter with `{user}`",
                "write it as in `(sAMAccountName={user})`",
            );
        }
        if let Some(group) = &self.group_search
            && (!(group.filter.contains(DN) || group.filter.contains(USER))
                || !is_filter(&group.filter)
                || group.name.is_empty())
        {
            return wrong(
                "`groupSearch` needs a filter with `{dn}` or `{user}`, and a name",
                "write the filter as in `(member={dn})`",
            );
        }
        Ok(url)
    }
}

/// A filter for this user. What the name and the distinguished name contain has no meaning in the filter (RFC 4515).
pub(super) fn filter(template: &str, user: &str, dn: &str) -> String {
    let (user, dn) = (ldap3::ldap_escape(user), ldap3::ldap_escape(dn));
    // In one pass: what a name contains is not replaced again.
    let parts = template.split(USER).map(|part| part.replace(DN, &dn));
    parts.collect::<Vec<_>>().join(&user)
}

fn is_filter(template: &str) -> bool {
    ldap3::parse_filter(filter(template, "a", "b")).is_ok()
}

/// Whether a URL has nothing but a scheme, a host and a port.
fn is_plain(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    matches!(url.scheme(), "ldap" | "ldaps")
        && !host.is_empty()
        && host.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_err()
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

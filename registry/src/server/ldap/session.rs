//! One connection to the directory, which checks one password.

use std::collections::BTreeSet;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions};
use tokio::task::JoinSet;

use super::config::filter;
use super::{LdapDirectory, WITHIN};

/// The maximum number of groups of a user.
const MOST_GROUPS: usize = 1000;

/// The result codes of RFC 4511, appendix A, that a wrong name or password causes: an entry that has no password, is gone,
/// or may not log in.
const WRONG: [u32; 5] = [19, 32, 48, 49, 53];
const SIZE_LIMIT: u32 = 4;

/// Why a session identifies no user.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The only one that is the user's fault.
    #[error("the user name or the password is wrong")]
    Wrong,
    #[error("several entries match the user name")]
    Several,
    #[error("the user has more than {MOST_GROUPS} groups")]
    Groups,
    #[error("the server does not let `bindDN` log in")]
    Account(#[source] LdapError),
    #[error("it did not answer within {} seconds", WITHIN.as_secs())]
    Slow,
    #[error("the answer is malformed")]
    Malformed,
    #[error(transparent)]
    Failed(#[from] LdapError),
}

/// The groups of a user, if the password is right. Neither `user` nor `password` is empty.
pub(super) async fn log_in(
    directory: &LdapDirectory,
    user: &str,
    password: &str,
) -> Result<BTreeSet<String>, Trouble> {
    let mut settings = LdapConnSettings::new().set_starttls(directory.config.start_tls);
    if let Some(tls) = &directory.tls {
        settings = settings.set_config(std::sync::Arc::clone(tls));
    }
    let (connection, mut ldap) = LdapConnAsync::from_url_with_settings(settings, &directory.url).await?;
    // Dropping the set ends the connection.
    let mut driver = JoinSet::new();
    driver.spawn(connection.drive());
    let groups = check(directory, &mut ldap, user, password).await?;
    let _ = ldap.unbind().await;
    Ok(groups)
}

async fn check(
    directory: &LdapDirectory,
    ldap: &mut Ldap,
    user: &str,
    password: &str,
) -> Result<BTreeSet<String>, Trouble> {
    become_account(directory, ldap).await?;
    let search = &directory.config.user_search;
    let wanted = filter(&search.filter, user, "");
    let found = entries(ldap, &search.base, &wanted, ("1.1", 1)).await?.ok_or(Trouble::Several)?;
    let entry = found.into_iter().next().ok_or(Trouble::Wrong)?;
    // A bind without a name would be anonymous.
    if entry.dn.is_empty() {
        return Err(Trouble::Malformed);
    }
    let bound = ldap.simple_bind(&entry.dn, password).await?;
    if WRONG.contains(&bound.rc) {
        return Err(Trouble::Wrong);
    }
    bound.success()?;
    let Some(search) = &directory.config.group_search else { return Ok(BTreeSet::new()) };
    // Users often may not read the groups.
    become_account(directory, ldap).await?;
    let wanted = filter(&search.filter, user, &entry.dn);
    let found = entries(ldap, &search.base, &wanted, (&search.name, MOST_GROUPS)).await?;
    let attributes = found.ok_or(Trouble::Groups)?.into_iter().flat_map(|group| group.attrs);
    let names = attributes.filter(|(name, _)| name.eq_ignore_ascii_case(&search.name));
    let prefix = &directory.config.groups_prefix;
    Ok(names.flat_map(|(_, values)| values).map(|name| format!("{prefix}{name}")).collect())
}

/// Binds as the account that searches.
async fn become_account(directory: &LdapDirectory, ldap: &mut Ldap) -> Result<(), Trouble> {
    let account = directory.config.bind_dn.as_deref().zip(directory.password.as_deref());
    let (name, password) = account.unwrap_or_default();
    let bound = ldap.simple_bind(name, password).await?;
    bound.success().map(drop).map_err(Trouble::Account)
}

/// The entries that match, each with one attribute; `None` if there are too many. References to other servers are not
/// followed.
async fn entries(
    ldap: &mut Ldap,
    base: &str,
    filter: &str,
    (attribute, most): (&str, usize),
) -> Result<Option<Vec<SearchEntry>>, Trouble> {
    let limit = i32::try_from(most + 1).unwrap_or(i32::MAX);
    let time = i32::try_from(WITHIN.as_secs()).unwrap_or(i32::MAX);
    ldap.with_search_options(SearchOptions::new().sizelimit(limit).timelimit(time));
    let mut stream = ldap.streaming_search(base, Scope::Subtree, filter, vec![attribute]).await?;
    let mut found = Vec::new();
    while let Some(entry) = stream.next().await? {
        if entry.is_ref() || entry.is_intermediate() {
            continue;
        }
        if found.len() == most {
            return Ok(None);
        }
        found.push(SearchEntry::construct(entry));
    }
    let result = stream.finish().await;
    if result.rc == SIZE_LIMIT {
        return Ok(None);
    }
    result.success()?;
    Ok(Some(found))
}

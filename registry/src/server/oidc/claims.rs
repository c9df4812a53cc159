//! The claims of a token (RFC 7519, section 4.1).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::super::access::user_name;
use super::{Fault, OidcConfig};

/// The difference between the clocks of an issuer and this machine that is tolerated.
const SKEW: Duration = Duration::MINUTE;
/// The user names of Kubernetes' service accounts, before namespace and name.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// The group of all service accounts.
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// What a valid token says about its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) name: String,
    pub(super) groups: BTreeSet<String>,
    pub(super) until: OffsetDateTime,
}

/// The members of a JSON object, each of which occurs once: of two with the same name, another program might read the other.
#[derive(Debug, PartialEq)]
pub(super) struct Members(BTreeMap<String, Value>);

impl Members {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A text, or a list of texts; `None` if it is anything else.
    fn texts(&self, name: &str) -> Option<Vec<&str>> {
        match self.0.get(name)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(values) => values.iter().map(Value::as_str).collect(),
            _ => None,
        }
    }

    fn time(&self, name: &str) -> Option<OffsetDateTime> {
        let value = self.0.get(name)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a time beyond the range is not valid either way"
        )]
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64))?;
        OffsetDateTime::from_unix_timestamp(seconds).ok()
    }

    /// Whether an issuer is named.
    pub(super) fn is_of(&self, issuer: &str) -> bool {
        self.text("iss") == Some(issuer)
    }

    /// Checks the claims of a token whose signature is right.
    pub(super) fn check(&self, config: &OidcConfig, now: OffsetDateTime) -> Result<Claims, Fault> {
        if !self.is_of(&config.issuer) {
            return Err(Fault::Issuer);
        }
        let audiences = self.texts("aud").unwrap_or_default();
        if !audiences.contains(&config.audience.as_str()) {
            return Err(Fault::Audience);
        }
        let until = self.time("exp").ok_or(Fault::Malformed)? + SKEW;
        if until <= now {
            return Err(Fault::Expired);
        }
        if self.has("nbf") && self.time("nbf").ok_or(Fault::Malformed)? > now + SKEW {
            return Err(Fault::Early);
        }
        let claim = config.username_claim.as_str();
        let is_verified = claim != "email" || self.0.get("email_verified").is_none_or(|value| *value == true);
        let given = self.text(claim).filter(|_| is_verified).ok_or(Fault::Username)?;
        let name = user_name(&config.username_prefix, given).ok_or(Fault::Username)?;
        let groups = self.groups(config, given).into_iter();
        let groups = groups.map(|group| format!("{}{group}", config.groups_prefix)).collect();
        Ok(Claims { name, groups, until })
    }

    fn groups(&self, config: &OidcConfig, user: &str) -> Vec<String> {
        let claimed = config.groups_claim.as_deref().and_then(|claim| self.texts(claim));
        let mut groups: Vec<String> = claimed.unwrap_or_default().into_iter().map(str::to_owned).collect();
        // As Kubernetes itself does.
        let account = user.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':'));
        if let Some((namespace, _)) = account.filter(|_| config.username_claim == "sub") {
            groups.extend([SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")]);
        }
        groups
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once)
    }
}

struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member occurs twice"));
            }
        }
        Ok(Members(members))
    }
}

//! Users that are not in the password file, but that a source of the configuration identifies.

use std::collections::BTreeSet;

use oci::Digest;
use rustls::pki_types::UnixTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::super::certificates::{CertificateNames, ClientCertificate};
use super::robots::Robots;

/// The maximum length of a user name, in bytes. The names of Kubernetes' service accounts have up to 339.
const LONGEST: usize = 512;

/// A user, as its source identified it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct ExternalUser {
    pub(in crate::server) name: String,
    /// The groups that the source reports.
    pub(in crate::server) groups: BTreeSet<String>,
    /// The configuration of the source. Tokens end when it changes.
    pub(in crate::server) source: Digest,
    /// The certificate that the client must show, with its tokens, too.
    pub(in crate::server) certificate: Option<Digest>,
    /// When this ends.
    pub(in crate::server) until: Option<OffsetDateTime>,
}

/// The name of a user that a source identified, with the prefix of the source; `None` if no user can have this name.
pub(in crate::server) fn user_name(prefix: &str, name: &str) -> Option<String> {
    let whole = format!("{prefix}{name}");
    let good = !name.is_empty()
        && whole.len() <= LONGEST
        && !whole.chars().any(char::is_control)
        && whole.trim() == whole
        && !whole.starts_with(Robots::PREFIX);
    good.then_some(whole)
}

/// How certificates identify users.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(rename = "Certificates")]
pub struct CertificateConfig {
    /// The name that is the user name. A certificate that has none of this kind, or several, identifies no user.
    pub username_from: CertificateName,
    /// A prefix for the names of users.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username_prefix: String,
}

/// A kind of name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CertificateName {
    /// The common name of the subject.
    CommonName,
    /// A DNS name in the subject alternative name.
    Dns,
    /// A URI in the subject alternative name.
    Uri,
    /// An email address in the subject alternative name.
    Email,
}

impl CertificateConfig {
    /// What changes with the configuration.
    pub(super) fn digest(&self) -> Digest {
        Digest::sha256(format!("certificates {self:?}").as_bytes())
    }

    /// The user of a certificate, if the certificate identifies one now.
    pub(in crate::server) fn identify(
        &self,
        certificate: &ClientCertificate,
        now: OffsetDateTime,
    ) -> Option<ExternalUser> {
        let seconds = u64::try_from(now.unix_timestamp()).ok()?;
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let name = self.name(&certificate.names).filter(|_| certificate.is_valid(now))?;
        let fingerprint = certificate.fingerprint.clone();
        Some(ExternalUser {
            name,
            groups: BTreeSet::new(),
            source: self.digest(),
            certificate: Some(fingerprint),
            until: None,
        })
    }

    fn name(&self, names: &CertificateNames) -> Option<String> {
        let found = match self.username_from {
            CertificateName::CommonName => &names.common,
            CertificateName::Dns => &names.dns,
            CertificateName::Uri => &names.uris,
            CertificateName::Email => &names.emails,
        };
        match found.as_slice() {
            [name] => user_name(&self.username_prefix, name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(username_from: CertificateName, prefix: &str) -> CertificateConfig {
        CertificateConfig { username_from, username_prefix: prefix.to_owned() }
    }

    #[test]
    fn a_certificate_names_a_user_only_without_doubt() {
        let one = |name: &str| vec![name.to_owned()];
        let names = CertificateNames {
            common: one("ann"),
            dns: vec!["a.site".to_owned(), "b.site".to_owned()],
            uris: Vec::new(),
            emails: one("ann@site"),
        };
        let name = |from, prefix| config(from, prefix).name(&names);
        assert_eq!(name(CertificateName::CommonName, "").as_deref(), Some("ann"));
        assert_eq!(name(CertificateName::Email, "cert:").as_deref(), Some("cert:ann@site"));
        assert_eq!((name(CertificateName::Dns, ""), name(CertificateName::Uri, "")), (None, None));
    }

    #[test]
    fn names_that_could_be_taken_for_others_are_not_user_names() {
        assert_eq!(user_name("", "system:serviceaccount:a:b").as_deref(), Some("system:serviceaccount:a:b"));
        for (prefix, name) in [
            ("", ""),
            ("oidc:", ""),
            ("", "robot$ci"),
            ("robot", "$ci"),
            ("", "admin\0"),
            ("", "a\nb"),
            ("", " admin"),
            ("", "admin "),
        ] {
            assert_eq!(user_name(prefix, name), None, "{prefix:?} {name:?}");
        }
        assert!(
            user_name("", &"a".repeat(LONGEST)).is_some() && user_name("a", &"a".repeat(LONGEST)).is_none()
        );
    }
}

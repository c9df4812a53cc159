//! The decision on verified signatures, by the rules of the trust file. Pure: no clock, no files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use oci::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::role::RoleRequest;
use super::{ContentKind, Holder, TrustFile};
use crate::{Attested, Format, ImageName, Signer, Verified};

/// The step at which a decision is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Gate {
    /// Before anything from upstream gets a name.
    Mirror,
    /// Before a drive is written.
    Pack,
    /// Before the content of a drive is imported.
    Import,
    /// Before an image is pushed to a registry.
    Push,
    /// Before an image is used.
    Pull,
}

impl Gate {
    /// All gates, in the order of the data flow.
    pub const ALL: [Self; 5] = [Self::Mirror, Self::Pack, Self::Import, Self::Push, Self::Pull];
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mirror => "mirror",
            Self::Pack => "pack",
            Self::Import => "import",
            Self::Push => "push",
            Self::Pull => "pull",
        })
    }
}

/// The effect of a refusal at a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// The operation stops.
    #[default]
    Enforce,
    /// The operation continues with a warning.
    Warn,
}

/// Verified signatures about one image or drive. They come from [`Verified`] values only.
#[derive(Clone, Debug)]
pub struct Claims {
    content: ContentKind,
    image: Option<(Digest, ImageName)>,
    newest_policy: u64,
    signatures: Vec<VerifiedSignature>,
}

#[derive(Clone, Debug)]
struct VerifiedSignature {
    signer: Signer,
    /// The certificate's subject and issuer, for a signature by certificate.
    person: Option<(String, String)>,
    content: ContentKind,
    format: Option<Format>,
    sequence: Option<u64>,
    /// Whether it is about this image or drive.
    matches: bool,
}

impl Claims {
    /// Claims about an image under a name, with this predicate type.
    #[must_use]
    pub fn image(digest: &Digest, name: &ImageName, predicate_type: &str) -> Self {
        let content = ContentKind::Statement(predicate_type.to_owned());
        Self {
            content,
            image: Some((digest.clone(), name.clone())),
            newest_policy: 0,
            signatures: Vec::new(),
        }
    }

    /// Claims about a drive, from the signature of its manifest.
    #[must_use]
    pub fn drive<T>(manifest: &Verified<T>, sequence: Option<u64>) -> Self {
        let signer = manifest.signer().clone();
        let content = ContentKind::Drive;
        let signature =
            VerifiedSignature { signer, person: None, content, format: None, sequence, matches: true };
        Self { content: ContentKind::Drive, image: None, newest_policy: 0, signatures: vec![signature] }
    }

    /// Sets the greatest sequence number of a trust file that was ever in force here.
    #[must_use]
    pub fn after_policy(mut self, sequence: u64) -> Self {
        self.newest_policy = sequence;
        self
    }

    /// Adds a signature. The decision compares its content.
    pub fn add(&mut self, verified: &Verified<Attested>) {
        let found = verified.get();
        let image = self.image.as_ref();
        self.signatures.push(VerifiedSignature {
            signer: verified.signer().clone(),
            person: found.certified().map(|by| (by.subject().to_owned(), by.issuer().to_owned())),
            content: ContentKind::Statement(found.statement().predicate_type().to_owned()),
            format: Some(found.format()),
            sequence: found.subject().sequence().unwrap_or_default(),
            matches: image.is_some_and(|(digest, _)| found.subject().is(digest)),
        });
    }
}

/// The decision at a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The gate.
    pub gate: Gate,
    /// The effect of a refusal.
    pub mode: Mode,
    /// Whether the operation may continue.
    pub allowed: bool,
    /// Whether the rules are met; with [`Mode::Warn`], the operation may continue without.
    pub satisfied: bool,
    /// The keys and identities whose signatures counted, by their names in the trust file.
    pub by: Vec<String>,
    /// The reasons why signatures did not count or did not suffice.
    #[serde(rename = "whyNot")]
    pub reasons: Vec<Reason>,
}

/// The reason why a signature does not count, or why all of them do not suffice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A newer trust file was already in force.
    StalePolicy {
        /// The sequence number of this file.
        found: u64,
        /// The greatest sequence number so far.
        newest: u64,
    },
    /// No signature.
    Unsigned,
    /// The trust file does not contain the key.
    UnknownKey(String),
    /// The same person is already counted as another identity.
    AlreadyCounted {
        /// The identity.
        key: String,
        /// The counted identity.
        counted: String,
    },
    /// The key was revoked.
    Revoked {
        /// Its name.
        key: String,
        /// The reason of the revocation.
        reason: String,
        /// The date of the revocation.
        date: String,
    },
    /// The signature is for other content, or about another image.
    OtherContent {
        /// The name of the key.
        key: String,
        /// The kind of the signed content.
        found: String,
    },
    /// No role of the key allows the signature.
    NoRole {
        /// Its name.
        key: String,
        /// The kind of the signed content.
        content: String,
    },
    /// The rule requires another signer.
    NotRequired {
        /// The name of the key.
        key: String,
        /// The name of the required group, key or identity.
        by: String,
    },
    /// Too few members of a group signed.
    BelowThreshold {
        /// The name of the group.
        group: String,
        /// The number of members that must sign.
        threshold: usize,
        /// The number of members that signed.
        found: usize,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StalePolicy { found, newest } => {
                write!(f, "the trust file has sequence {found}, but {newest} was already in force")
            }
            Self::Unsigned => f.write_str("no valid signature found"),
            Self::UnknownKey(hint) => write!(f, "the key with hint {hint} is not trusted"),
            Self::AlreadyCounted { key, counted } => {
                write!(f, "the signer `{key}` is already counted as `{counted}`")
            }
            Self::Revoked { key, reason, date } => write!(f, "`{key}` was revoked on {date}: {reason}"),
            Self::OtherContent { key, found } => write!(f, "`{key}` signed something else: {found}"),
            Self::NoRole { key, content } => write!(f, "`{key}` may not sign this: {content}"),
            Self::NotRequired { key, by } => write!(f, "`{key}` is not `{by}`, whose signature is required"),
            Self::BelowThreshold { group, threshold, found } => {
                write!(f, "{found} of the {threshold} required signers of `{group}` signed")
            }
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TrustFile {
    /// Decides at a gate. Each signer counts once, regardless of the number of its signatures and keys.
    #[must_use]
    pub fn decide(&self, gate: Gate, claims: &Claims) -> Decision {
        let mut reasons = Vec::new();
        // By hint, so that each key counts once.
        let mut counted: BTreeMap<&str, &Holder> = BTreeMap::new();
        let mut persons: BTreeMap<&(String, String), &Holder> = BTreeMap::new();
        for signature in &claims.signatures {
            let result = self.evaluate(signature, claims).and_then(|holder| match &signature.person {
                Some(person) => count_once(persons.entry(person).or_insert(holder), holder),
                None => Ok(holder),
            });
            match result {
                Ok(holder) => {
                    counted.insert(signature.signer.hint(), holder);
                }
                Err(reason) if reasons.contains(&reason) => {}
                Err(reason) => reasons.push(reason),
            }
        }
        let by = self.sufficient_signers(gate, claims, counted.into_values().collect(), &mut reasons);
        let stale = self.sequence() < claims.newest_policy;
        if stale {
            let (found, newest) = (self.sequence(), claims.newest_policy);
            reasons.insert(0, Reason::StalePolicy { found, newest });
        }
        let satisfied = by.is_some() && !stale;
        let mode = self.mode(gate);
        let by = by.filter(|_| satisfied).unwrap_or_default();
        Decision { gate, mode, allowed: satisfied || mode == Mode::Warn, satisfied, by, reasons }
    }

    /// Returns the holder of one signature, if it counts.
    fn evaluate(&self, signature: &VerifiedSignature, claims: &Claims) -> Result<&Holder, Reason> {
        let hint = signature.signer.hint();
        let key = self.holder(hint).ok_or_else(|| Reason::UnknownKey(hint.to_owned()))?;
        let name = || key.name().to_owned();
        if let Some(revocation) = self.revocation(key) {
            let (reason, date) = (revocation.reason().to_owned(), revocation.date().to_owned());
            return Err(Reason::Revoked { key: name(), reason, date });
        }
        if signature.content != claims.content || !signature.matches {
            return Err(Reason::OtherContent { key: name(), found: signature.content.to_string() });
        }
        let image = match (&claims.image, signature.format) {
            (Some((_, name)), Some(format)) => Some((name, format)),
            _ => None,
        };
        let request = RoleRequest { content: &signature.content, image, sequence: signature.sequence };
        if key.may(&request, self.open) {
            Ok(key)
        } else {
            Err(Reason::NoRole { key: name(), content: signature.content.to_string() })
        }
    }

    /// The names of the signers, if they suffice.
    fn sufficient_signers(
        &self,
        gate: Gate,
        claims: &Claims,
        counted: Vec<&Holder>,
        reasons: &mut Vec<Reason>,
    ) -> Option<Vec<String>> {
        let names = |keys: &[&Holder]| keys.iter().map(|key| key.name().to_owned()).collect::<Vec<_>>();
        if claims.signatures.is_empty() {
            reasons.push(Reason::Unsigned);
        }
        let Some(by) = self.rule(gate, &claims.content) else {
            return (!counted.is_empty()).then(|| names(&counted));
        };
        let group = self.group(by);
        let (wanted, others): (Vec<_>, Vec<_>) =
            counted.into_iter().partition(|key| self.counts_for(key, by));
        let other = |key: &Holder| Reason::NotRequired { key: key.name().to_owned(), by: by.to_owned() };
        reasons.extend(others.into_iter().map(other));
        let threshold = group.map_or(1, super::Group::threshold);
        let found = wanted.iter().map(|key| self.signer(key)).collect::<BTreeSet<_>>().len();
        if found >= threshold {
            return Some(names(&wanted));
        }
        if group.is_some() {
            let group = by.to_owned();
            reasons.push(Reason::BelowThreshold { group, threshold, found });
        }
        None
    }
}

/// One person is one signer, even with certificates from CAs of several roots.
fn count_once<'a>(counted: &Holder, holder: &'a Holder) -> Result<&'a Holder, Reason> {
    if counted == holder {
        return Ok(holder);
    }
    Err(Reason::AlreadyCounted { key: holder.name().to_owned(), counted: counted.name().to_owned() })
}

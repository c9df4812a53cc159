//! Changes to a trust file, such as key rotation. Each returns a new file with the next sequence number, so that a site
//! that has seen it refuses the old file.

use tlog::VerifierKey;

use super::document::RevocationText;
use super::{ContentKind, Revocation, Role, TrustFile, TrustedIdentity, TrustedKey, TrustedLog, unknown};
use crate::{Error, PublicKey, Result};

/// Additions to a trust file.
#[derive(Clone, Debug, Default)]
pub struct Additions {
    /// Keys with their names, each of which may sign the content in `sign`.
    pub keys: Vec<(String, PublicKey)>,
    /// What the keys may sign; nothing if empty.
    pub sign: Vec<ContentKind>,
    /// Identities.
    pub identities: Vec<TrustedIdentity>,
    /// Logs with their names.
    pub logs: Vec<(String, VerifierKey)>,
    /// Witnesses with their names.
    pub witnesses: Vec<(String, VerifierKey)>,
}

impl TrustFile {
    /// The file with a new key that replaces `old`: it gets its roles, and represents it in groups and gates. Both are
    /// accepted until the old one is revoked, and count as one signer.
    ///
    /// # Errors
    /// [`Error::TrustMember`] when the old key does not exist, [`Error::RevokedKey`] when it is revoked,
    /// [`Error::TrustTwice`] when it is already replaced, or the new name or key is already in the file.
    pub fn rotated(&self, old: &str, name: &str, key: PublicKey) -> Result<Self> {
        let known = self.keys.iter().find(|key| key.name() == old);
        let known = known.ok_or_else(|| unknown("key", old, "the name of a key of this file"))?;
        // Otherwise, the thief of a key could name its successor.
        self.refuse_revoked(known.holder())?;
        if self.knows(name) {
            return Err(Error::TrustTwice(name.to_owned()));
        }
        let (replaces, roles) = (Some(old.to_owned()), known.roles().map(<[Role]>::to_vec));
        let new = TrustedKey::new(name.to_owned(), key, replaces, roles);
        let mut file = Self { sequence: self.next()?, ..self.clone() };
        file.keys.push(new);
        file.check_holders()?;
        Ok(file)
    }

    /// The file with a new revocation. `date` is `YYYY-MM-DD`. All signatures of the key are refused, including those made
    /// before that day: the thief of a key can choose the date of a signature.
    ///
    /// # Errors
    /// [`Error::TrustMember`] when the hint, the reason or the date is invalid, [`Error::TrustTwice`] when the key is
    /// already revoked.
    pub fn revoked(&self, hint: &str, reason: &str, date: &str) -> Result<Self> {
        let text = RevocationText { hint: hint.to_owned(), reason: reason.to_owned(), date: date.to_owned() };
        let revocation = Revocation::read(text)?;
        if self.revocations.iter().any(|known| known.hint == revocation.hint) {
            return Err(Error::TrustTwice(revocation.hint));
        }
        let mut file = Self { sequence: self.next()?, ..self.clone() };
        file.revocations.push(revocation);
        Ok(file)
    }

    /// The file with additional keys, identities, logs and witnesses. Each key gets roles, because the permissions of keys
    /// without roles depend on the file.
    ///
    /// # Errors
    /// [`Error::TrustTwice`] when a name or a key is already in the file, [`Error::TrustMember`] for a key of the wrong
    /// kind.
    pub fn extended(&self, additions: Additions) -> Result<Self> {
        let Additions { keys, sign, identities, logs, witnesses } = additions;
        let names = keys.iter().map(|(name, _)| name.as_str());
        let mut names = names.chain(identities.iter().map(TrustedIdentity::name));
        if let Some(name) = names.find(|name| self.knows(name)) {
            return Err(Error::TrustTwice(name.to_owned()));
        }
        let mut file = Self { sequence: self.next()?, ..self.clone() };
        let roles = if sign.is_empty() { Vec::new() } else { vec![Role::of(sign)] };
        let keyed = |(name, key)| TrustedKey::new(name, key, None, Some(roles.clone()));
        file.keys.extend(keys.into_iter().map(keyed));
        file.identities.extend(identities);
        file.check_holders()?;
        let with = |known: &[TrustedLog], new: Vec<(String, VerifierKey)>| {
            known.iter().map(|log| (log.name().to_owned(), log.key().clone())).chain(new).collect()
        };
        let (logs, witnesses) = (with(&self.logs, logs), with(&self.witnesses, witnesses));
        file.with_logs(logs, witnesses)
    }

    /// The next sequence number; a file without one has 0.
    fn next(&self) -> Result<Option<u64>> {
        let next = self.sequence().checked_add(1).filter(|next| i64::try_from(*next).is_ok());
        let last = || unknown("sequence", &self.sequence().to_string(), "a number below 2^63 - 1");
        next.map(Some).ok_or_else(last)
    }
}

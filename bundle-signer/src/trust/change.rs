//! Changes to a trust file that keys ask for: each gives a new file with the next number, so that a site which has
//! seen it refuses the old one.

use tlog::VerifierKey;

use super::document::RevocationText;
use super::{Revocation, Role, TrustFile, TrustedIdentity, TrustedKey, TrustedLog, What, unknown};
use crate::{Error, PublicKey, Result};

/// What is added to a trust file.
#[derive(Clone, Debug, Default)]
pub struct Additions {
    /// Keys under their names, each of which may sign what `sign` says.
    pub keys: Vec<(String, PublicKey)>,
    /// What the keys may sign; nothing when empty.
    pub sign: Vec<What>,
    /// Identities.
    pub identities: Vec<TrustedIdentity>,
    /// Logs under their names.
    pub logs: Vec<(String, VerifierKey)>,
    /// Witnesses under their names.
    pub witnesses: Vec<(String, VerifierKey)>,
}

impl TrustFile {
    /// The file with one key more, which takes over from `old`: it has its roles, and stands for it in groups and
    /// gates. Both are accepted until the old one is revoked, and count as one signer.
    ///
    /// # Errors
    /// [`Error::TrustMember`] when there is no such key, [`Error::RevokedKey`] when it was revoked,
    /// [`Error::TrustTwice`] when it was replaced before, or the name or the key is in the file.
    pub fn rotated(&self, old: &str, name: &str, key: PublicKey) -> Result<Self> {
        let known = self.keys.iter().find(|key| key.name() == old);
        let known = known.ok_or_else(|| unknown("key", old, "the name of a key of this file"))?;
        // Whoever has a stolen key could name its successor.
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

    /// The file with a revocation more. `date` is `YYYY-MM-DD`. All signatures of the key are refused, those made
    /// before that day, too: who has a stolen key chooses the date of what he signs.
    ///
    /// # Errors
    /// [`Error::TrustMember`] when the hint, the reason or the date does not do, [`Error::TrustTwice`] when the key
    /// was revoked before.
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

    /// The file with more keys, identities, logs and witnesses. Each key gets roles: what none has would be the file's to
    /// say.
    ///
    /// # Errors
    /// [`Error::TrustTwice`] when a name or a key is in the file, [`Error::TrustMember`] for a key of the wrong kind.
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

    /// The next number; a file without one has 0.
    fn next(&self) -> Result<Option<u64>> {
        let next = self.sequence().checked_add(1).filter(|next| i64::try_from(*next).is_ok());
        let last = || unknown("sequence", &self.sequence().to_string(), "a number that another can follow");
        next.map(Some).ok_or_else(last)
    }
}

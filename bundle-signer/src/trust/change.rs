//! Changes to a trust file that keys ask for: each gives a new file with the next number, so that a site which has
//! seen it refuses the old one.

use tlog::VerifierKey;

use super::document::RevocationText;
use super::{Revocation, TrustFile, TrustedKey, TrustedLog, unknown};
use crate::{Error, PublicKey, Result};

impl TrustFile {
    /// The file with one key more, which takes over from `old`: it has its roles, and stands for it in groups and
    /// gates. Both are accepted until the old one is revoked, and count as one signer.
    ///
    /// # Errors
    /// [`Error::TrustMember`] when there is no such key, [`Error::RevokedKey`] when it was revoked,
    /// [`Error::TrustTwice`] when it was replaced before, or the name or the key is in the file.
    pub fn rotated(&self, old: &str, name: &str, key: PublicKey) -> Result<Self> {
        let known = self.keys.iter().find(|key| key.name == old);
        let known = known.ok_or_else(|| unknown("key", old, "the name of a key of this file"))?;
        // Whoever has a stolen key could name its successor.
        self.refuse_revoked(known)?;
        if self.knows(name) {
            return Err(Error::TrustTwice(name.to_owned()));
        }
        let replaces = Some(known.name.clone());
        let new = TrustedKey { name: name.to_owned(), key, replaces, roles: known.roles.clone() };
        let mut keys = self.keys.clone();
        keys.push(new);
        let keys = Self::of_keys(keys)?.keys;
        Ok(Self { sequence: self.next()?, keys, ..self.clone() })
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

    /// The file with keys, logs and witnesses more, each under its name.
    ///
    /// # Errors
    /// [`Error::TrustTwice`] when a name or a key is in the file, [`Error::TrustMember`] for a key of the wrong kind.
    pub fn extended(
        &self,
        keys: Vec<(String, PublicKey)>,
        logs: Vec<(String, VerifierKey)>,
        witnesses: Vec<(String, VerifierKey)>,
    ) -> Result<Self> {
        if let Some((name, _)) = keys.iter().find(|(name, _)| self.knows(name)) {
            return Err(Error::TrustTwice(name.clone()));
        }
        let new = keys.into_iter().map(|(name, key)| TrustedKey { name, key, replaces: None, roles: None });
        let keys = Self::of_keys(self.keys.iter().cloned().chain(new).collect())?.keys;
        let with = |known: &[TrustedLog], new: Vec<(String, VerifierKey)>| {
            known.iter().map(|log| (log.name().to_owned(), log.key().clone())).chain(new).collect()
        };
        let (logs, witnesses) = (with(&self.logs, logs), with(&self.witnesses, witnesses));
        Self { sequence: self.next()?, keys, ..self.clone() }.with_logs(logs, witnesses)
    }

    /// The next number; a file without one has 0.
    fn next(&self) -> Result<Option<u64>> {
        let next = self.sequence().checked_add(1);
        let last = || unknown("sequence", &self.sequence().to_string(), "a number that another can follow");
        next.map(Some).ok_or_else(last)
    }
}

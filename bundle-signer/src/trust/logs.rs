//! Keys of transparency logs and of their witnesses. Each key has only the purpose of its list.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::VerifierKey;
use tlog::note::KeyKind;

use super::document::LogText;
use super::{Revocation, TrustFile, check_name, unknown};
use crate::{Error, Result};

/// The key of a log or of a witness, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedLog {
    name: String,
    key: VerifierKey,
}

impl TrustedLog {
    pub(super) fn read_all(texts: Vec<LogText>, witness: bool) -> Result<Vec<Self>> {
        let mut logs: Vec<Self> = Vec::new();
        for text in texts {
            let log = Self::read(text, witness)?;
            let same = |known: &Self| {
                known.name == log.name
                    || known.key.name() == log.key.name()
                    || known.key.public() == log.key.public()
            };
            if logs.iter().any(same) {
                return Err(Error::TrustTwice(log.name));
            }
            logs.push(log);
        }
        Ok(logs)
    }

    fn read(text: LogText, witness: bool) -> Result<Self> {
        check_name(&text.name)?;
        let key: VerifierKey = text.key.parse().map_err(|_| {
            unknown("key", &text.key, "a key of the form `NAME+ID+BASE64` (C2SP signed-note)")
        })?;
        if (key.kind() == KeyKind::Cosignature) != witness {
            let expected = if witness {
                "the key of a witness, not of a log"
            } else {
                "the key of a log, not of a witness"
            };
            return Err(unknown("key", &text.key, expected));
        }
        Ok(Self { name: text.name, key })
    }

    pub(super) fn text(&self) -> LogText {
        LogText { name: self.name.clone(), key: self.key.to_string() }
    }

    /// The name in the trust file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key; the name within it is the log's origin.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The key's hint, which a revocation contains: base64 of the SHA-256 whose first bytes are its id.
    #[must_use]
    pub fn hint(&self) -> String {
        STANDARD.encode(self.key.key_hash())
    }
}

impl TrustFile {
    /// The trusted logs. A file with logs requires the log of each drive.
    #[must_use]
    pub fn logs(&self) -> &[TrustedLog] {
        &self.logs
    }

    /// The trusted witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[TrustedLog] {
        &self.witnesses
    }

    /// Sets logs and witnesses, each with a name.
    ///
    /// # Errors
    /// [`Error::TrustTwice`], or [`Error::TrustMember`] for a key of the wrong kind.
    pub fn with_logs(
        mut self,
        logs: Vec<(String, VerifierKey)>,
        witnesses: Vec<(String, VerifierKey)>,
    ) -> Result<Self> {
        let texts = |keys: Vec<(String, VerifierKey)>| {
            keys.into_iter().map(|(name, key)| LogText { name, key: key.to_string() }).collect()
        };
        self.logs = TrustedLog::read_all(texts(logs), false)?;
        self.witnesses = TrustedLog::read_all(texts(witnesses), true)?;
        Ok(self)
    }

    /// The log with this origin.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], or [`Error::RevokedKey`].
    pub fn log(&self, origin: &str) -> Result<&TrustedLog> {
        let found = self.logs.iter().find(|log| log.key.name() == origin);
        let log = found.ok_or_else(|| Error::UnknownLog(origin.chars().take(128).collect()))?;
        match self.log_revocation(log) {
            None => Ok(log),
            Some(Revocation { reason, date, .. }) => {
                Err(Error::RevokedKey { key: log.name.clone(), reason: reason.clone(), date: date.clone() })
            }
        }
    }

    /// The revocation of the key of a log or a witness, if it is revoked.
    #[must_use]
    pub fn log_revocation(&self, log: &TrustedLog) -> Option<&Revocation> {
        let hint = log.hint();
        self.revocations.iter().find(|revocation| revocation.hint == hint)
    }
}

#[cfg(test)]
mod tests {
    use tlog::SigningKey;

    use super::*;
    use crate::PrivateKey;

    fn vkey(name: &str, kind: KeyKind) -> VerifierKey {
        SigningKey::new(name, kind, &SigningKey::generate().unwrap()).unwrap().verifier()
    }

    fn trust() -> TrustFile {
        TrustFile::new(vec![("release".into(), PrivateKey::generate().unwrap().public_key().unwrap())])
            .unwrap()
    }

    #[test]
    fn logs_and_witnesses_round_trip() {
        let (log, witness) =
            (vkey("log.example", KeyKind::Ed25519), vkey("site.example", KeyKind::Cosignature));
        let trust = trust()
            .with_logs(vec![("sender".into(), log.clone())], vec![("north".into(), witness.clone())])
            .unwrap();
        let text = trust.to_yaml();
        let read = TrustFile::parse(&text).unwrap();
        assert_eq!(read, trust);
        assert_eq!(read.log("log.example").unwrap().key(), &log);
        assert_eq!(read.witnesses()[0].key(), &witness);
        assert!(matches!(read.log("site.example"), Err(Error::UnknownLog(_))));
        let hint = read.logs()[0].hint();
        let revoked = format!("{text}revocations: [{{hint: \"{hint}\", reason: lost, date: 2026-01-02}}]\n");
        let revoked = TrustFile::parse(&revoked).unwrap();
        assert!(matches!(revoked.log("log.example"), Err(Error::RevokedKey { .. })));
    }

    #[test]
    fn a_key_fits_its_list_and_occurs_in_it_once() {
        let (log, witness) =
            (vkey("log.example", KeyKind::Ed25519), vkey("site.example", KeyKind::Cosignature));
        let with = |logs: &[(&str, &VerifierKey)], witnesses: &[(&str, &VerifierKey)]| {
            let own = |keys: &[(&str, &VerifierKey)]| {
                keys.iter().map(|(name, key)| ((*name).to_owned(), (*key).clone())).collect()
            };
            trust().with_logs(own(logs), own(witnesses))
        };
        assert!(matches!(with(&[("a", &witness)], &[]), Err(Error::TrustMember { .. })));
        assert!(matches!(with(&[], &[("a", &log)]), Err(Error::TrustMember { .. })));
        assert!(matches!(with(&[("a", &log), ("b", &log)], &[]), Err(Error::TrustTwice(_))));
        let other = vkey("log.example", KeyKind::Ed25519);
        assert!(matches!(with(&[("a", &log), ("b", &other)], &[]), Err(Error::TrustTwice(_))));
        assert!(with(&[("a", &log)], &[("a", &witness)]).is_ok());
    }
}

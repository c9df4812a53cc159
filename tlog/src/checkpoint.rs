//! The statement of a log about itself: origin, size, root (C2SP tlog-checkpoint).

use crate::merkle::TreeHead;
use crate::{Error, Hash, Note, Result, VerifierKey};

/// The state of a log. To be trusted only when it comes from [`Checkpoint::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log, and of its key.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root hash over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text to be signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// The size and the root.
    #[must_use]
    pub fn tree_head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root }
    }

    /// Verifies the signature by the log's key, whose name is the origin, then parses the text.
    ///
    /// # Errors
    /// [`Error::NotSigned`], [`Error::WrongSignature`], [`Error::Origin`] or [`Error::Checkpoint`].
    pub fn verify(note: &Note, key: &VerifierKey) -> Result<Self> {
        note.verify(key)?;
        let checkpoint = Self::read(note)?;
        if checkpoint.origin != key.name() {
            return Err(Error::Origin { found: checkpoint.origin, expected: key.name().to_owned() });
        }
        Ok(checkpoint)
    }

    /// Parses the text without verifying a signature: to find the key, or for display.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the text has another format.
    pub fn read(note: &Note) -> Result<Self> {
        let mut lines = note.text().split('\n');
        let mut line =
            || lines.next().filter(|line| !line.is_empty()).ok_or(Error::Checkpoint("a line is missing"));
        let (origin, size, root) = (line()?, line()?, line()?);
        if !crate::text::is_plain(origin) {
            return Err(Error::Checkpoint("the log's name has invisible characters"));
        }
        let number: u64 = size.parse().map_err(|_| Error::Checkpoint("the size is not a number"))?;
        // One value has one text: no sign, no leading zero.
        if number.to_string() != size {
            return Err(Error::Checkpoint("the size is not in decimal form"));
        }
        Ok(Self { origin: origin.to_owned(), size: number, root: root.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use crate::note::KeyKind;

    #[test]
    fn only_the_logs_own_key_signs_its_checkpoint() {
        let key = |name| SigningKey::new(name, KeyKind::Ed25519, &SigningKey::generate().unwrap()).unwrap();
        let (own, other) = (key("log.example"), key("other.example"));
        let checkpoint = Checkpoint { origin: "log.example".to_owned(), size: 0, root: Hash::empty() };
        let mut note = Note::new(checkpoint.text()).unwrap();
        note.sign(&other);
        assert!(matches!(Checkpoint::verify(&note, &other.verifier()), Err(Error::Origin { .. })));
        assert!(matches!(Checkpoint::verify(&note, &own.verifier()), Err(Error::NotSigned(_))));
        note.sign(&own);
        assert_eq!(Checkpoint::verify(&note, &own.verifier()).unwrap(), checkpoint);
    }

    #[test]
    fn malformed_text_is_refused() {
        let root = Hash::empty();
        for text in [
            "a\n",
            "a\n1\n",
            "a\n-1\nb\n",
            &format!("a\n01\n{root}\n"),
            &format!("a\n+1\n{root}\n"),
            &format!("\n1\n{root}\n"),
            &format!("a\u{2028}\n1\n{root}\n"),
            &format!("a\u{202e}\n1\n{root}\n"),
            "a\n1\nAAAA\n",
        ] {
            assert!(Checkpoint::read(&Note::new(text.to_owned()).unwrap()).is_err(), "{text}");
        }
    }
}

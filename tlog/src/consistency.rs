//! A consistency proof as text: the log still contains everything that a verifier saw of it earlier. The format is the
//! body of an `add-checkpoint` request (C2SP tlog-witness): `old SIZE`, one hash to a line, a blank line, the newer
//! signed checkpoint.

use std::fmt;

use crate::merkle::{LONGEST, TreeHead, check_consistency, prove_consistency};
use crate::{Checkpoint, Error, Folder, Hash, Note, Policy, Result};

/// A proof from a smaller size to a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// The smaller size.
    pub old: u64,
    /// The proof.
    pub hashes: Vec<Hash>,
    /// The newer checkpoint, with its signatures.
    pub checkpoint: Note,
}

impl Consistency {
    /// Creates the proof from the size `old` to the size of the folder.
    ///
    /// # Errors
    /// [`Error::NoEntry`] when the log is smaller, or an error from reading it.
    pub fn of(folder: &Folder, checkpoint: Note, old: u64) -> Result<Self> {
        let hashes = prove_consistency(folder, old, folder.size())?;
        Ok(Self { old, hashes, checkpoint })
    }

    /// Parses a proof. Only its format is checked.
    ///
    /// # Errors
    /// [`Error::Proof`] or [`Error::Note`].
    pub fn parse(text: &str) -> Result<Self> {
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(Error::Proof("no blank line after the hashes"))?;
        let mut lines = head.split('\n');
        let digits = lines.next().and_then(|line| line.strip_prefix("old "));
        let digits = digits.ok_or(Error::Proof("it does not begin with `old` and a size"))?;
        let old: u64 = digits.parse().map_err(|_| Error::Proof("the size is not a number"))?;
        if old.to_string() != digits {
            return Err(Error::Proof("the size is not in decimal form"));
        }
        let hashes = lines.take(LONGEST + 1).map(str::parse).collect::<Result<Vec<Hash>>>()?;
        if hashes.len() > LONGEST {
            return Err(Error::Proof("it is too long"));
        }
        Ok(Self { old, hashes, checkpoint: Note::parse(checkpoint.as_bytes())? })
    }

    /// Checks that a log that the policy trusts extends the tree with this root, and returns its newer checkpoint.
    ///
    /// # Errors
    /// As [`Policy::verify`], or [`Error::Proof`].
    pub fn verify(&self, root: Hash, policy: &Policy) -> Result<Checkpoint> {
        let checkpoint = policy.verify(&self.checkpoint)?;
        let old = TreeHead { size: self.old, root };
        check_consistency(old, checkpoint.tree_head(), &self.hashes)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.hashes {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::note::KeyKind;
    use crate::{Log, SigningKey};

    #[test]
    fn a_proof_round_trips_and_holds_for_one_root() {
        let folder = tempfile::tempdir().unwrap();
        let key =
            || SigningKey::new("log.example", KeyKind::Ed25519, &SigningKey::generate().unwrap()).unwrap();
        let log = Log::create(folder.path(), key()).unwrap();
        log.append((0..5_u8).map(|number| vec![number]).collect()).unwrap();
        let old = Checkpoint::read(&Folder::checkpoint(folder.path()).unwrap()).unwrap();
        log.append((5..12_u8).map(|number| vec![number]).collect()).unwrap();
        let note = Folder::checkpoint(folder.path()).unwrap();
        let proof = Consistency::of(&Folder::new(folder.path(), 12), note, 5).unwrap();
        let text = proof.to_string();
        assert!(text.starts_with("old 5\n"));
        let read = Consistency::parse(&text).unwrap();
        assert_eq!(read, proof);
        let policy = Policy::of_log(log.verifier());
        assert_eq!(read.verify(old.root, &policy).unwrap().size, 12);
        assert!(matches!(read.verify(Hash::empty(), &policy), Err(Error::Proof(_))));
        assert!(matches!(
            read.verify(old.root, &Policy::of_log(key().verifier())),
            Err(Error::WrongSignature(_) | Error::NotSigned(_))
        ));
        for bad in ["", "old 05\n\n", "old x\n\n", "old 5\nx\n\n", &text.replacen("old 5\n", "", 1)] {
            assert!(Consistency::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(size: u64, hash: String, text: String) {
            let _ = Consistency::parse(&text);
            let _ = Consistency::parse(&format!("old {size}\n{hash}\n\n{text}\n\n\u{2014} a AAAAAAA=\n"));
        }
    }
}

//! The inclusion proof of one entry, as text (C2SP tlog-proof).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::merkle::{LONGEST, check_inclusion};
use crate::{Checkpoint, Error, Folder, Hash, Note, Policy, Result, merkle};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A proof that an entry is in a log: its index, the hashes up to the root, and the signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Data that the application adds.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// Siblings from the leaf up.
    pub hashes: Vec<Hash>,
    /// The checkpoint, with its signatures.
    pub checkpoint: Note,
}

impl Proof {
    /// Creates the proof of an entry under the folder's own checkpoint.
    ///
    /// # Errors
    /// [`Error::NoEntry`], or an error from reading the log.
    pub fn of(folder: &Folder, checkpoint: Note, index: u64) -> Result<Self> {
        let hashes = merkle::prove_inclusion(folder, index, folder.size())?;
        Ok(Self { extra: None, index, hashes, checkpoint })
    }

    /// Parses a proof. Only its format is checked.
    ///
    /// # Errors
    /// [`Error::Proof`] or [`Error::Note`].
    pub fn parse(text: &str) -> Result<Self> {
        let (head, checkpoint) =
            text.split_once("\n\n").ok_or(Error::Proof("no blank line after the hashes"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(Error::Proof("it does not begin with `c2sp.org/tlog-proof@v1`"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) => {
                let extra =
                    BASE64_STANDARD.decode(extra).map_err(|_| Error::Proof("`extra` is not base64"))?;
                lines.next();
                Some(extra)
            }
            None => None,
        };
        let digits =
            lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(Error::Proof("no index"))?;
        let index: u64 = digits.parse().map_err(|_| Error::Proof("the index is not a number"))?;
        if index.to_string() != digits {
            return Err(Error::Proof("the index is not in decimal form"));
        }
        let hashes = lines.take(LONGEST + 1).map(str::parse).collect::<Result<Vec<Hash>>>()?;
        if hashes.len() > LONGEST {
            return Err(Error::Proof("it is too long"));
        }
        Ok(Self { extra, index, hashes, checkpoint: Note::parse(checkpoint.as_bytes())? })
    }

    /// Checks that `entry` is in a log that the policy trusts, and returns the checkpoint.
    ///
    /// # Errors
    /// As [`Policy::verify`], or [`Error::Proof`].
    pub fn verify(&self, entry: &[u8], policy: &Policy) -> Result<Checkpoint> {
        let checkpoint = policy.verify(&self.checkpoint)?;
        check_inclusion(Hash::leaf(entry), self.index, checkpoint.size, &self.hashes, checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64_STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

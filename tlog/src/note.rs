//! Signed text (C2SP signed-note). `key`: the keys that sign and verify it.

mod key;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use self::key::is_name;
pub use self::key::{KeyKind, SigningKey, VerifierKey};
use crate::{Error, Result};

/// The longest note that is read: a checkpoint with a hundred post-quantum signatures is shorter.
pub const MAX_LEN: usize = 1 << 20;
/// The largest number of signatures that is read.
pub const MAX_SIGNATURES: usize = 100;

const SIGNATURE_LINE: &str = "\u{2014} ";

/// A text that ends in a newline, and the signatures below it. Nothing in it is trusted before [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub(crate) name: String,
    pub(crate) id: [u8; 4],
    pub(crate) bytes: Vec<u8>,
}

impl Note {
    /// A note without signatures.
    ///
    /// # Errors
    /// [`Error::Note`] when it does not end in a newline, or has other control characters.
    pub fn new(text: String) -> Result<Self> {
        if !text.ends_with('\n') {
            return Err(Error::Note("the text does not end in a newline"));
        }
        if text.chars().any(|c| c != '\n' && c.is_control()) {
            return Err(Error::Note("it has control characters"));
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Parses a note with at least one signature line. No signature is verified.
    ///
    /// # Errors
    /// [`Error::Note`] when it has another format.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_LEN {
            return Err(Error::Note("it is longer than 1 MiB"));
        }
        let all = std::str::from_utf8(bytes).map_err(|_| Error::Note("it is not UTF-8"))?;
        // The last blank line separates text and signatures: the text may have blank lines, signatures have none.
        let end = all.rfind("\n\n").ok_or(Error::Note("no blank line before the signatures"))?;
        let mut note = Self::new(all[..=end].to_owned())?;
        let lines = all[end + 2..]
            .strip_suffix('\n')
            .ok_or(Error::Note("the last line does not end in a newline"))?;
        for line in lines.split('\n') {
            if note.signatures.len() == MAX_SIGNATURES {
                return Err(Error::Note("it has more than 100 signatures"));
            }
            note.signatures.push(signature_line(line)?);
        }
        Ok(note)
    }

    /// The text, with its final newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, valid or not.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature, unless the note already has it.
    pub fn add(&mut self, signature: Signature) {
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
    }

    /// The same text with only the signatures by these keys: signatures that others added are dropped.
    #[must_use]
    pub fn only(&self, keys: &[&VerifierKey]) -> Self {
        let wanted = |signature: &&Signature| keys.iter().any(|key| key.names(signature));
        Self { text: self.text.clone(), signatures: self.signatures.iter().filter(wanted).cloned().collect() }
    }

    /// Signs the text with a key for notes.
    pub fn sign(&mut self, key: &SigningKey) {
        let (key, bytes) = (key.verifier(), key.sign(self.text.as_bytes()));
        self.add(Signature { name: key.name().to_owned(), id: key.id(), bytes });
    }

    /// Verifies the signatures by `key`; other signatures are ignored.
    ///
    /// # Errors
    /// [`Error::NotSigned`]; [`Error::WrongSignature`] when one with this key's name and id does not verify.
    pub fn verify(&self, key: &VerifierKey) -> Result<()> {
        let mut own = self.signatures.iter().filter(|signature| key.names(signature)).peekable();
        if own.peek().is_none() {
            return Err(Error::NotSigned(key.name().to_owned()));
        }
        if own.all(|signature| key.check(self.text.as_bytes(), &signature.bytes)) {
            Ok(())
        } else {
            Err(Error::WrongSignature(key.name().to_owned()))
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            writeln!(f, "{signature}")?;
        }
        Ok(())
    }
}

fn signature_line(line: &str) -> Result<Signature> {
    let malformed = Error::Note("a signature line is malformed");
    let Some((name, encoded)) = line.strip_prefix(SIGNATURE_LINE).and_then(|rest| rest.split_once(' '))
    else {
        return Err(malformed);
    };
    let bytes = BASE64_STANDARD.decode(encoded).unwrap_or_default();
    match bytes.split_first_chunk::<4>() {
        Some((id, bytes)) if !bytes.is_empty() && is_name(name) => {
            Ok(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
        }
        _ => Err(malformed),
    }
}

impl Signature {
    /// The name of the key that it claims to be by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.bytes].concat();
        write!(f, "{SIGNATURE_LINE}{} {}", self.name, BASE64_STANDARD.encode(bytes))
    }
}

impl FromStr for Signature {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        signature_line(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(kind: KeyKind) -> SigningKey {
        SigningKey::new("log.example", kind, &SigningKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_signed_note_round_trips_and_a_changed_one_is_refused() {
        let key = key(KeyKind::Ed25519);
        let mut note = Note::new("first\n\nlast\n".to_owned()).unwrap();
        note.sign(&key);
        let text = note.to_string();
        let parsed = Note::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed, note);
        parsed.verify(&key.verifier()).unwrap();
        let changed = Note::parse(text.replace("last", "lost").as_bytes()).unwrap();
        assert!(matches!(changed.verify(&key.verifier()), Err(Error::WrongSignature(_))));
        let stranger = self::key(KeyKind::Ed25519);
        assert!(matches!(parsed.verify(&stranger.verifier()), Err(Error::NotSigned(_))));
        let mut both = parsed.clone();
        both.sign(&stranger);
        assert_eq!(both.only(&[&key.verifier()]), parsed);
    }

    #[test]
    fn malformed_notes_are_refused() {
        let long = format!("a\n\n{}", "\u{2014} a AAAAAAA=\n".repeat(MAX_SIGNATURES + 1));
        for text in [
            "",
            "a\n",
            "a\n\n",
            "a\n\n\u{2014} a\n",
            "a\n\n\u{2014} a b\n",
            "a\n\n- a AAAAAAA=\n",
            "a\n\n\u{2014} a AAAAAAA=",
            "a\r\n\n\u{2014} a AAAAAAA=\n",
            "a\n\n\u{2014} a+ AAAAAAA=\n",
            &long,
        ] {
            assert!(Note::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(bytes: Vec<u8>, text: String) {
            let _ = Note::parse(&bytes);
            let _ = Note::parse(format!("{text}\n\n\u{2014} {text}\n").as_bytes());
        }
    }
}

//! Signed text (C2SP signed-note), and the keys that sign and verify it.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// The longest note that is read: a checkpoint with a hundred post-quantum signatures is shorter.
pub const MAX_LEN: usize = 1 << 20;
/// The largest number of signatures that is read.
pub const MAX_SIGNATURES: usize = 100;

const ED25519_NOTE: u8 = 0x01;
const ECDSA_NOTE: u8 = 0x02;
pub(crate) const ED25519_COSIGNATURE: u8 = 0x04;
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

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Notes: Ed25519 over the text.
    Ed25519,
    /// Notes: ECDSA P-256 over the text's SHA-256, as sigstore's logs use. Only verified here, never signed.
    Ecdsa,
    /// Checkpoints as a witness: Ed25519 with a time (C2SP tlog-cosignature).
    Cosignature,
}

/// A public key with the name that signature lines use; its text form is signed-note's `vkey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: Vec<u8>,
}

/// An Ed25519 key that signs notes or cosigns checkpoints.
pub struct SigningKey {
    name: String,
    kind: KeyKind,
    pair: Ed25519KeyPair,
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
        let bytes = key.pair.sign(self.text.as_bytes()).as_ref().to_vec();
        self.add(Signature { name: key.name.clone(), id: key.verifier().id(), bytes });
    }

    /// Verifies the signatures by `key`; other signatures are ignored.
    ///
    /// # Errors
    /// [`Error::NotSigned`]; [`Error::WrongSignature`] when one with this key's name and id does not verify.
    pub fn verify(&self, key: &VerifierKey) -> Result<()> {
        let mut own = self.signatures.iter().filter(|signature| key.names(signature)).peekable();
        if own.peek().is_none() {
            return Err(Error::NotSigned(key.name.clone()));
        }
        if own.all(|signature| key.check(self.text.as_bytes(), &signature.bytes)) {
            Ok(())
        } else {
            Err(Error::WrongSignature(key.name.clone()))
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

fn is_name(name: &str) -> bool {
    !name.is_empty() && crate::text::is_plain(name) && !name.chars().any(|c| c.is_whitespace() || c == '+')
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

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => ED25519_NOTE,
            Self::Ecdsa => ECDSA_NOTE,
            Self::Cosignature => ED25519_COSIGNATURE,
        }
    }
}

/// The bytes before the 65-byte point in an ECDSA P-256 SubjectPublicKeyInfo (RFC 5480).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl VerifierKey {
    /// A key from its parts: the raw 32 bytes for Ed25519, a `SubjectPublicKeyInfo` for ECDSA P-256.
    ///
    /// # Errors
    /// [`Error::Key`] when the name or the key is malformed.
    pub fn new(name: &str, kind: KeyKind, public: Vec<u8>) -> Result<Self> {
        let defect = match kind {
            _ if !is_name(name) => "the name has spaces, `+`, or invisible characters",
            KeyKind::Ed25519 | KeyKind::Cosignature if public.len() != 32 => "an Ed25519 key has 32 bytes",
            KeyKind::Ecdsa if public.len() != 91 || !public.starts_with(&P256_PREFIX) => {
                "it is not an ECDSA P-256 key"
            }
            _ => return Ok(Self { name: name.to_owned(), kind, public }),
        };
        Err(Error::Key { name: name.chars().take(128).collect(), defect })
    }

    /// The name in signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may sign.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key's bytes, as [`VerifierKey::new`] takes them.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The whole hash whose first four bytes are the id: sigstore's `logId.keyId`.
    #[must_use]
    pub fn key_hash(&self) -> [u8; 32] {
        if self.kind == KeyKind::Ecdsa {
            return Sha256::digest(&self.public).into();
        }
        let name = Sha256::new().chain_update(&self.name);
        name.chain_update([b'\n', self.kind.byte()]).chain_update(&self.public).finalize().into()
    }

    /// The four bytes that signature lines begin with.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.key_hash();
        [a, b, c, d]
    }

    pub(crate) fn names(&self, signature: &Signature) -> bool {
        signature.name == self.name && signature.id == self.id()
    }

    pub(crate) fn check(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.kind {
            KeyKind::Ed25519 | KeyKind::Cosignature => {
                UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
            }
            KeyKind::Ecdsa => {
                let point = self.public.get(P256_PREFIX.len()..).unwrap_or_default();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64_STANDARD.encode([&[self.kind.byte()][..], &self.public].concat());
        let mut id = String::new();
        for byte in self.id() {
            write!(id, "{byte:02x}")?;
        }
        write!(f, "{}+{id}+{key}", self.name)
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = |defect| Error::Key { name: text.chars().take(128).collect(), defect };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("it is not of the form `name+id+key`"));
        };
        let bytes = BASE64_STANDARD.decode(key).map_err(|_| malformed("the key is not base64"))?;
        let kind = match bytes.first() {
            Some(&ED25519_NOTE) => KeyKind::Ed25519,
            Some(&ECDSA_NOTE) => KeyKind::Ecdsa,
            Some(&ED25519_COSIGNATURE) => KeyKind::Cosignature,
            _ => return Err(malformed("the key is of an unknown kind")),
        };
        let key = Self::new(name, kind, bytes.get(1..).unwrap_or_default().to_vec())?;
        if u32::from_str_radix(id, 16).ok() == Some(u32::from_be_bytes(key.id())) && id.len() == 8 {
            Ok(key)
        } else {
            Err(malformed("the id does not match the key"))
        }
    }
}

impl SigningKey {
    /// Generates a key in PKCS#8 form, as [`SigningKey::new`] takes it.
    ///
    /// # Errors
    /// [`Error::Random`] when the system provides no random bytes.
    pub fn generate() -> Result<Vec<u8>> {
        let random = ring::rand::SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| Error::Random)?;
        Ok(pkcs8.as_ref().to_vec())
    }

    /// A key that signs as `name`; `kind` determines what it signs.
    ///
    /// # Errors
    /// [`Error::Key`] when the name is invalid, the bytes are not an Ed25519 key, or `kind` needs another kind of key.
    pub fn new(name: &str, kind: KeyKind, pkcs8: &[u8]) -> Result<Self> {
        let malformed = |defect| Error::Key { name: name.chars().take(128).collect(), defect };
        if kind == KeyKind::Ecdsa {
            return Err(malformed("logs and witnesses sign with Ed25519 only"));
        }
        if !is_name(name) {
            return Err(malformed("the name has spaces, `+`, or invisible characters"));
        }
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| malformed("it is not an Ed25519 key"))?;
        Ok(Self { name: name.to_owned(), kind, pair })
    }

    /// The key that verifies the signatures by this one.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        let public = self.pair.public_key().as_ref().to_vec();
        VerifierKey { name: self.name.clone(), kind: self.kind, public }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of the Go package that the specification comes from (golang.org/x/mod/sumdb/note).
    const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn key(kind: KeyKind) -> SigningKey {
        SigningKey::new("log.example", kind, &SigningKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn the_key_of_the_specification_parses_and_prints() {
        let parsed: Result<VerifierKey> = VKEY.parse();
        assert_eq!(parsed.unwrap().to_string(), VKEY);
    }

    #[test]
    fn a_key_id_in_capitals_is_the_same_key() {
        // As golang.org/x/mod/sumdb/note reads it.
        let parsed: Result<VerifierKey> = VKEY.replace("c74f20a3", "C74F20A3").parse();
        assert_eq!(parsed.unwrap().to_string(), VKEY);
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
    fn malformed_notes_and_keys_are_refused() {
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
        for text in
            ["", "a", "a+b+c", "a+530d903f+Ae==", &VKEY.replace("c74f", "c74e"), &VKEY.replace('/', " ")]
        {
            assert!(text.parse::<VerifierKey>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(bytes: Vec<u8>, text: String) {
            let _ = Note::parse(&bytes);
            let _ = Note::parse(format!("{text}\n\n\u{2014} {text}\n").as_bytes());
            let _ = text.parse::<VerifierKey>();
        }
    }
}

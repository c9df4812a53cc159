//! Text around packets (RFC 9580, sections 6 and 7): clear-signed messages and armored keys.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Defect, MAX_BYTES};

const MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "PGP SIGNATURE";
const KEY: &str = "PGP PUBLIC KEY BLOCK";
/// Headers without effect. A message may have only `Hash`, and the signature states the hash anyway.
const HEADERS: [&str; 5] = ["Version", "Comment", "Hash", "Charset", "MessageID"];

/// A clear-signed message, not verified.
pub(super) struct Clear {
    /// The signed text, with Unix line endings. Trailing blanks of lines are not signed, and are removed here.
    pub(super) text: String,
    pub(super) signature: Vec<u8>,
}

impl Clear {
    /// Parses exactly one message: text around it would not be signed.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Defect> {
        if bytes.len() > MAX_BYTES {
            return Err(Defect::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Defect::Malformed("it is not UTF-8"))?;
        let mut lines = text.lines().map(|line| line.trim_end_matches([' ', '\t', '\r'])).peekable();
        while lines.next_if(|line| line.is_empty()).is_some() {}
        if lines.next() != Some(MESSAGE) {
            return Err(Defect::Malformed("it does not begin with a signed message"));
        }
        loop {
            match lines.next() {
                Some("") => break,
                Some(line) if line.starts_with("Hash: ") => {}
                _ => return Err(Defect::Malformed("a signed message has headers other than `Hash`")),
            }
        }
        let mut signed: Vec<&str> = Vec::new();
        let end = begin(SIGNATURE);
        loop {
            match lines.next() {
                Some(line) if line == end => break,
                Some(line) => match line.strip_prefix('-') {
                    None => signed.push(line),
                    // Trailing blanks are already removed, also that of an empty line.
                    Some("") => signed.push(""),
                    Some(rest) if rest.starts_with(' ') => signed.push(&rest[1..]),
                    Some(_) => return Err(Defect::Malformed("a line of the message begins with a dash")),
                },
                None => return Err(Defect::Malformed("no signature follows the message")),
            }
        }
        let signature = body(&mut lines, SIGNATURE)?;
        if lines.any(|line| !line.is_empty()) {
            return Err(Defect::Malformed("something follows the signature"));
        }
        Ok(Self { text: signed.join("\n"), signature })
    }

    /// The text in the form that is signed.
    pub(super) fn canonical(&self) -> String {
        self.text.replace('\n', "\r\n")
    }
}

/// Keys without their armor, if they have one; several armored blocks may follow each other.
pub(super) fn keys(bytes: &[u8]) -> Result<Vec<u8>, Defect> {
    if bytes.len() > MAX_BYTES {
        return Err(Defect::TooLarge);
    }
    if bytes.get(8..12) == Some(b"KBXf") {
        return Err(Defect::Keybox);
    }
    // The first bit is set in every packet, and never in text.
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return Ok(bytes.to_vec());
    }
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().map(|line| line.trim_end_matches([' ', '\t', '\r']));
    let mut all = Vec::new();
    let begin = begin(KEY);
    while let Some(line) = lines.next() {
        if line.starts_with("-----BEGIN PGP PRIVATE") {
            return Err(Defect::SecretKey);
        }
        if line == begin {
            all.extend(body(&mut lines, KEY)?);
        }
    }
    Ok(all)
}

fn begin(what: &str) -> String {
    format!("-----BEGIN {what}-----")
}

/// The bytes of a block whose first line was read. The checksum is ignored: it is not cryptographic.
fn body<'a>(lines: &mut impl Iterator<Item = &'a str>, what: &str) -> Result<Vec<u8>, Defect> {
    let malformed = Err(Defect::Malformed("an armored block is malformed"));
    let end = format!("-----END {what}-----");
    let mut encoded = String::new();
    let mut in_headers = true;
    loop {
        match lines.next() {
            Some("") if in_headers => in_headers = false,
            Some(line) if line == end => break,
            Some(line) if in_headers => match line.split_once(": ") {
                Some((name, _)) if HEADERS.contains(&name) => {}
                _ => return malformed,
            },
            // Five characters that begin with `=` are the checksum.
            Some(line) if line.starts_with('=') && line.len() == 5 => {}
            Some(line) if !line.is_empty() => encoded.push_str(line),
            _ => return malformed,
        }
    }
    BASE64_STANDARD.decode(encoded).or(malformed)
}

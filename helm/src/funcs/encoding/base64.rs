//! Base64 of RFC 4648 as Go's `encoding/base64` reads it: it allows line breaks anywhere and nonzero trailing bits, and
//! reports the offset of the first invalid byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Encodes `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes `text`.
///
/// # Errors
/// The offset that Go reports.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let mut input = text.iter().enumerate().filter(|(_, byte)| !matches!(byte, b'\n' | b'\r'));
    let (mut bits, mut count) = (0u32, 0usize);
    while let Some((at, byte)) = input.next() {
        if let Some(digit) = digit(*byte) {
            (bits, count) = (bits << 6 | u32::from(digit), count + 1);
            if count == 4 {
                decoded.extend(bits.to_be_bytes().into_iter().skip(1));
                (bits, count) = (0, 0);
            }
            continue;
        }
        if *byte != b'=' || count < 2 {
            return Err(at);
        }
        if count == 2 {
            match input.next() {
                Some((_, b'=')) => {}
                // Go reports the byte before the one that should be padding.
                Some((other, _)) => return Err(other - 1),
                None => return Err(text.len()),
            }
        }
        if let Some((other, _)) = input.next() {
            return Err(other);
        }
        let bytes = (bits << (6 * (4 - count))).to_be_bytes();
        decoded.extend(bytes.into_iter().skip(1).take(count - 1));
        return Ok(decoded);
    }
    // The end of the text, minus the leftover digits.
    if count == 0 { Ok(decoded) } else { Err(text.len() - count) }
}

fn digit(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

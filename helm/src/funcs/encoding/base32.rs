//! Base32 of RFC 4648 as Go's `encoding/base32` writes and reads it.

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Encodes `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(5) * 8);
    for block in bytes.chunks(5) {
        let bits = block.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        let bits = bits << (8 * (5 - block.len()));
        let digits = (block.len() * 8).div_ceil(5);
        for position in 0..8 {
            let index = usize::try_from(bits >> (35 - 5 * position) & 31).unwrap_or(0);
            let digit = ALPHABET.get(index).copied().unwrap_or(b'=');
            text.push(if position < digits { digit } else { b'=' });
        }
    }
    text
}

/// Decodes `text`, ignoring line breaks.
///
/// # Errors
/// The offset that Go reports, without counting line breaks.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let mut decoded = Vec::with_capacity(text.len() / 8 * 5);
    let mut rest = text.as_slice();
    while !rest.is_empty() {
        let block = rest.get(..8).unwrap_or(rest);
        let start = text.len() - rest.len();
        let (bits, count) = read_block(block, start, &text)?;
        let bytes = (bits << (5 * (8 - count))).to_be_bytes();
        decoded.extend(bytes.into_iter().skip(3).take(count * 5 / 8));
        if count < 8 {
            break;
        }
        rest = rest.get(block.len()..).unwrap_or_default();
    }
    Ok(decoded)
}

/// Reads one block of eight digits, and returns its bits and the number of digits before the padding.
fn read_block(block: &[u8], start: usize, text: &[u8]) -> Result<(u64, usize), usize> {
    let mut bits = 0u64;
    for (position, byte) in block.iter().enumerate() {
        let at = start + position;
        let after = text.len() - at - 1;
        if *byte == b'=' && position >= 2 && after < 8 {
            let padding = text.get(at + 1..).unwrap_or_default();
            if after + position < 7 {
                return Err(text.len());
            }
            if let Some(wrong) = padding.iter().take(7 - position).position(|byte| *byte != b'=') {
                return Err(text.len() - after + wrong - 1);
            }
            return if matches!(position, 3 | 6) { Err(at) } else { Ok((bits, position)) };
        }
        let digit = ALPHABET.iter().position(|digit| digit == byte).ok_or(at)?;
        bits = bits << 5 | digit as u64;
    }
    // Go reports the offset of the incomplete block.
    if block.len() == 8 { Ok((bits, 8)) } else { Err(text.len() - block.len()) }
}

//! Packets: a tag, a length, a body (RFC 9580, section 4).

use super::{Defect, MAX_BYTES};

pub(super) const SIGNATURE: u8 = 2;
pub(super) const SECRET_KEY: u8 = 5;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const SECRET_SUBKEY: u8 = 7;
pub(super) const MARKER: u8 = 10;
pub(super) const TRUST: u8 = 12;
pub(super) const USER_ID: u8 = 13;
pub(super) const PUBLIC_SUBKEY: u8 = 14;
pub(super) const USER_ATTRIBUTE: u8 = 17;

/// The largest number of packets.
const MAX_PACKETS: usize = 100_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
}

/// Reads all packets. Partial and indeterminate lengths are for data, and never occur in keys or signatures.
pub(super) fn read(mut bytes: &[u8]) -> Result<Vec<Packet<'_>>, Defect> {
    if bytes.len() > MAX_BYTES {
        return Err(Defect::TooLarge);
    }
    let mut packets = Vec::new();
    while let Some((first, rest)) = bytes.split_first() {
        if first & 0x80 == 0 {
            return Err(Defect::Malformed("a packet has an invalid tag"));
        }
        let (tag, length, rest) = if first & 0x40 == 0 {
            let (length, rest) = old_length(first & 3, rest)?;
            (first >> 2 & 0x0f, length, rest)
        } else {
            let (length, rest) = new_length(rest)?;
            (first & 0x3f, length, rest)
        };
        let (body, rest) = rest.split_at_checked(length).ok_or(Defect::Malformed("a packet is cut off"))?;
        packets.push(Packet { tag, body });
        if packets.len() > MAX_PACKETS {
            return Err(Defect::TooLarge);
        }
        bytes = rest;
    }
    Ok(packets)
}

fn old_length(kind: u8, bytes: &[u8]) -> Result<(usize, &[u8]), Defect> {
    let width = match kind {
        0 => 1,
        1 => 2,
        2 => 4,
        _ => return Err(Defect::Malformed("a packet has no length")),
    };
    number(bytes, width)
}

/// The length of a packet, or of a subpacket of a signature, which has the same format without partial lengths.
pub(super) fn new_length(bytes: &[u8]) -> Result<(usize, &[u8]), Defect> {
    let (first, rest) = bytes.split_first().ok_or(Defect::Malformed("a length is cut off"))?;
    match first {
        0..192 => Ok((usize::from(*first), rest)),
        192..224 => {
            let (second, rest) = rest.split_first().ok_or(Defect::Malformed("a length is cut off"))?;
            Ok((((usize::from(*first) - 192) << 8) + usize::from(*second) + 192, rest))
        }
        224..255 => Err(Defect::Malformed("a packet has a partial length")),
        255 => number(rest, 4),
    }
}

/// A number of `width` bytes, and the remaining bytes.
pub(super) fn number(bytes: &[u8], width: usize) -> Result<(usize, &[u8]), Defect> {
    let (number, rest) = bytes.split_at_checked(width).ok_or(Defect::Malformed("a number is cut off"))?;
    let value = number.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    Ok((usize::try_from(value).map_err(|_| Defect::TooLarge)?, rest))
}

/// A multiprecision integer with its length in bits before it, and the remaining bytes.
pub(super) fn integer(bytes: &[u8]) -> Result<(&[u8], &[u8]), Defect> {
    let (bits, rest) = number(bytes, 2)?;
    let (integer, rest) =
        rest.split_at_checked(bits.div_ceil(8)).ok_or(Defect::Malformed("an integer is cut off"))?;
    let top = integer.first().map_or(0, |first| 8 - first.leading_zeros() as usize);
    if !integer.is_empty() && (integer.len() - 1) * 8 + top != bits {
        return Err(Defect::Malformed("the length of an integer differs from its stated length"));
    }
    Ok((integer, rest))
}

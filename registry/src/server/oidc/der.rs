//! The part of DER (ITU-T X.690) that turns keys and signatures of JOSE into those of X.509.

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;

/// A sequence of two non-negative integers: an `RSAPublicKey` (RFC 8017, A.1.1) or an `ECDSA-Sig-Value` (RFC 3279, 2.2.3).
pub(super) fn pair(one: &[u8], other: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[integer(one), integer(other)].concat())
}

/// A non-negative integer, from its big-endian bytes.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[zeros..];
    let sign: &[u8] = if digits.first().is_none_or(|byte| *byte >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, digits].concat())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..=0x7f => &[low],
        0x80..=0xff => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_their_shortest_form() {
        assert_eq!(pair(&[0, 0, 1], &[0x80]), [SEQUENCE, 7, INTEGER, 1, 1, INTEGER, 2, 0, 0x80]);
        assert_eq!(pair(&[], &[0]), [SEQUENCE, 6, INTEGER, 1, 0, INTEGER, 1, 0]);
        let long = pair(&[1; 256], &[1; 0x80]);
        assert_eq!(long[..8], [SEQUENCE, 0x82, 0x01, 0x87, INTEGER, 0x82, 0x01, 0x00]);
        assert_eq!(long[264..267], [INTEGER, 0x81, 0x80]);
        assert_eq!(long.len(), 4 + 0x187);
    }
}

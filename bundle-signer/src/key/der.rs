//! The part of DER (ITU-T X.690) that private keys need: one-byte tags, definite lengths in their shortest form.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BITS: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed.
pub(super) const FIRST: u8 = 0xa0;
/// `[1]`, constructed.
pub(super) const SECOND: u8 = 0xa1;

/// The bytes that are not read yet.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads the content of `bytes`, which must be exactly one element.
    pub(super) fn only(bytes: &'a [u8], tag: u8) -> Option<Self> {
        let mut reader = Self(bytes);
        let content = reader.element(tag)?;
        reader.is_empty().then_some(Self(content))
    }

    /// Reads the given content of an element.
    pub(super) fn within(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// The content of the next element, if it has this tag.
    pub(super) fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&[found, first], rest) = self.0.split_first_chunk::<2>()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => {
                rest.split_first().filter(|(len, _)| **len >= 0x80).map(|(&len, rest)| (len.into(), rest))?
            }
            0x82 => {
                let (&len, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(len)), rest)
            }
            _ => return None,
        };
        if found != tag || first == 0x82 && len < 0x100 || len > rest.len() {
            return None;
        }
        let (content, rest) = rest.split_at(len);
        self.0 = rest;
        Some(content)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_lengths_are_read() {
        let long = [&[OCTETS, 0x81, 0x80][..], &[7; 0x80]].concat();
        assert_eq!(Reader::only(&[SEQUENCE, 2, 5, 0], SEQUENCE).map(|r| r.0), Some(&[5, 0][..]));
        assert_eq!(Reader::only(&long, OCTETS).map(|r| r.0.len()), Some(0x80));
        for bytes in [
            &[][..],
            &[SEQUENCE],
            &[SEQUENCE, 1],
            &[SEQUENCE, 0, 0],
            &[SEQUENCE, 0x80, 0, 0],
            &[SEQUENCE, 0x81, 1, 0],
            &[SEQUENCE, 0x82, 0, 1, 0],
            &[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[OCTETS, 0],
        ] {
            assert!(Reader::only(bytes, SEQUENCE).is_none(), "{bytes:?}");
        }
    }
}

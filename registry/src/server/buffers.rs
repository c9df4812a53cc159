//! Buffers for reading files, reused: a new buffer costs as much as a read, because it is filled with zeros.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// The maximum number of unused buffers of each size. The number of used ones is limited by the transfers.
const MOST_UNUSED: usize = 16;
/// The sizes of buffers. Larger buffers are not reused.
const SIZES: [usize; 2] = [64 * 1024, 256 * 1024];

static UNUSED: [Mutex<Vec<Vec<u8>>>; SIZES.len()] = [Mutex::new(Vec::new()), Mutex::new(Vec::new())];

/// A buffer, which may be larger than the bytes that it was taken for.
pub(super) struct Buffer {
    whole: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// A buffer for `len` bytes.
    pub(super) fn take(len: usize) -> Self {
        let class = SIZES.iter().position(|size| len <= *size);
        let unused =
            class.and_then(|class| UNUSED[class].lock().unwrap_or_else(PoisonError::into_inner).pop());
        let whole = unused.unwrap_or_else(|| vec![0; class.map_or(len, |class| SIZES[class])]);
        Self { whole, len }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.whole[..self.len]
    }

    /// The bytes; the buffer is reused when they are dropped.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.whole[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(class) = SIZES.iter().position(|size| self.whole.len() == *size) else { return };
        let mut unused = UNUSED[class].lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len() < MOST_UNUSED {
            unused.push(std::mem::take(&mut self.whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_have_the_requested_length_and_few_are_kept() {
        for len in [0, 1, 65_536, 65_537, 262_144, 300_000] {
            let taken: Vec<Bytes> = (0..MOST_UNUSED * 2)
                .map(|fill| {
                    let mut buffer = Buffer::take(len);
                    buffer.bytes_mut().fill(u8::try_from(fill).unwrap());
                    buffer.into_bytes()
                })
                .collect();
            for (fill, bytes) in taken.iter().enumerate() {
                assert_eq!(bytes, &vec![u8::try_from(fill).unwrap(); len]);
            }
        }
        for unused in &UNUSED {
            assert!(unused.lock().unwrap().len() <= MOST_UNUSED);
        }
    }
}

//! NaCl's `crypto_secretbox_xsalsa20poly1305` (<https://nacl.cr.yp.to/secretbox.html>): `tag || ciphertext`. The first
//! 32 bytes of the `XSalsa20` key stream are the key of Poly1305; the content is encrypted with what follows them.

use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const TAG: usize = 16;

/// Encrypts and authenticates. A nonce serves once for a key.
pub(crate) fn seal(key: &[u8; 32], nonce: &[u8; 24], content: &[u8]) -> Vec<u8> {
    let (mut stream, mac) = start(key, nonce);
    let mut ciphertext = content.to_vec();
    stream.apply_keystream(&mut ciphertext);
    [&mac.compute_unpadded(&ciphertext)[..], &ciphertext].concat()
}

/// Decrypts; nothing when the key is wrong or anything was changed.
pub(crate) fn open(key: &[u8; 32], nonce: &[u8; 24], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (tag, ciphertext) = sealed.split_at_checked(TAG)?;
    let (mut stream, mac) = start(key, nonce);
    if !bool::from(mac.compute_unpadded(ciphertext)[..].ct_eq(tag)) {
        return None;
    }
    let mut content = Zeroizing::new(ciphertext.to_vec());
    stream.apply_keystream(&mut content);
    Some(content)
}

fn start(key: &[u8; 32], nonce: &[u8; 24]) -> (XSalsa20, Poly1305) {
    let mut stream = XSalsa20::new(key.into(), nonce.into());
    let mut mac_key = Zeroizing::new([0; 32]);
    stream.apply_keystream(&mut mac_key[..]);
    let mac = Poly1305::new((&*mac_key).into());
    (stream, mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of NaCl's own tests (`tests/secretbox.c`, `tests/secretbox.out`).
    #[test]
    fn the_example_of_nacl_gives_its_bytes_and_any_change_is_refused() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let key: [u8; 32] =
            hex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389").try_into().unwrap();
        let nonce: [u8; 24] = hex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37").try_into().unwrap();
        let content = hex(
            "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705",
        );
        let sealed = seal(&key, &nonce, &content);
        let expected = "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5";
        assert_eq!(sealed, hex(expected));
        assert_eq!(&open(&key, &nonce, &sealed).unwrap()[..], content);
        for at in [0, 15, 16, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&key, &nonce, &changed).is_none());
        }
        assert!(open(&key, &nonce, &sealed[..15]).is_none());
        assert!(open(&[0; 32], &nonce, &sealed).is_none());
    }
}

//! The encrypted private key file of cosign (cosign `pkg/cosign/keys.go`; securesystemslib `encrypted`): PEM around
//! JSON around scrypt and NaCl's secretbox (XSalsa20-Poly1305).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Error, Result, pem_text, secretbox};

const KIND: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
const OLD_KIND: &str = "ENCRYPTED COSIGN PRIVATE KEY";
pub(crate) const PLAIN_KINDS: [&str; 3] = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];
const KDF: &str = "scrypt";
const CIPHER: &str = "nacl/secretbox";

/// scrypt's cost as cosign writes it. Legacy files use 2^15, files that follow OWASP's advice 2^17. Other costs are
/// refused, so that a file cannot exhaust the memory.
const LOG_N: u8 = 16;
const ALLOWED_LOG_N: [u8; 3] = [15, 16, 17];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Decrypts an encrypted PEM; returns the PKCS#8 bytes.
pub(crate) fn open(text: &str, password: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let block = pem_text::decode(text)?;
    if let Some(plain) = PLAIN_KINDS.into_iter().find(|kind| *kind == block.tag()) {
        return Err(Error::PrivateKeyPlain(plain));
    }
    if block.tag() != KIND && block.tag() != OLD_KIND {
        return Err(Error::PemKind { found: block.tag().to_owned(), expected: KIND });
    }
    let sealed: Sealed = serde_json::from_slice(block.contents()).map_err(Error::Sealed)?;
    if sealed.kdf.name != KDF {
        return Err(Error::SealedMethod(sealed.kdf.name));
    }
    if sealed.cipher.name != CIPHER {
        return Err(Error::SealedMethod(sealed.cipher.name));
    }
    let Params { n, r, p } = sealed.kdf.params;
    let log_n = ALLOWED_LOG_N.into_iter().find(|log_n| 1 << log_n == n && r == 8 && p == 1);
    let log_n = log_n.ok_or_else(|| Error::SealedMethod(format!("scrypt with N={n} r={r} p={p}")))?;
    let salt: [u8; 32] = decode_array("salt", &sealed.kdf.salt)?;
    let nonce: [u8; 24] = decode_array("nonce", &sealed.cipher.nonce)?;
    let ciphertext = decode("ciphertext", &sealed.ciphertext)?;
    secretbox::open(&*derive(log_n, password, &salt)?, &nonce, &ciphertext).ok_or(Error::Password)
}

/// Encrypts PKCS#8 bytes as cosign does.
pub(crate) fn seal(pkcs8: &[u8], password: &[u8]) -> Result<String> {
    seal_with(LOG_N, pkcs8, password)
}

fn seal_with(log_n: u8, pkcs8: &[u8], password: &[u8]) -> Result<String> {
    let (mut salt, mut nonce) = ([0; 32], [0; 24]);
    let random = SystemRandom::new();
    random.fill(&mut salt).and_then(|()| random.fill(&mut nonce)).map_err(|_| Error::Crypto)?;
    let ciphertext = secretbox::seal(&*derive(log_n, password, &salt)?, &nonce, pkcs8);
    let params = Params { n: 1 << log_n, r: 8, p: 1 };
    let sealed = Sealed {
        kdf: Kdf { name: KDF.to_owned(), params, salt: STANDARD.encode(salt) },
        cipher: Cipher { name: CIPHER.to_owned(), nonce: STANDARD.encode(nonce) },
        ciphertext: STANDARD.encode(ciphertext),
    };
    Ok(pem_text::encode(KIND, serde_json::to_vec(&sealed).map_err(Error::Sealed)?))
}

fn derive(log_n: u8, password: &[u8], salt: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let params = scrypt::Params::new(log_n, 8, 1).map_err(|_| Error::Crypto)?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(password, salt, &params, &mut key[..]).map_err(|_| Error::Crypto)?;
    Ok(key)
}

fn decode(name: &'static str, text: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|_| Error::Base64(name))
}

fn decode_array<const LEN: usize>(name: &'static str, text: &str) -> Result<[u8; LEN]> {
    decode(name, text)?.try_into().map_err(|_| Error::Base64(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_costs_that_cosign_writes_are_accepted() {
        for log_n in ALLOWED_LOG_N {
            let text = seal_with(log_n, b"pkcs8", b"").unwrap();
            assert_eq!(&open(&text, b"").unwrap()[..], b"pkcs8");
            assert_eq!(&open(&text.replace(KIND, OLD_KIND), b"").unwrap()[..], b"pkcs8");
        }
        for log_n in [14, 18] {
            let text = seal_with(log_n, b"pkcs8", b"").unwrap();
            assert!(matches!(open(&text, b""), Err(Error::SealedMethod(_))));
        }
    }

    #[test]
    fn parameters_that_cosign_never_writes_are_refused_before_the_key_derivation() {
        let good = pem::parse(seal(b"pkcs8", b"").unwrap()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(good.contents()).unwrap();
        for (member, value) in [
            ("/kdf/name", "argon2id".into()),
            ("/kdf/params/r", 16.into()),
            ("/kdf/params/p", 1024.into()),
            ("/kdf/params/N", (1_u64 << 40).into()),
            ("/cipher/name", "aes".into()),
            ("/kdf/salt", "AAAA".into()),
            ("/cipher/nonce", "AAAA".into()),
            ("/ciphertext", "%%%".into()),
            ("/cipher", serde_json::json!({ "name": CIPHER, "nonce": "", "more": 1 })),
        ] {
            let mut changed = json.clone();
            *changed.pointer_mut(member).unwrap() = value;
            let error = open(&pem_text::encode(KIND, changed.to_string().into_bytes()), b"").unwrap_err();
            assert!(
                matches!(error, Error::SealedMethod(_) | Error::Base64(_) | Error::Sealed(_)),
                "{member}: {error}"
            );
        }
    }
}

//! Passwords: bcrypt, htpasswd, derived passwords, and AES encryption with a password.
//!
//! Source: Sprig 3.3 `crypto.go`.

use aes::Aes256;
use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcrypt::Version;
use gostd::value::Value;
use ring::hmac;

use super::cost;
use crate::function::{Arguments, Failure, Scope};

/// Go's `bcrypt.DefaultCost`.
const BCRYPT_COST: u32 = 10;
const BLOCK: usize = 16;

/// The Master Password algorithm, version 3: templates by password type.
const TEMPLATES: [(&str, &[&str]); 6] = [
    ("maximum", &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"]),
    (
        "long",
        &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
    ),
    ("medium", &["CvcnoCvc", "CvcCvcno"]),
    ("short", &["Cvcn"]),
    ("basic", &["aaanaaan", "aannaaan", "aaannaaa"]),
    ("pin", &["nnnn"]),
];

pub(super) fn bcrypt(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    Ok(hash(scope, arguments.bytes(0))?.into())
}

pub(super) fn htpasswd(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let user = arguments.str(0)?;
    if user.contains(':') {
        return Ok(format!("invalid username: {user}").into());
    }
    Ok(format!("{user}:{}", hash(scope, arguments.bytes(1))?).into())
}

fn hash(scope: &Scope<'_>, password: &[u8]) -> Result<String, Failure> {
    if password.len() > 72 {
        return Ok("failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".into());
    }
    scope.step(cost::BCRYPT)?;
    scope.produce(60)?;
    let mut salt = [0; 16];
    scope.draws.stream("salt").fill(&mut salt);
    let parts = bcrypt::hash_with_salt(password, BCRYPT_COST, salt);
    // Go writes the older version prefix; the hash is the same.
    Ok(parts.map_or_else(
        |error| format!("failed to encrypt string with bcrypt: {error}"),
        |parts| parts.format_for_version(Version::TwoA),
    ))
}

pub(super) fn derive(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let counter =
        u32::try_from(arguments.int(0)).map_err(|_| format!("{} overflows uint32", arguments.int(0)))?;
    let kind = arguments.str(1)?;
    let Some((_, templates)) = TEMPLATES.iter().find(|(name, _)| *name == kind) else {
        return Ok(format!("cannot find password template {kind}").into());
    };
    scope.step(cost::SCRYPT)?;
    let salt = salted(arguments.bytes(3));
    let params = scrypt::Params::new(15, 8, 2).map_err(|error| error.to_string())?;
    let mut key = [0; 64];
    scrypt::scrypt(arguments.bytes(2), &salt, &params, &mut key)
        .map_err(|error| format!("failed to derive password: {error}"))?;
    let mut message = salted(arguments.bytes(4));
    message.extend(counter.to_be_bytes());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &message);
    let mut seed = tag.as_ref().iter().map(|byte| usize::from(*byte));
    let template = pick(templates, seed.next().unwrap_or_default()).unwrap_or_default();
    let password: String = template
        .chars()
        .zip(seed)
        .filter_map(|(class, byte)| pick(characters(class), byte).map(char::from))
        .collect();
    Ok(password.into())
}

/// The fixed prefix of the algorithm, then the length of `text` and `text`.
fn salted(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [b"com.lyndir.masterpassword", length.to_be_bytes().as_slice(), text].concat()
}

fn pick<T: Copy>(choices: &[T], number: usize) -> Option<T> {
    choices.get(number.checked_rem(choices.len())?).copied()
}

fn characters(class: char) -> &'static [u8] {
    match class {
        'V' => b"AEIOU",
        'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        'v' => b"aeiou",
        'c' => b"bcdfghjklmnpqrstvwxyz",
        'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        'n' => b"0123456789",
        'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// The key for AES-256-CBC: the first 32 bytes of the password, padded with zeros.
fn aes_key(password: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    key.iter_mut().zip(password).for_each(|(slot, byte)| *slot = *byte);
    key
}

pub(super) fn encrypt_aes(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let text = arguments.bytes(1);
    if text.is_empty() {
        return Ok("".into());
    }
    scope.produce(text.len().saturating_mul(2))?;
    let mut vector = [0; BLOCK];
    scope.draws.stream("vector").fill(&mut vector);
    let cipher = cbc::Encryptor::<Aes256>::new(&aes_key(arguments.bytes(0)).into(), &vector.into());
    let sealed = cipher.encrypt_padded_vec::<Pkcs7>(text);
    Ok(STANDARD.encode([vector.as_slice(), &sealed].concat()).into())
}

pub(super) fn decrypt_aes(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let text = arguments.bytes(1);
    if text.is_empty() {
        return Ok("".into());
    }
    scope.produce(text.len())?;
    // Go's decoder ignores line breaks.
    let plain: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let bytes = STANDARD.decode(plain).map_err(|error| format!("illegal base64 data: {error}"))?;
    let out_of_range = || Failure::from("runtime error: slice bounds out of range");
    let (vector, sealed) = bytes.split_first_chunk::<BLOCK>().ok_or_else(out_of_range)?;
    let cipher = cbc::Decryptor::<Aes256>::new(&aes_key(arguments.bytes(0)).into(), &(*vector).into());
    let opened = cipher
        .decrypt_padded_vec::<NoPadding>(sealed)
        .map_err(|_| Failure::from("crypto/cipher: input not full blocks"))?;
    // Sprig trusts the last byte as the length of the padding, without further checks.
    let padding =
        usize::from(*opened.last().ok_or_else(|| Failure::from("runtime error: index out of range [-1]"))?);
    let kept = opened.len().checked_sub(padding).ok_or_else(out_of_range)?;
    Ok(Value::string(opened.get(..kept).unwrap_or_default().to_vec()))
}

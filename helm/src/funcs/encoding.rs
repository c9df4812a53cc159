//! Sprig's encodings and hashes of strings. Decoders read as Go's do, and return the error text as the result.

mod base32;
mod base64;

use gostd::value::Value;
use sha2::Digest as _;

use super::text;
use crate::function::Parameter::Str;
use crate::function::{Arguments, Failure, Function, Scope};

/// The functions of this group.
pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "adler32sum", parameters: &[Str], rest: None, body: adler32 },
    Function { name: "b32dec", parameters: &[Str], rest: None, body: base32_decode },
    Function { name: "b32enc", parameters: &[Str], rest: None, body: base32_encode },
    Function { name: "b64dec", parameters: &[Str], rest: None, body: base64_decode },
    Function { name: "b64enc", parameters: &[Str], rest: None, body: base64_encode },
    Function { name: "sha1sum", parameters: &[Str], rest: None, body: sha1 },
    Function { name: "sha256sum", parameters: &[Str], rest: None, body: sha256 },
    Function { name: "sha512sum", parameters: &[Str], rest: None, body: sha512 },
];

fn sha1(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    hexadecimal(scope, arguments, |bytes| sha1::Sha1::digest(bytes).to_vec())
}

fn sha256(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    hexadecimal(scope, arguments, |bytes| sha2::Sha256::digest(bytes).to_vec())
}

fn sha512(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    hexadecimal(scope, arguments, |bytes| sha2::Sha512::digest(bytes).to_vec())
}

fn hexadecimal(
    scope: &Scope<'_>,
    arguments: Arguments<'_>,
    hash: fn(&[u8]) -> Vec<u8>,
) -> Result<Value, Failure> {
    let bytes = arguments.bytes(0);
    scope.step(1 + (bytes.len() >> 6) as u64)?;
    let digits: String = hash(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    text::string(scope, digits)
}

/// The checksum of RFC 1950, in decimal.
fn adler32(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let bytes = arguments.bytes(0);
    scope.step(1 + (bytes.len() >> 6) as u64)?;
    let (low, high) = bytes.iter().fold((1u32, 0u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65521;
        (low, (high + low) % 65521)
    });
    text::string(scope, ((high << 16) | low).to_string())
}

fn base64_encode(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::string(scope, base64::encode(arguments.bytes(0)))
}

fn base64_decode(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let decoded = base64::decode(arguments.bytes(0));
    text::string(scope, decoded.unwrap_or_else(|at| corrupt(64, at)))
}

fn base32_encode(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::string(scope, base32::encode(arguments.bytes(0)))
}

fn base32_decode(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let decoded = base32::decode(arguments.bytes(0));
    text::string(scope, decoded.unwrap_or_else(|at| corrupt(32, at)))
}

fn corrupt(base: u8, at: usize) -> Vec<u8> {
    format!("illegal base{base} data at input byte {at}").into_bytes()
}

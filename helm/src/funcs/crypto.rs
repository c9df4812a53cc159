//! Keys, certificates and passwords, all derived from the render's seed and clock.
//!
//! Source: Sprig 3.3 `crypto.go`.
//!
//! - `key`, `rsa`, `dsa`: private keys; `certificate`: X.509; `der`: their encoding
//! - `password`: bcrypt, derived passwords, AES

mod certificate;
mod der;
mod dsa;
mod key;
mod password;
mod rsa;

use std::net::IpAddr;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};

pub use self::certificate::is_due;
use gostd::fmt;
use gostd::time::Time;
use gostd::value::Value;

use self::certificate::{Certificate, Issuer, Request, check, issue};
use self::key::Key;
use super::random::stream;
use crate::function::{Arguments, Failure, Function, Parameter, Scope};
use crate::render::Keys;

/// The cost of slow functions in steps of the render, so that a loop over them exceeds the limit.
mod cost {
    pub(super) const BCRYPT: u64 = 100_000;
    pub(super) const SCRYPT: u64 = 200_000;
    pub(super) const SIGNATURE: u64 = 10_000;
    pub(super) const KEY: u64 = 200_000;
    /// An RSA key of 4096 bits, DSA parameters.
    pub(super) const LARGE_KEY: u64 = 2_000_000;
}

use Parameter::{Any, Int, List, Str};

pub(crate) const FUNCTIONS: &[Function] = &[
    Function { name: "bcrypt", parameters: &[Str], rest: None, body: password::bcrypt },
    Function { name: "buildCustomCert", parameters: &[Str, Str], rest: None, body: build_custom_cert },
    Function { name: "decryptAES", parameters: &[Str, Str], rest: None, body: password::decrypt_aes },
    Function {
        name: "derivePassword",
        parameters: &[Int, Str, Str, Str, Str],
        rest: None,
        body: password::derive,
    },
    Function { name: "encryptAES", parameters: &[Str, Str], rest: None, body: password::encrypt_aes },
    Function { name: "genCA", parameters: &[Str, Int], rest: None, body: gen_ca },
    Function { name: "genCAWithKey", parameters: &[Str, Int, Str], rest: None, body: gen_ca_with_key },
    Function { name: "genPrivateKey", parameters: &[Str], rest: None, body: gen_private_key },
    Function {
        name: "genSelfSignedCert",
        parameters: &[Str, List, List, Int],
        rest: None,
        body: gen_self_signed,
    },
    Function {
        name: "genSelfSignedCertWithKey",
        parameters: &[Str, List, List, Int, Str],
        rest: None,
        body: gen_self_signed_with_key,
    },
    Function {
        name: "genSignedCert",
        parameters: &[Str, List, List, Int, Any],
        rest: None,
        body: gen_signed,
    },
    Function {
        name: "genSignedCertWithKey",
        parameters: &[Str, List, List, Int, Any, Str],
        rest: None,
        body: gen_signed_with_key,
    },
    Function { name: "htpasswd", parameters: &[Str, Str], rest: None, body: password::htpasswd },
];

/// Estimates the number of keys that a template generates, from its text only: conditions and loops are not considered.
pub(crate) fn keys_in(text: &str) -> usize {
    ["genCA ", "genSelfSignedCert ", "genSignedCert "].iter().map(|call| text.matches(call).count()).sum()
}

fn gen_private_key(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let kind = arguments.str(0)?;
    scope.step(if matches!(kind, "ecdsa" | "ed25519") { cost::SIGNATURE } else { cost::LARGE_KEY })?;
    scope.produce(4096)?;
    // Sprig returns an error text as the result.
    Ok(Key::generate(kind, &mut stream(scope)).map_or_else(|error| error, |key| key.to_pem()).into())
}

fn build_custom_cert(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    scope.step(cost::SIGNATURE)?;
    let text = |index, what: &str| {
        let encoded: Vec<u8> =
            arguments.bytes(index).iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        let decoded = STANDARD.decode(encoded).map_err(|_| format!("unable to decode base64 {what}"))?;
        String::from_utf8(decoded).map_err(|_| format!("unable to decode {what}"))
    };
    let (cert, key) = (text(0, "certificate")?, text(1, "private key")?);
    check(&cert)?;
    Key::from_pem(&key).map_err(|error| format!("error parsing private key: {error}"))?;
    Ok(Value::Object(Rc::new(Certificate { cert: cert.into(), key: key.into() })))
}

fn gen_ca(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut request = ca_request(scope, arguments)?;
    let key = new_key(scope, "authority", &mut request)?;
    certify(scope, &request, &key, None)
}

fn gen_ca_with_key(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let key = given_key(scope, arguments, 2)?;
    let mut request = ca_request(scope, arguments)?;
    identify(scope, "authority with key", &mut request);
    certify(scope, &request, &key, None)
}

fn gen_self_signed(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut request = request(scope, arguments)?;
    let key = new_key(scope, "self-signed", &mut request)?;
    certify(scope, &request, &key, None)
}

fn gen_self_signed_with_key(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let key = given_key(scope, arguments, 4)?;
    let mut request = request(scope, arguments)?;
    identify(scope, "self-signed with key", &mut request);
    certify(scope, &request, &key, None)
}

fn gen_signed(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let issuer = Issuer::read(given_certificate(arguments, 4)?)?;
    let mut request = request(scope, arguments)?;
    let key = new_key(scope, "signed", &mut request)?;
    certify(scope, &request, &key, Some(&issuer))
}

fn gen_signed_with_key(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let key = given_key(scope, arguments, 5)?;
    let issuer = Issuer::read(given_certificate(arguments, 4)?)?;
    let mut request = request(scope, arguments)?;
    identify(scope, "signed with key", &mut request);
    certify(scope, &request, &key, Some(&issuer))
}

fn new_key(scope: &Scope<'_>, kind: &str, request: &mut Request) -> Result<Key, Failure> {
    scope.step(cost::KEY)?;
    match identify(scope, kind, request) {
        Some(seed) => Ok(Key::of_seed(seed)?),
        None => Ok(Key::for_certificate(&scope.primes)),
    }
}

/// The seed of a certificate that is identified by its content. Also sets the serial number that belongs to the seed.
fn identify(scope: &Scope<'_>, kind: &str, request: &mut Request) -> Option<[u8; 32]> {
    if scope.keys == Keys::Ordered {
        return None;
    }
    let addresses: Vec<_> = request.addresses.iter().map(IpAddr::to_string).collect();
    let addresses = addresses.iter().map(String::as_str);
    let words = [kind, request.name.as_str(), "addresses"].into_iter().chain(addresses);
    let words = words.chain(["names"]).chain(request.dns.iter().map(String::as_str));
    let seed = scope.draws.named(words);
    // The key is derived from the seed too, so the serial number must not reveal the seed.
    let mut number = Context::new(&SHA256);
    number.update(b"serial");
    number.update(&request.issue.to_be_bytes());
    number.update(&seed);
    let number = number.finish();
    for (byte, new) in request.serial.iter_mut().zip(number.as_ref()) {
        *byte = *new;
    }
    Some(seed)
}

fn given_key(scope: &Scope<'_>, arguments: Arguments<'_>, index: usize) -> Result<Key, Failure> {
    scope.step(cost::SIGNATURE)?;
    Ok(Key::from_pem(arguments.str(index)?).map_err(|error| format!("parsing private key: {error}"))?)
}

fn given_certificate(arguments: Arguments<'_>, index: usize) -> Result<&Certificate, Failure> {
    let given = arguments.any(index);
    let object = if let Value::Object(object) = given { object.as_any().downcast_ref() } else { None };
    let wrong = || format!("wrong type for value; expected sprig.certificate; got {}", given.type_name());
    Ok(object.ok_or_else(wrong)?)
}

fn certify(
    scope: &Scope<'_>,
    request: &Request,
    key: &Key,
    issuer: Option<&Issuer>,
) -> Result<Value, Failure> {
    scope.step(cost::SIGNATURE)?;
    scope.produce(4096)?;
    Ok(Value::Object(Rc::new(issue(request, key, issuer)?)))
}

/// `name days`
fn ca_request(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Request, Failure> {
    let name = arguments.str(0)?.to_owned();
    Ok(base(scope, name, arguments.int(1), true))
}

/// `name addresses names days`
fn request(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Request, Failure> {
    let mut request = base(scope, arguments.str(0)?.to_owned(), arguments.int(3), false);
    for given in arguments.list(1).into_iter().flat_map(|list| list.items.iter()) {
        let text = text(scope, given, "error parsing ip")?;
        let address: IpAddr = text.parse().map_err(|_| format!("error parsing ip: {text}"))?;
        request.addresses.push(address);
    }
    for given in arguments.list(2).into_iter().flat_map(|list| list.items.iter()) {
        request.dns.push(text(scope, given, "error processing alternate dns name")?.to_owned());
    }
    scope.step((request.addresses.len() + request.dns.len()) as u64)?;
    Ok(request)
}

fn text<'v>(scope: &Scope<'_>, value: &'v Value, about: &str) -> Result<&'v str, Failure> {
    if let Value::Str(text) = value {
        return Ok(text);
    }
    let shown = fmt::display(scope, value)?;
    let shown = String::from_utf8_lossy(shown.bytes().unwrap_or_default());
    Err(format!("{about}: {shown} is not a string").into())
}

fn base(scope: &Scope<'_>, name: String, days: i64, is_ca: bool) -> Request {
    // As in Go, a `time.Duration` of nanoseconds wraps after 292 years.
    let length = days.wrapping_mul(86_400_000_000_000);
    let (issue, not_before) = issued(scope, length);
    let mut serial = [0; 16];
    scope.draws.stream(&format!("serial {issue}")).fill(&mut serial);
    Request {
        name,
        dns: Vec::new(),
        addresses: Vec::new(),
        not_before: not_before.seconds,
        not_after: not_before.add(length).seconds,
        serial,
        issue,
        is_ca,
    }
}

/// The number of the current issue of a certificate, and the start of its validity. The first issue is valid from the
/// first render of the chart, and a new one replaces it whenever two thirds of its lifetime have passed. Until then,
/// each render returns the same certificate.
fn issued(scope: &Scope<'_>, nanoseconds: i64) -> (u64, Time) {
    let now = super::dates::now(scope);
    let age = scope.now.checked_sub(scope.seeded_at);
    let Some(age) = age.filter(|_| nanoseconds > 0) else { return (0, now) };
    let length = u128::from(nanoseconds.unsigned_abs());
    let term = (length / 3 * 2).max(1);
    let issue = age.as_nanos() / term;
    let into = i64::try_from(age.as_nanos() - issue * term).unwrap_or_default();
    (u64::try_from(issue).unwrap_or(u64::MAX), now.add(-into))
}

#[cfg(test)]
mod tests;

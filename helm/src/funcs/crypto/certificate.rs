//! X.509 certificates with the fields that Sprig sets, in the layout of Go 1.25 and later.
//!
//! Source: Sprig 3.3 `crypto.go`, Go `crypto/x509` (`CreateCertificate`, `buildCertExtensions`), RFC 5280. The crate
//! `x509-cert`, which is strict, reads certificates. This module writes them, because no builder lays out extensions as
//! Go does.

use std::net::IpAddr;
use std::rc::Rc;

use gostd::object::Object;
use gostd::time::Civil;
use gostd::value::Value;
use ring::digest::{SHA256, digest};
use x509_cert::Certificate as Parsed;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use super::der as write;
use super::key::{Key, to_pem};
use crate::function::Failure;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const ALT_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
const EXTENDED_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// Sprig's `certificate`.
#[derive(Clone)]
pub(super) struct Certificate {
    pub(super) cert: Rc<str>,
    pub(super) key: Rc<str>,
}

/// The content of a new certificate.
pub(super) struct Request {
    /// The common name.
    pub(super) name: String,
    pub(super) dns: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    /// Seconds since 1970-01-01.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) serial: [u8; 16],
    /// The number of this issue of the certificate.
    pub(super) issue: u64,
    pub(super) is_ca: bool,
}

/// The signing CA.
pub(super) struct Issuer {
    key: Key,
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
}

impl Issuer {
    /// Reads the CA in `certificate`.
    ///
    /// # Errors
    /// The certificate or key cannot be read, or they do not belong together.
    pub(super) fn read(certificate: &Certificate) -> Result<Self, String> {
        let block =
            pem::parse(certificate.cert.as_bytes()).map_err(|_| "unable to decode certificate".to_owned())?;
        let invalid = |error: x509_cert::der::Error| {
            format!("error parsing certificate: decodedSignerCert.Bytes: {error}")
        };
        let parsed = Parsed::from_der(block.contents()).map_err(invalid)?;
        let key =
            Key::from_pem(&certificate.key).map_err(|error| format!("error parsing private key: {error}"))?;
        let body = &parsed.tbs_certificate;
        let info = body.subject_public_key_info.to_der().map_err(invalid)?;
        if !matches!(key, Key::Dsa(_)) && key.public_info()? != info {
            return Err(
                "error creating certificate: x509: provided PrivateKey doesn't match parent's PublicKey"
                    .into(),
            );
        }
        let key_id = body.get::<SubjectKeyIdentifier>().map_err(invalid)?;
        Ok(Self {
            key,
            subject: body.subject.to_der().map_err(invalid)?,
            key_id: key_id.map(|(_, id)| id.0.as_bytes().to_vec()),
        })
    }
}

/// Checks that `text` holds a certificate that can be read.
///
/// # Errors
/// Sprig's text; the part that would come from Go's parser is our own.
pub(super) fn check(text: &str) -> Result<(), String> {
    let block = pem::parse(text).map_err(|_| "unable to decode certificate".to_owned())?;
    Parsed::from_der(block.contents())
        .map(|_| ())
        .map_err(|error| format!("error parsing certificate: decodedCert.Bytes: {error}"))
}

/// Whether `text` holds a PEM certificate with less than a third of its lifetime left at `now`, in seconds since 1970.
#[must_use]
pub fn is_due(text: &str, now: i64) -> bool {
    let blocks = pem::parse_many(text).unwrap_or_default();
    let certificates = blocks.iter().filter(|block| block.tag() == "CERTIFICATE");
    certificates.filter_map(|block| Parsed::from_der(block.contents()).ok()).any(|parsed| {
        let validity = &parsed.tbs_certificate.validity;
        let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let from = seconds(validity.not_before.to_unix_duration());
        let to = seconds(validity.not_after.to_unix_duration());
        to.saturating_sub(now) < to.saturating_sub(from) / 3
    })
}

/// Issues a certificate for `key`, signed by `issuer` or by itself.
///
/// # Errors
/// Certificates do not support a character of a name, or the type of a key.
pub(super) fn issue(request: &Request, key: &Key, issuer: Option<&Issuer>) -> Result<Certificate, String> {
    let created = |error: String| format!("error creating certificate: {error}");
    let signer = issuer.map_or(key, |issuer| &issuer.key);
    let algorithm = signer.signature_algorithm().map_err(created)?;
    let body = body(request, key, issuer, &algorithm).map_err(created)?;
    let signature = signer.sign(&body).map_err(created)?;
    let whole = write::sequence(&[body, algorithm, write::bit_string(&signature)]);
    Ok(Certificate { cert: to_pem("CERTIFICATE", whole).into(), key: key.to_pem().into() })
}

/// The `TBSCertificate`.
fn body(request: &Request, key: &Key, issuer: Option<&Issuer>, algorithm: &[u8]) -> Result<Vec<u8>, String> {
    let subject = subject(&request.name);
    let (issuer_name, key_id) = match issuer {
        Some(issuer) => (issuer.subject.clone(), issuer.key_id.clone()),
        None => (subject.clone(), None),
    };
    // Go includes the CA's key identifier only if the CA has another name.
    let key_id = key_id.filter(|id| !id.is_empty() && issuer_name != subject);
    Ok(write::sequence(&[
        write::explicit(0, &write::integer(&[2])),
        write::integer(&request.serial),
        algorithm.to_vec(),
        issuer_name,
        write::sequence(&[instant(request.not_before), instant(request.not_after)]),
        subject,
        key.public_info()?,
        write::explicit(3, &write::sequence(&extensions(request, key, key_id.as_deref())?)),
    ]))
}

fn subject(name: &str) -> Vec<u8> {
    if name.is_empty() {
        return write::sequence(&[]);
    }
    // Go's `asn1.isPrintable`, which excludes asterisk and ampersand; these need a UTF8String.
    let printable = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte));
    let text = write::element(if printable { 0x13 } else { 0x0c }, name.as_bytes());
    write::sequence(&[write::set(&[write::sequence(&[write::oid(COMMON_NAME), text])])])
}

/// RFC 5280 section 4.1.2.5: a two-digit year up to 2049, a four-digit year from 2050 on.
fn instant(seconds: i64) -> Vec<u8> {
    let Civil { year, month, day, hour, minute, second } = Civil::from_seconds(seconds);
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if (1950..2050).contains(&year) {
        write::element(0x17, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        write::element(0x18, format!("{year:04}{rest}").as_bytes())
    }
}

/// The extensions, in Go's order.
fn extensions(request: &Request, key: &Key, key_id: Option<&[u8]>) -> Result<Vec<Vec<u8>>, String> {
    // Digital signature and key encipherment, and for a CA also certificate signing. The first byte counts unused bits.
    let usage: &[u8] = if request.is_ca { &[2, 0xa4] } else { &[5, 0xa0] };
    let constraints = if request.is_ca { vec![write::element(0x01, &[0xff])] } else { Vec::new() };
    let mut extensions = vec![
        extension(KEY_USAGE, true, &write::element(0x03, usage)),
        extension(
            EXTENDED_USAGE,
            false,
            &write::sequence(&[write::oid(SERVER_AUTH), write::oid(CLIENT_AUTH)]),
        ),
        extension(BASIC_CONSTRAINTS, true, &write::sequence(&constraints)),
    ];
    if request.is_ca {
        // RFC 7093 section 2 method 1, Go's choice since 1.25.
        let hash = digest(&SHA256, &key.public());
        let id = hash.as_ref().get(..20).unwrap_or_default();
        extensions.push(extension(SUBJECT_KEY_ID, false, &write::octet_string(id)));
    }
    if let Some(id) = key_id {
        extensions.push(extension(AUTHORITY_KEY_ID, false, &write::sequence(&[write::element(0x80, id)])));
    }
    let names = alternative_names(request)?;
    if !names.is_empty() {
        extensions.push(extension(ALT_NAMES, request.name.is_empty(), &write::sequence(&names)));
    }
    Ok(extensions)
}

fn extension(id: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let flag = if critical { write::element(0x01, &[0xff]) } else { Vec::new() };
    write::sequence(&[write::oid(id), flag, write::octet_string(content)])
}

fn alternative_names(request: &Request) -> Result<Vec<Vec<u8>>, String> {
    let mut names = Vec::new();
    for name in &request.dns {
        if !name.is_ascii() {
            return Err(format!("x509: {name:?} cannot be encoded as an IA5String"));
        }
        names.push(write::element(0x82, name.as_bytes()));
    }
    names.extend(request.addresses.iter().map(|address| match address.to_canonical() {
        IpAddr::V4(address) => write::element(0x87, &address.octets()),
        IpAddr::V6(address) => write::element(0x87, &address.octets()),
    }));
    Ok(names)
}

impl Object for Certificate {
    fn type_name(&self) -> &'static str {
        "sprig.certificate"
    }

    fn kind(&self) -> &'static str {
        "struct"
    }

    fn member(&self, name: &str, _: &[Value]) -> Result<Option<Value>, Failure> {
        Ok(match name {
            "Cert" => Some(Value::Str(self.cert.clone())),
            "Key" => Some(Value::Str(self.key.clone())),
            _ => None,
        })
    }

    fn plain(&self) -> Value {
        Value::map([("Cert", Value::Str(self.cert.clone())), ("Key", Value::Str(self.key.clone()))])
    }

    fn print(&self) -> String {
        format!("{{{} {}}}", self.cert, self.key)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

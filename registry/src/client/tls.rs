//! The one TLS configuration of all requests: the system's CAs, the user's CAs, and certificates
//! of single servers that the user gave.
//!
//! A certificate of a single server never becomes a CA: its owner could sign for every other host.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

use super::Error;
use super::config::HostRule;

/// What the user gave, parsed.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust {
    cas: Vec<CertificateDer<'static>>,
    pins: Vec<Pin>,
}

/// A certificate that is accepted as it is.
#[derive(Clone, Debug)]
struct Pin {
    certificate: CertificateDer<'static>,
    /// The hosts that it was given for; for others it must have their name.
    hosts: BTreeSet<String>,
}

/// Checks a file of certificates before it is used.
///
/// # Errors
/// [`Error::CaFile`] when it is empty, not PEM, or holds something that is no certificate.
pub fn check_certificates(host: &str, pem: &[u8]) -> Result<(), Error> {
    certificates(host, pem).map(drop)
}

/// The configuration for connections to one server, which may have CA certificates of its own.
pub(crate) fn tls_config(host: &str, ca: Option<&[u8]>) -> Result<rustls::ClientConfig, Error> {
    let mut trust = Trust::default();
    if let Some(pem) = ca {
        trust.add(host, &BTreeSet::from([name(host)]), pem)?;
    }
    trust.config(&Arc::new(rustls::crypto::ring::default_provider())).map_err(Error::Tls)
}

impl Trust {
    pub(super) fn new(rules: &[HostRule]) -> Result<Self, Error> {
        let mut trust = Self::default();
        for rule in rules {
            let Some(pem) = &rule.ca_pem else { continue };
            let hosts: BTreeSet<_> =
                [&rule.host, &rule.endpoint].into_iter().map(|host| name(host.as_str())).collect();
            trust.add(rule.host.as_str(), &hosts, pem)?;
        }
        Ok(trust)
    }

    fn add(&mut self, host: &str, hosts: &BTreeSet<String>, pem: &[u8]) -> Result<(), Error> {
        for certificate in certificates(host, pem)? {
            if is_ca(&certificate) {
                self.cas.push(certificate.clone());
            }
            self.pins.push(Pin { certificate, hosts: hosts.clone() });
        }
        Ok(())
    }

    /// The configuration of a client. Reading the system's CA certificates takes a while.
    pub(super) fn config(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<rustls::ClientConfig, rustls::Error> {
        let verifier = Verifier {
            // A system without CA certificates can still use the user's, or plain HTTP.
            usual: rustls_platform_verifier::Verifier::new_with_extra_roots(
                self.cas.clone(),
                Arc::clone(provider),
            ),
            pins: self.pins.iter().filter_map(|pin| Pinned::new(pin, provider)).collect(),
            provider: Arc::clone(provider),
        };
        Ok(rustls::ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth())
    }
}

/// A host without its port, as TLS names it.
fn name(host: &str) -> String {
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host.to_ascii_lowercase()
}

fn certificates(host: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let refused = |reason| Error::CaFile { host: host.to_owned(), reason };
    if pem.trim_ascii().is_empty() {
        return Err(refused("it is empty"));
    }
    // A DER certificate is a SEQUENCE with a long length.
    if pem.starts_with(&[0x30, 0x82]) || pem.starts_with(&[0x30, 0x81]) {
        return Err(refused("it is DER; convert it with `openssl x509 -inform der -outform pem`"));
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| refused("its PEM is malformed"))?;
    if found.is_empty() {
        return Err(refused("it has no `BEGIN CERTIFICATE` in it"));
    }
    for certificate in &found {
        let mut roots = rustls::RootCertStore::empty();
        if ParsedCertificate::try_from(certificate).is_err() && roots.add(certificate.clone()).is_err() {
            return Err(refused("one of its certificates is malformed"));
        }
    }
    Ok(found)
}

/// Whether a certificate may sign others: the basic constraints say so (RFC 5280, 4.2.1.9), or it is older than these.
fn is_ca(certificate: &CertificateDer<'_>) -> bool {
    const BASIC_CONSTRAINTS: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x13];
    const TRUE: [u8; 3] = [0x01, 0x01, 0xff];
    const VERSION_3: [u8; 5] = [0xa0, 0x03, 0x02, 0x01, 0x02];
    let der = certificate.as_ref();
    let Some(at) = der.windows(BASIC_CONSTRAINTS.len()).position(|window| window == BASIC_CONSTRAINTS) else {
        return !der.windows(VERSION_3.len()).take(16).any(|window| window == VERSION_3);
    };
    let rest = &der[at + BASIC_CONSTRAINTS.len()..];
    let rest = rest.strip_prefix(&TRUE).unwrap_or(rest);
    // OCTET STRING { SEQUENCE { BOOLEAN, .. } }
    matches!(rest, [0x04, _, 0x30, _, flag @ ..] if flag.starts_with(&TRUE))
}

/// The usual checks; a server's own certificate that the user gave needs only its own dates.
#[derive(Debug)]
struct Verifier {
    usual: Result<rustls_platform_verifier::Verifier, rustls::Error>,
    pins: Vec<Pinned>,
    provider: Arc<CryptoProvider>,
}

/// A certificate that is accepted as it is, with what reads its dates.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    dates: Arc<WebPkiServerVerifier>,
}

impl Pinned {
    fn new(pin: &Pin, provider: &Arc<CryptoProvider>) -> Option<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pin.certificate.clone()).ok()?;
        let dates = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        Some(Self { pin: pin.clone(), dates: dates.build().ok()? })
    }

    fn accepts(&self, server: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> bool {
        let own = || {
            ParsedCertificate::try_from(server).is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
        };
        let asked = name.to_str().to_ascii_lowercase();
        // Dates are looked at before all else; what else is wrong with it, the user has taken upon himself.
        self.pin.certificate == *server
            && (self.pin.hosts.contains(&asked) || own())
            && !matches!(
                self.dates.verify_server_cert(server, &[], name, &[], now),
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::Expired
                        | CertificateError::ExpiredContext { .. }
                        | CertificateError::NotValidYet
                        | CertificateError::NotValidYetContext { .. }
                        | CertificateError::BadEncoding
                ))
            )
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let usual = match &self.usual {
            Ok(usual) => usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            Err(error) => Err(error.clone()),
        };
        match usual {
            Err(_) if self.pins.iter().any(|pin| pin.accepts(end_entity, server_name, now)) => {
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

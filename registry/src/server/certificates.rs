//! Client certificates: the CAs that a listener accepts, and the certificate of a connection.
//!
//! The handshake refuses a certificate that does not chain to one of the CAs, has expired, or is not for client
//! authentication. A connection can outlive its certificate and the CAs in use, so the certificate is verified again later.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use oci::Digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::Error;

/// A certificate in use is verified again after this time.
const AGAIN: Duration = Duration::from_mins(1);

/// The CAs of client certificates that a listener accepts. They can be replaced while clients are connected.
pub struct ClientAuthorities(RwLock<Current>);

#[derive(Clone)]
struct Current {
    verifier: Arc<dyn ClientCertVerifier>,
    /// The number of replacements.
    generation: u64,
}

impl ClientAuthorities {
    /// Parses CA certificates, PEM.
    ///
    /// # Errors
    /// When the text contains no certificate, or one that is not a CA's.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let certificate = certificate.map_err(Error::ClientAuthorityPem)?;
            roots.add(certificate).map_err(Error::ClientAuthority)?;
        }
        if roots.is_empty() {
            return Err(Error::NoClientAuthority);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = builder.allow_unauthenticated().build().map_err(|_| Error::NoClientAuthority)?;
        Ok(Self(RwLock::new(Current { verifier, generation: 0 })))
    }

    /// Uses other CAs from now on.
    pub fn replace(&self, new: &Self) {
        let verifier = new.current().verifier;
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *current = Current { verifier, generation: current.generation + 1 };
    }

    fn current(&self) -> Current {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAuthorities")
    }
}

impl ClientCertVerifier for ClientAuthorities {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Without hints, because they would have to stay the same. Clients then send the certificate that they have.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.current().verifier.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current().verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.current().verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().verifier.supported_verify_schemes()
    }
}

/// The certificate that a client has shown on a connection, and whose key it has.
pub(super) struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    pub(super) names: CertificateNames,
    pub(super) fingerprint: Digest,
    authorities: Arc<ClientAuthorities>,
    verified: Mutex<Option<Verified>>,
}

/// The result of the last verification.
#[derive(Clone, Copy)]
struct Verified {
    generation: u64,
    at: UnixTime,
    good: bool,
}

impl ClientCertificate {
    /// The certificate of a chain that the handshake has verified.
    pub(super) fn of(
        chain: &[CertificateDer<'_>],
        authorities: &Arc<ClientAuthorities>,
    ) -> Option<Arc<Self>> {
        let own = chain.first()?;
        Some(Arc::new(Self {
            chain: chain.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            names: CertificateNames::parse(own)?,
            fingerprint: Digest::sha256(own),
            authorities: Arc::clone(authorities),
            verified: Mutex::default(),
        }))
    }

    /// Whether the CAs in use still accept the certificate.
    pub(super) fn is_valid(&self, now: UnixTime) -> bool {
        let Current { verifier, generation } = self.authorities.current();
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |last: &Verified| {
            let age = now.as_secs().checked_sub(last.at.as_secs());
            last.generation == generation && age.is_some_and(|age| age < AGAIN.as_secs())
        };
        if let Some(last) = verified.filter(recent) {
            return last.good;
        }
        let good = self
            .chain
            .split_first()
            .is_some_and(|(own, intermediates)| verifier.verify_client_cert(own, intermediates, now).is_ok());
        *verified = Some(Verified { generation, at: now, good });
        good
    }
}

/// The names of a certificate's subject, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CertificateNames {
    pub(super) common: Vec<String>,
    pub(super) dns: Vec<String>,
    pub(super) uris: Vec<String>,
    pub(super) emails: Vec<String>,
}

impl CertificateNames {
    /// Reads the names of a certificate; `None` if one of them cannot be read.
    fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut names = Self::default();
        for name in certificate.subject().iter_common_name() {
            names.common.push(name.as_str().ok()?.to_owned());
        }
        let alternative = certificate.subject_alternative_name().ok()?;
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::URI(name) => names.uris.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => names.emails.push((*name).to_owned()),
                _ => {}
            }
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    };
    use time::OffsetDateTime;

    use super::*;

    struct Authority {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    fn issue(by: &Authority, adjust: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "ann");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        adjust(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), &by.issuer).unwrap().der().clone()
    }

    fn at(seconds: i64) -> UnixTime {
        let now = OffsetDateTime::now_utc().unix_timestamp() + seconds;
        UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap()))
    }

    #[test]
    fn a_certificate_ends_with_its_time_and_with_its_authority() {
        let (first, second) = (authority(), authority());
        let authorities = Arc::new(ClientAuthorities::parse(&first.pem).unwrap());
        let hour = time::Duration::HOUR;
        let chain = [issue(&first, |params| params.not_after = OffsetDateTime::now_utc() + hour)];
        let certificate = ClientCertificate::of(&chain, &authorities).unwrap();
        assert!(
            certificate.is_valid(at(0)) && certificate.is_valid(at(30)) && certificate.is_valid(at(3000))
        );
        assert!(!certificate.is_valid(at(4000)), "it has expired");
        assert!(certificate.is_valid(at(0)), "the clock was corrected");
        authorities.replace(&ClientAuthorities::parse(&second.pem).unwrap());
        assert!(!certificate.is_valid(at(0)), "its CA is not accepted any more");
        authorities.replace(&ClientAuthorities::parse(&format!("{}{}", first.pem, second.pem)).unwrap());
        assert!(certificate.is_valid(at(0)));
    }

    #[test]
    fn only_certificates_of_the_authority_that_are_valid_for_clients_are_accepted() {
        let (own, other) = (authority(), authority());
        let authorities = ClientAuthorities::parse(&own.pem).unwrap();
        let accepts = |certificate: &CertificateDer<'_>| {
            authorities.verify_client_cert(certificate, &[], at(0)).is_ok()
        };
        assert!(accepts(&issue(&own, |_| ())));
        assert!(accepts(&issue(&own, |params| params.extended_key_usages.clear())), "for any purpose");
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        let yesterday = OffsetDateTime::now_utc() - time::Duration::DAY;
        let refused = [
            issue(&other, |_| ()),
            issue(&own, |params| params.extended_key_usages = vec![server]),
            issue(&own, |params| params.not_after = yesterday),
            issue(&own, |params| params.not_before = OffsetDateTime::now_utc() + time::Duration::DAY),
            issue(&own, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            CertificateDer::from(b"garbage".to_vec()),
        ];
        for (number, certificate) in refused.iter().enumerate() {
            assert!(!accepts(certificate), "{number}");
        }
    }

    #[test]
    fn names_are_read_by_kind() {
        let names = |values: Vec<SanType>| {
            CertificateNames::parse(&issue(&authority(), |params| params.subject_alt_names = values))
        };
        let text = |text: &str| text.try_into().unwrap();
        let all = vec![
            SanType::DnsName(text("a.site")),
            SanType::DnsName(text("b.site")),
            SanType::URI(text("spiffe://site/ns/a")),
            SanType::Rfc822Name(text("ann@site")),
            SanType::IpAddress([10, 0, 0, 1].into()),
        ];
        let found = names(all).unwrap();
        assert_eq!(
            (found.common, found.dns),
            (vec!["ann".to_owned()], vec!["a.site".into(), "b.site".into()])
        );
        assert_eq!(
            (found.uris, found.emails),
            (vec!["spiffe://site/ns/a".to_owned()], vec!["ann@site".into()])
        );
        assert_eq!(names(Vec::new()).unwrap().dns, Vec::<String>::new());
        assert_eq!(CertificateNames::parse(b"garbage"), None);
    }

    #[test]
    fn a_file_without_a_ca_is_refused() {
        for text in ["", "no certificate"] {
            assert!(matches!(ClientAuthorities::parse(text), Err(Error::NoClientAuthority)));
        }
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(ClientAuthorities::parse(garbage), Err(Error::ClientAuthority(_))));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(matches!(ClientAuthorities::parse(cut), Err(Error::ClientAuthorityPem(_))));
    }
}

//! Certificates for `airlock serve`: from files, or issued by a local CA ([`authority`]); and the CA of a registry.

mod authority;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use registry::server::ClientAuthorities;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::failure::{Usage, unusable};
use crate::files::read;

/// The certificate of a listener. It can be replaced while clients are connected: new handshakes use the new one.
#[derive(Debug)]
pub(crate) struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl CurrentCertificate {
    pub(crate) fn new(certificate: CertifiedKey) -> Self {
        Self(RwLock::new(Arc::new(certificate)))
    }

    pub(crate) fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, certificate: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificate);
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Tls {
    /// A certificate chain, PEM.
    #[arg(long, requires = "tls_key", conflicts_with = "self_signed", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Create a CA once, and issue a certificate from it.
    #[arg(long)]
    pub(crate) self_signed: bool,
    /// The folder of the CA. Default: `tls` in the store's folder.
    #[arg(long, value_name = "DIR", requires = "self_signed")]
    pub(crate) tls_dir: Option<PathBuf>,
    /// Names or addresses at which clients reach the registry, in addition to localhost.
    #[arg(long, value_name = "NAME", requires = "self_signed")]
    pub(crate) tls_name: Vec<String>,
}

/// The TLS configuration of a listener, which also accepts certificates of clients if it has CAs for them.
pub(crate) fn config(
    current: Arc<CurrentCertificate>,
    clients: Option<&Arc<ClientAuthorities>>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = match clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients) as _),
        None => builder.with_no_client_auth(),
    }
    .with_cert_resolver(current);
    if clients.is_some() {
        // A resumed session has the certificate of the one before, which is not verified again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Parses a certificate chain and its private key, each with the file that has it.
pub(crate) fn certificate(
    (cert, chain): (&Path, &str),
    (key, secret): (&Path, &str),
) -> anyhow::Result<CertifiedKey> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(unusable(format!("`{}` is not a certificate", cert.display())))?;
    if chain.is_empty() {
        let message = format!("`{}` contains no certificate", cert.display());
        let hint = "give the server's certificate, PEM, followed by those of its intermediate CAs, if any";
        return Err(Usage { message, hint }.into());
    }
    let secret = PrivateKeyDer::from_pem_slice(secret.as_bytes())
        .map_err(unusable(format!("`{}` is not a private key", key.display())))?;
    CertifiedKey::from_der(chain, secret, &rustls::crypto::ring::default_provider())
        .map_err(unusable(format!("`{}` and `{}` do not match", cert.display(), key.display())))
}

/// Issues a certificate for `names` from the CA in a folder, which is created once.
pub(crate) fn issue(folder: &Path, names: &[String]) -> anyhow::Result<CertifiedKey> {
    authority::issue(folder, names, OffsetDateTime::now_utc())?;
    let (cert, key) = (folder.join("server.crt"), folder.join("server.key"));
    certificate((&cert, &read(&cert)?), (&key, &read(&key)?))
}

/// When the first of these certificates expires.
pub(crate) fn first_expiry(certificates: impl Iterator<Item = Arc<CertifiedKey>>) -> Option<SystemTime> {
    certificates.filter_map(|certificate| expiry(&certificate)).min()
}

fn expiry(certificate: &CertifiedKey) -> Option<SystemTime> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.cert.first()?).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Reads the CA of a registry's certificate: a file with at least one certificate.
pub(super) fn ca_certificate(path: &Path) -> anyhow::Result<String> {
    let text = read(path)?;
    let mut found = CertificateDer::pem_slice_iter(text.as_bytes());
    if matches!(found.next(), Some(Ok(_))) {
        return Ok(text);
    }
    let message = format!("`{}` contains no certificate", path.display());
    let hint = "give the CA of the registry's certificate, PEM: --registry-ca FILE; `airlock serve --self-signed` keeps \
                its CA in the store: tls/ca.crt";
    Err(Usage { message, hint }.into())
}

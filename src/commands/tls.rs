//! Certificates for `airlock serve`: from files, or issued by a local CA ([`authority`]); and the CA of a registry.

mod authority;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use crate::failure::{Usage, unusable};
use crate::files::{read, warn_of_readable};
use crate::printer::Printer;

/// The TLS configuration, with the file of the local CA if there is one; `None` for plain HTTP.
pub(crate) struct Served {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ca: Option<PathBuf>,
    /// When the certificate expires.
    pub(crate) expiry: Option<SystemTime>,
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

pub(crate) fn config(tls: &Tls, store: &Path, printer: &Printer) -> anyhow::Result<Option<Served>> {
    let (cert, key, ca) = match (&tls.tls_cert, &tls.tls_key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone(), None),
        _ if tls.self_signed => {
            let folder = tls.tls_dir.clone().unwrap_or_else(|| store.join("tls"));
            authority::issue(&folder, &tls.tls_name, OffsetDateTime::now_utc())?;
            (folder.join("server.crt"), folder.join("server.key"), Some(folder.join("ca.crt")))
        }
        _ => return Ok(None),
    };
    let chain = CertificateDer::pem_slice_iter(read(&cert)?.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(unusable(format!("`{}` is not a certificate", cert.display())))?;
    if chain.is_empty() {
        let message = format!("`{}` contains no certificate", cert.display());
        let hint = "give the server's certificate, PEM, followed by those of its intermediate CAs, if any";
        return Err(Usage { message, hint }.into());
    }
    let expiry = chain.first().and_then(expiry);
    let text = read(&key)?;
    warn_of_readable(&key, &text, printer);
    let secret = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(unusable(format!("`{}` is not a private key", key.display())))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(unusable(format!("`{}` and `{}` do not match", cert.display(), key.display())))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Served { config: Arc::new(config), ca, expiry }))
}

/// When a certificate expires.
fn expiry(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
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

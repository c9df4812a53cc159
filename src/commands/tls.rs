//! Certificates for `airlock serve`: from files, or issued by a local CA ([`authority`]).

mod authority;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

use crate::cli::Tls;
use crate::commands::{read, warn_of_readable};
use crate::printer::Printer;

/// The TLS configuration, with the file of the local CA if there is one; `None` for plain HTTP.
pub(crate) struct Served {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ca: Option<PathBuf>,
}

pub(crate) fn config(tls: &Tls, store: &Path, printer: &Printer) -> anyhow::Result<Option<Served>> {
    let (cert, key, ca) = match (&tls.tls_cert, &tls.tls_key) {
        (Some(cert), Some(key)) => {
            warn_of_readable(key, printer);
            (cert.clone(), key.clone(), None)
        }
        _ if tls.self_signed => {
            let folder = tls.tls_dir.clone().unwrap_or_else(|| store.join("tls"));
            authority::issue(&folder, &tls.tls_name, OffsetDateTime::now_utc())?;
            (folder.join("server.crt"), folder.join("server.key"), Some(folder.join("ca.crt")))
        }
        _ => return Ok(None),
    };
    let chain = CertificateDer::pem_slice_iter(read(&cert)?.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("`{}` is not a certificate", cert.display()))?;
    if chain.is_empty() {
        return Err(authority::unusable(format!("`{}` contains no certificate", cert.display())));
    }
    let secret = PrivateKeyDer::from_pem_slice(read(&key)?.as_bytes())
        .with_context(|| format!("`{}` is not a private key", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| format!("`{}` and `{}` do not match", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Served { config: Arc::new(config), ca }))
}

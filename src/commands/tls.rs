//! Certificates for `airlock serve`: from files, or by an authority of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::cli::Tls;
use crate::commands::read;

/// TLS as asked for, with the authority's file where one was made; `None` for plain HTTP.
pub(crate) struct Served {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) authority: Option<PathBuf>,
}

pub(crate) fn config(tls: &Tls, store: &Path) -> anyhow::Result<Option<Served>> {
    let (cert, key, authority) = match (&tls.tls_cert, &tls.tls_key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone(), None),
        _ if tls.self_signed => {
            let folder = tls.tls_dir.clone().unwrap_or_else(|| store.join("tls"));
            make(&folder, &tls.tls_name)?;
            (folder.join("server.crt"), folder.join("server.key"), Some(folder.join("ca.crt")))
        }
        _ => return Ok(None),
    };
    let chain = CertificateDer::pem_file_iter(&cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("`{}` is not a certificate", cert.display()))?;
    let key =
        PrivateKeyDer::from_pem_file(&key).with_context(|| format!("`{}` is not a key", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Served { config: Arc::new(config), authority }))
}

/// Makes the authority once, and a server certificate by it each time, for the names of this time.
fn make(folder: &Path, names: &[String]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let (ca_path, ca_key_path) = (folder.join("ca.crt"), folder.join("ca.key"));
    let issuer = if ca_path.exists() && ca_key_path.exists() {
        // The same name and key make the same authority; its certificate file stays as it is.
        CertifiedIssuer::self_signed(authority(), KeyPair::from_pem(&read(&ca_key_path)?)?)?
    } else {
        let issuer = CertifiedIssuer::self_signed(authority(), KeyPair::generate()?)?;
        write(&ca_key_path, &issuer.key().serialize_pem(), true)?;
        write(&ca_path, &issuer.pem(), false)?;
        issuer
    };
    let mut all = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    all.extend(names.iter().cloned());
    let mut leaf = CertificateParams::new(all)?;
    leaf.distinguished_name.push(DnType::CommonName, "airlock registry");
    let key = KeyPair::generate()?;
    let signed = leaf.signed_by(&key, &issuer)?;
    write(&folder.join("server.key"), &key.serialize_pem(), true)?;
    write(&folder.join("server.crt"), &signed.pem(), false)
}

fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "airlock local authority");
    params
}

fn write(path: &Path, text: &str, secret: bool) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mode = if secret { 0o600 } else { 0o644 };
    let failed = || format!("cannot write `{}`", path.display());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .with_context(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)
}

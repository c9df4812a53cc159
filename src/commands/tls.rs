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
use crate::commands::{read, warn_of_readable};
use crate::failure::Usage;
use crate::printer::Printer;

/// TLS as asked for, with the authority's file where one was made; `None` for plain HTTP.
pub(crate) struct Served {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) authority: Option<PathBuf>,
}

pub(crate) fn config(tls: &Tls, store: &Path, printer: &Printer) -> anyhow::Result<Option<Served>> {
    let (cert, key, authority) = match (&tls.tls_cert, &tls.tls_key) {
        (Some(cert), Some(key)) => {
            warn_of_readable(key, printer);
            (cert.clone(), key.clone(), None)
        }
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
    if chain.is_empty() {
        return Err(unusable(format!("`{}` has no certificate in it", cert.display())));
    }
    let secret =
        PrivateKeyDer::from_pem_file(&key).with_context(|| format!("`{}` is not a key", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| format!("`{}` and `{}` do not fit together", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Served { config: Arc::new(config), authority }))
}

/// Makes the authority once, and a server certificate by it each time, for the names of this time.
fn make(folder: &Path, names: &[String]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let (ca_path, ca_key_path) = (folder.join("ca.crt"), folder.join("ca.key"));
    if ca_path.exists() && !ca_key_path.exists() {
        let (kept, lost) = (ca_path.display(), ca_key_path.display());
        return Err(unusable(format!("`{kept}` is there, and its key `{lost}` is not")));
    }
    let made = !ca_key_path.exists();
    let key = if made { KeyPair::generate()? } else { key_from(&ca_key_path)? };
    if made {
        write(&ca_key_path, &key.serialize_pem(), true)?;
    }
    // The same name and key make the same authority; its certificate file stays as it is.
    let issuer = CertifiedIssuer::self_signed(authority(), key)?;
    if ca_path.exists() {
        check_authority(&ca_path, issuer.key())?;
    } else {
        write(&ca_path, &issuer.pem(), false)?;
    }
    let mut all = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    all.extend(names.iter().cloned());
    let mut leaf = CertificateParams::new(all)?;
    leaf.distinguished_name.push(DnType::CommonName, "airlock registry");
    let key = KeyPair::generate()?;
    let signed = leaf.signed_by(&key, &issuer)?;
    write(&folder.join("server.key"), &key.serialize_pem(), true)?;
    write(&folder.join("server.crt"), &signed.pem(), false)
}

/// A new authority would not be trusted by the clients of the old one, so none is made in its place.
fn unusable(message: String) -> anyhow::Error {
    let hint = "put the right file back; or remove `ca.crt` and `ca.key`, and let every client trust the new authority";
    Usage { message, hint }.into()
}

fn key_from(path: &Path) -> anyhow::Result<KeyPair> {
    KeyPair::from_pem(&read(path)?)
        .map_err(|_| unusable(format!("`{}` is not a private key", path.display())))
}

/// That the authority's certificate is one, over this key.
fn check_authority(path: &Path, key: &KeyPair) -> anyhow::Result<()> {
    let certificate = CertificateDer::from_pem_slice(read(path)?.as_bytes())
        .map_err(|_| unusable(format!("`{}` is not a certificate", path.display())))?;
    let point = key.public_key_raw();
    if certificate.windows(point.len()).any(|bytes| bytes == point) {
        return Ok(());
    }
    Err(unusable(format!("`{}` is not the certificate of the key beside it", path.display())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_never_replaced_behind_its_clients_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        make(folder.path(), &[]).unwrap();
        let (ca, key) = (fs::read(path("ca.crt")).unwrap(), fs::read(path("ca.key")).unwrap());
        make(folder.path(), &[]).unwrap();
        assert_eq!(fs::read(path("ca.crt")).unwrap(), ca);
        let refused = |words: &str| {
            let error = make(folder.path(), &[]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        fs::remove_file(path("ca.key")).unwrap();
        refused("ca.key");
        fs::write(path("ca.key"), "").unwrap();
        refused("ca.key` is not a private key");
        fs::write(path("ca.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        refused("ca.crt` is not the certificate of the key");
        fs::write(path("ca.key"), &key).unwrap();
        fs::write(path("ca.crt"), "").unwrap();
        refused("ca.crt` is not a certificate");
        fs::write(path("ca.crt"), &ca).unwrap();
        make(folder.path(), &[]).unwrap();
    }
}

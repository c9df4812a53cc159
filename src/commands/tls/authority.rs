//! The CA of `airlock serve --self-signed`: created once, limited to its own names. It issues a server certificate at
//! each start.
//!
//! In: the folder and the names (DNS names and IP addresses). Out: `ca.crt`, `ca.key`, `server.crt`, `server.key`
//! (PEM). The CA has name constraints (RFC 5280, 4.2.1.10): a stolen `ca.key` cannot issue certificates for other
//! hosts.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use oci::Digest;
use private::Readers;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use time::{Duration, OffsetDateTime};

use crate::failure::Usage;
use crate::files::read;

/// The lifetime of the CA.
const CA_LIFETIME: Duration = Duration::days(3650);

/// The lifetime of a server certificate, and so the longest time without a restart. Some clients refuse a longer lifetime.
const SERVER_LIFETIME: Duration = Duration::days(825);

/// A client's clock may be a little behind.
const SKEW: Duration = Duration::hours(1);

/// The names of every server, in addition to the given names.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Creates the CA once, and a server certificate for `names` at each call.
///
/// # Errors
/// A file is missing, broken or of another CA, or the CA may not sign for one of the names.
pub(super) fn issue(folder: &Path, names: &[String], now: OffsetDateTime) -> anyhow::Result<()> {
    private::create_folders(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let (ca_path, ca_key_path) = (folder.join("ca.crt"), folder.join("ca.key"));
    if ca_path.exists() && !ca_key_path.exists() {
        let (kept, lost) = (ca_path.display(), ca_key_path.display());
        return Err(unusable(format!("`{kept}` exists, but its key `{lost}` does not")));
    }
    let made = !ca_key_path.exists();
    let key = if made { KeyPair::generate()? } else { key_from(&ca_key_path)? };
    if made {
        write(&ca_key_path, &key.serialize_pem())?;
    }
    for name in names {
        let host = name.strip_prefix("*.").unwrap_or(name);
        if ServerName::try_from(host).is_err() {
            let message = format!("`{name}` is neither a host name nor an address");
            return Err(
                Usage { message, hint: "correct --tls-name, or the names in the configuration" }.into()
            );
        }
    }
    let all: Vec<String> = LOCAL.iter().map(|&name| name.to_owned()).chain(names.iter().cloned()).collect();
    let issuer = if ca_path.exists() {
        existing(&ca_path, key, now)?
    } else {
        let params = ca_params(&key, &all, now);
        write(&ca_path, &params.self_signed(&key)?.pem())?;
        Issuer::new(params, key)
    };
    let mut leaf = CertificateParams::new(all.clone())?;
    leaf.distinguished_name.push(DnType::CommonName, "airlock registry");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    (leaf.not_before, leaf.not_after) = (now - SKEW, now + SERVER_LIFETIME);
    let key = KeyPair::generate()?;
    let signed = leaf.signed_by(&key, &issuer)?;
    check(&ca_path, signed.der(), &all, now)?;
    write(&folder.join("server.key"), &key.serialize_pem())?;
    write(&folder.join("server.crt"), &signed.pem())
}

/// An error about the CA's files. Clients of the old CA would not trust a new one, so none is created instead.
fn unusable(message: String) -> anyhow::Error {
    let hint =
        "restore the right file; or remove `ca.crt` and `ca.key`, and let every client trust the new CA";
    Usage { message, hint }.into()
}

fn key_from(path: &Path) -> anyhow::Result<KeyPair> {
    KeyPair::from_pem(&read(path)?)
        .map_err(|_| unusable(format!("`{}` is not a private key", path.display())))
}

/// The name of the CA. It differs between sites, so that a client that trusts two of them can distinguish them.
fn subject(key: &KeyPair) -> String {
    let fingerprint = Digest::sha256(key.public_key_raw()).to_string();
    let hex = fingerprint.rsplit(':').next().unwrap_or_default();
    format!("airlock CA {}", hex.get(..16).unwrap_or(hex))
}

/// Loads the existing CA, whose certificate must be valid and for this key.
fn existing(path: &Path, key: KeyPair, now: OffsetDateTime) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let refused = |what: &str| unusable(format!("`{}` is {what}", path.display()));
    let der =
        CertificateDer::from_pem_slice(read(path)?.as_bytes()).map_err(|_| refused("not a certificate"))?;
    let (_, certificate) =
        x509_parser::parse_x509_certificate(&der).map_err(|_| refused("not a certificate"))?;
    if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
        return Err(refused("not the certificate of the key next to it"));
    }
    // rustls does not check a CA's validity; Go and OpenSSL do.
    if certificate.validity().not_after.timestamp() <= now.unix_timestamp() {
        return Err(refused("the certificate of a CA that has expired"));
    }
    Issuer::from_ca_cert_der(&der, key).map_err(|_| refused("not the certificate of a CA"))
}

fn ca_params(key: &KeyPair, names: &[String], now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, subject(key));
    (params.not_before, params.not_after) = (now - SKEW, now + CA_LIFETIME);
    let permitted_subtrees = names.iter().map(|name| subtree(name)).collect();
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    params
}

/// Exactly this address, or this name and its subdomains: `*.a.b` needs `a.b`.
fn subtree(name: &str) -> GeneralSubtree {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(address.octets(), 32))
        }
        Ok(IpAddr::V6(address)) => {
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(address.octets(), 128))
        }
        Err(_) => GeneralSubtree::DnsName(name.trim_start_matches("*.").to_owned()),
    }
}

/// Checks with rustls that clients that trust `ca.crt` accept the new certificate for each name.
fn check(
    ca_path: &Path,
    certificate: &CertificateDer<'_>,
    names: &[String],
    now: OffsetDateTime,
) -> anyhow::Result<()> {
    // One name that the CA may not sign for makes the certificate unusable for all names.
    let refused = |error: &dyn std::fmt::Display| {
        let (path, names) = (ca_path.display(), names.join("`, `"));
        unusable(format!("the CA in `{path}` cannot sign for `{names}`: {error}"))
    };
    let ca = CertificateDer::from_pem_slice(read(ca_path)?.as_bytes()).map_err(|error| refused(&error))?;
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(|error| refused(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    for name in names {
        // A client connects to a host below a wildcard, never to the wildcard itself.
        let host = name.strip_prefix("*.").map_or_else(|| name.clone(), |rest| format!("host.{rest}"));
        let server = ServerName::try_from(host).map_err(|error| refused(&error))?;
        verifier.verify_server_cert(certificate, &[], &server, &[], at).map_err(|error| refused(&error))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    crate::files::write(path, text.as_bytes(), Readers::Owner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    #[test]
    fn an_existing_ca_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        issue(folder.path(), &[], now()).unwrap();
        let (ca, key) = (fs::read(path("ca.crt")).unwrap(), fs::read(path("ca.key")).unwrap());
        issue(folder.path(), &[], now()).unwrap();
        assert_eq!(fs::read(path("ca.crt")).unwrap(), ca);
        let refused = |words: &str| {
            let error = issue(folder.path(), &[], now()).unwrap_err().to_string();
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
        issue(folder.path(), &[], now()).unwrap();
    }

    #[test]
    fn a20_a_ca_signs_for_its_own_names_only_until_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["registry.site".to_owned(), "10.0.0.5".to_owned(), "*.nodes.site".to_owned()];
        let ask = |names: &[&str], at: OffsetDateTime| {
            issue(folder.path(), &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), at)
        };
        issue(folder.path(), &names, now()).unwrap();
        for same in [&["registry.site"][..], &["a.registry.site", "b.nodes.site"], &["10.0.0.5"]] {
            ask(same, now()).unwrap();
        }
        let kept = fs::read(folder.path().join("server.crt")).unwrap();
        for other in ["evil.example", "10.0.0.6", "fd00::1", "site", "xregistry.site"] {
            let error = ask(&[other], now()).expect_err(other).to_string();
            assert!(error.contains("cannot sign for") && error.contains(&format!("`{other}`")), "{error}");
        }
        // The CA expires, and the server certificate stays unchanged.
        let error = ask(&["registry.site"], now() + CA_LIFETIME + SKEW).unwrap_err().to_string();
        assert!(error.contains("has expired"), "{error}");
        assert_eq!(fs::read(folder.path().join("server.crt")).unwrap(), kept);
    }

    #[test]
    fn a20_the_cas_of_two_sites_have_different_names() {
        let subjects = [0, 1].map(|_| subject(&KeyPair::generate().unwrap()));
        assert_ne!(subjects[0], subjects[1]);
    }

    #[test]
    fn a_ca_of_an_earlier_version_is_still_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "airlock local authority");
        let issuer = rcgen::CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("ca.crt"), issuer.pem()).unwrap();
        fs::write(folder.path().join("ca.key"), issuer.key().serialize_pem()).unwrap();
        issue(folder.path(), &["anything.site".to_owned()], now()).unwrap();
    }
}

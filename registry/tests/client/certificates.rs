//! Certificates of servers, and files of certificates that the user gives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use oci::RegistryHost;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use registry::client::{Client, ClientConfig, Error, HostRule};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lying::{MANIFEST, place};

/// A certificate of `localhost` that signed itself, as `openssl req -x509 -subj /CN=localhost` makes it.
fn self_signed(names: &[&str], is_ca: IsCa) -> (String, Vec<u8>, KeyPair) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.is_ca = is_ca;
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), certificate.der().to_vec(), key)
}

/// A TLS server that answers every request with a manifest.
async fn serve(der: Vec<u8>, key: &KeyPair) -> u16 {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.into()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 8192]).await;
                let reply = format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{MANIFEST}",
                    MANIFEST.len()
                );
                let _ = stream.write_all(reply.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

fn trusting(host: &RegistryHost, pem: Option<&[u8]>) -> Result<Client, Error> {
    let ca_pem = pem.map(<[u8]>::to_vec);
    let rule =
        HostRule { host: host.clone(), endpoint: host.clone(), prefix: None, plain_http: false, ca_pem };
    Client::new(ClientConfig { hosts: vec![rule], ..ClientConfig::default() })
}

#[tokio::test]
async fn d10_a_servers_own_certificate_is_accepted_when_it_is_given() {
    let any = || IsCa::Ca(BasicConstraints::Unconstrained);
    for (names, is_ca) in [
        (&[][..], any()),
        (&["localhost"][..], any()),
        (&["localhost"][..], IsCa::ExplicitNoCa),
        (&[][..], IsCa::NoCa),
    ] {
        let (pem, der, key) = self_signed(names, is_ca);
        let port = serve(der, &key).await;
        let host: RegistryHost = format!("localhost:{port}").parse().unwrap();
        let (repository, tag) = place();
        let client = trusting(&host, Some(pem.as_bytes())).unwrap();
        let found = client.manifest(&host, &repository, &tag).await;
        assert!(matches!(found, Ok(Some(_))), "{names:?} {is_ca:?}: {found:?}");
        // The same configuration holds for files.
        assert!(client.file(&format!("https://localhost:{port}/x"), 0).await.is_ok());
    }
}

#[tokio::test]
async fn d10_a_certificate_that_is_not_accepted_is_told_at_once() {
    let (_, der, key) = self_signed(&["localhost"], IsCa::NoCa);
    let (other, ..) = self_signed(&["localhost"], IsCa::NoCa);
    let port = serve(der, &key).await;
    let host: RegistryHost = format!("localhost:{port}").parse().unwrap();
    let (repository, tag) = place();
    for pem in [None, Some(other.as_bytes())] {
        let client = trusting(&host, pem).unwrap();
        let start = Instant::now();
        let refused = client.manifest(&host, &repository, &tag).await.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(refused.hint().unwrap().contains("caFile"), "{refused:?}");
        assert!(client.file(&format!("https://localhost:{port}/x"), 0).await.is_err());
    }
}

#[tokio::test]
async fn d10_a_server_without_tls_is_told_at_once() {
    let plain = crate::lying::server(|_, _| crate::lying::answer(200, &[], MANIFEST)).await;
    let (repository, tag) = place();
    let start = Instant::now();
    let refused = trusting(&plain, None).unwrap().manifest(&plain, &repository, &tag).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(refused.hint().unwrap().contains("plainHTTP"), "{refused:?}");
}

#[tokio::test]
async fn d10_a_servers_certificate_is_no_authority_for_others() {
    // The owner of the pinned certificate signs another for the same name with it.
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.distinguished_name.push(DnType::CommonName, "owner");
    let key = KeyPair::generate().unwrap();
    let pinned = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::from_params(&params, &key);
    let below = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    leaf.is_ca = IsCa::NoCa;
    let leaf = leaf.signed_by(&below, &issuer).unwrap();
    let port = serve(leaf.der().to_vec(), &below).await;
    let host: RegistryHost = format!("localhost:{port}").parse().unwrap();
    let (repository, tag) = place();
    let client = trusting(&host, Some(pinned.pem().as_bytes())).unwrap();
    let refused = client.manifest(&host, &repository, &tag).await;
    assert!(matches!(refused, Err(Error::Request { .. })), "{refused:?}");
}

#[tokio::test]
async fn d10_a_bad_certificate_file_is_refused_at_once_with_what_is_wrong() {
    let (pem, der, _) = self_signed(&["localhost"], IsCa::NoCa);
    let key_only = KeyPair::generate().unwrap().serialize_pem();
    let broken = pem.replace("MII", "!!!");
    let no_certificate = pem_of(b"no certificate");
    let host: RegistryHost = "localhost:1".parse().unwrap();
    for (bytes, word) in [
        (&b""[..], "empty"),
        (&b" \n"[..], "empty"),
        (&der[..], "DER"),
        (&b"hello"[..], "BEGIN CERTIFICATE"),
        (key_only.as_bytes(), "BEGIN CERTIFICATE"),
        (broken.as_bytes(), "malformed"),
        (no_certificate.as_bytes(), "malformed"),
    ] {
        let refused = trusting(&host, Some(bytes)).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(word) && refused.contains("localhost:1"), "{word}: {refused}");
    }
    assert!(trusting(&host, Some(pem.as_bytes())).is_ok());
}

fn pem_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

//! Client certificates.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::{ONE, Registry};
use crate::cli::fails;
use crate::signing::{site, works};

const UPLOAD: &str = "/v2/team/new/blobs/uploads/";
const PULL: &str = "/v2/disk.example/team/app/manifests/v1";
const ANN: &str = "authorization: Basic YW5uOm9uZQ==\r\n";
const WRONG: &str = "authorization: Basic YW5uOm5vbmU=\r\n";

/// A CA of client certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A client that shows a certificate with this email address.
    fn client(&self, path: &Path, email: &str, adjust: impl FnOnce(&mut CertificateParams)) -> Client {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "admin");
        params.subject_alt_names = vec![SanType::Rfc822Name(email.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Client::new(path, Some((certificate, key)))
    }
}

/// A TLS client, which resumes sessions if the server lets it.
struct Client(Arc<ClientConfig>);

impl Client {
    fn new(path: &Path, own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path.join("store/tls/ca.crt")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        Self(Arc::new(match own {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        }))
    }

    fn connect(&self, address: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let client = ClientConnection::new(Arc::clone(&self.0), "localhost".try_into().unwrap()).unwrap();
        StreamOwned::new(client, TcpStream::connect(address).unwrap())
    }

    /// The response to a request on a new connection, or the reason why the handshake failed.
    fn ask(&self, address: &str, (method, path): (&str, &str), headers: &str) -> Result<String, String> {
        let mut stream = self.connect(address);
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n");
        let mut answer = Vec::new();
        let sent = stream.write_all(format!("{head}{headers}\r\n").as_bytes()).and_then(|()| stream.flush());
        let read = sent.and_then(|()| stream.read_to_end(&mut answer));
        match read {
            Err(error) if answer.is_empty() => Err(error.to_string()),
            _ => Ok(String::from_utf8(answer).unwrap()),
        }
    }

    fn status(&self, address: &str, request: (&str, &str), headers: &str) -> u16 {
        self.ask(address, request, headers).unwrap()[9..12].parse().unwrap()
    }
}

/// The status of a request on an open connection.
fn again(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> u16 {
    let head = format!("HEAD {PULL} HTTP/1.1\r\nhost: a\r\n\r\n");
    stream.write_all(head.as_bytes()).and_then(|()| stream.flush()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()[9..12].parse().unwrap()
}

fn write(path: &Path, tls: &str, access: &str) {
    let head = "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\n";
    let listeners = format!("listeners: [{{address: '127.0.0.1:0', tls: {{selfSigned: true{tls}}}}}]\n");
    std::fs::write(path.join("registry.yaml"), format!("{head}{listeners}access:\n{access}")).unwrap();
}

fn access(group: &str) -> String {
    format!(
        "  htpasswd: users\n  certificates: {{usernameFrom: email, usernamePrefix: 'cert:'}}\n\
         \x20 groups: {{team: [{group}]}}\n  policies:\n\
         \x20   - {{repositories: ['disk.example/**'], to: ['user:cert:ann@site', 'user:ann'], allow: [pull]}}\n\
         \x20   - {{repositories: ['team/**'], to: ['group:team'], allow: [push]}}\n"
    )
}

fn started(path: &Path, authority: &Authority) -> Registry {
    std::fs::write(path.join("users"), ONE).unwrap();
    std::fs::write(path.join("clients.crt"), &authority.pem).unwrap();
    write(path, ", clientCA: clients.crt", &access("cert:ann@site"));
    Registry::start(path, &["-f", "registry.yaml"])
}

#[test]
fn a_client_certificate_identifies_a_user_and_no_other_certificate_does() {
    let folder = site();
    let path = folder.path();
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let registry = started(path, &authority);
    let address = registry.address(0);
    let (base, pull, push) = (("GET", "/v2/"), ("GET", PULL), ("POST", UPLOAD));
    let ann = authority.client(path, "ann@site", |_| ());
    let statuses =
        |client: &Client, headers| [base, pull, push].map(|what| client.status(address, what, headers));
    assert_eq!(statuses(&ann, ""), [200, 200, 202]);
    // A password counts more than the certificate, and a wrong one is not forgiven.
    assert_eq!(statuses(&ann, ANN), [200, 200, 403]);
    assert_eq!(statuses(&ann, WRONG), [401, 401, 401]);
    let nobody = Client::new(path, None);
    assert_eq!(statuses(&nobody, ""), [401, 401, 401]);
    assert_eq!(statuses(&nobody, ANN), [200, 200, 403]);
    // The policies do not know this user.
    assert_eq!(statuses(&authority.client(path, "bob@site", |_| ()), ""), [200, 403, 403]);
    // Two names of the kind, or none, identify no user.
    let eve = SanType::Rfc822Name("eve@site".try_into().unwrap());
    let both = authority.client(path, "ann@site", |params| params.subject_alt_names.push(eve));
    let none = authority.client(path, "ann@site", |params| params.subject_alt_names.clear());
    for client in [both, none] {
        let said = client.ask(address, base, "").unwrap();
        assert!(said.contains("401") && said.contains("the client certificate identifies no user"), "{said}");
        assert_eq!(client.status(address, pull, ANN), 200);
    }
    let yesterday = OffsetDateTime::now_utc() - Duration::DAY;
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    let refused = [
        ("UnknownCA", other.client(path, "ann@site", |_| ())),
        ("CertificateExpired", authority.client(path, "ann@site", |params| params.not_after = yesterday)),
        ("", authority.client(path, "ann@site", |params| params.extended_key_usages = vec![server])),
    ];
    for (alert, client) in refused {
        let said = client.ask(address, base, "").unwrap_err();
        assert!(said.contains(alert) && said.contains("alert"), "{alert}: {said}");
    }
    registry.stop();
}

#[test]
fn a_token_for_a_certificate_needs_the_certificate() {
    let folder = site();
    let path = folder.path();
    let authority = Authority::new("one");
    let registry = started(path, &authority);
    let address = registry.address(0);
    let ann = authority.client(path, "ann@site", |_| ());
    let said = ann.ask(address, ("GET", "/token?scope=repository:disk.example/team/app:pull"), "").unwrap();
    let body: Value = serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap();
    let token = format!("authorization: Bearer {}\r\n", body["token"].as_str().unwrap());
    let pull = |client: &Client| client.status(address, ("GET", PULL), &token);
    assert_eq!(pull(&ann), 200);
    let (same_name, nobody) = (authority.client(path, "ann@site", |_| ()), Client::new(path, None));
    assert_eq!((pull(&same_name), pull(&nobody)), (401, 401));
    registry.stop();
}

#[test]
fn replaced_cas_apply_to_open_connections_and_resumed_sessions() {
    let folder = site();
    let path = folder.path();
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let registry = started(path, &authority);
    let address = registry.address(0);
    let ann = authority.client(path, "ann@site", |_| ());
    let mut open = ann.connect(address);
    assert_eq!((again(&mut open), ann.status(address, ("GET", PULL), "")), (200, 200));
    // A file that cannot be used changes nothing.
    registry.says_after("the configuration was not reloaded; the one in use stays", || {
        std::fs::write(path.join("clients.crt"), "no certificate").unwrap();
    });
    assert!(registry.said().contains("the file contains no client CA certificate"), "{}", registry.said());
    assert_eq!((again(&mut open), ann.status(address, ("GET", PULL), "")), (200, 200));
    registry.says_after("reloaded the configuration; changed: CAs of clients", || {
        std::fs::write(path.join("clients.crt"), &other.pem).unwrap();
    });
    assert_eq!(again(&mut open), 401);
    assert!(ann.ask(address, ("GET", PULL), "").is_err(), "a session was resumed");
    assert_eq!(other.client(path, "ann@site", |_| ()).status(address, ("GET", PULL), ""), 200);
    registry.stop();
}

#[test]
fn a_configuration_in_which_certificates_have_no_effect_is_refused() {
    let folder = site();
    let path = folder.path();
    std::fs::write(path.join("users"), ONE).unwrap();
    std::fs::write(path.join("clients.crt"), Authority::new("one").pem).unwrap();
    let ca = ", clientCA: clients.crt";
    let checked = |tls: &str, access: &str| {
        write(path, tls, access);
        ["serve", "--check", "-f", "registry.yaml"]
    };
    let text = works(path, &checked(ca, &access("ann")));
    assert!(text.contains(", clients of clients.crt)"), "{text}");
    let refused =
        |tls: &str, access: &str, code, words: &str| fails(path, &checked(tls, access), code, words);
    refused("", &access("ann"), 2, "`access.certificates` has no effect");
    refused(ca, "  htpasswd: users\n", 2, "`tls.clientCA` has no effect without `access.certificates`");
    let rule = "  certificates: {usernameFrom: commonName}\n";
    refused(ca, rule, 2, "`access.certificates` has no effect without `access.policies`");
    refused(ca, &access("ann").replace("email", "serial"), 2, "line 7: unknown value `serial`");
    refused(", clientCA: none.crt", &access("ann"), 4, "none.crt");
    refused(", clientCA: users", &access("ann"), 2, "the file contains no client CA certificate");
}

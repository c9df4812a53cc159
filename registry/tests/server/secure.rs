//! A server with TLS that identifies its clients by their certificates.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use registry::server::{ClientAuthorities, Listener};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

type Own = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// The certificates of a server and of its clients.
pub(crate) struct Secure {
    /// The server's own certificate.
    pub(crate) root: CertificateDer<'static>,
    pub(crate) tls: Arc<ServerConfig>,
    clients: Arc<ClientAuthorities>,
    issuer: rcgen::Issuer<'static, KeyPair>,
    issued: Mutex<BTreeMap<String, Own>>,
}

impl Secure {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("no key");
        let pem = params.self_signed(&key).expect("no CA").pem();
        let clients = Arc::new(ClientAuthorities::parse(&pem).expect("no CA"));
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("no certificate");
        let root = own.cert.der().clone();
        let secret = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("no key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("no versions").with_client_cert_verifier(Arc::clone(&clients) as _);
        let tls = builder.with_single_cert(vec![root.clone()], secret).expect("no configuration");
        let issuer = rcgen::Issuer::new(params, key);
        Self { root, tls: Arc::new(tls), clients, issuer, issued: Mutex::default() }
    }

    pub(crate) fn listener(&self, socket: TcpListener) -> Listener {
        Listener::tcp(socket, Some(Arc::clone(&self.tls))).with_clients(Some(Arc::clone(&self.clients)))
    }

    /// The certificate of a client, always the same.
    pub(crate) fn client(&self, name: &str) -> Own {
        let mut issued = self.issued.lock().expect("poisoned");
        let (certificate, key) = issued.entry(name.to_owned()).or_insert_with(|| {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect("no key");
            let certificate = params.signed_by(&key, &self.issuer).expect("no certificate").der().clone();
            (certificate, PrivateKeyDer::try_from(key.serialize_der()).expect("no key"))
        });
        (certificate.clone(), key.clone_key())
    }
}

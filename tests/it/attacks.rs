//! Attacks on signatures by an attacker between a site and its registry; each test is named after the attack. Attacks with
//! evidence and trust files are in `bundle-signer/tests`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::cli::{airlock, fails};
use crate::signing::{IMAGE, refuses, serve, site, without_roles, works};

const EMPTY: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// The attack on requests for some paths; all other requests pass.
#[derive(Clone, Copy)]
enum Attack {
    Nothing,
    /// The list of referrers is empty, and the fallback tag does not exist.
    DropReferrers,
    /// The server fails for paths that contain this.
    Fail(&'static str),
    /// The connection is closed without a response for paths that contain this.
    Cut(&'static str),
}

/// A proxy between the client and a registry.
struct Proxy {
    address: String,
    attack: Arc<Mutex<Attack>>,
}

impl Proxy {
    fn new(registry: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let attack = Arc::new(Mutex::new(Attack::Nothing));
        let shared = Arc::clone(&attack);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (registry, attack) = (registry.clone(), *shared.lock().unwrap());
                std::thread::spawn(move || forward(stream, &registry, attack));
            }
        });
        Self { address, attack }
    }

    fn attack(&self, attack: Attack) {
        *self.attack.lock().unwrap() = attack;
    }
}

/// Forwards one request, which has no body, and its response.
fn forward(mut client: TcpStream, registry: &str, attack: Attack) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let path = head.split(' ').nth(1).unwrap_or_default();
    let list = path.contains("/referrers/");
    let fallback = path.contains("/manifests/sha256-") && !path.contains('.');
    let answer = |status: &str, body: &str| {
        let kind = "application/vnd.oci.image.index.v1+json";
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let said = match attack {
        Attack::DropReferrers if list => answer("200 OK", EMPTY),
        Attack::DropReferrers if fallback => answer("404 Not Found", ""),
        Attack::Fail(part) if path.contains(part) => answer("503 Service Unavailable", ""),
        Attack::Cut(part) if path.contains(part) => return Ok(()),
        Attack::Nothing | Attack::DropReferrers | Attack::Fail(_) | Attack::Cut(_) => {
            let mut server = TcpStream::connect(registry)?;
            server.write_all(head.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
            let mut bytes = Vec::new();
            server.read_to_end(&mut bytes)?;
            return client.write_all(&bytes);
        }
    };
    client.write_all(said.as_bytes())
}

/// The arguments that verify the image through the proxy.
fn verify<'a>(reference: &'a str, trust: &'a str) -> Vec<&'a str> {
    let name = IMAGE.rsplit_once(':').unwrap().0;
    vec!["verify-image", reference, "--plain-http", "--name", name, "--trust", trust]
}

#[test]
fn dropped_referrers() {
    let folder = site();
    let path = folder.path();
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key"]);
    let text = without_roles(path, "release.yaml");
    let bundles = format!("{text}    roles: [{{sign: [signature], formats: [bundle]}}]\n");
    std::fs::write(path.join("bundles.yaml"), bundles).unwrap();
    let (_served, registry) = serve(path, "store");
    let proxy = Proxy::new(registry);
    let reference = format!("{}/{IMAGE}", proxy.address);
    works(path, &verify(&reference, "bundles.yaml"));
    proxy.attack(Attack::DropReferrers);
    // The remaining signature in the older format does not replace the dropped one.
    refuses(path, &verify(&reference, "bundles.yaml"), "may not sign this");
    // If the policy accepts either format, dropping one has no effect.
    assert!(works(path, &verify(&reference, "release.yaml")).contains("simpleSigning"));
}

#[test]
fn registry_outage() {
    let folder = site();
    let path = folder.path();
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key"]);
    let (served, registry) = serve(path, "store");
    let through = |attack| {
        let proxy = Proxy::new(registry.clone());
        proxy.attack(attack);
        proxy.address + "/" + IMAGE
    };
    works(path, &verify(&through(Attack::Nothing), "release.yaml"));
    // If any request fails, the result is unknown, even if another response would be sufficient. All cases run at once,
    // because the client retries for a while.
    std::thread::scope(|scope| {
        for attack in [
            Attack::Fail("/referrers/"),
            Attack::Fail(".sig"),
            Attack::Fail(".att"),
            Attack::Fail("/blobs/"),
            Attack::Cut("/referrers/"),
            Attack::Cut(".sig"),
        ] {
            let reference = through(attack);
            scope.spawn(move || {
                let output = airlock(path, &verify(&reference, "release.yaml"));
                let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(6), "{said}");
                assert!(
                    said.contains("the request to the registry failed") && !said.contains("signed"),
                    "{said}"
                );
            });
        }
    });
    drop(served);
    fails(path, &verify(&through(Attack::Nothing), "release.yaml"), 6, "the request to the registry failed");
}

//! What someone between a site and its registry can do to signatures, each test named by the attack. What can be done
//! with evidence and with trust files is in `bundle-signer/tests`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::cli::{airlock, fails};
use crate::signing::{IMAGE, refuses, serve, site, without_roles, works};

const EMPTY: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// What is done with requests for these paths; all others go through.
#[derive(Clone, Copy)]
enum Attack {
    Nothing,
    /// No referrer is listed, and no index stands in for the list.
    DropReferrers,
    /// The server fails on paths that contain this.
    Fail(&'static str),
    /// The connection ends without an answer on such paths.
    Cut(&'static str),
}

/// A registry's address, with someone before it.
struct Between {
    address: String,
    attack: Arc<Mutex<Attack>>,
}

impl Between {
    fn new(registry: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let attack = Arc::new(Mutex::new(Attack::Nothing));
        let shared = Arc::clone(&attack);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (registry, attack) = (registry.clone(), *shared.lock().unwrap());
                std::thread::spawn(move || pass(stream, &registry, attack));
            }
        });
        Self { address, attack }
    }

    fn now(&self, attack: Attack) {
        *self.attack.lock().unwrap() = attack;
    }
}

/// One request, which has no body, and its answer.
fn pass(mut client: TcpStream, registry: &str, attack: Attack) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let path = head.split(' ').nth(1).unwrap_or_default();
    let list = path.contains("/referrers/");
    let stand_in = path.contains("/manifests/sha256-") && !path.contains('.');
    let answer = |status: &str, body: &str| {
        let kind = "application/vnd.oci.image.index.v1+json";
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let said = match attack {
        Attack::DropReferrers if list => answer("200 OK", EMPTY),
        Attack::DropReferrers if stand_in => answer("404 Not Found", ""),
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

/// The arguments that verify the image through someone.
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
    let between = Between::new(registry);
    let reference = format!("{}/{IMAGE}", between.address);
    works(path, &verify(&reference, "bundles.yaml"));
    between.now(Attack::DropReferrers);
    // The older signature that is left does not stand in for the one that was dropped.
    refuses(path, &verify(&reference, "bundles.yaml"), "may not sign this");
    // Where the policy takes either, nothing was gained by dropping one.
    assert!(works(path, &verify(&reference, "release.yaml")).contains("simpleSigning"));
}

#[test]
fn registry_outage() {
    let folder = site();
    let path = folder.path();
    works(path, &["sign", IMAGE, "--store", "store", "--key", "release.key"]);
    let (served, registry) = serve(path, "store");
    let through = |attack| {
        let between = Between::new(registry.clone());
        between.now(attack);
        between.address + "/" + IMAGE
    };
    works(path, &verify(&through(Attack::Nothing), "release.yaml"));
    // Whatever cannot be asked leaves the question open, also where another answer would do. All at once, because
    // the client tries again for a while.
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
                assert!(said.contains("could not be asked") && !said.contains("signed"), "{said}");
            });
        }
    });
    drop(served);
    fails(path, &verify(&through(Attack::Nothing), "release.yaml"), 6, "could not be asked");
}

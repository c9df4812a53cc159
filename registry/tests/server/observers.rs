//! Observers of changes and refusals.

use std::sync::{Arc, Mutex};

use oci::Digest;
use registry::server::{Changed, Observer, Refused};

use crate::{Server, client, parameter, password, support};

#[tokio::test]
async fn r11_the_observer_learns_the_address_that_a_trusted_proxy_tells() {
    #[derive(Default)]
    struct Addresses(Mutex<Vec<String>>);
    impl Observer for Addresses {
        fn changed(&self, _: &Changed) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            Ok(())
        }
        fn refused(&self, attempt: &Refused) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let address = attempt.visitor.address.expect("no address").ip().to_string();
            self.0.lock().expect("no lines").push(address);
            Ok(())
        }
    }
    let mut seen = Vec::new();
    for proxies in [&["127.0.0.0/8"][..], &[]] {
        let addresses = Arc::new(Addresses::default());
        let observer = Arc::clone(&addresses);
        let server = Server::start(|config| {
            config.auth = password(true);
            config.observer = Some(observer);
            config.proxies = proxies.iter().map(|text| text.parse().expect("no range")).collect();
        })
        .await;
        let request = client().get(server.url("/v2/")).basic_auth("ann", Some("wrong"));
        let request =
            request.header("x-forwarded-for", "198.51.100.1, 192.0.2.7").header("x-forwarded-proto", "https");
        let answer = request.send().await.expect("no answer");
        let challenge = answer.headers()["www-authenticate"].to_str().expect("no text");
        assert_eq!(parameter(challenge, "realm").starts_with("https://"), !proxies.is_empty());
        seen.append(&mut addresses.0.lock().expect("no lines"));
    }
    assert_eq!(seen, ["192.0.2.7", "127.0.0.1"]);
}

/// Records all changes and refusals, or fails each time.
#[derive(Default)]
struct Notes {
    lines: Mutex<Vec<String>>,
    fails: Option<std::io::ErrorKind>,
}

impl Notes {
    fn take(&self, line: String) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if let Some(kind) = self.fails {
            return Err(Box::new(std::io::Error::from(kind)));
        }
        self.lines.lock().expect("no lines").push(line);
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().expect("no lines"))
    }
}

impl Observer for Notes {
    fn changed(&self, change: &Changed) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (operation, user) = (change.operation, change.visitor.user.as_deref().unwrap_or("nobody"));
        assert!(change.visitor.address.is_some_and(|address| address.ip().is_loopback()));
        let tags: Vec<_> = change.tags.iter().map(ToString::to_string).collect();
        self.take(format!("{operation:?} {} {} by {user}", change.repository, tags.join(",")))
    }

    fn refused(&self, attempt: &Refused) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let user = attempt.visitor.user.as_deref().unwrap_or("nobody");
        self.take(format!("{} {:?} {} by {user}", attempt.status, attempt.operation, attempt.name))
    }
}

async fn status(request: support::Request) -> u16 {
    request.send().await.expect("no answer").status().as_u16()
}

#[tokio::test]
async fn an_observer_is_told_of_every_change_and_who_made_it_before_the_client_is() {
    let notes = Arc::new(Notes::default());
    let observer = Arc::clone(&notes);
    let server = Server::start(|config| {
        config.observer = Some(observer);
        config.auth = password(false);
    })
    .await;
    let client = client();
    let blob = Digest::sha256(b"{}");
    let ann = |request: support::Request| request.basic_auth("ann", Some("secret"));
    let post = ann(client.post(server.url(&format!("/v2/a/blobs/uploads/?digest={blob}"))).body("{}"));
    assert_eq!((status(post).await, notes.lines()), (201, vec!["PushBlob a  by ann".to_owned()]));
    let mount = ann(client.post(server.url(&format!("/v2/b/blobs/uploads/?mount={blob}&from=a"))));
    assert_eq!((status(mount).await, notes.lines()), (201, vec!["PushBlob b  by ann".to_owned()]));
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST, "layers": [],
        "config": { "mediaType": oci::media_type::OCI_CONFIG, "digest": blob.to_string(), "size": 2 },
    });
    let bytes = manifest.to_string();
    let digest = Digest::sha256(bytes.as_bytes());
    for (expected, request, line) in [
        (201, client.put(server.url("/v2/a/manifests/v1")).body(bytes.clone()), "PushManifest a v1 by ann"),
        (400, client.put(server.url("/v2/a/manifests/v2")).body("{"), "400 PushManifest a:v2 by ann"),
        (404, client.delete(server.url("/v2/a/manifests/v3")), "404 DeleteTag a:v3 by ann"),
        (202, client.delete(server.url("/v2/a/manifests/v1")), "DeleteTag a v1 by ann"),
        (202, client.delete(server.url(&format!("/v2/a/manifests/{digest}"))), "DeleteManifest a  by ann"),
        (202, client.delete(server.url(&format!("/v2/b/blobs/{blob}"))), "DeleteBlob b  by ann"),
    ] {
        assert_eq!((status(ann(request)).await, notes.lines()), (expected, vec![line.to_owned()]));
    }
    let wrong = client.get(server.url("/v2/")).basic_auth("bob", Some("guess"));
    assert_eq!((status(wrong).await, notes.lines()), (401, vec!["401 LogIn /v2/ by bob".to_owned()]));
    let silent = client.delete(server.url("/v2/a/manifests/v1"));
    assert_eq!((status(silent).await, notes.lines()), (401, Vec::new()), "the challenge before the password");
    assert_eq!((status(ann(client.get(server.url("/v2/")))).await, notes.lines()), (200, Vec::new()));
}

#[tokio::test]
async fn a_change_that_the_observer_cannot_note_is_not_reported_as_done() {
    for (kind, expected) in
        [(std::io::ErrorKind::PermissionDenied, 500), (std::io::ErrorKind::StorageFull, 507)]
    {
        let server = Server::start(|config| {
            config.observer = Some(Arc::new(Notes { fails: Some(kind), ..Notes::default() }));
        })
        .await;
        let digest = server.add_image("a", "v1", b"{}");
        let delete = client().delete(server.url(&format!("/v2/a/manifests/{digest}")));
        assert_eq!(status(delete).await, expected);
    }
}

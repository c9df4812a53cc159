//! Registries with unusual responses, within the protocol or slightly outside it: their content is still mirrored.

#[cfg(feature = "slow-tests")]
mod unusual;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cli::airlock;
use crate::upstream::{Content, INDEX, Request, Upstream, image, mirror, reply, tag};

const LAYER: &[u8] = b"the layer's content";

fn one_image() -> Content {
    let mut content = Content::new();
    let found = image(&mut content, "a", LAYER);
    tag(&mut content, "a", "v1", &found);
    content
}

fn plain(kind: &str, body: &[u8]) -> Vec<u8> {
    reply(&format!("200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}", body.len()), body)
}

/// A registry with a token service that accepts only the method `by`.
fn guarded(by: &'static str, challenge: &'static str) -> Upstream {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let secret = STANDARD.encode("user:pass word+&");
    let responses = move |request: &Request, _: Option<&(String, Vec<u8>)>| {
        if request.path.starts_with("/token") {
            let basic =
                request.headers.get("authorization").is_some_and(|value| *value == format!("Basic {secret}"));
            let given = match by {
                "GET" => request.method == "GET" && basic,
                _ => {
                    request.method == "POST"
                        && request.body.contains("grant_type=password")
                        && request.body.contains("username=user")
                        && request.body.contains("password=pass+word%2B%26")
                }
            };
            if request.method != by {
                return Some(reply("405 Method Not Allowed\r\nContent-Length: 0", b""));
            }
            let parameters = format!("{}{}", request.path, request.body);
            assert!(
                !challenge.contains("service=") || parameters.contains("service=the+registry"),
                "{parameters}"
            );
            let body = br#"{"access_token":"t"}"#;
            return Some(if given {
                plain("application/json", body)
            } else {
                reply("401 No\r\nContent-Length: 0", b"")
            });
        }
        (request.headers.get("authorization").map(String::as_str) != Some("Bearer t")).then(|| {
            let challenge = challenge.replace("HOST", &address.to_string());
            reply(&format!("401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0"), b"")
        })
    };
    Upstream::on(listener, one_image(), Box::new(responses))
}

#[test]
fn d13_tokens_are_requested_with_the_method_that_the_service_supports() {
    for by in ["GET", "POST"] {
        for challenge in [
            "Bearer realm=\"http://HOST/token\",service=\"the registry\",scope=\"repository:a:pull\"",
            "Bearer realm=\"http://HOST/token?x=y\",service=\"the registry\",scope=\"repository:a:pull registry:catalog:*\"",
            "Bearer realm=\"http://HOST/token\"",
            "Basic realm=\"other\", Bearer realm=\"http://HOST/token\",error=\"invalid_token\"",
        ] {
            let upstream = guarded(by, challenge);
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join(".docker")).unwrap();
            let auth = STANDARD.encode("user:pass word+&");
            let config = format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, upstream.address);
            std::fs::write(folder.path().join(".docker/config.json"), config).unwrap();
            let output = mirror(folder.path(), &upstream, "[{images: ['r.example/a:v1']}]", &[]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{by} {challenge}: {said}\n{:#?}", upstream.requests());
        }
    }
}

#[test]
fn d13_a_mirror_with_a_path_prefix_gets_all_requests_below_the_prefix() {
    let mut content = Content::new();
    let found = image(&mut content, "proxy/hub/a", LAYER);
    tag(&mut content, "proxy/hub/a", "v1", &found);
    let listed = format!("/v2/proxy/hub/a/referrers/{}", found["digest"].as_str().unwrap());
    let about = image(&mut content, "proxy/hub/a", b"about");
    let list = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{about}]}}"#);
    let upstream = Upstream::responding(
        content,
        Box::new(move |request, _| {
            // Two pages; the link to the second is a path from the registry's root.
            if request.path == listed {
                let next = format!("<{listed}?last=x>; rel=\"next\"");
                let body = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
                let head = format!(
                    "200 OK\r\nContent-Type: {INDEX}\r\nLink: {next}\r\nContent-Length: {}",
                    body.len()
                );
                return Some(reply(&head, body.as_bytes()));
            }
            request.path.starts_with(&listed).then(|| plain(INDEX, list.as_bytes()))
        }),
    );
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: a}}\n\
         registries: [{{host: r.example, mirror: '{}/proxy/hub', plainHTTP: true}}]\n\
         sources: [{{images: ['r.example/a:v1']}}]\n",
        upstream.address
    );
    std::fs::write(folder.path().join("airlock.yaml"), text).unwrap();
    let output = airlock(folder.path(), &["mirror", "--store", "s"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let strays: Vec<_> =
        upstream.requests().into_iter().filter(|request| !request.contains(" /v2/proxy/hub/a/")).collect();
    assert_eq!(strays, Vec::<String>::new());
    assert!(upstream.requests().iter().any(|request| request.contains("?last=x")));
}

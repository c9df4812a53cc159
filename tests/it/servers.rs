//! Servers that answer in their own way, within the protocol or a little beside it: what they have is fetched.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cli::airlock;
use crate::upstream::{Asked, Content, INDEX, Upstream, image, mirror, reply, tag};

const LAYER: &[u8] = b"the layer's content";

fn one_image() -> Content {
    let mut content = Content::new();
    let found = image(&mut content, "a", LAYER);
    tag(&mut content, "a", "v1", &found);
    content
}

type Answer = fn(&Asked, Option<&(String, Vec<u8>)>) -> Option<Vec<u8>>;

fn chunked(kind: &str, body: &[u8]) -> Vec<u8> {
    let (first, second) = body.split_at(body.len() / 2);
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for piece in [first, second] {
        bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

fn plain(kind: &str, body: &[u8]) -> Vec<u8> {
    reply(&format!("200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}", body.len()), body)
}

const ANSWERS: [(&str, Answer); 16] = [
    ("HEAD is not allowed", |asked, _| {
        (asked.method == "HEAD").then(|| reply("405 Method Not Allowed\r\nContent-Length: 0", b""))
    }),
    ("HEAD is an error", |asked, _| {
        (asked.method == "HEAD").then(|| reply("400 Bad Request\r\nContent-Length: 0", b""))
    }),
    ("no Docker-Content-Digest", |asked, found| {
        let (kind, body) = found?;
        let body = if asked.method == "HEAD" { &b""[..] } else { body };
        Some(plain(kind, body))
    }),
    ("a Docker-Content-Digest that is none", |asked, found| {
        let (kind, body) = found?;
        let head = format!(
            "200 OK\r\nContent-Type: {kind}\r\nDocker-Content-Digest: none\r\nContent-Length: {}",
            body.len()
        );
        Some(reply(&head, if asked.method == "HEAD" { b"" } else { body }))
    }),
    ("chunked", |asked, found| {
        found.filter(|_| asked.method == "GET").map(|(kind, body)| chunked(kind, body))
    }),
    ("no type", |asked, found| {
        let (_, body) = found.filter(|_| asked.method == "GET")?;
        Some(reply(&format!("200 OK\r\nContent-Length: {}", body.len()), body))
    }),
    ("a type with parameters", |asked, found| {
        let (kind, body) = found.filter(|_| asked.method == "GET")?;
        Some(plain(&format!("{kind}; charset=utf-8"), body))
    }),
    ("another type", |asked, found| {
        let (_, body) = found.filter(|_| asked.method == "GET")?;
        Some(plain("application/json", body))
    }),
    ("too many requests", |asked, _| {
        (asked.before == 0)
            .then(|| reply("429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0", b""))
    }),
    ("an error at first", |asked, _| {
        (asked.before == 0).then(|| reply("500 Internal Server Error\r\nContent-Length: 0", b""))
    }),
    ("unavailable twice", |asked, _| {
        (asked.before < 2).then(|| reply("503 Unavailable\r\nRetry-After: 0\r\nContent-Length: 0", b""))
    }),
    ("a body shorter than its length", |asked, found| {
        let (kind, body) = found.filter(|_| asked.method == "GET" && asked.before == 0)?;
        let head = format!("200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}", body.len());
        Some(reply(&head, &body[..body.len() / 2]))
    }),
    ("a redirect to a path", |asked, found| {
        let is_here = found.is_some() && asked.path.contains("/blobs/") && !asked.path.contains("moved");
        is_here.then(|| {
            reply(
                &format!(
                    "307 Temporary Redirect\r\nLocation: ../../../moved{}\r\nContent-Length: 0",
                    asked.path
                ),
                b"",
            )
        })
    }),
    ("a redirect that keeps a query", |asked, found| {
        let is_here = found.is_some() && asked.path.contains("/blobs/") && !asked.path.contains("moved");
        is_here.then(|| {
            reply(
                &format!("302 Found\r\nLocation: /moved{}?X-Sig=a%2Fb%3D\r\nContent-Length: 0", asked.path),
                b"",
            )
        })
    }),
    ("a list of referrers that is a page", |asked, _| {
        asked.path.contains("/referrers/").then(|| plain("text/html", b"<html>all right</html>"))
    }),
    ("a list of referrers with null", |asked, _| {
        asked.path.contains("/referrers/").then(|| {
            plain(
                INDEX,
                format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":null}}").as_bytes(),
            )
        })
    }),
];

#[test]
fn d11_d14_a_registry_that_answers_in_its_own_way_is_mirrored_from() {
    for (name, answer) in ANSWERS {
        let mut content = one_image();
        let moved: Vec<_> = content
            .iter()
            .filter(|(path, _)| path.contains("/blobs/"))
            .flat_map(|(path, found)| {
                ["", "?X-Sig=a%2Fb%3D"].map(|query| (format!("/moved{path}{query}"), found.clone()))
            })
            .collect();
        content.extend(moved);
        let upstream = Upstream::answering(content, Box::new(answer));
        let folder = tempfile::tempdir().unwrap();
        let output = mirror(folder.path(), &upstream, "[{images: ['r.example/a:v1']}]", &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{name}: {said}\n{:#?}", upstream.asked());
    }
}

/// A registry with a token service: `by` says how the service is asked.
fn guarded(by: &'static str, challenge: &'static str) -> Upstream {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let secret = STANDARD.encode("user:pass word+&");
    let answers = move |asked: &Asked, _: Option<&(String, Vec<u8>)>| {
        if asked.path.starts_with("/token") {
            let basic =
                asked.headers.get("authorization").is_some_and(|value| *value == format!("Basic {secret}"));
            let given = match by {
                "GET" => asked.method == "GET" && basic,
                _ => {
                    asked.method == "POST"
                        && asked.body.contains("grant_type=password")
                        && asked.body.contains("username=user")
                        && asked.body.contains("password=pass+word%2B%26")
                }
            };
            if asked.method != by {
                return Some(reply("405 Method Not Allowed\r\nContent-Length: 0", b""));
            }
            let asked_for = format!("{}{}", asked.path, asked.body);
            assert!(
                !challenge.contains("service=") || asked_for.contains("service=the+registry"),
                "{asked_for}"
            );
            let body = br#"{"access_token":"t"}"#;
            return Some(if given {
                plain("application/json", body)
            } else {
                reply("401 No\r\nContent-Length: 0", b"")
            });
        }
        (asked.headers.get("authorization").map(String::as_str) != Some("Bearer t")).then(|| {
            let challenge = challenge.replace("HOST", &address.to_string());
            reply(&format!("401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0"), b"")
        })
    };
    Upstream::on(listener, one_image(), Box::new(answers))
}

#[test]
fn d13_token_services_are_asked_as_they_can_be_asked() {
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
            assert_eq!(output.status.code(), Some(0), "{by} {challenge}: {said}\n{:#?}", upstream.asked());
        }
    }
}

#[test]
fn d13_a_mirror_with_a_path_before_its_repositories_is_asked_there_for_everything() {
    let mut content = Content::new();
    let found = image(&mut content, "proxy/hub/a", LAYER);
    tag(&mut content, "proxy/hub/a", "v1", &found);
    let listed = format!("/v2/proxy/hub/a/referrers/{}", found["digest"].as_str().unwrap());
    let about = image(&mut content, "proxy/hub/a", b"about");
    let list = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{about}]}}"#);
    let upstream = Upstream::answering(
        content,
        Box::new(move |asked, _| {
            // Two pages, the next by a path that begins at the registry's root.
            if asked.path == listed {
                let next = format!("<{listed}?last=x>; rel=\"next\"");
                let body = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
                let head = format!(
                    "200 OK\r\nContent-Type: {INDEX}\r\nLink: {next}\r\nContent-Length: {}",
                    body.len()
                );
                return Some(reply(&head, body.as_bytes()));
            }
            asked.path.starts_with(&listed).then(|| plain(INDEX, list.as_bytes()))
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
        upstream.asked().into_iter().filter(|asked| !asked.contains(" /v2/proxy/hub/a/")).collect();
    assert_eq!(strays, Vec::<String>::new());
    assert!(upstream.asked().iter().any(|asked| asked.contains("?last=x")));
}

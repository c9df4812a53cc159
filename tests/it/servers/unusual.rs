//! One image from registries that each respond in another unusual way.

use super::{one_image, plain};
use crate::upstream::{INDEX, Request, Upstream, mirror, reply};

type Response = fn(&Request, Option<&(String, Vec<u8>)>) -> Option<Vec<u8>>;

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

const RESPONSES: [(&str, Response); 16] = [
    ("HEAD is not allowed", |request, _| {
        (request.method == "HEAD").then(|| reply("405 Method Not Allowed\r\nContent-Length: 0", b""))
    }),
    ("HEAD is an error", |request, _| {
        (request.method == "HEAD").then(|| reply("400 Bad Request\r\nContent-Length: 0", b""))
    }),
    ("no Docker-Content-Digest", |request, found| {
        let (kind, body) = found?;
        let body = if request.method == "HEAD" { &b""[..] } else { body };
        Some(plain(kind, body))
    }),
    ("an invalid Docker-Content-Digest", |request, found| {
        let (kind, body) = found?;
        let head = format!(
            "200 OK\r\nContent-Type: {kind}\r\nDocker-Content-Digest: none\r\nContent-Length: {}",
            body.len()
        );
        Some(reply(&head, if request.method == "HEAD" { b"" } else { body }))
    }),
    ("chunked", |request, found| {
        found.filter(|_| request.method == "GET").map(|(kind, body)| chunked(kind, body))
    }),
    ("no type", |request, found| {
        let (_, body) = found.filter(|_| request.method == "GET")?;
        Some(reply(&format!("200 OK\r\nContent-Length: {}", body.len()), body))
    }),
    ("a type with parameters", |request, found| {
        let (kind, body) = found.filter(|_| request.method == "GET")?;
        Some(plain(&format!("{kind}; charset=utf-8"), body))
    }),
    ("another type", |request, found| {
        let (_, body) = found.filter(|_| request.method == "GET")?;
        Some(plain("application/json", body))
    }),
    ("too many requests", |request, _| {
        (request.before == 0)
            .then(|| reply("429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0", b""))
    }),
    ("an error at first", |request, _| {
        (request.before == 0).then(|| reply("500 Internal Server Error\r\nContent-Length: 0", b""))
    }),
    ("unavailable twice", |request, _| {
        (request.before < 2).then(|| reply("503 Unavailable\r\nRetry-After: 0\r\nContent-Length: 0", b""))
    }),
    ("a body shorter than its length", |request, found| {
        let (kind, body) = found.filter(|_| request.method == "GET" && request.before == 0)?;
        let head = format!("200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}", body.len());
        Some(reply(&head, &body[..body.len() / 2]))
    }),
    ("a redirect to a path", |request, found| {
        let is_here = found.is_some() && request.path.contains("/blobs/") && !request.path.contains("moved");
        is_here.then(|| {
            reply(
                &format!(
                    "307 Temporary Redirect\r\nLocation: ../../../moved{}\r\nContent-Length: 0",
                    request.path
                ),
                b"",
            )
        })
    }),
    ("a redirect that keeps a query", |request, found| {
        let is_here = found.is_some() && request.path.contains("/blobs/") && !request.path.contains("moved");
        is_here.then(|| {
            reply(
                &format!("302 Found\r\nLocation: /moved{}?X-Sig=a%2Fb%3D\r\nContent-Length: 0", request.path),
                b"",
            )
        })
    }),
    ("a list of referrers that is a page", |request, _| {
        request.path.contains("/referrers/").then(|| plain("text/html", b"<html>all right</html>"))
    }),
    ("a list of referrers with null", |request, _| {
        request.path.contains("/referrers/").then(|| {
            plain(
                INDEX,
                format!("{{\"schemaVersion\":2,\"mediaType\":\"{INDEX}\",\"manifests\":null}}").as_bytes(),
            )
        })
    }),
];

#[test]
fn d11_d14_a_registry_with_unusual_responses_is_mirrored() {
    for (name, response) in RESPONSES {
        let mut content = one_image();
        let moved: Vec<_> = content
            .iter()
            .filter(|(path, _)| path.contains("/blobs/"))
            .flat_map(|(path, found)| {
                ["", "?X-Sig=a%2Fb%3D"].map(|query| (format!("/moved{path}{query}"), found.clone()))
            })
            .collect();
        content.extend(moved);
        let upstream = Upstream::responding(content, Box::new(response));
        let folder = tempfile::tempdir().unwrap();
        let output = mirror(folder.path(), &upstream, "[{images: ['r.example/a:v1']}]", &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{name}: {said}\n{:#?}", upstream.requests());
    }
}

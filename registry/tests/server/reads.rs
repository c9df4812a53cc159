//! Lists, mirrors' `ns`, ranges, and content that is missing or damaged.

use oci::Digest;

use crate::{Server, client};

#[tokio::test]
async fn r9_pages_may_be_larger_than_any_number() {
    let server = Server::start(|_| ()).await;
    server.add_image("a", "v1", b"config");
    for path in ["/v2/_catalog", "/v2/a/tags/list"] {
        let status = async |n: &str| {
            client()
                .get(server.url(&format!("{path}?n={n}")))
                .send()
                .await
                .expect("no answer")
                .status()
                .as_u16()
        };
        for n in ["1", "99999", "18446744073709551616", "999999999999999999999999999999"] {
            assert_eq!(status(n).await, 200, "{path} {n}");
        }
        for n in ["-1", "x", ""] {
            assert_eq!(status(n).await, 400, "{path} {n}");
        }
    }
}

#[tokio::test]
async fn a_mirrors_client_finds_what_ns_means_and_not_what_the_name_means() {
    let server = Server::start(|_| ()).await;
    let mirrored = server.add_image("registry.example/a/b", "v1", b"mirrored");
    let plain = server.add_image("a/b", "v1", b"plain");
    server.add_image("a/b", "local", b"local");
    let client = client();
    let get = async |query: &str| {
        let url = server.url(&format!("/v2/a/b/manifests/{query}"));
        client.get(url).send().await.expect("no answer")
    };
    let answer = get("v1?ns=registry.example").await;
    assert_eq!(answer.headers()["docker-content-digest"], mirrored.to_string());
    assert_eq!(answer.headers()["oci-namespace"], "registry.example");
    for query in ["v1".to_owned(), "v1?ns=".to_owned(), format!("v1?ns={}", server.address)] {
        let answer = get(&query).await;
        assert_eq!(answer.headers()["docker-content-digest"], plain.to_string(), "{query}");
        assert!(!answer.headers().contains_key("oci-namespace"), "{query}");
    }
    for query in
        ["v1?ns=other.example", "v1?ns=..%2f", "local?ns=registry.example", "absent?ns=registry.example"]
    {
        assert_eq!(get(query).await.status(), 404, "{query}");
    }
    let blob = Digest::sha256(b"mirrored");
    let url = server.url(&format!("/v2/a/b/blobs/{blob}?ns=registry.example"));
    assert_eq!(client.get(url).send().await.expect("no answer").text().await.expect("no body"), "mirrored");
    let url = server.url("/v2/a/b/tags/list?ns=registry.example");
    let tags = client.get(url).send().await.expect("no answer").text().await.expect("no body");
    assert_eq!(tags, r#"{"name":"a/b","tags":["v1"]}"#);
}

#[tokio::test]
async fn ranges_are_bounded_and_heed_if_range() {
    let server = Server::start(|_| ()).await;
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).take(3_000_000).collect();
    let digest = server.add("a", &bytes);
    let client = client();
    let get = async |headers: &[(&str, String)]| {
        let mut request = client.get(server.url(&format!("/v2/a/blobs/{digest}")));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        request.send().await.expect("no answer")
    };
    let set = |count: usize| {
        let ranges: Vec<String> = (0..count).map(|at| format!("{}-{}", at * 2000, at * 2000 + 9)).collect();
        vec![("range", format!("bytes={}", ranges.join(",")))]
    };
    let answer = get(&set(1024)).await;
    assert_eq!(answer.status(), 206);
    let length: usize = answer.headers()["content-length"].to_str().expect("text").parse().expect("number");
    let body = answer.bytes().await.expect("no body");
    assert_eq!(body.len(), length);
    assert_eq!(body.windows(14).filter(|window| window == b"Content-Range:").count(), 1024);
    assert_eq!(get(&set(1025)).await.status(), 400);
    let answer = get(&[("range", "bytes=500-0".to_owned())]).await;
    assert_eq!(answer.status(), 416);
    assert_eq!(answer.headers()["content-range"], "bytes */3000000");
    let range = ("range", "bytes=1000000-2099999".to_owned());
    let answer = get(&[range.clone(), ("if-range", format!("\"{digest}\""))]).await;
    assert_eq!(answer.status(), 206);
    assert_eq!(answer.bytes().await.expect("no body"), bytes[1_000_000..2_100_000]);
    let answer = get(&[range, ("if-range", "\"other\"".to_owned())]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.expect("no body"), bytes);
    let answer = get(&[("if-none-match", format!("\"x\", W/\"{digest}\""))]).await;
    assert_eq!(answer.status(), 304);
}

#[tokio::test]
async fn damaged_blobs_count_as_absent_so_that_they_are_pushed_again() {
    let server = Server::start(|_| ()).await;
    let digest = server.add("a", b"whole");
    let hex = digest.hex();
    let file = server.store.root().join("blobs/sha256").join(&hex[..2]).join(hex);
    std::fs::OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(2)).expect("not cut");
    let client = client();
    let url = server.url(&format!("/v2/a/blobs/{digest}"));
    assert_eq!(client.head(&url).send().await.expect("no answer").status(), 404);
    let upload = server.url(&format!("/v2/a/blobs/uploads/?digest={digest}"));
    assert_eq!(client.post(upload).body("whole").send().await.expect("no answer").status(), 201);
    assert_eq!(client.get(&url).send().await.expect("no answer").text().await.expect("no body"), "whole");
}

#[tokio::test]
async fn a_name_that_is_not_there_is_a_clean_404_however_it_is_asked_for() {
    let server = Server::start(|_| ()).await;
    server.add_image("public.ecr.aws/a/b", "v1", b"config");
    let client = client();
    let digest = Digest::sha256(b"absent");
    for path in ["absent", "a/b", "public.ecr.aws/absent", "public.ecr.aws/a/b"] {
        for query in ["", "?ns=other.example", "?ns=public.ecr.aws", "?ns=", "?ns=%00", "?ns=a/b"] {
            for (end, known) in [
                ("manifests/v2".to_owned(), ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"]),
                (format!("manifests/{digest}"), ["MANIFEST_UNKNOWN", "NAME_UNKNOWN"]),
                (format!("blobs/{digest}"), ["BLOB_UNKNOWN", "NAME_UNKNOWN"]),
            ] {
                let url = server.url(&format!("/v2/{path}/{end}{query}"));
                let head = client.head(&url).send().await.expect("no answer");
                assert_eq!(head.status(), 404, "HEAD {url}");
                let answer = client.get(&url).send().await.expect("no answer");
                assert_eq!(answer.status(), 404, "{url}");
                assert_eq!(answer.headers()["content-type"], "application/json", "{url}");
                let body: serde_json::Value =
                    serde_json::from_slice(&answer.bytes().await.expect("no body")).expect("no JSON");
                let code = body["errors"][0]["code"].as_str().expect("no code");
                assert!(known.contains(&code), "{url}: {code}");
            }
        }
    }
    let url = server.url("/v2/public.ecr.aws/a/b/manifests/v1?ns=public.ecr.aws");
    assert_eq!(
        client.get(url).send().await.expect("no answer").status(),
        200,
        "a mirror with a path in its URL"
    );
}

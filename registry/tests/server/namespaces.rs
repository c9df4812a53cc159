//! Mirrors' `ns`: a pull for another registry is never answered from a repository that only has the same name, and what is
//! missing is recorded.

use oci::Digest;
use store::Store;

use crate::{Server, client};

/// Every kind of pull of `repository`.
fn pulls(repository: &str, manifest: &Digest, blob: &Digest) -> Vec<String> {
    let ends = [
        "manifests/v1".to_owned(),
        format!("manifests/{manifest}"),
        format!("blobs/{blob}"),
        "tags/list".into(),
    ];
    ends.iter().map(|end| format!("/v2/{repository}/{end}")).collect()
}

/// The statuses of GET and HEAD.
async fn statuses(server: &Server, path: &str) -> [u16; 2] {
    let (get, head) = (client().get(server.url(path)).send(), client().head(server.url(path)).send());
    [get.await.expect("no answer").status().as_u16(), head.await.expect("no answer").status().as_u16()]
}

#[tokio::test]
async fn a_pull_for_a_registry_that_is_not_mirrored_is_404_for_all_kinds_of_content() {
    let server = Server::start(|_| ()).await;
    let digest = server.add_image("team/app", "v1", b"local");
    // Nor from the local repository whose name is the full name of another one.
    server.add_image("quay.io.example/team/app", "v1", b"local");
    let blob = Digest::sha256(b"local");
    for ns in
        ["quay.io", "QUAY.IO", "quay.io:443", "quay.io:5000", "docker.io", "index.docker.io", "127.0.0.1:1"]
    {
        for path in pulls("team/app", &digest, &blob) {
            assert_eq!(statuses(&server, &format!("{path}?ns={ns}")).await, [404, 404], "{path} {ns}");
        }
    }
}

#[tokio::test]
async fn referrers_of_another_registrys_image_never_come_from_the_local_repository() {
    let server = Server::start(|_| ()).await;
    let subject = server.add_image("team/app", "v1", b"local");
    let text = serde_json::json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST, "layers": [], "artifactType": "a/b",
        "config": { "mediaType": oci::media_type::OCI_CONFIG, "digest": Digest::sha256(b"local").to_string(), "size": 5 },
        "subject": { "mediaType": oci::media_type::OCI_MANIFEST, "digest": subject.to_string(), "size": 1 },
    });
    let manifest = oci::Manifest::parse(text.to_string().into_bytes().into(), None).expect("no manifest");
    let (repository, digest) = ("team/app".parse().expect("no name"), manifest.digest());
    server
        .store
        .commit(vec![store::Change::PutManifest { repository, digest, manifest }])
        .expect("no commit");
    let listed = async |query: &str| {
        let url = server.url(&format!("/v2/team/app/referrers/{subject}{query}"));
        let answer = client().get(url).send().await.expect("no answer");
        assert_eq!(answer.status(), 200, "the list of referrers always exists: {query}");
        let body = answer.bytes().await.expect("no body");
        let list: serde_json::Value = serde_json::from_slice(&body).expect("no JSON");
        list["manifests"].as_array().expect("no list").len()
    };
    assert_eq!(listed("").await, 1);
    for query in ["?ns=quay.io", "?ns=docker.io", "?ns=a/b", "?ns=quay.io&ns="] {
        assert_eq!(listed(query).await, 0, "{query}");
    }
}

#[tokio::test]
async fn a_malformed_ns_is_404_and_an_empty_one_is_a_local_pull() {
    let server = Server::start(|_| ()).await;
    let (digest, blob) = (server.add_image("team/app", "v1", b"local"), Digest::sha256(b"local"));
    for path in pulls("team/app", &digest, &blob) {
        for ns in [
            "team",
            "a/b",
            "..",
            "%00",
            "%20",
            "quay.io:",
            "quay.io:0",
            "quay.io:99999",
            "[::1",
            "%F0%9F%90%B3.io",
        ] {
            assert_eq!(statuses(&server, &format!("{path}?ns={ns}")).await, [404, 404], "{path} {ns}");
        }
        let two = format!("{path}?ns={}&ns=quay.io", server.address);
        assert_eq!(statuses(&server, &two).await, [404, 404], "two registries in one request");
        assert_eq!(statuses(&server, &format!("{path}?ns=")).await, [200, 200], "{path}");
    }
}

#[tokio::test]
async fn the_registrys_own_name_is_a_local_pull_in_upper_and_lower_case() {
    let server = Server::start(|config| {
        config.proxies = ["127.0.0.0/8".parse().expect("no range")].into_iter().collect();
    })
    .await;
    server.add_image("team/app", "v1", b"local");
    let status = async |ns: &str, headers: &[(&str, &str)]| {
        let request = client().get(server.url(&format!("/v2/team/app/manifests/v1?ns={ns}")));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.expect("no answer").status().as_u16()
    };
    let port = server.address.port();
    assert_eq!(status(&format!("127.0.0.1:{port}"), &[]).await, 200);
    for ns in [format!("registry.site:{port}"), format!("Registry.SITE:{port}")] {
        assert_eq!(status(&ns, &[("x-forwarded-host", &format!("registry.site:{port}"))]).await, 200, "{ns}");
        assert_eq!(status(&ns, &[]).await, 404, "{ns}");
    }
    assert_eq!(status("127.0.0.1", &[]).await, 404, "another port is another registry");
}

#[tokio::test]
async fn all_names_of_docker_hub_find_what_was_mirrored_from_it() {
    let server = Server::start(|_| ()).await;
    let mirrored = server.add_image("docker.io/library/nginx", "v1", b"mirrored");
    server.add_image("library/nginx", "v1", b"local");
    server.add_image("nginx", "v1", b"local");
    for ns in ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.io", "docker.io:443"] {
        for repository in ["library/nginx", "nginx", "docker.io/library/nginx"] {
            let url = server.url(&format!("/v2/{repository}/manifests/v1?ns={ns}"));
            let answer = client().get(url).send().await.expect("no answer");
            assert_eq!(answer.status(), 200, "{ns} {repository}");
            assert_eq!(answer.headers()["docker-content-digest"], mirrored.to_string(), "{ns} {repository}");
            assert_eq!(answer.headers()["oci-namespace"], "docker.io");
        }
    }
}

#[tokio::test]
async fn missing_manifests_are_recorded_when_the_server_ends_at_the_latest() {
    let mut server = Server::start(|_| ()).await;
    server.add_image("team/app", "v1", b"local");
    let digest = Digest::sha256(b"absent");
    for _ in 0..3 {
        statuses(&server, "/v2/team/app/manifests/v2?ns=quay.io").await;
    }
    for path in [
        "/v2/team/app/manifests/v1".to_owned(),
        "/v2/team/app/manifests/v1?ns=a/b".to_owned(),
        format!("/v2/team/app/manifests/{digest}"),
        format!("/v2/team/app/blobs/{digest}?ns=quay.io"),
        "/v2/team/app/tags/list?ns=quay.io".to_owned(),
        "/v2/team/app/manifests/.bad?ns=quay.io".to_owned(),
    ] {
        statuses(&server, &path).await;
    }
    let sent = server.end.take().is_some_and(|end| end.send(()).is_ok());
    assert!(sent);
    (&mut server.task).await.expect("not joined").expect("not served");
    let wanted = Store::open_to_read(server.store.root()).expect("no store").wanted().expect("no rows");
    let found: Vec<_> =
        wanted.iter().map(|one| (one.name.to_string(), one.count, one.clients.join(","))).collect();
    let client = "network 127.0.0.1".to_owned();
    // HEAD does not count without `ns`.
    let expected =
        [(format!("team/app@{digest}"), 1, client.clone()), ("quay.io/team/app:v2".to_owned(), 6, client)];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn missing_manifests_are_written_while_the_server_runs_and_no_response_waits_for_it() {
    let server = Server::start(|_| ()).await;
    statuses(&server, "/v2/team/app/manifests/v2?ns=quay.io").await;
    let begun = std::time::Instant::now();
    while server.store.wanted().expect("no rows").is_empty() {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "not written");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

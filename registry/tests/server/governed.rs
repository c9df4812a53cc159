//! Rules of the store over the network: immutable tags, quotas, protections, and the removal of repositories.

use http::StatusCode;
use oci::Digest;
use serde_json::{Value, json};
use store::{Change, Protection, QuotaRule, Rules, TagRule};

use crate::support::{Body, Response};
use crate::{Server, client};

fn immutable() -> Rules {
    let tags = vec!["v*".parse().expect("no pattern")];
    let rule = TagRule { repositories: vec!["**".parse().expect("no pattern")], tags, except: Vec::new() };
    Rules { immutable_tags: vec![rule], ..Rules::default() }
}

async fn errors(answer: Response, status: StatusCode) -> Value {
    assert_eq!(answer.status(), status);
    let text = answer.text().await.expect("no body");
    let mut body: Value = serde_json::from_str(&text).expect("not JSON");
    body["errors"][0].take()
}

async fn push(server: &Server, path: &str, bytes: &[u8]) -> Response {
    let request = client().put(server.url(path)).header("content-type", oci::media_type::OCI_MANIFEST);
    request.body(bytes.to_vec()).send().await.expect("no answer")
}

async fn delete(server: &Server, path: &str) -> Response {
    client().delete(server.url(path)).send().await.expect("no answer")
}

#[tokio::test]
async fn an_immutable_tag_is_kept_against_pushes_and_deletes() {
    let server = Server::start(|_| ()).await;
    let digest = server.add_image("a", "v1", b"one");
    let other = server.add_image("a", "free", b"two");
    server.store.set_rules(&immutable()).expect("no rules");
    let body = |digest: &Digest| {
        let name = "a".parse().expect("no name");
        server.store.manifest(&name, digest).expect("no store").expect("no manifest").bytes().clone()
    };
    let refused = |answer| async {
        let error = errors(answer, StatusCode::PRECONDITION_FAILED).await;
        assert_eq!((&error["code"], &error["detail"]["tag"]), (&json!("DENIED"), &json!("v1")));
    };
    refused(push(&server, "/v2/a/manifests/v1", &body(&other)).await).await;
    refused(push(&server, &format!("/v2/a/manifests/{other}?tag=new&tag=v1"), &body(&other)).await).await;
    refused(delete(&server, "/v2/a/manifests/v1").await).await;
    refused(delete(&server, &format!("/v2/a/manifests/{digest}")).await).await;
    refused(delete(&server, "/v2/a/_airlock/repository").await).await;
    let tags = server.store.tags(&"a".parse().expect("no name"), None, None).expect("no tags");
    assert_eq!(tags.iter().map(|(tag, _)| tag.as_str()).collect::<Vec<_>>(), ["free", "v1"]);
    // The same manifest, new versions, other tags and signatures.
    for (path, digest) in [
        ("/v2/a/manifests/v1".to_owned(), &digest),
        ("/v2/a/manifests/v2".to_owned(), &other),
        (format!("/v2/a/manifests/{other}?tag=v3&tag=free"), &other),
        ("/v2/a/manifests/free".to_owned(), &digest),
        (format!("/v2/a/manifests/sha256-{}.sig", digest.hex()), &digest),
        (format!("/v2/a/manifests/sha256-{}.sig", digest.hex()), &other),
    ] {
        assert_eq!(push(&server, &path, &body(digest)).await.status(), 201, "{path}");
    }
    assert_eq!(delete(&server, "/v2/a/manifests/free").await.status(), 202);
}

fn quota(bytes: u64) -> Rules {
    let repositories = vec!["team/**".parse().expect("no pattern")];
    Rules { quotas: vec![QuotaRule { repositories, bytes: Some(bytes), tags: None }], ..Rules::default() }
}

#[tokio::test]
async fn an_upload_beyond_the_quota_is_refused_as_early_as_its_length_is_known() {
    let server = Server::start(|_| ()).await;
    server.store.set_rules(&quota(1_000_000)).expect("no rules");
    let (small, large) = (vec![1; 600_000], vec![2; 600_000]);
    let refused = |answer| async {
        let error = errors(answer, StatusCode::FORBIDDEN).await;
        assert_eq!((&error["code"], &error["detail"]["quota"]), (&json!("DENIED"), &json!("team/**")));
        assert!(error["detail"]["hint"].as_str().expect("no hint").contains("quota"));
    };
    let post = |name: &str, bytes: &[u8]| {
        let url = server.url(&format!("/v2/{name}/blobs/uploads/?digest={}", Digest::sha256(bytes)));
        client().post(url)
    };
    let sent = post("team/a", &small).body(small.clone()).send().await.expect("no answer");
    assert_eq!(sent.status(), 201);
    // In one request, with a length and without.
    refused(post("team/b", &large).body(large.clone()).send().await.expect("no answer")).await;
    let pieces = Body::stream(large.chunks(10_000).map(<[u8]>::to_vec).collect());
    refused(post("team/b", &large).body(pieces).send().await.expect("no answer")).await;
    // In a session: a stream without a length, and the last chunk.
    let start = client().post(server.url("/v2/team/b/blobs/uploads/")).send().await.expect("no answer");
    let location = start.headers()["location"].to_str().expect("no text").to_owned();
    let pieces = Body::stream(large.chunks(10_000).map(<[u8]>::to_vec).collect());
    refused(client().patch(server.url(&location)).body(pieces).send().await.expect("no answer")).await;
    refused(client().patch(server.url(&location)).body(large.clone()).send().await.expect("no answer")).await;
    // A mount within the quota adds nothing, and other repositories have no quota.
    let mount = format!("/v2/team/b/blobs/uploads/?mount={}&from=team/a", Digest::sha256(&small));
    assert_eq!(client().post(server.url(&mount)).send().await.expect("no answer").status(), 201);
    let sent = post("other", &large).body(large.clone()).send().await.expect("no answer");
    assert_eq!(sent.status(), 201);
    let mount = format!("/v2/team/b/blobs/uploads/?mount={}&from=other", Digest::sha256(&large));
    refused(client().post(server.url(&mount)).send().await.expect("no answer")).await;
    assert_eq!(server.store.quotas().expect("no quotas")[0].used.bytes, 600_000);
}

#[tokio::test]
async fn concurrent_uploads_never_exceed_a_quota_together() {
    let server = Server::start(|_| ()).await;
    server.store.set_rules(&quota(250_000)).expect("no rules");
    let sends = (0..8_u8).map(|number| {
        let bytes = vec![number; 100_000];
        let url = format!("/v2/team/{number}/blobs/uploads/?digest={}", Digest::sha256(&bytes));
        client().post(server.url(&url)).body(bytes).send()
    });
    let answers = futures::future::join_all(sends).await;
    let statuses: Vec<_> = answers.into_iter().map(|answer| answer.expect("no answer").status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 2, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 6, "{statuses:?}");
    assert_eq!(server.store.quotas().expect("no quotas")[0].used.bytes, 200_000);
}

#[tokio::test]
async fn a_repository_is_removed_as_a_whole_unless_it_is_protected() {
    let server = Server::start(|_| ()).await;
    server.add_image("a/b", "v1", b"one");
    server.add_image("a/c", "v1", b"one");
    let path = "/v2/a/b/_airlock/repository";
    let protect = |name: &str| Protection::new(name.parse().expect("no name"), None, "it is used".to_owned());
    server.store.commit(vec![Change::Protect(protect("a/b"))]).expect("no commit");
    let error = errors(delete(&server, path).await, StatusCode::PRECONDITION_FAILED).await;
    assert!(error["message"].as_str().expect("no message").contains("it is used"), "{error}");
    let end = Change::ReplaceProtected { source: "operator".to_owned(), protections: Vec::new() };
    server.store.commit(vec![end]).expect("no commit");
    assert_eq!(delete(&server, path).await.status(), 202);
    let error = errors(delete(&server, path).await, StatusCode::NOT_FOUND).await;
    assert_eq!(error["code"], "NAME_UNKNOWN");
    let get = |path: &str| client().get(server.url(path)).send();
    let catalog = get("/v2/_catalog").await.expect("no answer").text().await.expect("no body");
    assert_eq!(catalog, r#"{"repositories":["a/c"]}"#);
    assert_eq!(get("/v2/a/b/manifests/v1").await.expect("no answer").status(), 404);
    assert_eq!(get("/v2/a/b/tags/list").await.expect("no answer").status(), 404);
    let history = server.store.tag_history(&"a/b".parse().expect("no name"), None, None).expect("no history");
    assert_eq!((history.len(), history[0].to.is_none()), (2, true));
    assert_eq!(get(path).await.expect("no answer").status(), 405);
    // It can be pushed again.
    server.add_image("a/b", "v1", b"one");
    assert_eq!(get("/v2/a/b/tags/list").await.expect("no answer").status(), 200);
}

#[tokio::test]
async fn pulls_are_recorded_when_the_server_ends() {
    let server = Server::start(|_| ()).await;
    server.add_image("a", "used", b"one");
    server.add_image("a", "unused", b"two");
    let url = server.url("/v2/a/manifests/used");
    assert_eq!(client().get(url).send().await.expect("no answer").status(), 200);
    let (mut rules, store) = (Rules::default(), server.store.clone());
    rules.retention.rules.push(store::RetentionRule {
        repositories: vec!["**".parse().expect("no pattern")],
        newest: None,
        newer_than_seconds: None,
        tags: Vec::new(),
        pulled_within_seconds: Some(3600),
    });
    let _folder = server.stop().await;
    let expired = store.expired_tags(&rules, &store::Untagged::new()).expect("no tags");
    let tags: Vec<_> = expired.values().flatten().map(|expired| expired.tag.as_str()).collect();
    assert_eq!(tags, ["unused"]);
}

//! The token protocol, as clients use it, and failed logins.

use std::sync::{Arc, Mutex};

use registry::server::{Changed, Observer, Operation, Refused};
use serde_json::Value;

use super::{ADMIN, PULL, Site, WRITE};
use crate::support::{Request, Response};
use crate::{Server, client, parameter};

async fn start(policies: &[(&str, &str, &[registry::server::access::Allow])]) -> (Server, Site) {
    let site = Site::new(policies);
    let auth = site.auth.clone();
    (Server::start(|config| config.auth = auth).await, site)
}

async fn json(answer: Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.expect("no body")).expect("no JSON")
}

async fn sent(request: Request) -> Response {
    request.send().await.expect("no answer")
}

async fn status(request: Request) -> u16 {
    sent(request).await.status().as_u16()
}

fn challenge(answer: &Response) -> String {
    answer.headers()["www-authenticate"].to_str().expect("no text").to_owned()
}

#[tokio::test]
async fn docker_logs_in_pushes_and_pulls_with_tokens() {
    let (server, site) = start(&[("team-a/**", "user:writer", WRITE)]).await;
    let client = client();
    let answer = sent(client.get(server.url("/v2/"))).await;
    assert_eq!(answer.status(), 401);
    let first = challenge(&answer);
    assert_eq!(parameter(&first, "realm"), server.url("/token"));
    assert!(!first.contains("scope=") && !first.contains("error="), "{first}");
    let (user, password) = site.password("writer");
    let wrong = client.get(server.url("/token?service=airlock")).basic_auth(&user, Some("wrong"));
    assert_eq!(status(wrong).await, 401, "docker login must fail");
    let realm = format!("{}?account=writer&client_id=docker&offline_token=true", parameter(&first, "realm"));
    let log_in = client.get(format!("{realm}&service=airlock")).basic_auth(&user, Some(&password));
    let token = json(sent(log_in).await).await["token"].as_str().expect("no token").to_owned();
    assert_eq!(status(client.get(server.url("/v2/")).bearer_auth(&token)).await, 200);
    // That token has no scope, and the challenge says which one is needed.
    let post = || client.post(server.url("/v2/team-a/app/blobs/uploads/"));
    let answer = sent(post().bearer_auth(&token)).await;
    assert_eq!(answer.status(), 401);
    let again = challenge(&answer);
    assert_eq!(parameter(&again, "error"), "insufficient_scope");
    assert_eq!(parameter(&again, "scope"), "repository:team-a/app:pull,push");
    let scope = "scope=repository:team-a/app:pull,push&scope=repository:team-b/app:pull";
    let grant = client.get(format!("{realm}&{scope}")).basic_auth(&user, Some(&password));
    let grant = json(sent(grant).await).await;
    assert_eq!(grant["token"], grant["access_token"]);
    let token = grant["token"].as_str().expect("no token");
    assert_eq!(status(post().bearer_auth(token)).await, 202);
    let other = client.get(server.url("/v2/team-b/app/tags/list")).bearer_auth(token);
    assert_eq!(status(other).await, 403, "the token has the scope, but no policy allows it");
}

#[tokio::test]
async fn a_token_that_may_only_pull_does_not_push() {
    let (server, site) = start(&[("**", "user:admin", ADMIN)]).await;
    server.add_image("a", "v1", b"config");
    let (user, password) = site.password("admin");
    let client = client();
    let grant = client.get(server.url("/token?scope=repository:a:pull")).basic_auth(&user, Some(&password));
    let token = json(sent(grant).await).await["token"].as_str().expect("no token").to_owned();
    let manifest = server.url("/v2/a/manifests/v1");
    assert_eq!(status(client.get(&manifest).bearer_auth(&token)).await, 200);
    for request in [
        client.put(&manifest).body(&b"{}"[..]),
        client.delete(&manifest),
        client.post(server.url("/v2/a/blobs/uploads/")),
        client.get(server.url("/v2/b/tags/list")),
        client.get(server.url("/v2/_catalog")),
    ] {
        let answer = sent(request.bearer_auth(&token)).await;
        assert_eq!(answer.status(), 401);
        assert_eq!(parameter(&challenge(&answer), "error"), "insufficient_scope");
    }
    let all = client.get(server.url("/token?scope=repository:a:*")).basic_auth(&user, Some(&password));
    let token = json(sent(all).await).await["token"].as_str().expect("no token").to_owned();
    assert_eq!(status(client.delete(&manifest).bearer_auth(&token)).await, 202);
}

#[tokio::test]
async fn an_oauth_form_gives_a_token() {
    let (server, site) = start(&[("team-a/**", "robot:ci", WRITE)]).await;
    let client = client();
    let (_, secret) = site.password("robot$ci");
    let post = |form: String| {
        let request = client.post(server.url("/token")).body(form);
        request.header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    };
    // As Go encodes it.
    let scopes = "scope=repository%3Ateam-a%2Fapp%3Apull%2Cpush+repository%3Ateam-a%2Fx%3Apull";
    let form = |user: &str, password: &str| {
        format!(
            "access_type=offline&client_id=containerd-client&grant_type=password&username={user}&password={password}\
             &service=airlock&{scopes}"
        )
    };
    let grant = json(sent(post(form("robot%24ci", &secret))).await).await;
    assert!(
        grant["issued_at"].is_string() && grant["expires_in"].is_u64() && grant["refresh_token"].is_null()
    );
    let token = grant["access_token"].as_str().expect("no token");
    let upload = client.post(server.url("/v2/team-a/app/blobs/uploads/")).bearer_auth(token);
    assert_eq!(status(upload).await, 202);
    assert_eq!(status(client.get(server.url("/v2/team-a/x/tags/list")).bearer_auth(token)).await, 404);
    for (user, password) in
        [("robot%24ci", "wrong"), ("ci", secret.as_str()), ("robot%24no", &secret), ("", "x")]
    {
        assert_eq!(status(post(form(user, password))).await, 401, "{user}");
    }
    assert_eq!(
        status(post("grant_type=password".to_owned())).await,
        401,
        "no policy is about anonymous clients"
    );
    for form in ["", "grant_type=refresh_token&refresh_token=x", "grant_type=%FF"] {
        assert_eq!(status(post(form.to_owned())).await, 400, "{form}");
    }
    assert_eq!(status(post(format!("grant_type=password&x={}", "x".repeat(20_000)))).await, 400);
    let json = client.post(server.url("/token")).header("content-type", "application/json");
    assert_eq!(status(json.body(&b"{}"[..])).await, 400);
    let many: String = (0..40).map(|at| format!("&scope=repository:r{at}:pull")).collect();
    assert_eq!(status(post(form("robot%24ci", &secret) + &many)).await, 400);
}

#[tokio::test]
async fn a_mirror_client_may_read_only_what_it_may_pull_here() {
    let (server, site) = start(&[("docker.io/library/*", "user:reader", PULL)]).await;
    server.add_image("docker.io/library/nginx", "v1", b"public");
    server.add_image("docker.io/secret/app", "v1", b"secret");
    server.add_image("library/nginx", "v1", b"local");
    let (user, password) = site.password("reader");
    let client = client();
    let scope = "scope=repository:library/nginx:pull&scope=repository:secret/app:pull";
    let grant = client.get(server.url(&format!("/token?{scope}"))).basic_auth(&user, Some(&password));
    let token = json(sent(grant).await).await["token"].as_str().expect("no token").to_owned();
    for (path, expected) in [
        ("/v2/library/nginx/manifests/v1?ns=docker.io", 200),
        ("/v2/library/nginx/manifests/v1", 403),
        ("/v2/library/nginx/tags/list?ns=docker.io", 200),
        ("/v2/secret/app/manifests/v1?ns=docker.io", 403),
        ("/v2/docker.io/secret/app/manifests/v1", 403),
        ("/v2/docker.io/library/nginx/manifests/v1", 200),
        ("/v2/docker.io/library/none/manifests/v1", 404),
        ("/v2/docker.io/secret/none/manifests/v1", 403),
        ("/v2/library/nginx/manifests/v1?ns=quay.io", 403),
        ("/v2/library/nginx/manifests/v1?ns=bad", 403),
    ] {
        let request = client.get(server.url(path)).basic_auth(&user, Some(&password));
        assert_eq!(status(request).await, expected, "{path}");
        if !path.starts_with("/v2/docker.io") {
            assert_eq!(status(client.get(server.url(path)).bearer_auth(&token)).await, expected, "{path}");
        }
    }
}

/// Counts the reports of refusals.
#[derive(Default)]
struct Reports(Mutex<Vec<Refused>>);

impl Observer for Reports {
    fn changed(&self, _: &Changed) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }

    fn refused(&self, attempt: &Refused) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.0.lock().expect("no reports").push(attempt.clone());
        Ok(())
    }
}

#[tokio::test]
async fn a_flood_of_bad_tokens_and_wrong_secrets_does_not_fill_the_log() {
    let reports = Arc::new(Reports::default());
    let site = Site::new(&[("a", "user:reader", PULL)]);
    let (auth, observer) = (site.auth.clone(), Arc::clone(&reports));
    let server = Server::start(|config| {
        config.auth = auth;
        config.observer = Some(observer);
    })
    .await;
    let client = client();
    for at in 0..100 {
        for path in ["/v2/", "/v2/a/tags/list", "/v2/a/manifests/v1"] {
            let request = client.get(server.url(path)).bearer_auth(&format!("x{at}"));
            assert_eq!(status(request).await, 401);
        }
        let push = client.put(server.url("/v2/a/manifests/v1")).bearer_auth("x").body(&b"{}"[..]);
        assert_eq!(status(push).await, 401);
        if at > 45 {
            // Beyond its rate, each refusal of this client is delayed by a second.
            break;
        }
    }
    assert!(reports.0.lock().expect("no reports").is_empty(), "no one logged in or changed something");
    let mut wrong = Vec::new();
    for at in 0..12 {
        let name = format!("robot${}", ["ci", "no"][at % 2]);
        let form = format!("grant_type=password&username=robot%24ci&password={at}");
        let post = client.post(server.url("/token")).body(form);
        wrong.push(client.get(server.url("/v2/")).basic_auth(name, Some("airlock_x")).send());
        wrong.push(post.header("content-type", "application/x-www-form-urlencoded").send());
    }
    for answer in futures::future::join_all(wrong).await {
        assert_eq!(answer.expect("no answer").status(), 401);
    }
    let (user, password) = site.password("reader");
    let push = || client.put(server.url("/v2/a/manifests/v1")).basic_auth(&user, Some(&password));
    let pushes = (0..12).map(|_| push().body(&b"{}"[..]).send());
    for answer in futures::future::join_all(pushes).await {
        assert_eq!(answer.expect("no answer").status(), 403);
    }
    let found = reports.0.lock().expect("no reports").clone();
    let of = |operation| found.iter().filter(|report| report.operation == operation).collect::<Vec<_>>();
    let (logins, pushes) = (of(Operation::LogIn), of(Operation::PushManifest));
    assert_eq!((logins.len(), pushes.len()), (3, 3), "three one by one, and the rest is counted");
    assert!(
        logins.iter().all(|report| report.visitor.user.as_deref().is_some_and(|u| u.starts_with("robot$")))
    );
    assert_eq!(pushes[0].visitor.user.as_deref(), Some("reader"));
    drop(server.end);
    server.task.await.expect("no end").expect("failed");
    let found = reports.0.lock().expect("no reports").clone();
    let counted = |operation| -> u64 {
        let rest = found.iter().filter(|report| report.operation == operation);
        rest.filter_map(|report| report.repeats).map(|repeats| repeats.count).sum()
    };
    assert_eq!((counted(Operation::LogIn), counted(Operation::PushManifest)), (21, 9));
}

#[tokio::test]
async fn a_refusal_does_not_tell_whether_the_repository_exists() {
    let (server, site) = start(&[("team-a/**", "user:reader", PULL)]).await;
    let blob = server.add("team-b/app", b"secret");
    server.add_image("team-b/app", "v1", b"secret");
    let (user, password) = site.password("reader");
    let client = client();
    let mut answers = Vec::new();
    for repository in ["team-b/app", "team-b/non"] {
        for path in [
            "tags/list".to_owned(),
            "manifests/v1".to_owned(),
            format!("blobs/{blob}"),
            format!("referrers/{blob}"),
        ] {
            for known in [true, false] {
                let mut request = client.get(server.url(&format!("/v2/{repository}/{path}")));
                if known {
                    request = request.basic_auth(&user, Some(&password));
                }
                let answer = sent(request).await;
                let (status, mut headers) = (answer.status(), answer.headers().clone());
                headers.remove("date");
                headers.remove("x-request-id");
                let headers = format!("{headers:?}");
                let body = answer.text().await.expect("no body");
                let same = |text: String| text.replace(repository, "R");
                answers.push((repository, path.clone(), known, status, same(headers), same(body)));
            }
        }
    }
    let (exists, missing) = answers.split_at(8);
    for (one, other) in exists.iter().zip(missing) {
        assert_eq!((one.3, &one.4, &one.5), (other.3, &other.4, &other.5), "{}", one.1);
        assert_eq!(one.3, if one.2 { 403 } else { 401 });
    }
}

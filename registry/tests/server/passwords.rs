//! Passwords and tokens.

use crate::{Server, client, parameter, password};

#[tokio::test]
async fn without_a_password_a_closed_registry_only_tells_that_it_lives() {
    let server = Server::start(|config| config.auth = password(false)).await;
    let client = client();
    for path in ["/livez", "/readyz"] {
        assert_eq!(client.get(server.url(path)).send().await.expect("no answer").status(), 200, "{path}");
    }
    for path in ["/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/v1"] {
        let answer = client.get(server.url(path)).send().await.expect("no answer");
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"airlock\"");
        assert!(answer.text().await.expect("no body").contains("UNAUTHORIZED"));
    }
    let answer = client.get(server.url("/v2/")).basic_auth("ann", Some("secret")).send().await;
    assert_eq!(answer.expect("no answer").status(), 200);
    let answer = client.get(server.url("/v2/")).basic_auth("ann", Some("wrong")).send().await;
    assert_eq!(answer.expect("no answer").status(), 401);
}

/// What Docker, oras, containerd and go-containerregistry do: ask `/v2/`, follow its challenge, use the token.
async fn token(server: &Server, scope: &str, password: Option<&str>) -> Result<String, u16> {
    let client = client();
    let answer = client.get(server.url("/v2/")).send().await.expect("no answer");
    assert_eq!(answer.status(), 401, "Docker follows a challenge only with this status");
    let challenge = answer.headers()["www-authenticate"].to_str().expect("no text").to_owned();
    assert!(challenge.starts_with("Bearer "), "{challenge}");
    let realm = parameter(&challenge, "realm");
    assert_eq!(realm, server.url("/token"));
    let mut request =
        client.get(format!("{realm}?service={}&scope={scope}", parameter(&challenge, "service")));
    if let Some(password) = password {
        request = request.basic_auth("ann", Some(password));
    }
    let answer = request.send().await.expect("no answer");
    if !answer.status().is_success() {
        return Err(answer.status().as_u16());
    }
    let body: serde_json::Value =
        serde_json::from_slice(&answer.bytes().await.expect("no body")).expect("no JSON");
    assert!(body["expires_in"].as_u64().expect("no number") >= 60);
    assert_eq!(body["token"], body["access_token"]);
    Ok(body["token"].as_str().expect("no token").to_owned())
}

#[tokio::test]
async fn r1_docker_logs_in_with_the_right_password_only_pulls_without_one_and_pushes() {
    let server = Server::start(|config| config.auth = password(true)).await;
    server.add_image("a", "v1", b"config");
    let client = client();
    assert_eq!(token(&server, "", Some("wrong")).await, Err(401), "docker login must fail");
    let user = token(&server, "repository:a:pull,push", Some("secret")).await.expect("no token");
    let anonymous = token(&server, "repository:a:pull", None).await.expect("no token");
    for (bearer, base, push) in [(&user, 200, 202), (&anonymous, 200, 401)] {
        let get = async |path: &str| {
            client
                .get(server.url(path))
                .bearer_auth(bearer)
                .send()
                .await
                .expect("no answer")
                .status()
                .as_u16()
        };
        assert_eq!(get("/v2/").await, base);
        assert_eq!(get("/v2/a/manifests/v1").await, 200);
        let post = client.post(server.url("/v2/a/blobs/uploads/")).bearer_auth(bearer);
        let answer = post.send().await.expect("no answer");
        assert_eq!(answer.status(), push);
        if push == 401 {
            let challenge = answer.headers()["www-authenticate"].to_str().expect("no text");
            assert_eq!(parameter(challenge, "scope"), "repository:a:pull,push");
        }
    }
    for bearer in ["", "x", "anonymous2"] {
        let answer = client.get(server.url("/v2/a/manifests/v1")).bearer_auth(bearer).send().await;
        assert_eq!(answer.expect("no answer").status(), 401, "{bearer}");
    }
}

#[tokio::test]
async fn r1_clients_that_ask_for_nothing_pull_and_passwords_are_taken_everywhere() {
    let server = Server::start(|config| config.auth = password(true)).await;
    server.add_image("a", "v1", b"config");
    let client = client();
    let answer = client.get(server.url("/v2/a/manifests/v1")).send().await.expect("no answer");
    assert_eq!(answer.status(), 200, "containerd requests the manifest directly");
    let empty = client.get(server.url("/v2/a/manifests/v1")).basic_auth("", Some(""));
    assert_eq!(empty.send().await.expect("no answer").status(), 200);
    let post = |password| client.post(server.url("/v2/a/blobs/uploads/")).basic_auth("ann", Some(password));
    assert_eq!(post("secret").send().await.expect("no answer").status(), 202);
    assert_eq!(post("wrong").send().await.expect("no answer").status(), 401);
    let base = |password| client.get(server.url("/v2/")).basic_auth("ann", Some(password));
    assert_eq!(base("secret").send().await.expect("no answer").status(), 200);
    assert_eq!(base("wrong").send().await.expect("no answer").status(), 401);
    let post = client.post(server.url("/token")).send().await.expect("no answer");
    assert_eq!(post.status(), 405, "containerd then asks by GET");
    let closed = Server::start(|config| config.auth = password(false)).await;
    let answer = client.get(closed.url("/token")).send().await.expect("no answer");
    assert_eq!(answer.status(), 404);
}

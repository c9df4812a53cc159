//! Service accounts of a real cluster as users of the registry.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use crate::rig::{Cluster, free_port, possible, require, wait};

/// The program of the documentation that returns the token of a pod to the kubelet.
fn provider() -> &'static str {
    let page = include_str!("../../docs/access.md");
    let (_, rest) = page.split_once("```\n#!/usr/bin/jq -f\n").expect("no program");
    rest.split_once("```").expect("no end").0
}

fn config(cluster: &Cluster, address: &str) -> String {
    let url = cluster.url();
    format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\nlisteners: [{{address: '{address}'}}]\n\
         access:\n  oidc:\n\
         \x20   - {{issuer: 'https://kubernetes.default.svc', audience: registry.site, keys: jwks.json}}\n\
         \x20   - issuer: https://kubernetes.default.svc\n\
         \x20     audience: by-url\n\
         \x20     jwksURL: {url}/openid/v1/jwks\n\
         \x20     jwksCA: certs/apiserver.crt\n\
         \x20 groups: {{pods: ['group:system:serviceaccounts:default']}}\n\
         \x20 policies: [{{repositories: ['team/**'], to: ['group:pods'], allow: [pull]}}]\n"
    )
}

#[test]
fn service_accounts_of_a_cluster_pull_with_tokens_for_the_registry() {
    if !possible(false) || !require(&["jq", "curl"]) {
        return;
    }
    let mut cluster = Cluster::start(1);
    let keys = cluster.kubectl(&["get", "--raw", "/openid/v1/jwks"]);
    std::fs::write(cluster.path("jwks.json"), keys).unwrap();
    // Without it, only service accounts may read the keys.
    let role = "--clusterrole=system:service-account-issuer-discovery";
    cluster.kubectl(&["create", "clusterrolebinding", "keys", role, "--group=system:unauthenticated"]);
    let address = format!("127.0.0.1:{}", free_port());
    std::fs::write(cluster.path("registry.yaml"), config(&cluster, &address)).unwrap();
    let serve = ["serve", "--create", "--file", "registry.yaml"];
    cluster.run_words("airlock", env!("CARGO_BIN_EXE_airlock"), &serve);
    let status = |user: &str, token: &str, repository: &str| {
        let url = format!("http://{address}/v2/{repository}/tags/list");
        let user = format!("{user}:{token}");
        let curl = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", &user, &url];
        String::from_utf8(cluster.command("curl").args(curl).output().unwrap().stdout).unwrap()
    };
    wait("airlock serve", Duration::from_secs(30), || (status("", "", "a") == "401").then_some(()));
    let token = |namespace: &str, more: &[&str]| {
        let create = ["create", "token", "default", "--namespace", namespace];
        cluster.kubectl(&[&create[..], more].concat()).trim().to_owned()
    };
    let audience = ["--audience", "registry.site"];
    let own = token("default", &audience);
    // The repository does not exist.
    assert_eq!(status("<token>", &own, "team/app"), "404", "{}", cluster.log("airlock"));
    assert_eq!(status("<token>", &own, "other/app"), "403");
    assert_eq!(status("<token>", &token("kube-system", &audience), "team/app"), "403");
    assert_eq!(status("<token>", &token("default", &[]), "team/app"), "401", "for the API server");
    let by_url = token("default", &["--audience", "by-url"]);
    assert_eq!(status("<token>", &by_url, "team/app"), "404", "{}", cluster.log("airlock"));
    // As the kubelet asks a credential provider.
    let request = serde_json::json!({
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderRequest",
        "image": format!("{address}/team/app:v1"), "serviceAccountToken": own,
    });
    let mut jq = cluster.command("jq");
    let mut jq = jq.arg(provider()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    jq.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let response: serde_json::Value = serde_json::from_slice(&jq.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(response["kind"], "CredentialProviderResponse");
    let login = &response["auth"][&address];
    let (user, password) = (login["username"].as_str().unwrap(), login["password"].as_str().unwrap());
    assert_eq!(status(user, password, "team/app"), "404");
}

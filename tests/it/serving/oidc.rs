//! Tokens of issuers.

use std::path::Path;

use serde_json::json;
use time::OffsetDateTime;

use super::Registry;
use super::tokens::Issuer;
use crate::cli::fails;
use crate::signing::{site, works};

const PULL: &str = "/v2/disk.example/team/app/manifests/v1";
const UPLOAD: &str = "/v2/team/new/blobs/uploads/";

fn write(path: &Path, issuer: &str) {
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\n\
         listeners: [{{address: '127.0.0.1:0'}}]\naccess:\n  oidc:\n    - {issuer}\n\
         \x20 groups: {{pods: ['group:system:serviceaccounts:team']}}\n  policies:\n\
         \x20   - {{repositories: ['disk.example/**'], to: ['group:pods'], allow: [pull]}}\n\
         \x20   - {{repositories: ['team/**'], to: ['user:system:serviceaccount:team:builder'], allow: [push]}}\n"
    );
    std::fs::write(path.join("registry.yaml"), text).unwrap();
}

const ISSUER: &str = "{issuer: 'https://cluster', audience: registry.site, keys: jwks.json}";

fn token(issuer: &Issuer, account: &str, expires: i64) -> String {
    let claims = json!({
        "iss": "https://cluster",
        "aud": ["registry.site"],
        "sub": format!("system:serviceaccount:{account}"),
        "exp": OffsetDateTime::now_utc().unix_timestamp() + expires,
    });
    issuer.token("ES256", &claims)
}

#[test]
fn service_accounts_pull_and_push_with_their_tokens_until_the_keys_change() {
    let folder = site();
    let path = folder.path();
    let (issuer, next) = (Issuer::p256("one"), Issuer::p256("two"));
    std::fs::write(path.join("jwks.json"), issuer.keys()).unwrap();
    write(path, ISSUER);
    let registry = Registry::start(path, &["-f", "registry.yaml"]);
    let pull = |token: &str| registry.status("GET", PULL, Some(("<token>", token)));
    let push = |token: &str| registry.status("POST", UPLOAD, Some(("<token>", token)));
    let both = |token: &str| (pull(token), push(token));
    assert_eq!(both(&token(&issuer, "team:builder", 600)), (200, 202));
    assert_eq!(both(&token(&issuer, "team:app", 600)), (200, 403));
    assert_eq!(both(&token(&issuer, "other:app", 600)), (403, 403));
    assert_eq!(both(&token(&issuer, "team:builder", -600)), (401, 401));
    assert_eq!(both(&token(&next, "team:builder", 600)), (401, 401));
    registry.says_after("the configuration was not reloaded; the one in use stays", || {
        std::fs::write(path.join("jwks.json"), "{}").unwrap();
    });
    assert_eq!(both(&token(&issuer, "team:builder", 600)), (200, 202));
    registry.says_after("reloaded the configuration; changed: access", || {
        std::fs::write(path.join("jwks.json"), next.keys()).unwrap();
    });
    assert_eq!(both(&token(&issuer, "team:builder", 600)), (401, 401));
    assert_eq!(both(&token(&next, "team:builder", 600)), (200, 202));
    registry.stop();
}

#[test]
fn an_issuer_that_cannot_be_used_is_refused() {
    let folder = site();
    let path = folder.path();
    std::fs::write(path.join("jwks.json"), Issuer::p256("one").keys()).unwrap();
    let check = ["serve", "--check", "-f", "registry.yaml"];
    write(path, ISSUER);
    let text = works(path, &[&check[..], &["--output", "json"]].concat());
    assert!(text.contains("\"issuer\": \"https://cluster\""), "{text}");
    let refused = |issuer: &str, code, words: &str| {
        write(path, issuer);
        fails(path, &check, code, words);
    };
    refused("{issuer: a, audience: b}", 2, "needs either `keys`");
    refused("{issuer: a, audience: b, keys: none.json}", 4, "none.json");
    refused("{issuer: a, audience: b, keys: release.pub}", 2, "are not a JSON Web Key Set");
    refused("{issuer: a, audience: b, jwksURL: 'http://a/keys'}", 2, "is not an `https` URL");
    refused("{issuer: a, audience: '', keys: jwks.json}", 2, "is empty");
    refused("{issuer: a, keys: jwks.json}", 2, "line 7: `audience` is missing");
    refused("{issuer: a, audience: b, key: jwks.json}", 2, "line 7: unknown field `key`");
}

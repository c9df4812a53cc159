//! The configuration of an LDAP server.

use std::path::Path;

use super::Registry;
use crate::cli::fails;
use crate::signing::{site, works};

const SERVER: &str = "{url: 'ldap://127.0.0.1:1', userSearch: {base: 'dc=site'}}";
const PULL: &str = "/v2/disk.example/team/app/manifests/v1";

fn write(path: &Path, ldap: &str) {
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\n\
         listeners: [{{address: '127.0.0.1:0'}}]\naccess:\n  ldap: {ldap}\n\
         \x20 policies:\n    - {{repositories: ['**'], to: [authenticated], allow: [pull]}}\n"
    );
    std::fs::write(path.join("registry.yaml"), text).unwrap();
}

#[test]
fn a_server_that_is_gone_is_logged_and_is_not_a_wrong_password() {
    let folder = site();
    let path = folder.path();
    write(path, SERVER);
    let registry = Registry::start(path, &["-f", "registry.yaml"]);
    registry.says_after("the LDAP server identifies no user", || {
        assert_eq!(registry.status("GET", PULL, Some(("ann", "secret"))), 503);
    });
    assert_eq!(registry.status("GET", PULL, Some(("ann", ""))), 401);
    std::fs::write(path.join("password"), "secret\n").unwrap();
    let account =
        "{url: 'ldaps://127.0.0.1:1', bindDN: 'cn=a', bindPasswordFile: password, userSearch: {base: ''}}";
    registry.says_after("reloaded the configuration; changed: access", || write(path, account));
    registry.says_after("reloaded the configuration; changed: access", || {
        std::fs::write(path.join("password"), "next\n").unwrap();
    });
    registry.stop();
}

#[test]
fn an_ldap_server_that_cannot_be_used_is_refused() {
    let folder = site();
    let path = folder.path();
    std::fs::write(path.join("empty"), "").unwrap();
    let check = ["serve", "--check", "-f", "registry.yaml"];
    write(path, SERVER);
    let text = works(path, &[&check[..], &["--output", "json"]].concat());
    assert!(text.contains("\"url\": \"ldap://127.0.0.1:1\""), "{text}");
    let refused = |ldap: &str, code, words: &str| {
        write(path, ldap);
        fails(path, &check, code, words);
    };
    refused("{url: 'ldap://ldap.site', userSearch: {base: a}}", 2, "without TLS");
    refused("{url: 'ldaps://a', bindDN: a, userSearch: {base: a}}", 2, "belong together");
    refused(
        "{url: 'ldaps://a', bindDN: a, bindPasswordFile: empty, userSearch: {base: a}}",
        2,
        "belong together",
    );
    refused("{url: 'ldaps://a', bindDN: a, bindPasswordFile: none, userSearch: {base: a}}", 4, "none");
    refused("{url: 'ldaps://a', ca: empty, userSearch: {base: a}}", 2, "cannot be used");
    refused(
        "{url: 'ldaps://a', userSearch: {base: a, filter: '(uid=*)'}}",
        2,
        "is not a filter with `{user}`",
    );
    refused("{url: 'ldaps://a'}", 2, "userSearch");
}

//! The configuration file, and `--check`.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use super::{ONE, Registry, status};
use crate::cli::{airlock, fails};
use crate::signing::{site, works};

const HEAD: &str = "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\n";

fn write(path: &Path, more: &str) {
    std::fs::write(path.join("registry.yaml"), format!("{HEAD}{more}\n")).unwrap();
}

#[test]
fn one_process_serves_several_addresses_and_a_unix_socket() {
    let folder = site();
    let path = folder.path();
    std::fs::create_dir(path.join("run")).unwrap();
    write(
        path,
        "listeners:\n  - address: 127.0.0.1:0\n  - address: '[::1]:0'\n    tls: {selfSigned: true}\n\
         \x20 - unix: run/registry.sock\n",
    );
    let registry = Registry::start(path, &["-f", "registry.yaml"]);
    let socket = path.join("run/registry.sock");
    assert_eq!(registry.urls.len(), 3);
    assert!(registry.urls[1].starts_with("https://[::1]:"), "{:?}", registry.urls);
    assert_eq!(registry.urls[2], "unix:run/registry.sock");
    assert_eq!(registry.status("GET", "/v2/_catalog", None), 200);
    assert!(TcpStream::connect(registry.address(1)).is_ok());
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(status(UnixStream::connect(&socket).unwrap(), "GET", "/readyz", None), 200);
    assert_eq!(status(UnixStream::connect(&socket).unwrap(), "POST", "/v2/a/blobs/uploads/", None), 202);
    // A second process does not take over the socket.
    fails(path, &["serve", "-f", "registry.yaml"], 1, "cannot listen on `unix:run/registry.sock`");
    registry.stop();
    assert!(!socket.exists());
}

#[test]
fn check_explains_the_configuration_and_changes_nothing() {
    let folder = site();
    let path = folder.path();
    std::fs::write(path.join("users"), ONE).unwrap();
    write(
        path,
        "listeners:\n  - {address: ':5000', tls: {selfSigned: true, names: [registry.site]}}\n  - unix: a.sock\n\
         access: {htpasswd: users, anonymous: pull}\ntrust: release.yaml\ntrustedProxies: [10.0.0.0/8]\n\
         limits: {connectionsPerClient: 7}",
    );
    let text = works(path, &["serve", "--check", "--file", "registry.yaml"]);
    for line in [
        "the configuration is valid",
        "https://0.0.0.0:5000 (certificate for localhost, registry.site from the CA in store/tls)",
        "unix:a.sock",
        "everyone",
        "1 user",
        "release.yaml (sequence 0; no gates)",
        "10.0.0.0/8",
        "limit connectionsPerClient",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let json = works(path, &["serve", "--check", "--file", "registry.yaml", "--output", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["listeners"][1]["listen"], "unix:a.sock");
    assert_eq!(json["access"]["users"], 1);
    assert_eq!(json["access"]["anonymous"], "pull");
    assert_eq!((&json["limits"]["connectionsPerClient"], &json["openToAll"]), (&7.into(), &false.into()));
    assert!(!path.join("store/tls").exists() && !path.join("a.sock").exists());
    // The flags can be checked, too.
    let flags = works(path, &["serve", "--check", "--store", "store", "--read-only"]);
    assert!(flags.contains("no one: the registry is read-only"), "{flags}");
}

#[test]
fn a_configuration_that_cannot_be_used_has_the_exit_code_of_its_reason() {
    let folder = site();
    let path = folder.path();
    let refused = |more: &str, code, words: &str| {
        write(path, more);
        for check in [&["--check"][..], &[]] {
            fails(path, &[&["serve", "-f", "registry.yaml"], check].concat(), code, words);
        }
    };
    refused("listeners: [{address: ':5000'}]", 2, "give the listener `tls`, or `plainHTTP: true`");
    refused("listeners: [{address: ':5000', plainHTTP: true}]", 2, "set `access.htpasswd`");
    refused("access: {htpasswd: none}", 4, "none`");
    refused("trust: none.yaml", 4, "none.yaml`");
    refused(
        "listeners: [{address: ':1', tls: {cert: release.pub, key: release.key}}]\nreadOnly: true",
        2,
        "release",
    );
    refused("access: {anonymous: pull}", 2, "`access.anonymous: pull` has no effect");
    refused("acess: {}", 2, "line 4: unknown field `acess`");
    std::fs::write(path.join("registry.yaml"), HEAD.replace("store: store", "store: typo")).unwrap();
    fails(path, &["serve", "-f", "registry.yaml", "--check"], 4, "typo");
    fails(path, &["serve", "-f", "none.yaml"], 4, "none.yaml");
    fails(path, &["serve"], 2, "--store");
}

#[test]
fn a_flag_that_sets_the_same_as_the_file_is_refused_but_a_default_is_not() {
    let folder = site();
    let path = folder.path();
    write(path, "");
    let flags: [&[&str]; 6] = [
        &["--store", "store"],
        &["--trust", "release.yaml"],
        &["--listen", "127.0.0.1:0"],
        &["--read-only"],
        &["--connections-per-client", "3"],
        &["--registry-name", "a.site"],
    ];
    for flag in flags {
        fails(path, &[&["serve", "--check", "-f", "registry.yaml"], flag].concat(), 2, flag[0]);
    }
    std::fs::create_dir_all(path.join(".config/airlock")).unwrap();
    let defaults = "store: elsewhere\ntrust: none.yaml\nlisten: 127.0.0.1:7\nhtpasswd: none\n";
    std::fs::write(path.join(".config/airlock/config.yaml"), defaults).unwrap();
    let checked = airlock(path, &["serve", "--check", "-f", "registry.yaml", "--output", "json"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let json: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&json["store"], &json["trust"]), (&"store".into(), &Value::Null));
}

#[test]
fn the_schema_of_the_file_is_printed() {
    let folder = site();
    let path = folder.path();
    let schema: Value = serde_json::from_str(&works(path, &["schema", "registry"])).unwrap();
    assert_eq!(schema["title"], "RegistryConfig");
    assert_eq!(works(path, &["schema"]), works(path, &["schema", "mirror"]));
    fails(path, &["schema", "other"], 2, "registry");
}

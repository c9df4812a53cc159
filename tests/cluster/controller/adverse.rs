//! External faults: a registry that sends wrong content, and a deleted namespace.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{MINUTE, Shard, site};
use crate::rig::wait;

#[test]
fn nothing_is_installed_from_a_registry_that_sends_wrong_content() {
    let Some(site) = site() else { return };
    let mut shard = Shard::new(&site, "lies", "v1-36-2");
    let lies = Arc::<AtomicBool>::default();
    shard.registry = liar(&site.registry, &lies);
    let _controller = shard.start();
    wait("the bundle", MINUTE, || {
        let settings = site.get(&["packagebundlecontrollers", "lies", "-n", "eksa-packages"])?;
        (settings["status"]["state"] == "active").then_some(())
    });
    lies.store(true, Ordering::SeqCst);
    shard.package("lies-plain", "plain", "1.0.0", "word: x", "");
    let words = "the registry sent different content for the chart `";
    let is_reported =
        |package: &Value| package["status"]["detail"].as_str().is_some_and(|detail| detail.contains(words));
    shard.until("lies-plain", MINUTE, is_reported);
    assert!(shard.revisions("lies-plain").is_empty());
    assert!(site.get(&["namespace", "at-lies-plain"]).is_none());
    lies.store(false, Ordering::SeqCst);
    shard.installed("lies-plain", "1.0.0");
    assert_eq!(shard.revisions("lies-plain"), ["\"1\" \"deployed\""]);
}

/// Starts a proxy to a registry that changes the last byte of each blob while `lies` is set; returns its address.
fn liar(registry: &str, lies: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (registry, lies) = (registry.to_owned(), Arc::clone(lies));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (registry, lies) = (registry.clone(), Arc::clone(&lies));
            std::thread::spawn(move || forward(client, &registry, &lies));
        }
    });
    address
}

/// Forwards one request without a body, and its response.
fn forward(mut client: TcpStream, registry: &str, lies: &AtomicBool) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut server = TcpStream::connect(registry).ok()?;
    server.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    let is_blob = head.starts_with("GET ") && head.lines().next()?.contains("/blobs/");
    if is_blob && lies.load(Ordering::SeqCst) {
        *answer.last_mut()? ^= 1;
    }
    client.write_all(&answer).ok()?;
    client.shutdown(Shutdown::Both).ok()
}

#[test]
fn a_namespace_that_is_deleted_during_an_installation_is_created_again() {
    let Some(site) = site() else { return };
    let shard = Shard::new(&site, "going", "v1-36-2");
    let controller = shard.start();
    // Its pods fit on no node, so the installation does not complete.
    shard.package("going-base", "base", "1.0.0", "os: none", "");
    let deployed = || site.get(&["deployment", "going-base", "-n", "at-going-base"]);
    wait("the deployment", MINUTE, || deployed().map(drop));
    let package = shard.until("going-base", MINUTE, |package| {
        let detail = package["status"]["detail"].as_str().unwrap_or_default();
        detail.starts_with("waiting for Deployment at-going-base/going-base: ")
            && detail.ends_with(" s of 300 s)")
    });
    assert_eq!(package["status"]["conditions"][0]["message"], package["status"]["detail"], "{package:#}");
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": "at-going-base", "finalizers": ["test.example/held"]}});
    site.apply(&held.to_string());
    site.kubectl(&["delete", "namespace", "at-going-base", "--wait=false"]);
    wait("the end of the deployment", MINUTE, || deployed().is_none().then_some(()));
    // Another controller continues with the same revision, in a namespace that is being deleted.
    drop(controller);
    shard.delete_lease();
    let _controller = shard.start();
    let is_terminating = |package: &Value| {
        package["status"]["detail"].as_str().is_some_and(|detail| detail.contains("it is being terminated"))
    };
    let package = shard.until("going-base", MINUTE, is_terminating);
    let conditions = package["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let failed = conditions.iter().any(|one| one["type"] == "Failed" && one["status"] == "True");
    assert!(!failed, "it was given up: {package:#}");
    let release = r#"{"metadata":{"finalizers":null}}"#;
    site.kubectl(&["patch", "configmap", "held", "-n", "at-going-base", "--type=merge", "-p", release]);
    // Without any change of the package.
    wait("the deployment in a new namespace", 2 * MINUTE, || deployed().map(drop));
    shard.change("going-base", &json!({ "config": "os: linux\n" }));
    shard.until("going-base", Duration::from_mins(2), |package| super::is_installed(package, "1.0.0"));
}

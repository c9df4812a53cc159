//! Sockets that systemd passes. A shell does here what systemd does: it moves them to the descriptors 3 and 4, and names
//! itself before it becomes airlock.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Registry, status};
use crate::cli::{AIRLOCK, fails};
use crate::signing::site;

const PASS: &str = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; \
                    LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:local exec \"$0\" serve --address-file address \"$@\"";

/// Starts a registry with two sockets, `web` and `local`.
fn start(path: &Path, (web, local): (OwnedFd, OwnedFd), arguments: &[&str]) -> Registry {
    let (address, log) = (path.join("address"), path.join("stderr"));
    let child = Command::new("sh")
        .args(["-c", PASS, AIRLOCK])
        .args(arguments)
        .current_dir(path)
        .env("HOME", path)
        .stdin(Stdio::from(web))
        .stdout(Stdio::from(local))
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut registry = Registry { child, urls: Vec::new(), log };
    registry.until("it serves", || address.exists());
    let urls = std::fs::read_to_string(&address).unwrap();
    registry.urls = urls.lines().map(str::to_owned).collect();
    registry
}

fn sockets(path: &Path) -> (TcpListener, UnixListener) {
    (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(path.join("local.sock")).unwrap())
}

#[test]
fn a_registry_serves_the_sockets_that_systemd_passes() {
    let folder = site();
    let path = folder.path();
    let (web, local) = sockets(path);
    let address = web.local_addr().unwrap();
    let config = "apiVersion: airlock.dev/v1alpha1\nkind: RegistryConfig\nstore: store\naccess: {anonymous: push}\nlisteners:\n\
                  \x20 - {systemd: local, plainHTTP: true}\n  - {systemd: web, plainHTTP: true}\n";
    std::fs::write(path.join("registry.yaml"), config).unwrap();
    // The kernel keeps clients that connect before the registry starts.
    let mut early = TcpStream::connect(address).unwrap();
    early.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let registry = start(path, (web.into(), local.into()), &["--file", "registry.yaml"]);
    let socket = path.join("local.sock");
    assert_eq!(registry.urls, [format!("unix:{}", socket.display()), format!("http://{address}")]);
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(status(TcpStream::connect(address).unwrap(), "GET", "/v2/_catalog", None), 200);
    assert_eq!(status(UnixStream::connect(&socket).unwrap(), "GET", "/v2/_catalog", None), 200);
    registry.hangup("reloaded the configuration; changed: nothing");
    assert_eq!(status(TcpStream::connect(address).unwrap(), "GET", "/readyz", None), 200);
    registry.stop();
    assert!(socket.exists(), "the socket is systemd's");
}

#[test]
fn a_flag_takes_all_sockets_or_those_with_a_name() {
    let folder = site();
    let path = folder.path();
    for (listen, expected) in [("systemd", 2), ("systemd:web", 1)] {
        let (web, local) = sockets(path);
        let address = web.local_addr().unwrap();
        let arguments = ["--store", "store", "--listen", listen, "--allow-plain-http", "--read-only"];
        let registry = start(path, (web.into(), local.into()), &arguments);
        assert_eq!(registry.urls.len(), expected, "{:?}", registry.urls);
        assert_eq!(registry.urls[0], format!("http://{address}"));
        assert_eq!(registry.status("GET", "/v2/_catalog", None), 200);
        registry.stop();
        std::fs::remove_file(path.join("local.sock")).unwrap();
        std::fs::remove_file(path.join("address")).unwrap();
    }
}

#[test]
fn without_sockets_and_without_protection_a_registry_does_not_start() {
    let folder = site();
    let path = folder.path();
    let serve = ["serve", "--store", "store", "--listen", "systemd"];
    fails(path, &serve, 2, "`systemd` is reachable by other machines");
    let open = [&serve[..], &["--allow-plain-http", "--read-only"]].concat();
    fails(path, &open, 2, "systemd passed no socket");
    // Variables that were meant for a parent process.
    let output = Command::new(AIRLOCK)
        .args(&open)
        .current_dir(path)
        .env("HOME", path)
        .envs([("LISTEN_PID", "1"), ("LISTEN_FDS", "1")])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("systemd passed no socket"), "{output:?}");
    let (web, local) = sockets(path);
    let other = [&open[..4], &["systemd:other"], &open[5..]].concat();
    let output = Command::new("sh")
        .args(["-c", PASS, AIRLOCK])
        .args(&other[1..])
        .current_dir(path)
        .env("HOME", path)
        .stdin(Stdio::from(OwnedFd::from(web)))
        .stdout(Stdio::from(OwnedFd::from(local)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("systemd passed no socket with the name `other`"), "{said}");
}

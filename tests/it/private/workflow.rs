//! A complete workflow, including a push with curl.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{assert_private, command, works};
use crate::signing::{IMAGE, site};

/// Pushes a blob to the registry.
fn push(folder: &Path, address: &str) {
    let url = format!("https://{address}/v2/new/blobs/uploads/?digest={}", oci::Digest::sha256(b"{}"));
    let send =
        ["--cacert", "far/tls/ca.crt", "--fail", "--silent", "--show-error", "--data-binary", "{}", &url];
    let sent = Command::new("curl").args(send).current_dir(folder).output().unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

struct Server(Child);

impl Server {
    /// Starts a server with a self-signed certificate and a new store.
    fn start(folder: &Path, umask: &str) -> (Self, String) {
        let serve = ["serve", "--store", "far", "--create", "--self-signed", "--listen", "127.0.0.1:0"];
        let arguments = [&serve[..], &["--address-file", "address", "--anonymous-push"]].concat();
        let mut command = command(folder, umask, &arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self(child);
        for _ in 0..1200 {
            if let Ok(url) = fs::read_to_string(folder.join("address")) {
                return (server, url.trim().trim_start_matches("https://").to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server did not start")
    }

    fn stop(mut self) {
        assert!(Command::new("kill").arg(self.0.id().to_string()).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a16_everything_below_a_store_is_private_after_a_complete_workflow_under_any_umask() {
    if !crate::programs::require(&["curl"]) {
        return;
    }
    for umask in ["000", "022"] {
        let folder = site();
        let path = folder.path();
        let run = |arguments: &[&str]| works(path, umask, arguments);
        let (server, address) = Server::start(path, umask);
        push(path, &address);
        run(&["keys", "generate", "k"]);
        run(&["mirror", "--store", "near"]);
        run(&["sign", IMAGE, "--store", "near", "--key", "k.key"]);
        run(&["pack", "--store", "near", "--to", "drive", "--key", "k.key"]);
        run(&["keys", "trust", "k.pub", "--log", "near/log/key.pub"]);
        server.stop();
        run(&["import", "drive", "--trust", "trust.yaml", "--store", "far"]);
        run(&["return", "--store", "far", "--to", "back"]);
        let key = fs::read_to_string(path.join("far/witness/key.pub")).unwrap();
        run(&["keys", "trust", "k.pub", "--witness", key.trim(), "--to", "sites.yaml"]);
        run(&["acknowledge", "back", "--store", "near", "--trust", "sites.yaml"]);
        // The tail, the seal and the records are rewritten each time.
        for store in ["near", "far"] {
            run(&["store", "check", "--store", store]);
            run(&["store", "gc", "--store", store]);
            run(&["audit", "index", "--rebuild", "--store", store]);
            run(&["audit", "verify", "--store", store]);
            run(&["store", "rebuild", "--store", store]);
            let seen = assert_private(&path.join(store));
            assert!(seen > 540, "{seen}");
            for part in
                ["log/tail", "log/key.pub", "log/lock", "log/index.sqlite", "log/index.seal", "log/tile"]
            {
                assert!(path.join(store).join(part).exists(), "{part}");
            }
        }
        for part in
            ["far/witness/senders", "far/witness/lock", "far/tls/server.key", "near/witness/sites", "k.key"]
        {
            assert!(assert_private(&path.join(part)) > 0);
        }
        assert!(assert_private(&path.join(".local/state/airlock")) > 1, "the record of the last drive");
    }
}

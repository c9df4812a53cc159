//! skopeo and podman log in, push and pull as their users may.

use std::path::Path;
use std::process::Command;

use super::{ADMIN, PULL, Site, WRITE};
use crate::Server;
use crate::programs::{program, require};

const CONFIG: &[u8] =
    br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{}}"#;

/// A command line, in which `HOST` is the registry. Credentials come only from the given file.
fn run(folder: &Path, host: &str, name: &str, line: &str, last: &[&str]) -> (bool, String) {
    let arguments = line.split(' ').map(|word| word.replace("HOST", host));
    let output = Command::new(program(name))
        .args(arguments)
        .args(last)
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_RUNTIME_DIR", folder)
        .env_remove("REGISTRY_AUTH_FILE")
        .output()
        .expect("not started");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_log_in_and_are_allowed_what_the_policies_allow() {
    if !require(&["skopeo", "podman"]) {
        return;
    }
    let site = Site::new(&[
        ("library/*", "anonymous", PULL),
        ("**", "robot:ci", WRITE),
        ("**", "user:admin", ADMIN),
    ]);
    let auth = site.auth.clone();
    let server = Server::start(|config| config.auth = auth).await;
    server.add_image("library/base", "v1", CONFIG);
    let host = server.address.to_string();
    let (_, secret) = site.password("robot$ci");
    let (_, password) = site.password("admin");
    let clients = move || {
        let folder = tempfile::tempdir().expect("no folder");
        let ends = |good: bool, name: &str, line: &str, last: &[&str]| {
            let (found, said) = run(folder.path(), &host, name, line, last);
            assert_eq!(found, good, "{name} {line}: {said}");
            said
        };
        let wrong = ["airlock_wrong", "HOST"].map(|word| word.replace("HOST", &host));
        let login = "login --tls-verify=false --authfile auth.json -u robot$ci -p";
        for name in ["skopeo", "podman"] {
            let said = ends(false, name, login, &[&wrong[0], &wrong[1]]);
            assert!(said.contains("invalid username/password"), "{said}");
            ends(true, name, login, &[&secret, &host]);
        }
        // The config is in both repositories after a mount.
        let copy = "copy --src-tls-verify=false --dest-tls-verify=false --authfile auth.json \
                    docker://HOST/library/base:v1";
        let copy_to =
            |good, target: &str| ends(good, "skopeo", copy, &[&format!("docker://{host}/{target}")]);
        copy_to(true, "team-a/app:v1");
        copy_to(true, "team-a/app:v1");
        let said = copy_to(false, "team-b/app:v1");
        assert!(said.contains("denied") || said.contains("403"), "{said}");
        let inspect = "inspect --raw --tls-verify=false";
        ends(true, "skopeo", &format!("{inspect} docker://HOST/library/base:v1"), &[]);
        let said = ends(false, "skopeo", &format!("{inspect} docker://HOST/team-a/app:v1"), &[]);
        assert!(said.contains("authentication required") || said.contains("unauthorized"), "{said}");
        let with_file = "--tls-verify=false --authfile auth.json docker://HOST/team-a/app";
        let tags = ends(true, "skopeo", &format!("list-tags {with_file}"), &[]);
        assert!(tags.contains("\"v1\""), "{tags}");
        ends(false, "skopeo", &format!("delete {with_file}:v1"), &[]);
        let admin = login.replace("robot$ci", "admin");
        ends(true, "skopeo", &admin, &[&password, &host]);
        ends(true, "skopeo", &format!("delete {with_file}:v1"), &[]);
        ends(false, "skopeo", &format!("inspect --raw {with_file}:v1"), &[]);
    };
    tokio::task::spawn_blocking(clients).await.expect("failed");
}

//! `airlock want`: what clients asked for becomes a mirror file.

use std::net::TcpStream;
use std::path::Path;

use mirror::config::{MirrorConfig, Source};
use serde_json::Value;

use crate::cli::fails;
use crate::serving::status;
use crate::signing::{serve, site, works};

/// The recorded references, once there are as many.
fn listed(folder: &Path, count: usize) -> Vec<Value> {
    for _ in 0..300 {
        let text = works(folder, &["want", "list", "--store", "store", "--output", "json"]);
        let all: Vec<Value> = serde_json::from_str(&text).unwrap();
        if all.len() == count {
            return all;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("not recorded")
}

#[test]
fn missing_images_become_a_mirror_file_and_are_cleared_when_they_are_present() {
    let folder = site();
    let path = folder.path();
    let digest = oci::Digest::sha256(b"absent").to_string();
    {
        let (_served, address) = serve(path, "store");
        for (request, expected) in [
            ("HEAD /v2/team/app/manifests/v2?ns=disk.example", 404),
            ("GET /v2/team/app/manifests/v2?ns=disk.example", 404),
            ("GET /v2/nginx/manifests/1.29?ns=registry-1.docker.io", 404),
            (&format!("GET /v2/team/app/manifests/{digest}?ns=quay.io:8443"), 404),
            ("GET /v2/team/own/manifests/v1", 404),
            ("GET /v2/team/app/manifests/v1?ns=disk.example", 200),
            ("HEAD /v2/team/new/manifests/v1", 404),
            ("GET /v2/team/app/manifests/v1?ns=%0aevil.example", 404),
        ] {
            let (method, target) = request.split_once(' ').unwrap();
            let stream = TcpStream::connect(&address).unwrap();
            assert_eq!(status(stream, method, target, None), expected, "{request}");
        }
        let all = listed(path, 4);
        assert_eq!((&all[1]["reference"], &all[1]["count"]), (&"disk.example/team/app:v2".into(), &2.into()));
        assert_eq!(all[1]["clients"], serde_json::json!(["network 127.0.0.1"]));
    }
    let list = works(path, &["want", "list", "--store", "store"]);
    assert_eq!(list.lines().filter(|line| line.starts_with("missing  ")).count(), 4, "{list}");

    let printed = works(path, &["want", "export", "--store", "store"]);
    let said = works(path, &["want", "export", "--store", "store", "--to", "want.yaml", "--name", "site-b"]);
    assert!(said.contains("wrote 3 references to want.yaml") && said.contains("team/own:v1"), "{said}");
    let text = std::fs::read_to_string(path.join("want.yaml")).unwrap();
    assert_eq!(text, printed.replace("name: want\n", "name: site-b\n"));
    assert!(text.contains("# Left out, because the client named no registry: team/own:v1\n"), "{text}");
    let config = MirrorConfig::read(&path.join("want.yaml")).unwrap();
    let images = config.sources.iter().map(|source| match source {
        Source::Image(reference) => reference.to_string(),
        other => panic!("{other:?}"),
    });
    let expected = [
        "disk.example/team/app:v2".to_owned(),
        "docker.io/library/nginx:1.29".to_owned(),
        format!("quay.io:8443/team/app@{digest}"),
    ];
    assert_eq!(images.collect::<Vec<_>>(), expected);
    let export = ["want", "export", "--store", "store", "--to"];
    fails(path, &[&export[..], &["want.yaml"]].concat(), 2, "already exists");
    let only = [&export[..], &["docker.yaml", "--registry", "docker.io"]].concat();
    assert!(works(path, &only).contains("wrote 1 reference to docker.yaml"));
    fails(path, &[&export[..], &["x.yaml", "--registry", "gcr.io"]].concat(), 4, "no missing manifest");
    assert!(!path.join("x.yaml").exists());
    clear_what_is_present(path);
}

fn clear_what_is_present(path: &Path) {
    // The image arrives under the name that was asked for.
    let sources = "  - ociLayout: {path: layout, reference: 'disk.example/team/app:v2'}\n";
    std::fs::write(path.join("next.yaml"), crate::signing::mirror_file("", sources)).unwrap();
    works(path, &["mirror", "-f", "next.yaml", "--lock", "next.lock", "--store", "store"]);
    assert!(works(path, &["want", "list", "--store", "store"]).contains("present "));
    let again = works(path, &["want", "export", "--store", "store"]);
    assert!(!again.contains("disk.example"), "{again}");

    let clear = ["want", "clear", "--store", "store"];
    let planned = works(path, &[&clear[..], &["--present", "--dry-run"]].concat());
    assert_eq!(planned, "would clear disk.example/team/app:v2\nwould clear 1 reference\n");
    assert_eq!(listed(path, 4).len(), 4);
    works(path, &[&clear[..], &["--present"]].concat());
    fails(
        path,
        &[&clear[..], &["quay.io/other:v1"]].concat(),
        4,
        "no request for `quay.io/other:v1` is recorded",
    );
    // Another form of the same reference.
    assert!(
        works(path, &[&clear[..], &["nginx:1.29"]].concat()).contains("cleared docker.io/library/nginx:1.29")
    );
    assert_eq!(listed(path, 2).len(), 2);
    works(path, &clear);
    assert_eq!(works(path, &["want", "list", "--store", "store"]), "no missing manifests are recorded\n");
    fails(path, &["want", "list", "--store", "absent"], 4, "absent");
}

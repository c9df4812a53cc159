//! `airlock config`: configuration files for nodes, as printed and as written.

use std::os::unix::fs::PermissionsExt as _;

use crate::cli::{airlock, fails};

const REGISTRY: [&str; 2] = ["--registry", "https://registry.site:5000"];

#[test]
fn every_client_gets_files_and_the_written_files_equal_the_printed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("credentials"), "puller:secret\n").unwrap();
    for client in
        ["containerd", "containerd-v1", "crio", "podman", "bottlerocket", "kind", "k3s", "rke2", "eks-a"]
    {
        let arguments = [
            &["config", client, "--mirror", "public.ecr.aws", "--credentials", "credentials"][..],
            &REGISTRY,
        ]
        .concat();
        let printed = airlock(path, &[&arguments[..], &["--output", "json"]].concat()).stdout;
        let printed: serde_json::Value = serde_json::from_slice(&printed).unwrap();
        let output = airlock(path, &[&arguments[..], &["--output-dir", client]].concat());
        assert!(output.status.success(), "{client}: {}", String::from_utf8_lossy(&output.stderr));
        let listed = String::from_utf8(output.stdout).unwrap();
        let files = printed.as_array().unwrap();
        assert_eq!((listed.lines().count(), files.is_empty()), (files.len(), false), "{client}");
        for (line, file) in listed.lines().zip(files) {
            let written = path.join(line);
            assert!(line.ends_with(file["path"].as_str().unwrap().trim_start_matches('/')), "{line}");
            let text = std::fs::read_to_string(&written).unwrap();
            assert_eq!(file["content"], text, "{line}");
            let mode = written.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode == 0o600, file["secret"] == true, "{line}");
            let has_password = text.contains("secret") || text.contains("cHVsbGVyOnNlY3JldA==");
            assert!(!has_password || mode == 0o600, "every user can read the password in {line}");
        }
    }
}

#[test]
fn hosts_come_from_the_store_and_from_flags() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("notice.txt"), "text").unwrap();
    let text = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\nsources:\n  - files: [{path: notice.txt}]\n";
    std::fs::write(path.join("airlock.yaml"), text).unwrap();
    assert!(airlock(path, &["mirror", "--store", "store"]).status.success());
    // Content that was mirrored from files has no upstream registry.
    fails(path, &[&["config", "crio", "--store", "store"][..], &REGISTRY].concat(), 2, "--mirror");
    let named = [
        &["config", "crio", "--store", "store", "--lock", "airlock.lock", "--mirror", "quay.io"][..],
        &REGISTRY,
    ];
    let output = airlock(path, &named.concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("prefix = \"quay.io\"") && !text.contains("files"), "{text}");
    assert!(text.starts_with("# ==> /etc/containers/registries.conf.d/50-airlock.conf\n"), "{text}");
}

#[test]
fn o35_a_host_with_files_only_gets_no_mirror() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let layout = path.join("layout/blobs/sha256");
    std::fs::create_dir_all(&layout).unwrap();
    let put = |text: &str| {
        let digest = oci::Digest::sha256(text.as_bytes());
        std::fs::write(layout.join(digest.hex()), text).unwrap();
        (digest, text.len())
    };
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = |artifact: &str, config: &str, text: &str| {
        let (digest, size) = put(text);
        put(&format!(
            r#"{{"schemaVersion":2,"mediaType":"{kind}",{artifact}"config":{{"mediaType":"{config}","digest":"{digest}","size":{size}}},"layers":[]}}"#
        ))
    };
    let (image, image_size) = manifest(
        "",
        "application/vnd.oci.image.config.v1+json",
        r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#,
    );
    let artifact = r#""artifactType":"application/vnd.airlock.file.v1","#;
    let (file, file_size) = manifest(artifact, "application/vnd.oci.empty.v1+json", "{}");
    let name = |tag: &str| format!(r#""annotations":{{"org.opencontainers.image.ref.name":"{tag}"}}"#);
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{kind}","digest":"{image}","size":{image_size},{}}},{{"mediaType":"{kind}","digest":"{file}","size":{file_size},{}}}]}}"#,
        name("image"),
        name("file")
    );
    std::fs::write(path.join("layout/index.json"), index).unwrap();
    let text = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\nsources:\n  - ociLayout: {path: layout, image: image, reference: 'images.example/team/app:v1'}\n  - ociLayout: {path: layout, image: file, reference: 'downloads.example/notices:v1'}\n";
    std::fs::write(path.join("airlock.yaml"), text).unwrap();
    let mirrored = airlock(path, &["mirror", "--store", "store"]);
    assert!(mirrored.status.success(), "{}", String::from_utf8_lossy(&mirrored.stderr));
    // Entries of a mirror file's `files` have the kind `file` in the lock.
    let lock = std::fs::read_to_string(path.join("airlock.lock")).unwrap();
    let mut lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
    for item in lock["items"].as_array_mut().unwrap() {
        if item["repository"] == "downloads.example/notices" {
            item["kind"] = "file".into();
        }
    }
    std::fs::write(path.join("changed.lock"), lock.to_string()).unwrap();
    for from in [["--store", "store"], ["--lock", "changed.lock"]] {
        let output = airlock(path, &[&["config", "containerd"][..], &from, &REGISTRY].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("certs.d/images.example/hosts.toml"), "{text}");
        assert!(!text.contains("downloads.example"), "{text}");
    }
}

#[test]
fn invalid_arguments_are_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("empty"), "\n").unwrap();
    let mirror = ["--mirror", "public.ecr.aws"];
    for (arguments, words) in [
        (vec!["--registry", "https://registry.site/path"], "is not the URL of a registry"),
        (vec!["--registry", "http://registry.site", "--insecure-skip-verify"], "plain HTTP"),
        (vec!["--registry", "registry.site", "--credentials", "empty"], "USER:PASSWORD"),
        (vec!["--registry", "registry.site", "--ca-file", "empty"], "no PEM certificate"),
        (vec!["--registry", "registry.site", "--mirror", "a b"], "is not a valid value of --mirror"),
    ] {
        fails(path, &[&["config", "containerd"][..], &mirror, &arguments].concat(), 2, words);
    }
    let plain = [&["config", "eks-a", "--registry", "http://registry.site"][..], &mirror].concat();
    fails(path, &plain, 2, "HTTPS only");
    fails(path, &["config", "containerd", "--registry", "r.site", "--store", "absent"], 4, "absent");
}

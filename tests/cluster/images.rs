//! Small real images for real nodes: busybox with a command.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const BUSYBOX: &str = "/bin/busybox";

/// Writes an image as an OCI layout: busybox with these arguments.
pub(crate) fn busybox(layout: &Path, words: &[&str]) {
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let layer = layout.join("layer.tar");
    let made = Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-C", "/bin", "-cf"])
        .arg(&layer)
        .arg("busybox")
        .status()
        .unwrap();
    assert!(made.success());
    let layer = blob(layout, &std::fs::read(layer).unwrap());
    let entrypoint: Vec<_> = ["/busybox"].iter().chain(words).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Entrypoint": entrypoint, "User": "65532" },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = blob(layout, config.to_string().as_bytes());
    let described = |descriptor: &Value, kind: &str| json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": descriptor["digest"], "size": descriptor["size"] });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described(&config, "config.v1+json"), "layers": [described(&layer, "layer.v1.tar")],
    });
    let manifest = described(&blob(layout, manifest.to_string().as_bytes()), "manifest.v1+json");
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn blob(layout: &Path, bytes: &[u8]) -> Value {
    let digest = oci::Digest::of(oci::Algorithm::Sha256, bytes).to_string();
    std::fs::write(layout.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
    json!({ "digest": digest, "size": bytes.len() })
}

/// Reports whether busybox is installed; prints if it is not.
pub(crate) fn possible() -> bool {
    crate::rig::require(&[BUSYBOX, "skopeo", "tar"])
}

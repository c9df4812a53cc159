//! The content that a mirror file selects, and its lock: which mirror file a lock belongs to, which signatures count, and
//! what the plan reports before anything is fetched.

use std::collections::BTreeMap;
use std::path::Path;

use oci::Digest;
use serde_json::Value;

use crate::http::FileServer;
use crate::rig::{airlock, run, run_json};

fn write(root: &Path, file: &str, name: &str, sources: &str) {
    let text = format!(
        "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {{name: {name}}}\nsources:\n{sources}"
    );
    std::fs::write(root.join(file), text).unwrap();
}

/// Runs `mirror`, expects it to fail with `code`, and returns the error message.
fn refuses(root: &Path, more: &[&str], code: i32) -> String {
    let output = airlock(root, &[&["mirror", "--store", "near"][..], more].concat()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{more:?}: {text}");
    text
}

fn says(root: &Path, more: &[&str]) -> String {
    let output = run(root, &[&["mirror", "--store", "near"][..], more].concat());
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

fn lock(root: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(root.join(name)).unwrap()).unwrap()
}

#[test]
fn d19_a_second_mirror_file_never_replaces_the_lock_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::create_dir(root.join("x")).unwrap();
    for name in ["one.txt", "two.txt", "x/two.txt"] {
        std::fs::write(root.join(name), name).unwrap();
    }
    write(root, "a.yaml", "a", "- files: [{path: one.txt}]\n");
    write(root, "b.yaml", "b", "- files: [{path: two.txt}]\n");
    write(root, "same.yaml", "a", "- files: [{path: two.txt}]\n");
    write(root, "x/a.yaml", "a", "- files: [{path: two.txt}]\n");
    run(root, &["mirror", "-f", "a.yaml", "--store", "near"]);
    let before = std::fs::read(root.join("airlock.lock")).unwrap();
    for other in ["b.yaml", "same.yaml", "x/a.yaml"] {
        for more in [&["-f", other][..], &["-f", other, "--update"], &["-f", other, "--dry-run"]] {
            let said = refuses(root, more, 2);
            assert!(said.contains("airlock.lock") && said.contains("--lock"), "{said}");
        }
    }
    assert_eq!(std::fs::read(root.join("airlock.lock")).unwrap(), before);
    says(root, &["-f", "b.yaml", "--lock", "b.lock"]);
    std::fs::rename(root.join("a.yaml"), root.join("c.yaml")).unwrap();
    refuses(root, &["-f", "c.yaml"], 2);
    says(root, &["-f", "c.yaml", "--renamed"]);
    says(root, &["-f", "c.yaml"]);
    assert_eq!(lock(root, "airlock.lock")["file"], "c.yaml");
}

#[test]
fn o16_manifests_of_eks_are_verified_unless_the_mirror_file_declares_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    // AWS did not sign this.
    std::fs::write(
        root.join("bundle.yaml"),
        "apiVersion: packages.eks.amazonaws.com/v1alpha1\nkind: PackageBundle\nmetadata: {name: v1-35-1}\nspec: {packages: []}\n",
    )
    .unwrap();
    std::fs::write(root.join("release.yaml"), "kind: Release\nstatus: {components: []}\n").unwrap();
    std::fs::write(root.join("bundles.yaml"), "kind: Bundles\n").unwrap();
    write(root, "airlock.yaml", "a", "- packageBundle: {file: bundle.yaml}\n");
    let said = refuses(root, &[], 3);
    assert!(said.contains("bundle.yaml") && said.contains("signature"), "{said}");
    write(root, "airlock.yaml", "a", "- eksdRelease: {file: release.yaml, bundles: {file: bundles.yaml}}\n");
    refuses(root, &[], 3);
    write(root, "airlock.yaml", "a", "- eksdRelease: {file: release.yaml}\n");
    let said = refuses(root, &[], 2);
    assert!(said.contains("bundles") && said.contains("unverified"), "{said}");
    assert!(!root.join("airlock.lock").exists());
    write(root, "airlock.yaml", "a", "- packageBundle: {file: bundle.yaml, unverified: true}\n");
    let said = says(root, &[]);
    assert!(said.contains("signature was not verified"), "{said}");
    assert_eq!(lock(root, "airlock.lock")["unverified"], serde_json::json!(["./bundle.yaml"]));
}

#[test]
fn o18_archives_of_other_platforms_are_left_out_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let server = FileServer::start(BTreeMap::from([("/r/linux.tgz".to_owned(), b"linux".to_vec())]));
    let hex = |algorithm| Digest::of(algorithm, b"linux").hex().to_owned();
    let asset = |name: &str, os: &str| {
        format!(
            "    - name: {name}\n      type: Archive\n      os: {os}\n      arch: [amd64]\n      archive: {{uri: 'http://{}/r/{name}.tgz', sha256: {}, sha512: {}}}\n",
            server.address,
            hex(oci::Algorithm::Sha256),
            hex(oci::Algorithm::Sha512)
        )
    };
    let release = format!(
        "kind: Release\nstatus:\n  components:\n  - assets:\n{}{}",
        asset("linux", "linux"),
        asset("windows", "windows")
    );
    std::fs::write(root.join("release.yaml"), release).unwrap();
    write(
        root,
        "airlock.yaml",
        "a",
        "- eksdRelease: {file: release.yaml, unverified: true}\nplatforms: [linux/amd64]\n",
    );
    let said = says(root, &[]);
    assert!(said.contains("1 archives for other platforms") && said.contains("windows"), "{said}");
    assert_eq!(lock(root, "airlock.lock")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn o19_the_images_of_an_archive_are_listed_when_one_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut tar = tar::Builder::new(Vec::new());
    let list = br#"[{"Config":"c","RepoTags":["r.io/one:1"],"Layers":[]},{"Config":"d","RepoTags":["two:2"],"Layers":[]}]"#;
    for (name, bytes) in [("c", &b"{}"[..]), ("d", b"{ }"), ("manifest.json", list)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    std::fs::write(root.join("saved.tar"), tar.into_inner().unwrap()).unwrap();
    write(
        root,
        "airlock.yaml",
        "a",
        "- dockerArchive: {path: saved.tar, image: 'three:3', reference: 'r.io/x:1'}\n",
    );
    let said = refuses(root, &[], 4);
    assert!(said.contains("r.io/one:1") && said.contains("two:2") && said.contains("three:3"), "{said}");
    // Without `image` and `reference`, all images are mirrored.
    write(root, "airlock.yaml", "a", "- dockerArchive: {path: saved.tar}\n");
    let done = run_json(root, &["mirror", "--store", "near"]);
    let names: Vec<_> = done["items"].as_array().unwrap().iter().map(|item| &item["source"]).collect();
    assert_eq!(names, ["docker.io/library/two:2", "r.io/one:1"]);
}

#[test]
fn o20_a_dry_run_prints_a_plan_with_its_summary_first_and_the_tags_that_would_move() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let image = |layers: &str| {
        let mut tar = tar::Builder::new(Vec::new());
        let list = format!(r#"[{{"Config":"c","RepoTags":["r.io/one:1"],"Layers":[{layers}]}}]"#);
        for (name, bytes) in [("c", &b"{}"[..]), ("l", b"layer"), ("manifest.json", list.as_bytes())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes).unwrap();
        }
        std::fs::write(root.join("saved.tar"), tar.into_inner().unwrap()).unwrap();
    };
    image("");
    write(root, "airlock.yaml", "a", "- dockerArchive: {path: saved.tar}\n");
    says(root, &[]);
    image("\"l\"");
    let said = String::from_utf8(run(root, &["mirror", "--store", "near", "--dry-run"]).stdout).unwrap();
    assert!(said.starts_with("would fetch 5 B in 1 downloads"), "{said}");
    assert!(said.contains("would move r.io/one:1 from sha256:") && !said.contains("fetched"), "{said}");
    let said = says(root, &[]);
    assert!(said.contains("moved r.io/one:1 from sha256:"), "{said}");
}

fn chart(path: &Path, files: &[(&str, &str)]) {
    let file = std::fs::File::create(path).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("web/{name}"), text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

#[test]
fn d17_missing_dependencies_remote_schemas_declared_images_and_provenance_files_are_not_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let head = "apiVersion: v2\nname: web\nversion: 1.0.0\n";
    let tgz = root.join("web.tgz");
    write(root, "airlock.yaml", "a", "- charts: [{file: web.tgz}]\n");
    chart(&tgz, &[("Chart.yaml", &format!("{head}dependencies: [{{name: db, version: 1.0.0}}]\n"))]);
    let said = refuses(root, &[], 1);
    assert!(said.contains("charts/ folder: db"), "{said}");
    let schema = r#"{"properties":{"a":{"$ref":"https://schemas.example/a.json"}}}"#;
    chart(&tgz, &[("Chart.yaml", head), ("values.schema.json", schema)]);
    let said = refuses(root, &[], 1);
    assert!(
        said.contains("https://schemas.example/a.json") && said.contains("skipSchemaValidation"),
        "{said}"
    );
    write(root, "airlock.yaml", "a", "- charts: [{file: web.tgz, skipSchemaValidation: true}]\n");
    says(root, &[]);
    let annotation = "annotations:\n  artifacthub.io/images: |\n    - {name: extra, image: 'r.io/extra:1'}\n";
    chart(&tgz, &[("Chart.yaml", &format!("{head}{annotation}"))]);
    let said = says(root, &[]);
    assert!(said.contains("artifacthub.io/images") && said.contains("r.io/extra:1"), "{said}");
    std::fs::write(root.join("web.tgz.prov"), "files:\n  web.tgz: sha256:00\n").unwrap();
    refuses(root, &[], 3);
    let digest = Digest::sha256(&std::fs::read(&tgz).unwrap());
    std::fs::write(root.join("web.tgz.prov"), format!("files:\n  web.tgz: {digest}\n")).unwrap();
    says(root, &[]);
    let blobs = lock(root, "airlock.lock")["repositories"][0]["manifests"][0]["blobs"].clone();
    assert_eq!(blobs.as_array().unwrap().len(), 3, "{blobs}");
}

#[test]
fn d15_a_files_name_is_its_title_and_its_tag_has_only_allowed_characters() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    std::fs::write(root.join("résumé~1.txt"), "x").unwrap();
    write(root, "airlock.yaml", "a", "- files: [{path: 'résumé~1.txt'}]\n");
    says(root, &[]);
    let lock = lock(root, "airlock.lock");
    let item = &lock["items"][0];
    assert_eq!(item["tag"], "r_sum__1.txt");
    let hex = item["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let blob = crate::rig::files(&root.join("near")).into_iter().find(|path| path.ends_with(hex));
    let manifest: Value = serde_json::from_slice(&std::fs::read(blob.unwrap()).unwrap()).unwrap();
    assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], "résumé~1.txt");
}

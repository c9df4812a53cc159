//! Archives made by code, either as programs write them or with one defect.

use super::*;

fn find(format: Format, path: &Path, name: Option<&str>) -> Result<ImageOnDisk, Error> {
    let scratch = path.parent().unwrap().join("scratch");
    let found = Images { format, path, scratch: &scratch }.find(name, &[]);
    if found.is_err() {
        assert!(
            std::fs::read_dir(&scratch).map_or(0, Iterator::count) == 0,
            "the unpacked file was not removed"
        );
    }
    found
}

fn all(format: Format, path: &Path) -> Result<Vec<String>, Error> {
    let images = Images { format, path, scratch: path.parent().unwrap() };
    Ok(images.references()?.into_iter().map(|(_, reference)| reference.to_string()).collect())
}

fn entry(builder: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, bytes).unwrap();
}

fn write(folder: &Path, builder: tar::Builder<Vec<u8>>) -> PathBuf {
    let path = folder.join("image.tar");
    std::fs::write(&path, builder.into_inner().unwrap()).unwrap();
    path
}

#[test]
fn a_saved_image_gets_a_manifest_over_its_layers() {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    entry(&mut builder, "abc.json", b"{}");
    entry(&mut builder, "l/layer.tar", b"layer");
    entry(
        &mut builder,
        "manifest.json",
        br#"[{"Config":"abc.json","RepoTags":["a:b"],"Layers":["l/layer.tar"]}]"#,
    );
    let path = write(folder.path(), builder);
    let found = find(Format::DockerArchive, &path, Some("a:b")).unwrap();
    let slice = &found.blobs[&Digest::sha256(b"layer")];
    let mut bytes = Vec::new();
    slice.open().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"layer");
    assert_eq!(found.manifests[&found.root].blobs().count(), 2);
    let missing = find(Format::DockerArchive, &path, Some("x:y"));
    assert!(matches!(missing, Err(Error::ArchiveChoice { names, .. }) if names[0].contains("a:b")));
    assert!(matches!(find(Format::OciArchive, &path, None), Err(Error::Archive { .. })));
}

#[test]
fn a_layer_that_is_a_link_or_comes_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let list = br#"[{"Config":"abc.json","Layers":["l"]}]"#;
    let mut builder = tar::Builder::new(Vec::new());
    entry(&mut builder, "abc.json", b"{}");
    entry(&mut builder, "manifest.json", list);
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "l", "/etc/passwd").unwrap();
    let path = write(folder.path(), builder);
    assert!(matches!(find(Format::DockerArchive, &path, None), Err(Error::Archive { .. })));
    let mut builder = tar::Builder::new(Vec::new());
    entry(&mut builder, "abc.json", b"{}");
    entry(&mut builder, "abc.json", b"[]");
    let path = write(folder.path(), builder);
    assert!(matches!(find(Format::DockerArchive, &path, None), Err(Error::Archive { .. })));
}

const LIST: &[u8] =
    br#"[{"Config":"abc.json","RepoTags":["a:b"],"Layers":["top/layer.tar","sym/layer.tar","hard"]}]"#;

/// An archive as old versions of Docker save it: layers that several images share are links.
fn linked(symbolic: &str, hard: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    entry(&mut builder, "abc.json", b"{}");
    entry(&mut builder, "top/layer.tar", b"layer");
    for (kind, name, target) in
        [(tar::EntryType::Symlink, "sym/layer.tar", symbolic), (tar::EntryType::Link, "hard", hard)]
    {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(0);
        builder.append_link(&mut header, name, target).unwrap();
    }
    entry(&mut builder, "manifest.json", LIST);
    builder.into_inner().unwrap()
}

fn layers(found: &ImageOnDisk) -> Vec<Vec<u8>> {
    let root = &found.manifests[&found.root];
    let read = |blob: &oci::Descriptor| {
        let mut bytes = Vec::new();
        found.blobs[&blob.digest].open().unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    root.blobs().skip(1).map(read).collect()
}

#[test]
fn d16_layers_that_are_links_within_the_archive_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.tar");
    std::fs::write(&path, linked("../top/layer.tar", "sym/layer.tar")).unwrap();
    let found = find(Format::DockerArchive, &path, None).unwrap();
    assert_eq!(layers(&found), [b"layer", b"layer", b"layer"]);
    for (symbolic, hard) in [
        ("/etc/passwd", "top/layer.tar"),
        ("../../top/layer.tar", "top/layer.tar"),
        ("../top/layer.tar", "../top/layer.tar"),
        ("layer.tar", "top/layer.tar"),
        ("../hard", "sym/layer.tar"),
    ] {
        std::fs::write(&path, linked(symbolic, hard)).unwrap();
        let refused = find(Format::DockerArchive, &path, None);
        assert!(matches!(refused, Err(Error::Archive { .. })), "{symbolic} {hard}");
    }
}

#[test]
fn d16_compressed_archives_are_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.tar.gz");
    let plain = linked("../top/layer.tar", "top/layer.tar");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    for bytes in [gzip.finish().unwrap(), zstd::encode_all(plain.as_slice(), 1).unwrap()] {
        std::fs::write(&path, &bytes).unwrap();
        let found = find(Format::DockerArchive, &path, Some("a:b")).unwrap();
        assert_eq!(layers(&found)[0], b"layer");
        drop(found);
        assert_eq!(std::fs::read_dir(folder.path().join("scratch")).unwrap().count(), 0);
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(find(Format::DockerArchive, &path, None).is_err());
    }
    std::fs::write(&path, b"no archive").unwrap();
    let refused = find(Format::DockerArchive, &path, None).unwrap_err();
    assert!(matches!(refused, Error::Archive { .. }), "{refused}");
}

/// An OCI layout as a tar file; each image is given by its names and its content.
fn oci_archive(folder: &Path, images: &[(&[(&str, &str)], &str)]) -> PathBuf {
    let mut builder = tar::Builder::new(Vec::new());
    let (mut index, mut written) = (Vec::new(), Vec::new());
    let mut put = |builder: &mut tar::Builder<Vec<u8>>, bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        let name = format!("blobs/sha256/{}", digest.hex());
        if !written.contains(&name) {
            entry(builder, &name, bytes);
            written.push(name);
        }
        digest
    };
    for (names, content) in images {
        let config = put(&mut builder, content.as_bytes());
        let manifest = serde_json::to_vec(&serde_json::json!({
            "schemaVersion": 2, "layers": [],
            "config": { "mediaType": oci::media_type::OCI_CONFIG, "digest": config, "size": content.len() },
        }));
        let bytes = manifest.unwrap();
        let digest = put(&mut builder, &bytes);
        let annotations: BTreeMap<_, _> = names.iter().copied().collect();
        index.push(serde_json::json!({
            "mediaType": oci::media_type::OCI_MANIFEST, "digest": digest, "size": bytes.len(), "annotations": annotations,
        }));
    }
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": index });
    entry(&mut builder, "index.json", &serde_json::to_vec(&index).unwrap());
    write(folder, builder)
}

const REF: &str = "org.opencontainers.image.ref.name";
const FULL: &str = "io.containerd.image.name";

#[test]
fn d7_images_with_the_same_ref_name_are_distinguished_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let one: &[(&str, &str)] = &[(REF, "latest"), (FULL, "docker.io/library/one:latest")];
    let two: &[(&str, &str)] = &[(REF, "latest"), (FULL, "docker.io/library/two:latest")];
    let path = oci_archive(folder.path(), &[(one, "1"), (two, "2")]);
    let choose = |name| find(Format::OciArchive, &path, name).map(|found| found.root);
    let refused = choose(Some("latest")).unwrap_err().to_string();
    assert!(refused.contains("library/one:latest") && refused.contains("library/two:latest"), "{refused}");
    assert!(choose(None).is_err() && choose(Some("three")).unwrap_err().to_string().contains("one:latest"));
    let second = choose(Some("docker.io/library/two:latest")).unwrap();
    assert_ne!(choose(Some("one:latest")).unwrap(), second);
    assert_eq!(choose(Some("two")).unwrap(), second);
    assert_eq!(choose(Some(&second.to_string())).unwrap(), second);
    assert_eq!(
        all(Format::OciArchive, &path).unwrap(),
        ["docker.io/library/one:latest", "docker.io/library/two:latest"]
    );
}

#[test]
fn d7_one_digest_listed_twice_is_one_image() {
    let folder = tempfile::tempdir().unwrap();
    let path = oci_archive(folder.path(), &[(&[(REF, "r.io/a:1")], "1"), (&[(REF, "r.io/a:2")], "1")]);
    assert!(find(Format::OciArchive, &path, None).is_ok());
    assert_eq!(all(Format::OciArchive, &path).unwrap(), ["r.io/a:1", "r.io/a:2"]);
    let path = oci_archive(folder.path(), &[(&[(REF, "v1")], "1")]);
    assert!(matches!(all(Format::OciArchive, &path), Err(Error::ArchiveChoice { .. })));
}

#[test]
fn d7_all_images_of_a_saved_archive_are_mirrored() {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in [("1.json", b"1"), ("2.json", b"2"), ("l", b"3")] {
        entry(&mut builder, name, bytes);
    }
    let list = br#"[{"Config":"1.json","RepoTags":["r.io/a:1","r.io/a:latest"],"Layers":["l"]},
        {"Config":"2.json","RepoTags":["busybox:2"],"Layers":["l"]}]"#;
    entry(&mut builder, "manifest.json", list);
    let path = write(folder.path(), builder);
    let names = ["docker.io/library/busybox:2", "r.io/a:1", "r.io/a:latest"];
    assert_eq!(all(Format::DockerArchive, &path).unwrap(), names);
    let roots = names.map(|name| find(Format::DockerArchive, &path, Some(name)).unwrap().root);
    assert!(roots[1] == roots[2] && roots[0] != roots[1]);
}

/// A layout of these files, with these entries in its index.
fn layout_of(folder: &Path, blobs: &[&[u8]], entries: &[serde_json::Value]) -> PathBuf {
    let path = folder.join("layout");
    let shard = path.join("blobs/sha256");
    std::fs::create_dir_all(&shard).unwrap();
    for blob in blobs {
        std::fs::write(shard.join(Digest::sha256(blob).hex()), blob).unwrap();
    }
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": entries });
    std::fs::write(path.join("index.json"), index.to_string()).unwrap();
    path
}

fn descriptor(kind: &str, bytes: &[u8]) -> serde_json::Value {
    serde_json::json!({ "mediaType": kind, "digest": Digest::sha256(bytes), "size": bytes.len() })
}

fn image(note: &str, subject: Option<&serde_json::Value>) -> Vec<u8> {
    let mut manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": oci::media_type::OCI_MANIFEST, "annotations": { "note": note },
        "config": descriptor(oci::media_type::OCI_CONFIG, b"{}"), "layers": [],
    });
    if let Some(subject) = subject {
        manifest["subject"] = subject.clone();
    }
    manifest.to_string().into_bytes()
}

#[test]
fn d7_a_layout_that_lists_parts_and_referrers_without_names_has_one_image() {
    let folder = tempfile::tempdir().unwrap();
    let kind = oci::media_type::OCI_MANIFEST;
    let child = image("child", None);
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": oci::media_type::OCI_INDEX,
        "manifests": [descriptor(kind, &child)] });
    let index = index.to_string().into_bytes();
    let mut root = descriptor(oci::media_type::OCI_INDEX, &index);
    let statement = image("statement", Some(&root));
    root["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "r.example/a:v1" });
    let layer = descriptor(oci::media_type::OCI_LAYER, b"a layer");
    // Referrers of another image, missing or broken: they are not read.
    let (gone, broken) = (descriptor(kind, b"gone"), descriptor(kind, b"{ broken"));
    let entries = [descriptor(kind, &child), descriptor(kind, &statement), layer, root];
    let path = layout_of(folder.path(), &[b"{}", &child, &index, &statement, b"{ broken"], &entries);
    assert_eq!(all(Format::OciLayout, &path).unwrap(), ["r.example/a:v1"]);
    let found = find(Format::OciLayout, &path, None).unwrap();
    assert_eq!((found.root, found.manifests.len()), (Digest::sha256(&index), 3));
    let more = [&entries[..], &[gone, broken]].concat();
    let path = layout_of(folder.path(), &[], &more);
    let found = find(Format::OciLayout, &path, Some("r.example/a:v1")).unwrap();
    assert_eq!((found.manifests.len(), found.left_out.len()), (3, 0));
}

#[test]
fn d9_an_attestation_that_a_layout_lacks_is_left_out_and_a_platform_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let kind = oci::media_type::OCI_MANIFEST;
    let child = image("child", None);
    let mut about = descriptor(kind, b"gone");
    about["annotations"] = serde_json::json!({ "vnd.docker.reference.digest": Digest::sha256(&child) });
    for (other, code) in [(about, Ok(2)), (descriptor(kind, b"gone"), Err(()))] {
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": oci::media_type::OCI_INDEX,
            "manifests": [descriptor(kind, &child), other] });
        let index = index.to_string().into_bytes();
        let entries = [descriptor(oci::media_type::OCI_INDEX, &index)];
        let path = layout_of(folder.path(), &[b"{}", &child, &index], &entries);
        let found = find(Format::OciLayout, &path, None);
        match (found, code) {
            (Ok(found), Ok(count)) => {
                assert_eq!((found.manifests.len(), found.left_out.len()), (count, 1));
            }
            (Err(error @ Error::ArchiveLacks { .. }), Err(())) => assert!(error.hint().is_some()),
            (found, _) => panic!("{found:?}"),
        }
    }
}

#[test]
fn d16_archives_of_other_programs_are_accepted_or_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("{}/layer.tar", "l".repeat(150));
    let list = format!(r#"[{{"Config":"abc.json","RepoTags":["a:b"],"Layers":["{long}"]}}]"#);
    let build = |builder: &mut tar::Builder<Vec<u8>>, prefix: &str| {
        for (name, bytes) in [("abc.json", &b"{}"[..]), ("manifest.json", list.as_bytes()), (&long, b"layer")]
        {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, format!("{prefix}{name}"), bytes).unwrap();
        }
    };
    for prefix in ["", "./"] {
        let mut builder = tar::Builder::new(Vec::new());
        build(&mut builder, prefix);
        let path = write(folder.path(), builder);
        assert_eq!(layers(&find(Format::DockerArchive, &path, None).unwrap()), [b"layer"]);
    }
    // A sparse file's bytes are not where its entry begins.
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0")]).unwrap();
    build(&mut builder, "");
    let sparse = builder.into_inner().unwrap();
    let path = folder.path().join("other.tar");
    for (bytes, reason) in [
        (&sparse[..], "sparse"),
        (b"\xfd7zXZ\0 and more", "xz"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\x04\x22\x4d\x18 and more", "lz4"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let refused = find(Format::DockerArchive, &path, None);
        assert!(
            matches!(&refused, Err(Error::Archive { what, .. }) if what.contains(reason)),
            "{reason}: {refused:?}"
        );
    }
}

#[test]
fn d16_a_saved_layer_must_match_its_diff_id() {
    let folder = tempfile::tempdir().unwrap();
    for (layer, is_right) in [(&b"layer"[..], true), (b"other", false)] {
        let config = format!(r#"{{"rootfs":{{"diff_ids":["{}"]}}}}"#, Digest::sha256(layer));
        let mut builder = tar::Builder::new(Vec::new());
        entry(&mut builder, "abc.json", config.as_bytes());
        entry(&mut builder, "l", b"layer");
        entry(&mut builder, "manifest.json", br#"[{"Config":"abc.json","Layers":["l"]}]"#);
        let path = write(folder.path(), builder);
        let found = find(Format::DockerArchive, &path, None);
        assert!(
            found.is_ok() == is_right
                && !matches!(found, Err(ref error) if !matches!(error, Error::Checksum { .. }))
        );
    }
}

//! Hostile volumes, signed by the trusted key if the attack is covered by the signature: each is refused with its own
//! error.

use std::fs;
use std::path::PathBuf;

use bundle_signer::sign_blob;
use oci::Digest;
use packager::bundle::error::HeaderDefect;
use packager::bundle::head::{VolumeHeader, head_bytes};
use packager::bundle::{BundleManifest, Encoding, Error, Limits};
use packager::media::Media;
use store::Store;

use crate::rig::Rig;

const SIZE: u64 = 64 << 20;

struct Hostile {
    rig: Rig,
    volume: PathBuf,
    head: usize,
}

impl Hostile {
    fn new() -> Self {
        let rig = Rig::new();
        let volume = rig.pack("drive", SIZE).remove(0);
        let manifest = rig.plan(SIZE).manifest.to_bytes().len();
        let head = 512 + 512 + 512 + manifest.next_multiple_of(512) + 512 + 2048;
        Self { rig, volume, head }
    }

    fn import(&self) -> Error {
        let far = Store::open(&self.rig.path("far")).unwrap();
        let error = self.rig.import(std::slice::from_ref(&self.volume), &far).unwrap_err();
        assert!(far.repositories(None, None).unwrap().is_empty());
        error
    }

    /// Changes the tar header of the second payload entry, `index.json`, and updates its checksum.
    fn header(&self, edit: impl Fn(&mut tar::Header)) -> HeaderDefect {
        let sound = fs::read(&self.volume).unwrap();
        let at = self.head + 512 + 512;
        let mut bytes = sound.clone();
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&sound[at..at + 512]);
        edit(&mut header);
        header.set_cksum();
        bytes[at..at + 512].copy_from_slice(header.as_bytes());
        fs::write(&self.volume, bytes).unwrap();
        let error = self.import();
        fs::write(&self.volume, sound).unwrap();
        match error {
            Error::Header { defect, .. } => defect,
            other => panic!("{other:?}"),
        }
    }

    /// Signs another manifest over the same payload.
    fn resigned(&self, edit: impl Fn(&mut BundleManifest)) -> Error {
        let sound = fs::read(&self.volume).unwrap();
        let mut manifest = self.rig.plan(SIZE).manifest;
        edit(&mut manifest);
        let bytes = manifest.to_bytes();
        let signature = sign_blob(&self.rig.key, &bytes).unwrap();
        let mut volume = head_bytes(&VolumeHeader::new(Digest::sha256(&bytes), 1, 1), &bytes, &signature);
        volume.extend_from_slice(&sound[self.head..]);
        fs::write(&self.volume, volume).unwrap();
        let error = self.import();
        fs::write(&self.volume, sound).unwrap();
        error
    }
}

fn name(text: &'static str) -> impl Fn(&mut tar::Header) {
    move |header| {
        let field = &mut header.as_mut_bytes()[..100];
        field.fill(0);
        field[..text.len()].copy_from_slice(text.as_bytes());
    }
}

#[test]
fn hostile_headers_are_reported_by_defect() {
    let hostile = Hostile::new();
    let index = "index.json".to_owned();
    assert_eq!(hostile.header(name("../../etc/cron")), HeaderDefect::PathTraversal("../../etc/cron".into()));
    assert_eq!(hostile.header(name("/etc/passwd")), HeaderDefect::AbsolutePath("/etc/passwd".into()));
    assert_eq!(hostile.header(name("oci-layout")), HeaderDefect::Duplicate("oci-layout".into()));
    let kind = |kind| move |header: &mut tar::Header| header.set_entry_type(kind);
    assert_eq!(hostile.header(kind(tar::EntryType::Symlink)), HeaderDefect::SymbolicLink(index.clone()));
    assert_eq!(hostile.header(kind(tar::EntryType::Link)), HeaderDefect::HardLink(index.clone()));
    assert_eq!(hostile.header(kind(tar::EntryType::Block)), HeaderDefect::Device(index.clone()));
    let larger = hostile.header(|header| header.set_size(1 << 30));
    assert!(matches!(larger, HeaderDefect::TooLarge { found: 0x4000_0000, .. }));
    assert!(matches!(hostile.header(|header| header.set_size(1)), HeaderDefect::TooSmall { found: 1, .. }));
}

#[test]
fn cut_and_extended_volumes_are_named() {
    let hostile = Hostile::new();
    let sound = fs::read(&hostile.volume).unwrap();
    fs::write(&hostile.volume, &sound[..sound.len() - 700]).unwrap();
    assert!(matches!(hostile.import(), Error::Truncated { missing: 700, .. }));
    fs::write(&hostile.volume, [&sound[..], &[0; 512]].concat()).unwrap();
    assert!(matches!(hostile.import(), Error::TrailingBytes { excess: 512, .. }));
    fs::write(&hostile.volume, &sound[..600]).unwrap();
    assert!(matches!(hostile.import(), Error::HeadTruncated(_)));
    fs::write(&hostile.volume, &sound[..1_100]).unwrap();
    assert!(matches!(hostile.import(), Error::HeadTruncated(_)));
    fs::write(&hostile.volume, b"no volume at all").unwrap();
    assert!(matches!(hostile.import(), Error::NotVolume(_)));
}

/// The header is not signed: its numbers must match the manifest, and no additional volume is allowed.
#[test]
fn a_volume_with_another_count_and_an_additional_volume_are_named() {
    let hostile = Hostile::new();
    let sound = fs::read(&hostile.volume).unwrap();
    let manifest = hostile.rig.plan(SIZE).manifest.to_bytes();
    let signature = &sound[hostile.head - 2048..hostile.head];
    let head = |volume, volumes| {
        head_bytes(&VolumeHeader::new(Digest::sha256(&manifest), volume, volumes), &manifest, signature)
    };
    fs::write(&hostile.volume, [&head(1, 7)[..], &sound[hostile.head..]].concat()).unwrap();
    assert!(matches!(hostile.import(), Error::VolumeCount { found: 7, expected: 1, .. }));
    fs::write(&hostile.volume, &sound).unwrap();
    fs::write(hostile.rig.path("drive/second.tar"), [&head(2, 2)[..], &[b'?'; 1024]].concat()).unwrap();
    let far = Store::open(&hostile.rig.path("far")).unwrap();
    let refused = hostile.rig.import(&[hostile.rig.path("drive")], &far);
    assert!(matches!(refused, Err(Error::VolumeCount { found: 2, .. })), "{refused:?}");
}

/// The mark is not signed: it must not block or deceive a reader of the drive.
#[test]
fn a_hostile_completion_mark_is_ignored() {
    let hostile = Hostile::new();
    let path = hostile.rig.path("drive/small.complete.json");
    let sound = fs::read_to_string(&path).unwrap();
    let mark = || {
        let media = Media::open(&[hostile.rig.path("drive")], Limits::default()).unwrap();
        media.completion(media.verify(Some(&hostile.rig.trust)).unwrap().get())
    };
    assert!(mark().is_some());
    fs::write(&path, sound.replace("2026-01-01", "2026\\u001b[2J\\nforged")).unwrap();
    assert_eq!(mark(), None);
    fs::write(&path, " ".repeat(1 << 20) + &sound).unwrap();
    assert_eq!(mark(), None);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert_eq!(mark(), None);
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(mark(), None);
}

#[test]
fn a_volume_of_another_set_is_named() {
    let hostile = Hostile::new();
    let mut other = hostile.rig.lock.clone();
    other.name = "other".into();
    let other = packager::pack::Shipment::of(&other, &hostile.rig.store).unwrap();
    let plan = packager::pack::plan(&other, SIZE, None, &mirror::reporter::Silent).unwrap();
    let options = packager::pack::WriteOptions {
        targets: vec![hostile.rig.path("drive")],
        read_back: false,
        now: String::new(),
    };
    packager::pack::write(
        &plan,
        &hostile.rig.store,
        &hostile.rig.key,
        &options,
        None,
        &mirror::reporter::Silent,
    )
    .unwrap();
    let far = Store::open(&hostile.rig.path("far")).unwrap();
    let refused = hostile.rig.import(&[hostile.rig.path("drive")], &far);
    assert!(matches!(refused, Err(Error::OtherSet { .. })));
}

#[test]
fn signed_but_false_manifests_are_named() {
    let hostile = Hostile::new();
    let text = 4; // The compressible layer: after layout, index, manifest and config.
    assert_eq!(hostile.rig.plan(SIZE).manifest.entries[text].encoding, Encoding::Zstd);
    let twice = hostile.resigned(|manifest| {
        let entry = manifest.entries[3].clone();
        manifest.entries.push(entry);
    });
    assert!(matches!(twice, Error::DuplicateInManifest(_)), "{twice:?}");
    let huge = hostile.resigned(|manifest| manifest.entries[text].size = u64::MAX);
    assert!(matches!(huge, Error::Inconsistent(_)), "{huge:?}");
    let bomb = hostile.resigned(|manifest| manifest.entries[text].size = 100);
    assert!(matches!(bomb, Error::DecompressionBomb { size: 100, .. }), "{bomb:?}");
    let short = hostile.resigned(|manifest| manifest.entries[text].size += 1);
    assert!(matches!(short, Error::WrongSize { .. }), "{short:?}");
    let content = hostile.resigned(|manifest| manifest.entries[1].digest = Digest::sha256(b"other"));
    assert!(matches!(content, Error::Content { .. }), "{content:?}");
    let overlap = hostile.resigned(|manifest| manifest.entries[3].extents[0].offset -= 512);
    assert!(matches!(overlap, Error::Inconsistent(_)), "{overlap:?}");
    let dangling =
        hostile.resigned(|manifest| manifest.repositories[0].tags[0].digest = Digest::sha256(b"none"));
    assert!(matches!(dangling, Error::Inconsistent(_)), "{dangling:?}");
    let named = hostile.resigned(|manifest| "../evil".clone_into(&mut manifest.name));
    assert!(matches!(named, Error::Inconsistent(_)), "{named:?}");
    let missing = hostile.resigned(|manifest| manifest.volumes = 2);
    assert!(matches!(missing, Error::Inconsistent(_)), "{missing:?}");
}

//! Valid sets: written identically twice, read in any order, extracted by other tools.

use std::fs;
use std::process::Command;

use mirror::reporter::Silent;
use oci::Digest;
use packager::bundle::{Error, Limits};
use packager::inspect;
use packager::media::Media;
use store::Store;

use crate::rig::{Rig, dump, prove};

const ONE_VOLUME: u64 = 64 << 20;
const SMALL: u64 = 100_000;

#[test]
fn an_import_gives_what_was_packed() {
    let rig = Rig::new();
    for (name, size) in [("one", ONE_VOLUME), ("many", SMALL)] {
        let volumes = rig.pack(name, size);
        assert_eq!(volumes.len() > 1, size == SMALL);
        let far = Store::open(&rig.path(&format!("far-{name}"))).unwrap();
        let report = rig.import(&[rig.path(name)], &far).unwrap();
        assert_eq!(dump(&far), dump(&rig.store));
        assert_eq!((report.tags, report.imported.blobs, report.signer.as_str()), (1, 5, "release"));
        assert!(far.check(&mut |_| {}).unwrap().faults.is_empty());
        let again = rig.import(&[rig.path(name)], &far).unwrap();
        assert_eq!((again.imported.blobs, again.present.blobs), (0, 5));
    }
}

/// The signature contains no time: an older drive moves tags back, which must be reported.
#[test]
fn an_import_reports_which_tags_it_moves() {
    let (old, new) = (Rig::new(), Rig::with_text(b"another text"));
    old.pack("drive", ONE_VOLUME);
    new.pack("drive", ONE_VOLUME);
    let far = Store::open(&old.path("far")).unwrap();
    assert_eq!(old.import(&[old.path("drive")], &far).unwrap().moved, []);
    let newer = new.import(&[new.path("drive")], &far).unwrap();
    let digest = |rig: &Rig| rig.lock.items[0].digest.clone();
    assert_eq!((newer.moved_tags, newer.moved.len()), (1, 1));
    assert_eq!((&newer.moved[0].from, &newer.moved[0].to), (&digest(&old), &digest(&new)));
    let back = old.import(&[old.path("drive")], &far).unwrap();
    assert_eq!((&back.moved[0].from, &back.moved[0].to), (&digest(&new), &digest(&old)));
    assert_eq!(back.moved[0].tag.as_str(), "v1");
    assert_eq!(old.import(&[old.path("drive")], &far).unwrap().moved_tags, 0);
}

/// Content that the store already has is still checked on the drive, and is rewritten if its size is wrong.
#[test]
fn an_import_checks_what_the_store_has_already() {
    let rig = Rig::new();
    let volumes = rig.pack("drive", SMALL);
    let far = Store::open(&rig.path("far")).unwrap();
    rig.import(&[rig.path("drive")], &far).unwrap();
    let damaged = &rig.lock.repositories[0].manifests[0].blobs[2].digest;
    let path = rig.path("far").join("blobs/sha256").join(&damaged.hex()[..2]).join(damaged.hex());
    fs::write(&path, b"short").unwrap();
    let mended = rig.import(&[rig.path("drive")], &far).unwrap();
    assert_eq!((mended.imported.blobs, mended.present.blobs), (1, 4));
    assert!(far.check(&mut |_| {}).unwrap().faults.is_empty());
    let sound = fs::read(&volumes[1]).unwrap();
    let mut changed = sound.clone();
    changed[sound.len() - 5000] ^= 1;
    fs::write(&volumes[1], changed).unwrap();
    assert!(matches!(rig.import(&[rig.path("drive")], &far), Err(Error::Content { .. })));
}

/// The bytes of the drive are read anyway: blobs in the store that do not match their digest are replaced.
#[test]
fn a17_an_import_replaces_blobs_that_are_damaged_in_the_store() {
    for volume in [ONE_VOLUME, SMALL] {
        let rig = Rig::new();
        rig.pack("drive", volume);
        let far = Store::open(&rig.path("far")).unwrap();
        rig.import(&[rig.path("drive")], &far).unwrap();
        let manifest = &rig.lock.repositories[0].manifests[0];
        let all = manifest.blobs.iter().map(|blob| &blob.digest).chain([&manifest.digest]);
        for (number, digest) in all.clone().enumerate() {
            let path = rig.path("far").join("blobs").join(digest.algorithm().as_str());
            let path = path.join(&digest.hex()[..2]).join(digest.hex());
            let sound = fs::read(&path).unwrap();
            let mut damaged = sound.clone();
            let at = [0, damaged.len() / 2, damaged.len() - 1][number % 3];
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            let healed = rig.import(&[rig.path("drive")], &far).unwrap();
            assert_eq!(
                (healed.imported.blobs, healed.present.blobs, healed.healed.blobs),
                (0, 5, 1),
                "{digest}"
            );
            assert_eq!(fs::read(&path).unwrap(), sound);
            assert!(far.check(&mut |_| {}).unwrap().faults.is_empty());
        }
        assert_eq!(rig.import(&[rig.path("drive")], &far).unwrap().healed.blobs, 0);
    }
}

/// Such content ends with a full buffer after decompression, and so does the frame.
#[test]
fn compressed_content_of_whole_buffers_is_read() {
    for size in [256 << 10, 1 << 20] {
        let rig = Rig::with_text(&b"0123456789abcdef".repeat(size / 16));
        rig.pack("drive", ONE_VOLUME);
        let far = Store::open(&rig.path("far")).unwrap();
        rig.import(&[rig.path("drive")], &far).unwrap();
        assert_eq!(dump(&far), dump(&rig.store));
    }
}

#[test]
fn two_packs_differ_only_in_the_signature() {
    let rig = Rig::new();
    let (first, second) = (rig.pack("first", SMALL), rig.pack("second", SMALL));
    let manifest = rig.plan(SMALL).manifest.to_bytes().len();
    let signature = 512 + 512 + 512 + manifest.next_multiple_of(512) + 512;
    for (one, other) in first.iter().zip(&second) {
        let blank = |path| {
            let mut bytes: Vec<u8> = fs::read(path).unwrap();
            bytes[signature..signature + 2048].fill(0);
            bytes
        };
        assert_ne!(fs::read(one).unwrap(), fs::read(other).unwrap());
        assert!(blank(one) == blank(other), "{}", one.display());
    }
}

#[test]
fn volumes_are_accepted_in_any_order_and_from_several_folders() {
    let rig = Rig::new();
    let mut volumes = rig.pack("drive", SMALL);
    fs::create_dir(rig.path("other")).unwrap();
    let moved = rig.path("other").join(volumes[1].file_name().unwrap());
    fs::rename(&volumes[1], &moved).unwrap();
    volumes[1] = moved;
    volumes.reverse();
    let far = Store::open(&rig.path("far")).unwrap();
    rig.import(&volumes, &far).unwrap();
    assert_eq!(dump(&far), dump(&rig.store));
    rig.import(&[rig.path("drive"), rig.path("other")], &far).unwrap();
    let name = volumes[volumes.len() - 2].file_name().unwrap().to_string_lossy().into_owned();
    match rig.import(&[rig.path("drive")], &far) {
        Err(Error::MissingVolumes { names, .. }) => assert_eq!(names, format!("`{name}`")),
        other => panic!("{other:?}"),
    }
}

type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

/// If one copy of a volume is damaged, the other one is used, whatever the order of their names.
#[test]
fn a_damaged_copy_of_a_volume_is_ignored() {
    let rig = Rig::new();
    let volumes = rig.pack("drive", SMALL);
    let sound = fs::read(&volumes[1]).unwrap();
    let head = sound.len() - 50_000;
    let damages: [Damage; 6] = [
        &|bytes| bytes[3] ^= 1,
        &|bytes| bytes[600] ^= 1,
        &|bytes| bytes[2000] ^= 1,
        &|bytes| bytes.truncate(head),
        &|bytes| bytes[head] ^= 1,
        &|bytes| bytes.push(0),
    ];
    for (number, damage) in damages.iter().enumerate() {
        for name in ["a-copy.tar", "z-copy.tar"] {
            let mut bytes = sound.clone();
            damage(&mut bytes);
            fs::write(rig.path("drive").join(name), bytes).unwrap();
            let far = Store::open(&rig.path(&format!("far-{number}-{name}"))).unwrap();
            rig.import(&[rig.path("drive")], &far).unwrap();
            assert_eq!(dump(&far), dump(&rig.store), "{number} {name}");
            let media = Media::open(&[rig.path("drive")], Limits::default()).unwrap();
            prove(&media, Some(&rig.trust)).unwrap();
            let unread = name == "z-copy.tar" && number == 4;
            // A file that does not begin like a volume is not one.
            assert_eq!(media.warnings().is_empty(), unread || number == 0, "{number} {name}");
            fs::remove_file(rig.path("drive").join(name)).unwrap();
        }
    }
}

#[test]
fn a_drive_is_shown_without_keys_and_verified_with_them() {
    let rig = Rig::new();
    rig.pack("drive", SMALL);
    let media = Media::open(&[rig.path("drive")], Limits::default()).unwrap();
    let contents = inspect::inspect(&media).unwrap();
    assert_eq!(contents.key_hint, Some(rig.key.public_key().unwrap().hint()));
    assert!(!contents.signature_checked && contents.saved_bytes > 100_000);
    let page = inspect::html(&contents);
    assert!(page.contains("r.io/app:v1") && page.contains(&contents.set) && !page.contains("http"));
    assert_eq!(media.payload_read(), 0);
    let report = prove(&media, Some(&rig.trust)).unwrap();
    assert_eq!(report.completion.unwrap().completed_at, "2026-01-01T00:00:00Z");
}

#[test]
fn volumes_of_other_sets_are_not_overwritten_and_those_of_this_set_are() {
    let rig = Rig::new();
    let volumes = rig.pack("drive", SMALL);
    fs::write(volumes[0].with_extension("tar.partial"), b"left over").unwrap();
    rig.pack("drive", SMALL);
    assert_eq!(crate::rig::listing(&rig.path("drive")).len(), volumes.len() + 1);
    fs::write(&volumes[0], b"something else").unwrap();
    let plan = rig.plan(SMALL);
    let options = packager::pack::WriteOptions {
        targets: vec![rig.path("drive")],
        read_back: true,
        now: String::new(),
    };
    let refused = packager::pack::write(&plan, &rig.store, &rig.key, &options, None, &Silent);
    assert!(matches!(refused, Err(Error::WouldOverwrite(_))));
    assert_eq!(fs::read(&volumes[0]).unwrap(), b"something else");
}

/// A set of the same name with another number of volumes has other file names, but the same mark.
#[test]
fn a_set_is_not_packed_next_to_another_set_of_its_name() {
    let rig = Rig::new();
    rig.pack("drive", SMALL);
    let before = crate::rig::listing(&rig.path("drive"));
    let plan = rig.plan(ONE_VOLUME);
    let options = packager::pack::WriteOptions {
        targets: vec![rig.path("drive")],
        read_back: true,
        now: String::new(),
    };
    let refused = packager::pack::write(&plan, &rig.store, &rig.key, &options, None, &Silent);
    assert!(matches!(refused, Err(Error::WouldOverwrite(_))), "{refused:?}");
    assert_eq!(crate::rig::listing(&rig.path("drive")), before);
    let media = Media::open(&[rig.path("drive")], Limits::default()).unwrap();
    assert!(prove(&media, Some(&rig.trust)).unwrap().completion.is_some());
}

/// Two packs would remove and rename each other's volumes.
#[test]
fn two_packs_do_not_write_into_one_folder_at_once() {
    let rig = Rig::new();
    fs::create_dir(rig.path("drive")).unwrap();
    let held = fs::File::open(rig.path("drive")).unwrap();
    held.lock().unwrap();
    let plan = rig.plan(SMALL);
    let options = packager::pack::WriteOptions {
        targets: vec![rig.path("drive")],
        read_back: true,
        now: String::new(),
    };
    let refused = packager::pack::write(&plan, &rig.store, &rig.key, &options, None, &Silent);
    assert!(matches!(refused, Err(Error::TargetBusy { .. })));
    drop(held);
    packager::pack::write(&plan, &rig.store, &rig.key, &options, None, &Silent).unwrap();
}

#[test]
fn a_damaged_blob_in_the_store_is_not_packed() {
    let rig = Rig::new();
    let plan = rig.plan(SMALL);
    let damaged = &rig.lock.repositories[0].manifests[0].blobs[2].digest;
    let path = rig.path("near").join("blobs/sha256").join(&damaged.hex()[..2]).join(damaged.hex());
    let mut bytes = fs::read(&path).unwrap();
    bytes[77] ^= 1;
    fs::write(&path, bytes).unwrap();
    let options = packager::pack::WriteOptions {
        targets: vec![rig.path("drive")],
        read_back: true,
        now: String::new(),
    };
    match packager::pack::write(&plan, &rig.store, &rig.key, &options, None, &Silent) {
        Err(Error::StoreDamaged { expected, .. }) => assert_eq!(expected, *damaged),
        other => panic!("{other:?}"),
    }
    // The next mirror or import does not treat it as present.
    assert!(rig.store.has_blob(damaged).unwrap().is_none());
}

/// `tar`, `cat` and `zstd` extract an OCI layout from the volumes, and `skopeo` reads it.
#[test]
fn common_tools_extract_an_oci_layout() {
    let rig = Rig::new();
    for tool in ["tar", "zstd", "skopeo"] {
        if Command::new(tool).arg("--version").output().is_err() {
            assert!(std::env::var_os("AIRLOCK_TEST_REQUIRE_PEERS").is_none(), "{tool} is missing");
            println!("skipped: {tool} is not installed");
            return;
        }
    }
    rig.pack("drive", SMALL);
    let script = r#"
        set -eu
        mkdir layout
        for volume in drive/*.tar; do tar -x -f "$volume" -C layout; done
        cd layout
        find blobs -name '*.part-0001' | while read -r first; do
          cat "${first%.part-0001}".part-* > "${first%.part-0001}"
          rm "${first%.part-0001}".part-*
        done
        find blobs -name '*.zst' -exec zstd -q -d --rm {} +
        (cd blobs/sha256; sha256sum --quiet -c) < <(ls blobs/sha256 | awk '{print $1 "  " $1}')
        (cd blobs/sha512; sha512sum --quiet -c) < <(ls blobs/sha512 | awk '{print $1 "  " $1}')
        skopeo copy --quiet oci:.:r.io/app:v1 oci:../copy:v1
        skopeo inspect --raw oci:.:r.io/app:v1
    "#;
    let output = Command::new("bash").arg("-c").arg(script).current_dir(rig.folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(Digest::sha256(&output.stdout), rig.lock.items[0].digest);
    assert!(rig.path("copy").join("index.json").exists());
}

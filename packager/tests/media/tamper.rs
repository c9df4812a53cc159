//! One changed byte anywhere on a drive, and drives with an untrusted signature.

use std::collections::BTreeMap;
use std::fs;

use bundle_signer::{PrivateKey, TrustFile};
use packager::bundle::{Error, Limits};
use packager::media::Media;
use store::Store;

use crate::rig::{Rig, dump, prove};

/// The minimum number of offsets to try; all of them must be refused.
const FLOOR: usize = 2_000;

#[test]
fn one_changed_byte_anywhere_is_refused_and_named() {
    let rig = Rig::new();
    let volumes = rig.pack("drive", 220_000);
    assert!(volumes.len() >= 2);
    let far = Store::open(&rig.path("far")).unwrap();
    let before = dump(&far);
    let mut tried = 0;
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    for volume in &volumes {
        let sound = fs::read(volume).unwrap();
        // All of the head's first blocks and of the end, and a stride through the rest.
        let last = sound.len() - 1_100;
        let offsets = (0..sound.len()).filter(|at| *at < 1_024 || *at > last || at % 397 == 0);
        for at in offsets {
            let mut changed = sound.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(volume, &changed).unwrap();
            let error = match Media::open(&[rig.path("drive")], Limits::default()) {
                Ok(media) => prove(&media, Some(&rig.trust)).expect_err(&format!("byte {at}")),
                Err(error) => error,
            };
            let name = format!("{error:?}");
            *named.entry(name.split(['(', ' ']).next().unwrap().to_owned()).or_default() += 1;
            tried += 1;
        }
        fs::write(volume, &sound).unwrap();
    }
    println!("{tried} offsets: {named:?}");
    assert!(tried >= FLOOR, "{tried}");
    assert!(named.len() >= 6, "{named:?}");
    assert_eq!(dump(&far), before);
}

#[test]
fn an_import_of_a_changed_drive_changes_no_name() {
    let rig = Rig::new();
    let volumes = rig.pack("drive", 220_000);
    let sound = fs::read(&volumes[0]).unwrap();
    for at in (0..sound.len()).step_by(9_973) {
        let mut changed = sound.clone();
        changed[at] ^= 4;
        fs::write(&volumes[0], &changed).unwrap();
        let far = Store::open(&rig.path(&format!("far{at}"))).unwrap();
        assert!(rig.import(&[rig.path("drive")], &far).is_err(), "byte {at}");
        assert!(far.repositories(None, None).unwrap().is_empty());
    }
}

#[test]
fn without_a_trusted_signature_no_payload_byte_is_read() {
    let rig = Rig::new();
    rig.pack("drive", 64 << 20);
    let other = PrivateKey::generate().unwrap().public_key().unwrap();
    let strangers = TrustFile::new(vec![("someone".into(), other)]).unwrap();
    let media = Media::open(&[rig.path("drive")], Limits::default()).unwrap();
    let none = media.verify(None).unwrap_err();
    assert!(matches!(none, Error::NoTrust) && none.hint().is_some());
    let wrong = media.verify(Some(&strangers)).unwrap_err();
    assert!(
        matches!(wrong, Error::Signature(bundle_signer::Error::UntrustedKey(_))) && wrong.hint().is_some()
    );
    assert_eq!(media.payload_read(), 0);

    let volume = rig.plan(64 << 20).volumes[0].name.clone();
    let path = rig.path("drive").join(volume);
    let mut bytes = fs::read(&path).unwrap();
    let manifest = rig.plan(64 << 20).manifest.to_bytes().len();
    let signature = 512 + 512 + 512 + manifest.next_multiple_of(512) + 512;
    bytes[signature..signature + 2048].fill(b' ');
    fs::write(&path, bytes).unwrap();
    let media = Media::open(&[rig.path("drive")], Limits::default()).unwrap();
    let unsigned = media.verify(Some(&rig.trust)).unwrap_err();
    assert!(matches!(unsigned, Error::Unsigned) && unsigned.hint().is_some());
    assert_eq!(media.payload_read(), 0);

    let media = Media::open(&[rig.path("drive")], Limits::default()).unwrap();
    assert!(prove(&media, Some(&rig.trust)).is_err());
}

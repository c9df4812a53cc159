//! Power cuts during `mirror`, `pack` and `import`.

use std::path::Path;

use oci::Digest;
use serde_json::json;

use crate::rig::{Checked, Rig, State, expect, sound, sound_if_begun};
use crate::tally::{Violation, end};

const MIRROR: &str = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\nsources:\n\
    - files: [{path: a.txt}]\n- ociLayout: {path: layout, reference: 'r.example/a/b:v1'}\n";

/// Writes an OCI layout with an image of two layers.
fn layout(folder: &Path) {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        std::fs::write(blobs.join(Digest::sha256(bytes).hex()), bytes).unwrap();
        json!({ "mediaType": kind, "digest": Digest::sha256(bytes), "size": bytes.len() })
    };
    let config = put(oci::media_type::OCI_CONFIG, b"{}");
    let layers = [b"one layer", b"and other"].map(|layer| put(oci::media_type::OCI_LAYER, layer));
    let kind = oci::media_type::OCI_MANIFEST;
    let image = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers });
    let image = put(kind, image.to_string().as_bytes());
    let index = json!({ "schemaVersion": 2, "manifests": [image] });
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// The sources to mirror, and a key.
fn sources() -> Option<Rig> {
    let rig = Rig::new()?;
    let work = rig.work();
    std::fs::write(work.join("airlock.yaml"), MIRROR).unwrap();
    std::fs::write(work.join("a.txt"), "first").unwrap();
    layout(&work.join("layout"));
    rig.works(&work, &["keys", "generate", "k"]);
    Some(rig)
}

/// A sender's store with mirrored content, and a trust file.
fn sender() -> Option<Rig> {
    let rig = sources()?;
    rig.works(&rig.work(), &["mirror", "--store", "near"]);
    rig.works(&rig.work(), &["keys", "trust", "k.pub", "--log", "near/log/key.pub"]);
    Some(rig)
}

/// Checks that the store has all names and that their content is intact.
fn has_all(state: &State<'_>, store: &str, when: &str) -> Result<(), Violation> {
    let lost = |what: String| Violation::Loss(format!("{when}: {what}"));
    let opened = store::Store::open(&state.folder.join(store)).map_err(|error| lost(error.to_string()))?;
    for (name, tag) in [("files", "a.txt"), ("r.example/a/b", "v1")] {
        let selector = oci::Selector::Tag(tag.parse().unwrap());
        let found = opened.resolve(&name.parse().unwrap(), &selector).unwrap();
        expect(found.is_some(), || lost(format!("{name}:{tag}")))?;
    }
    let faults = opened.check(&mut |_| {}).unwrap().faults;
    expect(faults.is_empty(), || lost(format!("{faults:?}")))?;
    Ok(())
}

/// Checks that an existing store opens, or that its error names the command that repairs it.
fn opens(state: &State<'_>, store: &str) -> Result<(), Violation> {
    match store::Store::open(&state.folder.join(store)) {
        Ok(_) => Ok(()),
        Err(error) if error.hint().is_some_and(|hint| hint.contains("airlock store rebuild")) => Ok(()),
        Err(error) => Err(Violation::Stuck(format!("{error} {:?}", error.hint()))),
    }
}

#[test]
fn g_a_power_cut_at_any_point_of_a_mirror_run_loses_no_name_and_the_same_command_completes_it() {
    let Some(rig) = sources() else { return };
    let mirror = ["mirror", "--store", "near"];
    let check = |state: &State<'_>| -> Checked {
        let log = state.folder.join("near/log");
        sound_if_begun(&log)?;
        if state.ended {
            has_all(state, "near", "acknowledged")?;
        }
        let (_, healed) = rig.resumes(state.folder, &mirror, "near")?;
        has_all(state, "near", "after another run")?;
        sound(&log)?;
        Ok(healed)
    };
    let first = rig.cut("mirror into a new store", &mirror, &check);

    // The store has either the earlier content or the new content.
    rig.works(&rig.work(), &mirror);
    std::fs::write(rig.work().join("a.txt"), "second").unwrap();
    let before = sound(&rig.work().join("near/log")).unwrap();
    let again = rig.cut("mirror into a store", &mirror, &|state| {
        expect(sound(&state.folder.join("near/log"))? >= before, || {
            Violation::Loss("log entries".to_owned())
        })?;
        opens(state, "near")?;
        check(state)
    });
    end(vec![first, again]);
}

#[test]
fn c6_g_a_power_cut_at_any_point_of_a_pack_leaves_a_store_and_a_drive_that_the_same_command_completes() {
    let Some(rig) = sender() else { return };
    let pack = ["pack", "--store", "near", "--key", "k.key", "--to", "media/usb/drive"];
    let count = rig.cut("pack", &pack, &|state| {
        sound(&state.folder.join("near/log"))?;
        let verify = ["verify", "media/usb/drive", "--trust", "trust.yaml"];
        let early = rig.airlock(state.folder, &verify);
        let said = crate::rig::text(&early);
        expect(!state.ended || early.status.success(), || Violation::Loss(said.clone()))?;
        expect(early.status.code() != Some(7), || Violation::Alarm(said.clone()))?;
        let _ = std::fs::remove_dir_all(rig.path("home/.local"));
        let (_, healed) = rig.resumes(state.folder, &pack, "near")?;
        let (said, _) = rig.resumes(state.folder, &verify, "near")?;
        expect(!said.contains("warning"), || Violation::Alarm(said.clone()))?;
        sound(&state.folder.join("near/log"))?;
        Ok(healed)
    });
    end(vec![count]);
}

#[test]
fn g_a_power_cut_at_any_point_of_an_import_is_not_reported_as_a_fault_of_the_site() {
    let Some(rig) = sender() else { return };
    let work = rig.work();
    rig.works(&work, &["pack", "--store", "near", "--key", "k.key", "--to", "one"]);
    std::fs::write(work.join("a.txt"), "second").unwrap();
    rig.works(&work, &["mirror", "--store", "near"]);
    rig.works(&work, &["pack", "--store", "near", "--key", "k.key", "--to", "two"]);
    std::fs::remove_dir_all(work.join("near")).unwrap();
    let counts = ["one", "two"].map(|drive| {
        let import = ["import", drive, "--trust", "trust.yaml", "--store", "far"];
        let before = sound_if_begun(&work.join("far/log")).unwrap();
        let check = |state: &State<'_>| -> Checked {
            let log = state.folder.join("far/log");
            let entries = sound_if_begun(&log)?;
            expect(entries >= before, || Violation::Loss(format!("{entries} of {before} log entries")))?;
            if drive == "two" {
                opens(state, "far")?;
            }
            if state.ended {
                has_all(state, "far", "acknowledged")?;
            }
            let (_, healed) = rig.resumes(state.folder, &import, "far")?;
            sound(&log)?;
            has_all(state, "far", "after another run")?;
            Ok(healed)
        };
        let count = rig.cut(&format!("import of drive {drive}"), &import, &check);
        rig.works(&work, &["store", "check", "--store", "far"]);
        count
    });
    end(counts.into());
}

//! Lists of referrers in pages: signatures first, large entries last, nothing twice and nothing left out.

use std::collections::BTreeSet;

use oci::{Digest, Manifest};
use store::{Change, PageLimits, Store};

use crate::rig::repository;

fn referrer(subject: &Digest, kind: &str, number: usize, note: usize) -> Manifest {
    let (empty, note) = (Digest::sha256(b"{}"), "x".repeat(note));
    let text = format!(
        r#"{{"schemaVersion":2,"artifactType":"{kind}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},"layers":[],"subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{subject}","size":1}},"annotations":{{"number":"{number}","note":"{note}"}}}}"#
    );
    Manifest::parse(text.into_bytes().into(), None).unwrap()
}

#[test]
fn r5_signatures_come_first_and_pages_hold_bounded_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let subject = Digest::sha256(b"subject");
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    let mut manifests: Vec<Manifest> =
        (0..120).map(|number| referrer(&subject, "application/junk", number, 0)).collect();
    manifests.extend((0..6).map(|number| referrer(&subject, "application/sbom", number, 200_000)));
    manifests.push(referrer(&subject, bundle, 0, 400_000));
    let signature = referrer(&subject, bundle, 1, 0);
    manifests.push(signature.clone());
    let all: BTreeSet<Digest> = manifests.iter().map(Manifest::digest).collect();
    let put = |manifest: Manifest| Change::PutManifest {
        repository: repository("a/b"),
        digest: manifest.digest(),
        manifest,
    };
    store.commit(manifests.into_iter().map(put).collect()).unwrap();
    let limits = PageLimits { entries: 50, bytes: 450_000 };
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.referrer_page(&repository("a/b"), &subject, None, after.as_ref(), limits).unwrap();
        let bytes: usize = page.descriptors.iter().map(|d| serde_json::to_vec(d).unwrap().len()).sum();
        assert!(page.descriptors.len() <= 50 && bytes <= 450_000, "{} in {bytes}", page.descriptors.len());
        seen.extend(page.descriptors.into_iter().map(|descriptor| descriptor.digest));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen[0], signature.digest());
    assert_eq!(seen.len(), all.len());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all);
    assert!(pages >= 6, "{pages}");
    assert_eq!(store.referrers(&repository("a/b"), &subject, Some(bundle)).unwrap().len(), 2);
}

/// One damaged manifest hides no other.
#[test]
fn r5_a_damaged_referrer_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let subject = Digest::sha256(b"subject");
    let manifests: Vec<Manifest> =
        (0..3).map(|number| referrer(&subject, "application/junk", number, 0)).collect();
    let put = |manifest: &Manifest| Change::PutManifest {
        repository: repository("a/b"),
        digest: manifest.digest(),
        manifest: manifest.clone(),
    };
    Store::open(folder.path()).unwrap().commit(manifests.iter().map(put).collect()).unwrap();
    std::fs::write(crate::rig::file_of(folder.path(), &manifests[1].digest()), "rotten").unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.referrers(&repository("a/b"), &subject, None).unwrap().len(), 2);
}

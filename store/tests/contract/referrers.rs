//! Lists of referrers in pages: signatures first, large entries last, no duplicates and no omissions.

use std::collections::BTreeSet;

use oci::{Digest, Manifest};
use store::{Change, NamingLimits, PageLimits, Store};

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
    let limits = PageLimits { entries: 50, bytes: 450_000, large: false };
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.referrer_page(&repository("a/b"), &subject, None, after.as_ref(), limits).unwrap();
        let bytes: usize = page.descriptors.iter().map(|d| serde_json::to_vec(d).unwrap().len()).sum();
        assert!(page.descriptors.len() <= 50 && bytes <= 450_000, "{} in {bytes}", page.descriptors.len());
        let large = page.descriptors.iter().filter(|descriptor| descriptor.size > 64 * 1024).count();
        assert!(large == 0 || large == page.descriptors.len(), "{large} large entries among small ones");
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

/// A damaged manifest does not hide the others.
#[test]
fn r5_a_damaged_referrer_is_omitted() {
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

fn pushes(store: &Store, manifest: &Manifest, pusher: &str, most: NamingLimits) -> Result<(), store::Error> {
    let (repository, digest) = (repository("a/b"), manifest.digest());
    let (pusher, counted) = (pusher.to_owned(), manifest.clone());
    store.commit(vec![
        Change::CountPushed {
            repository: repository.clone(),
            digest: digest.clone(),
            manifest: counted,
            pusher,
            most,
        },
        Change::PutManifest { repository, digest, manifest: manifest.clone() },
    ])
}

#[test]
fn a9_the_manifests_of_one_user_that_name_another_manifest_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (subject, kind) = (Digest::sha256(b"subject"), "application/vnd.dev.sigstore.bundle.v0.3+json");
    let most = NamingLimits { manifests: 3, bytes: 1 << 20 };
    let of = |number: usize| referrer(&subject, kind, number, 0);
    let refused = |manifest: &Manifest, pusher: &str, what: &str| {
        let error = pushes(&store, manifest, pusher, most).unwrap_err();
        assert!(error.to_string().contains(what) && error.hint().is_some(), "{error}");
        assert!(store.manifest(&repository("a/b"), &manifest.digest()).unwrap().is_none());
    };
    for number in 0..3 {
        pushes(&store, &of(number), "ann", most).unwrap();
    }
    refused(&of(3), "ann", "no more than 3 manifests");
    // Indexes that list it count as well; a user below the limit can still push one.
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{subject}","size":1}}]}}"#
    );
    let index = Manifest::parse(index.into_bytes().into(), None).unwrap();
    refused(&index, "ann", "no more than 3 manifests");
    pushes(&store, &index, "ben", most).unwrap();
    // Each user has a separate limit; pushing an existing manifest again does not count; each subject has its own count.
    pushes(&store, &of(3), "ben", most).unwrap();
    for number in 0..4 {
        pushes(&store, &of(number), "ann", most).unwrap();
    }
    pushes(&store, &referrer(&Digest::sha256(b"other"), kind, 0, 0), "ann", most).unwrap();
    refused(&referrer(&subject, kind, 9, 1 << 20), "ben", "no more than 1048576 bytes");
    // Deleting a manifest makes room.
    let gone = of(0).digest();
    store.commit(vec![Change::DeleteManifest { repository: repository("a/b"), digest: gone }]).unwrap();
    pushes(&store, &of(7), "ann", most).unwrap();
    refused(&of(8), "ann", "no more than 3 manifests");
}

#[test]
fn a9_a_referrer_with_many_signatures_counts_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (subject, empty) = (Digest::sha256(b"subject"), Digest::sha256(b"{}"));
    let with = |kind: &str, layers: usize| {
        let layer = |at: usize| {
            let digest = Digest::sha256(&at.to_be_bytes());
            format!(
                r#"{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"{digest}","size":9}}"#
            )
        };
        let layers: Vec<_> = (0..layers).map(layer).collect();
        let layers = layers.join(",");
        let text = format!(
            r#"{{"schemaVersion":2,"artifactType":"{kind}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},"layers":[{layers}],"subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{subject}","size":1}}}}"#
        );
        Manifest::parse(text.into_bytes().into(), None).unwrap()
    };
    let most = NamingLimits { manifests: 5, bytes: 1 << 20 };
    let kind = "application/vnd.dev.cosign.artifact.sig.v1+json";
    pushes(&store, &with(kind, 4), "ann", most).unwrap();
    assert!(pushes(&store, &with(kind, 2), "ann", most).is_err());
    // A search for signatures does not read the layers of other artifacts.
    pushes(&store, &with("application/vnd.example.model", 60), "ann", most).unwrap();
    assert!(pushes(&store, &with("application/vnd.example.model", 61), "ann", most).is_err());
}

/// The pages of a list, each as its digests.
fn pages(store: &Store, subject: &Digest, entries: usize) -> Vec<Vec<Digest>> {
    let limits = PageLimits { entries, bytes: 1 << 20, large: true };
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = store.referrer_page(&repository("a/b"), subject, None, after.as_ref(), limits).unwrap();
        pages.push(page.descriptors.into_iter().map(|descriptor| descriptor.digest).collect());
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

#[test]
fn a9_many_signatures_of_one_user_do_not_precede_those_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (subject, kind) = (Digest::sha256(b"subject"), "application/vnd.dev.sigstore.bundle.v0.3+json");
    let of = |number: usize| referrer(&subject, kind, number, 0);
    let most = NamingLimits::default();
    for number in 0..200 {
        pushes(&store, &of(number), "mallory", most).unwrap();
    }
    pushes(&store, &of(1000), "ann", most).unwrap();
    // Pushing another user's signature again does not move it behind one's own signatures.
    pushes(&store, &of(1000), "mallory", most).unwrap();
    let signed_here = of(2000);
    let (digest, manifest) = (signed_here.digest(), signed_here.clone());
    store.commit(vec![Change::PutManifest { repository: repository("a/b"), digest, manifest }]).unwrap();
    let found = pages(&store, &subject, 7);
    assert_eq!(found[0][0], signed_here.digest());
    assert!(found[0][1..3].contains(&of(1000).digest()), "{:?}", found[0]);
    let all: Vec<Digest> = found.into_iter().flatten().collect();
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (202, 202));
    // Another repository's pushes do not count here.
    assert_eq!(store.referrers(&repository("a/c"), &subject, None).unwrap().len(), 0);
}

#[test]
fn r5_deletions_and_pushes_while_a_list_is_read_hide_and_repeat_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (subject, kind) = (Digest::sha256(b"subject"), "application/vnd.dev.sigstore.bundle.v0.3+json");
    let of = |number: usize| referrer(&subject, kind, number, 0);
    let (name, most) = (repository("a/b"), NamingLimits::default());
    for number in 0..120 {
        pushes(&store, &of(number), ["ann", "ben", "eve"][number % 3], most).unwrap();
    }
    let limits = PageLimits { entries: 16, bytes: 1 << 20, large: true };
    let (mut seen, mut after, mut next) = (Vec::new(), None, 200);
    loop {
        let page = store.referrer_page(&name, &subject, None, after.as_ref(), limits).unwrap();
        for listed in page.descriptors {
            store
                .commit(vec![Change::DeleteManifest {
                    repository: name.clone(),
                    digest: listed.digest.clone(),
                }])
                .unwrap();
            seen.push(listed.digest);
        }
        pushes(&store, &of(next), "ann", most).unwrap();
        next += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let distinct: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(distinct.len(), seen.len(), "nothing is listed twice");
    assert!((0..120).all(|number| distinct.contains(&of(number).digest())), "{} of 120", distinct.len());
}

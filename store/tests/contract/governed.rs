//! Rules of the store: immutable tags, quotas, retention and protections, in the transaction of each commit.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use oci::{Digest, Selector, Tag};
use store::{
    Change, Error, Protection, QuotaRule, RetentionRule, RetentionRules, Rules, Store, TagRule, Untagged,
    UpkeepKind, UpkeepRun, Usage,
};

use crate::rig::{manifest, push, put, repository, tag};

fn immutable(repositories: &str) -> Rules {
    let tags = vec!["v*".parse().unwrap()];
    let rule = TagRule { repositories: vec![repositories.parse().unwrap()], tags, except: Vec::new() };
    Rules { immutable_tags: vec![rule], ..Rules::default() }
}

fn quota(repositories: &str, bytes: Option<u64>, tags: Option<u64>) -> Rules {
    let rule = QuotaRule { repositories: vec![repositories.parse().unwrap()], bytes, tags };
    Rules { quotas: vec![rule], ..Rules::default() }
}

fn set(name: &str, label: &str, digest: &Digest) -> Change {
    Change::SetTag { repository: repository(name), tag: tag(label), digest: digest.clone() }
}

fn delete(name: &str, label: &str) -> Change {
    Change::DeleteTag { repository: repository(name), tag: tag(label) }
}

fn tags(store: &Store, name: &str) -> Vec<String> {
    let found = store.tags(&repository(name), None, None).unwrap();
    found.into_iter().map(|(tag, _)| tag.to_string()).collect()
}

#[test]
fn an_immutable_tag_is_neither_moved_nor_removed_in_any_way() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (one, two) = (push(&store, "a/b", "v1").unwrap(), push(&store, "a/b", "other").unwrap());
    store.set_rules(&immutable("a/**")).unwrap();
    assert_eq!(store.rules().unwrap(), immutable("a/**"));
    // Another process that already had the store open also enforces the rules.
    let other = Store::open(folder.path()).unwrap();
    for store in [&store, &other] {
        let name = repository("a/b");
        for change in [
            set("a/b", "v1", &two),
            delete("a/b", "v1"),
            Change::DeleteManifest { repository: name.clone(), digest: one.clone() },
            Change::DeleteRepository { repository: name.clone() },
        ] {
            let refused = store.commit(vec![set("a/b", "free", &one), change]).unwrap_err();
            assert!(
                matches!(&refused, Error::TagImmutable { tag, .. } if tag.as_str() == "v1"),
                "{refused:?}"
            );
        }
    }
    // Nothing of a refused commit stays.
    assert_eq!(tags(&store, "a/b"), ["other", "v1"]);
    // The same manifest again, a new tag, and a tag that no pattern matches.
    store.commit(vec![set("a/b", "v1", &one), set("a/b", "v2", &two)]).unwrap();
    store.commit(vec![set("a/b", "other", &one), delete("a/b", "other"), delete("a/b", "v9")]).unwrap();
    // Signatures of versions can be replaced.
    let signature: Tag = Tag::of_attachment(&one, "sig").unwrap();
    store.commit(vec![set("a/b", signature.as_str(), &one)]).unwrap();
    store.commit(vec![set("a/b", signature.as_str(), &two)]).unwrap();
    // An override, and new rules.
    store.commit(vec![Change::Overriding(Box::new(set("a/b", "v1", &two)))]).unwrap();
    store.set_rules(&Rules::default()).unwrap();
    store.commit(vec![Change::DeleteRepository { repository: repository("a/b") }]).unwrap();
}

#[test]
fn a_quota_is_checked_in_the_commit_and_counts_each_blob_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let blob = put(&store, &[7; 1000]).unwrap();
    let link = |name: &str, digest: &Digest| {
        store.commit(vec![Change::LinkBlob { repository: repository(name), digest: digest.clone() }])
    };
    link("a/b", &blob).unwrap();
    store.set_rules(&quota("a/**", Some(1500), None)).unwrap();
    let used = || store.quotas().unwrap()[0].used;
    assert_eq!(used(), Usage { bytes: 1000, tags: 0 });
    assert!(store.quota_room(&repository("b")).unwrap().is_none());
    assert_eq!(store.quota_room(&repository("a/new")).unwrap().unwrap().0, 500);
    // A mount in a new repository of the quota adds nothing; more content does.
    link("a/c", &blob).unwrap();
    link("a/c", &blob).unwrap();
    assert_eq!(used().bytes, 1000);
    let more = put(&store, &[8; 501]).unwrap();
    let refused = link("a/d", &more).unwrap_err();
    let Error::QuotaExceeded { used: 1000, added: 501, most: 1500, what: "bytes", .. } = refused else {
        panic!("{refused:?}");
    };
    assert!(!store.repository_exists(&repository("a/d")).unwrap(), "nothing of a refused commit stays");
    link("b", &more).unwrap();
    assert_eq!(used().bytes, 1000);
    for name in ["a/b", "a/c"] {
        store
            .commit(vec![Change::UnlinkBlob { repository: repository(name), digest: blob.clone() }])
            .unwrap();
    }
    assert_eq!(used().bytes, 0);
    link("a/d", &more).unwrap();
    assert_eq!(used().bytes, 501);
    drop(store);
    // The counters are rebuilt, and the rules stay.
    Store::rebuild(folder.path(), &mut |_| {}).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.rules().unwrap(), quota("a/**", Some(1500), None));
    assert_eq!(store.quotas().unwrap()[0].used.bytes, 0, "a rebuild keeps only what manifests list");
}

#[test]
fn manifests_and_tags_count_and_a_lowered_limit_only_stops_growth() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.set_rules(&quota("**", None, Some(2))).unwrap();
    let digest = push(&store, "a", "one").unwrap();
    push(&store, "b", "two").unwrap();
    let used = store.quotas().unwrap()[0].used;
    let size = |name: &str| store.manifests(&repository(name)).unwrap()[0].size + 3;
    assert_eq!(used, Usage { bytes: size("a") + size("b"), tags: 2 });
    let refused = push(&store, "c", "three").unwrap_err();
    assert!(matches!(refused, Error::QuotaExceeded { used: 2, most: 2, what: "tags", .. }), "{refused:?}");
    store.set_rules(&quota("**", Some(10), Some(1))).unwrap();
    // Moving and removing tags is not growth.
    let other = push(&store, "a", "one").unwrap();
    assert_eq!(other, digest);
    store.commit(vec![delete("a", "one")]).unwrap();
    assert!(store.commit(vec![set("a", "again", &digest)]).is_err());
    store.commit(vec![Change::Overriding(Box::new(set("a", "again", &digest)))]).unwrap();
}

/// The check and the commit are one transaction, also of several processes.
#[test]
fn concurrent_commits_never_exceed_a_quota_together() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.set_rules(&quota("team/**", Some(10_000), None)).unwrap();
    let accepted: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8_u8)
            .map(|worker| {
                let root = folder.path();
                scope.spawn(move || {
                    let own = Store::open(root).unwrap();
                    let link = |number: u8| {
                        let blob = put(&own, &[vec![worker, number], vec![0; 998]].concat()).unwrap();
                        let name = repository(&format!("team/{worker}"));
                        own.commit(vec![Change::LinkBlob { repository: name, digest: blob }])
                    };
                    (0..5).filter(|number| link(*number).is_ok()).count()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!((accepted, store.quotas().unwrap()[0].used.bytes), (10, 10_000));
}

fn retain(repositories: &str, newest: u64) -> Rules {
    let rule = RetentionRule {
        repositories: vec![repositories.parse().unwrap()],
        newest: Some(newest),
        newer_than_seconds: None,
        tags: vec!["stable".parse().unwrap()],
        pulled_within_seconds: None,
    };
    let retention = RetentionRules { untagged_seconds: 0, rules: vec![rule] };
    Rules { retention, ..immutable("a/**") }
}

#[test]
fn retention_removes_what_no_rule_keeps_with_its_signatures_and_spares_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for name in ["a/b", "other"] {
        for note in ["x1", "x2", "stable", "v1", "x3", "x4", "x5"] {
            push(&store, name, note).unwrap();
        }
    }
    let digest = |label: &str| {
        let selector = Selector::Tag(tag(label));
        store.resolve(&repository("a/b"), &selector).unwrap().unwrap().digest
    };
    let (x1, x2, x3) = (digest("x1"), digest("x2"), digest("x3"));
    // A referrer and a signature under cosign's tag of a manifest that goes.
    let blob = put(&store, b"x1").unwrap();
    let about = manifest(&blob, 2, "about", Some(&x2));
    let signature = manifest(&blob, 2, "signature", None);
    let (about_digest, signed) = (about.digest(), Tag::of_attachment(&x2, "sig").unwrap());
    let add = |manifest: oci::Manifest| Change::PutManifest {
        repository: repository("a/b"),
        digest: manifest.digest(),
        manifest,
    };
    let signature_digest = signature.digest();
    store.commit(vec![add(about), add(signature), set("a/b", signed.as_str(), &signature_digest)]).unwrap();
    let reason = "package web in cluster one".to_owned();
    let of_one = Protection::new(repository("a/b"), Some(Selector::Digest(x1)), reason);
    let source = "cluster one".to_owned();
    store.commit(vec![Change::Protect(of_one.by(source.clone()))]).unwrap();

    store.set_rules(&retain("a/**", 2)).unwrap();
    let keep = Untagged::from([(repository("a/b"), BTreeSet::from([x3.clone()]))]);
    let rules = store.rules().unwrap();
    let planned = store.expired_tags(&rules, &keep).unwrap();
    let names: Vec<_> = planned[&repository("a/b")].iter().map(|gone| gone.tag.to_string()).collect();
    // x1 is protected, x3 was brought by a drive, v1 is immutable, stable matches, x4 and x5 are the newest.
    assert_eq!((names, planned.len()), (vec!["x2".to_owned()], 1));
    assert_eq!(store.expire_tags(&planned, &keep).unwrap(), planned);
    let left = tags(&store, "a/b");
    assert_eq!(left, [signed.as_str(), "stable", "v1", "x1", "x3", "x4", "x5"]);
    assert_eq!(tags(&store, "other").len(), 7);
    let later = SystemTime::now() + Duration::from_mins(1);
    let untagged = store.untagged(later, &keep).unwrap();
    let expected = BTreeSet::from([x2, about_digest, signature_digest]);
    assert_eq!(untagged, Untagged::from([(repository("a/b"), expected)]));
    assert_eq!(store.delete_untagged(&untagged, later, &keep).unwrap(), untagged);
    assert!(!tags(&store, "a/b").contains(&signed.to_string()));
    // The plan is decided again when it is applied: now x3 goes, x1 only when its protection ends.
    let planned = store.expired_tags(&rules, &Untagged::new()).unwrap();
    store.commit(vec![set("a/b", "x3", &digest("x5"))]).unwrap();
    assert!(
        store.expire_tags(&planned, &Untagged::new()).unwrap().is_empty(),
        "it is among the newest again"
    );
    store.commit(vec![Change::ReplaceProtected { source, protections: Vec::new() }]).unwrap();
    let planned = store.expired_tags(&rules, &Untagged::new()).unwrap();
    let names: Vec<_> = planned[&repository("a/b")].iter().map(|gone| gone.tag.as_str()).collect();
    assert_eq!(names, ["x1", "x4"]);
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
}

#[test]
fn a_recent_pull_keeps_a_tag() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let used = push(&store, "a", "used").unwrap();
    let unused = push(&store, "a", "unused").unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let pulled =
        |digest: &Digest, at| Change::Pulled { repository: repository("a"), digest: digest.clone(), at };
    let day = 24 * 3600;
    store.commit(vec![pulled(&used, now), pulled(&unused, now - 9 * day)]).unwrap();
    // An older report does not replace a newer one, and unknown manifests are not recorded.
    store.commit(vec![pulled(&used, now - 9 * day), pulled(&Digest::sha256(b"none"), now)]).unwrap();
    let mut rules = retain("a", 1);
    rules.retention.rules[0].newest = None;
    rules.retention.rules[0].pulled_within_seconds = Some(2 * day);
    store.set_rules(&rules).unwrap();
    let planned = store.expired_tags(&rules, &Untagged::new()).unwrap();
    let gone = &planned[&repository("a")];
    assert_eq!((gone.len(), gone[0].tag.as_str()), (1, "unused"));
    assert!((7 * day..=9 * day).contains(&gone[0].pulled_seconds_ago.unwrap()));
    store.commit(vec![Change::DeleteManifest { repository: repository("a"), digest: used }]).unwrap();
}

#[test]
fn protected_names_are_neither_removed_nor_collected_and_survive_a_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let one = push(&store, "a/b", "v1").unwrap();
    let two = push(&store, "a/b", "v2").unwrap();
    push(&store, "c", "v1").unwrap();
    let protect = |name: &str, selector: Option<Selector>| {
        Change::Protect(Protection::new(repository(name), selector, "it is needed".to_owned()))
    };
    store
        .commit(vec![
            protect("a/b", Some(Selector::Tag(tag("v1")))),
            protect("a/b", Some(Selector::Digest(two.clone()))),
            protect("c", None),
        ])
        .unwrap();
    let (name, whole) =
        (|| repository("a/b"), |name: &str| Change::DeleteRepository { repository: repository(name) });
    let removal = |digest: &Digest| Change::DeleteManifest { repository: name(), digest: digest.clone() };
    let refused =
        [delete("a/b", "v1"), removal(&one), removal(&two), whole("a/b"), whole("c"), delete("c", "v1")];
    for change in refused {
        let refused = store.commit(vec![change]).unwrap_err();
        assert!(matches!(refused, Error::Protected(_)), "{refused:?}");
    }
    assert_eq!(store.protections_of(&name(), Some(&Selector::Digest(one))).unwrap().len(), 1);
    // A manifest is protected without its tag.
    store.commit(vec![delete("a/b", "v2")]).unwrap();
    let later = SystemTime::now() + Duration::from_mins(1);
    assert!(store.untagged(later, &Untagged::new()).unwrap().is_empty());
    let why = store.why(&two).unwrap();
    assert_eq!((why.protections.len(), why.protections[0].reason.as_str()), (1, "it is needed"));
    drop(store);
    Store::rebuild(folder.path(), &mut |_| {}).unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.protections().unwrap().len(), 3);
    let selector = Some(Selector::Digest(two.clone()));
    store
        .commit(vec![Change::Unprotect { repository: name(), selector, source: "operator".to_owned() }])
        .unwrap();
    assert_eq!(store.untagged(later, &Untagged::new()).unwrap()[&name()], BTreeSet::from([two]));
    store.commit(vec![Change::Overriding(Box::new(whole("c")))]).unwrap();
}

#[test]
fn maintenance_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(store.upkeep().unwrap().is_empty());
    let run = |succeeded, removed| {
        let (kind, took) = (UpkeepKind::Gc, Duration::from_millis(1500));
        store.commit(vec![Change::Upkeep(UpkeepRun { kind, succeeded, removed, bytes: 10, took })]).unwrap();
    };
    run(true, 3);
    let first = store.upkeep().unwrap()[0];
    run(false, 1);
    let found = store.upkeep().unwrap()[0];
    assert_eq!((found.kind, found.succeeded, found.failed), (UpkeepKind::Gc, 1, 1));
    assert_eq!((found.removed, found.bytes, found.milliseconds), (4, 20, 1500));
    assert!(found.last_success == first.last_success && first.last_success > 0);
}

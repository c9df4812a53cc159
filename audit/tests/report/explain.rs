//! The history of a digest.

use std::collections::BTreeMap;

use audit::explain::{DigestLookup, LookupResult, NoStore, Proofs, explain};
use audit::{Error, EventType};
use tlog::{Policy, Proof};

use crate::log::{Step, digest, done, good_day, key, of};

fn leaves(steps: Vec<Step>, digit: char) -> Vec<u64> {
    let log = of(steps);
    let history = explain(&log.reader, &digest(digit), Proofs::Without, &NoStore).unwrap();
    history.events.iter().map(|event| event.index).collect()
}

#[test]
fn every_event_about_a_digest_and_its_carriers_is_listed_in_order() {
    let log = of(good_day());
    let history = explain(&log.reader, &digest('1'), Proofs::Without, &NoStore).unwrap();
    let listed: Vec<_> =
        history.events.iter().map(|event| (event.index, event.event.event, event.through.clone())).collect();
    assert_eq!(
        listed,
        [
            (3, EventType::Mirror, None),
            (4, EventType::Pack, None),
            (5, EventType::Verify, Some(digest('a'))),
            (6, EventType::Import, None)
        ]
    );
    let carriers: Vec<_> =
        history.carriers.iter().map(|c| (c.kind.as_str(), c.digest.clone(), c.index.unwrap())).collect();
    assert_eq!(carriers, [("lock", digest('c'), 3), ("set", digest('a'), 4)]);
}

#[test]
fn carriers_of_carriers_are_followed_but_not_their_other_content() {
    let steps = || {
        vec![
            done(EventType::Push, "blob", "layer", &['1'], &[("manifest", &digest('2'))]),
            done(EventType::Push, "manifest", "image", &['2'], &[("index", &digest('3'))]),
            done(EventType::Sign, "index", "image", &['3'], &[]),
            done(EventType::Push, "blob", "other layer", &['4'], &[("manifest", &digest('2'))]),
            done(EventType::Delete, "blob", "other layer", &['4'], &[]),
        ]
    };
    assert_eq!(leaves(steps(), '1'), [1, 2, 3, 4], "leaf 4 names the manifest");
    assert_eq!(leaves(steps(), '4'), [1, 2, 3, 4, 5]);
    assert_eq!(leaves(steps(), '3'), [2, 3]);
}

#[test]
fn the_evidence_of_an_event_does_not_belong_to_its_carriers() {
    let steps = || {
        vec![
            done(EventType::PolicyWrite, "policy", "trust.toml", &['f'], &[]),
            done(EventType::Import, "set", "s", &['1'], &[("trust", &digest('f')), ("set", &digest('a'))]),
            done(EventType::Verify, "set", "s", &['a'], &[]),
        ]
    };
    assert_eq!(leaves(steps(), 'f'), [1, 2]);
    assert_eq!(leaves(steps(), '1'), [2, 3]);
}

#[test]
fn the_trust_file_is_the_events_own_or_the_last_one_before_it() {
    let log = of(vec![
        done(EventType::PolicyFirstUse, "policy", "old", &['e'], &[]),
        done(EventType::Verify, "set", "s", &['1'], &[]),
        done(EventType::PolicyWrite, "policy", "not used yet", &['d'], &[]),
        done(EventType::Verify, "set", "s", &['1'], &[("trust", &digest('f'))]),
        done(EventType::PolicyChange, "policy", "new", &['f'], &[]),
        done(EventType::Delete, "manifest", "s", &['1'], &[]),
    ]);
    let history = explain(&log.reader, &digest('1'), Proofs::Without, &NoStore).unwrap();
    let policies: Vec<_> = history
        .events
        .iter()
        .map(|c| c.policy.as_ref().map(|p| (p.policy.clone(), p.index)).unwrap())
        .collect();
    assert_eq!(policies, [(digest('e'), 1), (digest('f'), 4), (digest('f'), 5)]);
}

#[test]
fn each_event_has_a_proof_that_can_be_verified_without_the_log() {
    let log = of(good_day());
    let history = explain(&log.reader, &digest('1'), Proofs::With, &NoStore).unwrap();
    assert!(history.events.len() >= 4);
    for explained in &history.events {
        let proof = Proof::parse(explained.proof.as_ref().unwrap()).unwrap();
        assert_eq!(proof.extra.as_deref().unwrap(), explained.event.to_bytes());
        proof.verify(&explained.event.to_bytes(), &Policy::of_log(key().verifier())).unwrap();
    }
}

#[test]
fn unknown_digests_and_invalid_arguments_are_errors() {
    let log = of(good_day());
    let unknown = explain(&log.reader, &digest('9'), Proofs::Without, &NoStore).unwrap_err();
    assert!(matches!(&unknown, Error::Unknown { digest: found, size: 10 } if *found == digest('9')));
    assert!(unknown.hint().unwrap().contains("airlock audit log"));
    let bare = &digest('1')[7..];
    assert_eq!(explain(&log.reader, bare, Proofs::Without, &NoStore).unwrap().digest, digest('1'));
    for text in
        ["", "sha256:", "sha256:1", "111", "md5:1", "sha512:1", &digest('A'), &format!("sha256:{bare}1")]
    {
        let error = explain(&log.reader, text, Proofs::Without, &NoStore).unwrap_err();
        assert!(matches!(error, Error::Digest(_)), "{text}");
    }
}

/// A store with two images that share a layer, and an index over one of them.
struct Images(BTreeMap<String, Vec<(String, String)>>);

impl Images {
    fn new() -> Self {
        let image = |digit| ("image".to_owned(), digest(digit));
        let index = ("index".to_owned(), digest('3'));
        Self(BTreeMap::from([(digest('7'), vec![image('1'), image('2')]), (digest('2'), vec![index])]))
    }
}

impl DigestLookup for Images {
    fn containing(&self, digest: &str) -> LookupResult<Vec<(String, String)>> {
        Ok(self.0.get(digest).cloned().unwrap_or_default())
    }

    fn with_prefix(&self, prefix: &str) -> LookupResult<Vec<String>> {
        Ok(self.0.keys().filter(|digest| digest.starts_with(prefix)).cloned().collect())
    }

    fn resolve(&self, name: &str) -> LookupResult<Option<String>> {
        Ok((name == "library/app:9").then(|| digest('2')))
    }
}

#[test]
fn o26_the_history_of_a_layer_includes_the_images_and_sets_that_contain_it() {
    let steps = vec![
        done(EventType::Import, "set", "set-1", &['1', 'a'], &[("set", &digest('a'))]),
        done(EventType::Push, "blob", "apps/web@sha256:7", &['7'], &[]),
        done(EventType::Push, "manifest", "apps/web:1", &['2'], &[]),
        done(EventType::Sign, "index", "apps/web", &['3'], &[]),
        done(EventType::Verify, "set", "set-1", &['a'], &[]),
        done(EventType::Push, "manifest", "apps/other:1", &['9'], &[]),
    ];
    let log = of(steps);
    let history = explain(&log.reader, &digest('7'), Proofs::Without, &Images::new()).unwrap();
    let listed: Vec<u64> = history.events.iter().map(|event| event.index).collect();
    assert_eq!(listed, [1, 2, 3, 4, 5], "all but the image without the layer");
    let carriers: Vec<_> =
        history.carriers.iter().map(|c| (c.kind.as_str(), c.digest.clone(), c.index)).collect();
    assert_eq!(
        carriers,
        [
            ("image", digest('1'), None),
            ("image", digest('2'), None),
            ("set", digest('a'), Some(1)),
            ("index", digest('3'), None)
        ]
    );
    let alone = explain(&log.reader, &digest('7'), Proofs::Without, &NoStore).unwrap();
    assert_eq!(alone.events.len(), 1);
}

#[test]
fn o26_names_are_resolved_and_the_earlier_digests_of_a_tag_are_listed() {
    let log = of(vec![
        done(EventType::Push, "manifest", "apps/web:1,latest", &['3'], &[]),
        done(EventType::Push, "manifest", "apps/web:1", &['4'], &[]),
        done(EventType::Import, "set", "set-1", &['1', '2', 'a'], &[("set", &digest('a'))]),
        done(EventType::Delete, "tag", "apps/web:1", &['4'], &[]),
        done(EventType::Push, "manifest", "library/app@sha256:2", &['2'], &[]),
    ]);
    let history = |name: &str| explain(&log.reader, name, Proofs::Without, &Images::new()).unwrap();
    let web = history("apps/web:1");
    assert_eq!((web.digest.as_str(), web.name.as_deref()), (digest('4').as_str(), Some("apps/web:1")));
    let others: Vec<_> = web.others.iter().map(|other| (other.digest.clone(), other.index)).collect();
    assert_eq!(others, [(digest('3'), 1)]);
    assert_eq!(history("apps/web:latest").digest, digest('3'));
    assert_eq!(history("set-1").digest, digest('a'));
    assert_eq!(history(&format!("apps/web@{}", digest('4'))).digest, digest('4'));
    assert_eq!(history("library/app:9").digest, digest('2'), "the store resolves the name");
}

#[test]
fn o26_a_prefix_is_resolved_and_the_matches_of_an_ambiguous_one_are_listed() {
    let (one, two) = (format!("sha256:abcd{}", "1".repeat(60)), format!("sha256:abcd{}", "2".repeat(60)));
    let mut step = done(EventType::Import, "set", "s", &['5', '7'], &[]);
    step.draft.digests([one.clone(), two.clone()]);
    let log = of(vec![step]);
    let history = |prefix: &str| explain(&log.reader, prefix, Proofs::Without, &Images::new());
    assert_eq!(history("5555").unwrap().digest, digest('5'));
    assert_eq!(history("sha256:abcd1").unwrap().digest, one);
    assert_eq!(history("7777").unwrap().digest, digest('7'), "the same in the log and in the store");
    let error = history("abcd").unwrap_err();
    assert!(matches!(&error, Error::Ambiguous { found, .. } if *found == [one.clone(), two.clone()]));
    assert!(error.to_string().contains(&one) && error.to_string().contains(&two), "{error}");
    assert_eq!(
        history("2222").unwrap_err().to_string().matches("is about").count(),
        1,
        "stored, but not logged"
    );
    assert!(matches!(history("sha256:0123").unwrap_err(), Error::Unknown { .. }));
}

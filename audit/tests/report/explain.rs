//! What is told of a digest.

use std::collections::BTreeMap;

use audit::explain::{Answer, Beside, Nobody, Proofs, explain};
use audit::{Error, EventType};
use tlog::{Policy, Proof};

use crate::log::{Step, digest, done, good_day, key, of};

fn leaves(steps: Vec<Step>, digit: char) -> Vec<u64> {
    let made = of(steps);
    let story = explain(&made.reader, &digest(digit), Proofs::Without, &Nobody).unwrap();
    story.events.iter().map(|chapter| chapter.index).collect()
}

#[test]
fn every_event_about_a_digest_and_about_what_carried_it_is_told_in_order() {
    let made = of(good_day());
    let story = explain(&made.reader, &digest('1'), Proofs::Without, &Nobody).unwrap();
    let told: Vec<_> = story
        .events
        .iter()
        .map(|chapter| (chapter.index, chapter.event.event, chapter.through.clone()))
        .collect();
    assert_eq!(
        told,
        [
            (3, EventType::Mirror, None),
            (4, EventType::Pack, None),
            (5, EventType::Verify, Some(digest('a'))),
            (6, EventType::Import, None)
        ]
    );
    let carriers: Vec<_> =
        story.carriers.iter().map(|c| (c.kind.as_str(), c.digest.clone(), c.index.unwrap())).collect();
    assert_eq!(carriers, [("lock", digest('c'), 3), ("set", digest('a'), 4)]);
}

#[test]
fn a_carrier_is_followed_to_what_carried_it_and_never_down_to_its_other_content() {
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
fn what_an_event_rests_on_did_not_come_on_its_carriers() {
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
fn the_trust_file_is_that_of_the_event_or_the_last_one_that_was_set() {
    let made = of(vec![
        done(EventType::PolicyFirstUse, "policy", "old", &['e'], &[]),
        done(EventType::Verify, "set", "s", &['1'], &[]),
        done(EventType::PolicyWrite, "policy", "not used yet", &['d'], &[]),
        done(EventType::Verify, "set", "s", &['1'], &[("trust", &digest('f'))]),
        done(EventType::PolicyChange, "policy", "new", &['f'], &[]),
        done(EventType::Delete, "manifest", "s", &['1'], &[]),
    ]);
    let story = explain(&made.reader, &digest('1'), Proofs::Without, &Nobody).unwrap();
    let policies: Vec<_> = story
        .events
        .iter()
        .map(|c| c.policy.as_ref().map(|p| (p.policy.clone(), p.index)).unwrap())
        .collect();
    assert_eq!(policies, [(digest('e'), 1), (digest('f'), 4), (digest('f'), 5)]);
}

#[test]
fn each_event_comes_with_a_proof_that_stands_alone() {
    let made = of(good_day());
    let story = explain(&made.reader, &digest('1'), Proofs::With, &Nobody).unwrap();
    assert!(story.events.len() >= 4);
    for chapter in &story.events {
        let proof = Proof::parse(chapter.proof.as_ref().unwrap()).unwrap();
        assert_eq!(proof.extra.as_deref().unwrap(), chapter.event.to_bytes());
        proof.verify(&chapter.event.to_bytes(), &Policy::of_log(key().verifier())).unwrap();
    }
}

#[test]
fn a_digest_that_is_in_no_entry_is_said_to_be_so_and_what_is_no_digest_is_refused() {
    let made = of(good_day());
    let unknown = explain(&made.reader, &digest('9'), Proofs::Without, &Nobody).unwrap_err();
    assert!(matches!(&unknown, Error::Unknown { digest: found, size: 10 } if *found == digest('9')));
    assert!(unknown.hint().unwrap().contains("airlock audit log"));
    let bare = &digest('1')[7..];
    assert_eq!(explain(&made.reader, bare, Proofs::Without, &Nobody).unwrap().digest, digest('1'));
    for text in
        ["", "sha256:", "sha256:1", "111", "md5:1", "sha512:1", &digest('A'), &format!("sha256:{bare}1")]
    {
        let error = explain(&made.reader, text, Proofs::Without, &Nobody).unwrap_err();
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

impl Beside for Images {
    fn holders(&self, digest: &str) -> Answer<Vec<(String, String)>> {
        Ok(self.0.get(digest).cloned().unwrap_or_default())
    }

    fn beginning(&self, start: &str) -> Answer<Vec<String>> {
        Ok(self.0.keys().filter(|digest| digest.starts_with(start)).cloned().collect())
    }

    fn named(&self, name: &str) -> Answer<Option<String>> {
        Ok((name == "library/app:9").then(|| digest('2')))
    }
}

#[test]
fn o26_a_layer_is_told_with_the_images_and_sets_that_have_it() {
    let steps = vec![
        done(EventType::Import, "set", "set-1", &['1', 'a'], &[("set", &digest('a'))]),
        done(EventType::Push, "blob", "apps/web@sha256:7", &['7'], &[]),
        done(EventType::Push, "manifest", "apps/web:1", &['2'], &[]),
        done(EventType::Sign, "index", "apps/web", &['3'], &[]),
        done(EventType::Verify, "set", "set-1", &['a'], &[]),
        done(EventType::Push, "manifest", "apps/other:1", &['9'], &[]),
    ];
    let made = of(steps);
    let story = explain(&made.reader, &digest('7'), Proofs::Without, &Images::new()).unwrap();
    let told: Vec<u64> = story.events.iter().map(|chapter| chapter.index).collect();
    assert_eq!(told, [1, 2, 3, 4, 5], "all but the image that does not have it");
    let carriers: Vec<_> =
        story.carriers.iter().map(|c| (c.kind.as_str(), c.digest.clone(), c.index)).collect();
    assert_eq!(
        carriers,
        [
            ("image", digest('1'), None),
            ("image", digest('2'), None),
            ("set", digest('a'), Some(1)),
            ("index", digest('3'), None)
        ]
    );
    let alone = explain(&made.reader, &digest('7'), Proofs::Without, &Nobody).unwrap();
    assert_eq!(alone.events.len(), 1);
}

#[test]
fn o26_names_are_taken_and_what_a_tag_was_before_is_told() {
    let made = of(vec![
        done(EventType::Push, "manifest", "apps/web:1,latest", &['3'], &[]),
        done(EventType::Push, "manifest", "apps/web:1", &['4'], &[]),
        done(EventType::Import, "set", "set-1", &['1', '2', 'a'], &[("set", &digest('a'))]),
        done(EventType::Delete, "tag", "apps/web:1", &['4'], &[]),
        done(EventType::Push, "manifest", "library/app@sha256:2", &['2'], &[]),
    ]);
    let told = |what: &str| explain(&made.reader, what, Proofs::Without, &Images::new()).unwrap();
    let web = told("apps/web:1");
    assert_eq!((web.digest.as_str(), web.name.as_deref()), (digest('4').as_str(), Some("apps/web:1")));
    let others: Vec<_> = web.others.iter().map(|other| (other.digest.clone(), other.index)).collect();
    assert_eq!(others, [(digest('3'), 1)]);
    assert_eq!(told("apps/web:latest").digest, digest('3'));
    assert_eq!(told("set-1").digest, digest('a'));
    assert_eq!(told(&format!("apps/web@{}", digest('4'))).digest, digest('4'));
    assert_eq!(told("library/app:9").digest, digest('2'), "the store knows the name");
}

#[test]
fn o26_a_short_digest_is_taken_and_an_ambiguous_one_is_listed() {
    let (one, two) = (format!("sha256:abcd{}", "1".repeat(60)), format!("sha256:abcd{}", "2".repeat(60)));
    let mut step = done(EventType::Import, "set", "s", &['5', '7'], &[]);
    step.draft.digests([one.clone(), two.clone()]);
    let made = of(vec![step]);
    let told = |what: &str| explain(&made.reader, what, Proofs::Without, &Images::new());
    assert_eq!(told("5555").unwrap().digest, digest('5'));
    assert_eq!(told("sha256:abcd1").unwrap().digest, one);
    assert_eq!(told("7777").unwrap().digest, digest('7'), "in the log and in the store: the same");
    let error = told("abcd").unwrap_err();
    assert!(matches!(&error, Error::Ambiguous { found, .. } if *found == [one.clone(), two.clone()]));
    assert!(error.to_string().contains(&one) && error.to_string().contains(&two), "{error}");
    assert_eq!(told("2222").unwrap_err().to_string().matches("is about").count(), 1, "known, but not logged");
    assert!(matches!(told("sha256:0123").unwrap_err(), Error::Unknown { .. }));
}

//! What is told of a digest.

use audit::explain::{Proofs, explain};
use audit::{Error, Kind};
use tlog::{Policy, Proof};

use crate::log::{Step, digest, done, good_day, key, of};

fn leaves(steps: Vec<Step>, digit: char) -> Vec<u64> {
    let made = of(steps);
    let story = explain(&made.reader, &digest(digit), Proofs::Without).unwrap();
    story.events.iter().map(|chapter| chapter.index).collect()
}

#[test]
fn every_event_about_a_digest_and_about_what_carried_it_is_told_in_order() {
    let made = of(good_day());
    let story = explain(&made.reader, &digest('1'), Proofs::Without).unwrap();
    let told: Vec<_> = story
        .events
        .iter()
        .map(|chapter| (chapter.index, chapter.event.event, chapter.through.clone()))
        .collect();
    assert_eq!(
        told,
        [
            (3, Kind::Mirror, None),
            (4, Kind::Pack, None),
            (5, Kind::Verify, Some(digest('a'))),
            (6, Kind::Import, None)
        ]
    );
    let carriers: Vec<_> =
        story.carriers.iter().map(|c| (c.kind.as_str(), c.digest.clone(), c.index)).collect();
    assert_eq!(carriers, [("lock", digest('c'), 3), ("set", digest('a'), 4)]);
}

#[test]
fn a_carrier_is_followed_to_what_carried_it_and_never_down_to_its_other_content() {
    let steps = || {
        vec![
            done(Kind::Push, "blob", "layer", &['1'], &[("manifest", &digest('2'))]),
            done(Kind::Push, "manifest", "image", &['2'], &[("index", &digest('3'))]),
            done(Kind::Sign, "index", "image", &['3'], &[]),
            done(Kind::Push, "blob", "other layer", &['4'], &[("manifest", &digest('2'))]),
            done(Kind::Delete, "blob", "other layer", &['4'], &[]),
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
            done(Kind::PolicyWrite, "policy", "trust.toml", &['f'], &[]),
            done(Kind::Import, "set", "s", &['1'], &[("trust", &digest('f')), ("set", &digest('a'))]),
            done(Kind::Verify, "set", "s", &['a'], &[]),
        ]
    };
    assert_eq!(leaves(steps(), 'f'), [1, 2]);
    assert_eq!(leaves(steps(), '1'), [2, 3]);
}

#[test]
fn the_trust_file_is_that_of_the_event_or_the_last_one_that_was_set() {
    let made = of(vec![
        done(Kind::PolicyFirstUse, "policy", "old", &['e'], &[]),
        done(Kind::Verify, "set", "s", &['1'], &[]),
        done(Kind::PolicyWrite, "policy", "not used yet", &['d'], &[]),
        done(Kind::Verify, "set", "s", &['1'], &[("trust", &digest('f'))]),
        done(Kind::PolicyChange, "policy", "new", &['f'], &[]),
        done(Kind::Delete, "manifest", "s", &['1'], &[]),
    ]);
    let story = explain(&made.reader, &digest('1'), Proofs::Without).unwrap();
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
    let story = explain(&made.reader, &digest('1'), Proofs::With).unwrap();
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
    let unknown = explain(&made.reader, &digest('9'), Proofs::Without).unwrap_err();
    assert!(matches!(&unknown, Error::Unknown { digest: found, size: 10 } if *found == digest('9')));
    assert!(unknown.hint().unwrap().contains("airlock audit log"));
    let bare = &digest('1')[7..];
    assert_eq!(explain(&made.reader, bare, Proofs::Without).unwrap().digest, digest('1'));
    let short = "1".repeat(63);
    for text in
        ["", "sha256:", "sha256:1", &short, "md5:1", "sha512:1", &digest('A'), &format!("sha256:{bare}1")]
    {
        let error = explain(&made.reader, text, Proofs::Without).unwrap_err();
        assert!(matches!(error, Error::Digest(_)), "{text}");
    }
}

//! The findings of a report, and their changes when an event is missing.

use std::collections::BTreeSet;

use audit::report::{
    CheckResult, CheckpointTrust, Collector, Framework, LEAVES, Period, Report, Status, json,
};
use audit::{Error, Event, EventType};
use time::macros::datetime;

use crate::log::{
    Step, TestLog, TestReport, by, digest, done, entries, good_day, of, of_entries, refused, report,
};

fn check<'a>(report: &'a Report, name: &str) -> &'a CheckResult {
    report.checks.iter().find(|check| check.name == name).unwrap()
}

fn status(report: &Report, control: &str) -> Status {
    report.controls.iter().find(|finding| finding.control.id == control).unwrap().status
}

fn nist(steps: Vec<Step>) -> TestReport {
    report(&of(steps), Framework::Nist80053r5)
}

/// A good day without the event at `position`, or with another one instead.
fn day_with(position: usize, other: Option<Step>) -> Vec<Step> {
    let mut steps = good_day();
    steps.remove(position);
    if let Some(other) = other {
        steps.insert(position, other);
    }
    steps
}

#[test]
fn a_good_day_satisfies_every_control_that_a_log_can_show() {
    let found = nist(good_day());
    for check in found.checks.iter().filter(|check| check.name != "cosigned") {
        assert_eq!((check.found, check.exceptions.as_slice()), (check.expected, &[][..]), "{}", check.name);
    }
    for finding in &found.controls {
        let shown = finding.control.can_be_satisfied();
        let expected = if shown { Status::Satisfied } else { Status::NotAssessed };
        assert_eq!(finding.status, expected, "{}: {}", finding.control.id, finding.reason);
    }
    // A day without incidents does not show how an incident would be handled.
    assert_eq!(status(&found, "IR-4"), Status::NotAssessed);
}

#[test]
fn a_control_that_no_log_can_show_is_never_satisfied() {
    for framework in Framework::ALL {
        let found = report(&of(good_day()), *framework);
        for finding in found.controls.iter().filter(|finding| finding.control.evidences == "Nothing.") {
            assert_ne!(finding.status, Status::Satisfied, "{}", finding.control.id);
            assert!(finding.leaves.is_empty());
        }
        for fips in ["SC.L2-3.13.11", "SRG-APP-000126-CTR-000275"] {
            let finding = found.controls.iter().find(|finding| finding.control.id == fips);
            assert!(finding.is_none_or(|finding| finding.status == Status::NotSatisfied));
        }
    }
}

#[test]
fn an_unverified_import_is_an_exception() {
    let bare = || done(EventType::Import, "set", "set-1", &['1', '2', 'a'], &[("set", &digest('a'))]);
    let after_verify = nist(day_with(5, Some(bare())));
    assert_eq!(check(&after_verify, "imports-verified").found, 1, "the drive was verified just before");
    let mut steps = day_with(5, Some(bare()));
    steps.remove(4);
    let found = nist(steps);
    let imports = check(&found, "imports-verified");
    assert_eq!((imports.expected, imports.found, imports.exceptions.as_slice()), (1, 0, &[5][..]));
    for control in ["SI-7", "SI-7(1)", "SI-7(15)", "CM-14", "SR-11", "SR-4(3)"] {
        assert_eq!(status(&found, control), Status::NotSatisfied, "{control}");
    }
}

#[test]
fn a_verification_after_the_import_does_not_count_for_it() {
    let mut steps = day_with(5, Some(done(EventType::Import, "set", "set-1", &['a'], &[])));
    let verify = steps.remove(4);
    steps.push(verify);
    assert_eq!(check(&nist(steps), "imports-verified").found, 0);
}

#[test]
fn a_push_without_a_verdict_is_an_exception_unless_the_digest_was_verified() {
    let push = || by(done(EventType::Push, "manifest", "apps/web:1", &['3'], &[]), Some("bob"));
    let found = nist(day_with(7, Some(push())));
    let pushes = check(&found, "pushes-judged");
    assert_eq!((pushes.expected, pushes.found, pushes.exceptions.as_slice()), (1, 0, &[8][..]));
    assert_eq!(status(&found, "CM-14"), Status::NotSatisfied);
    assert_eq!(status(&found, "SI-7(1)"), Status::Satisfied);
    let verified = |position: usize, evidence: &[(&str, &str)]| {
        let mut steps = day_with(7, Some(push()));
        steps.insert(position, done(EventType::Verify, "image", "apps/web:1", &['3'], evidence));
        check(&nist(steps), "pushes-judged").found
    };
    let (trust, signer) = (("trust", "sha256:f"), ("signer", "site-key"));
    assert_eq!(verified(7, &[trust, signer]), 1);
    assert_eq!(verified(8, &[trust, signer]), 0, "a later verification does not count");
    assert_eq!(verified(7, &[trust, ("signer", "")]), 0, "a trust file that requires no signature");
    assert_eq!(verified(7, &[signer]), 0, "no trust file");
    assert_eq!(verified(7, &[trust, signer, ("warned", "no key of the group signed")]), 0, "a warning");
    let unsigned =
        by(done(EventType::Push, "manifest", "apps/web:1", &['3'], &[("verdict", "unsigned")]), Some("bob"));
    assert_eq!(
        check(&nist(day_with(7, Some(unsigned))), "pushes-judged").found,
        0,
        "a verdict without a signature"
    );
    let blob = by(done(EventType::Push, "blob", "apps/web", &['4'], &[]), Some("bob"));
    assert_eq!(check(&nist(day_with(7, Some(blob))), "pushes-judged").expected, 0);
}

#[test]
fn each_check_finds_the_event_that_contradicts_it() {
    let without_user =
        by(done(EventType::Push, "manifest", "apps/web:1", &['3'], &[("verdict", "signed")]), None);
    let cases = [
        ("attributed", day_with(7, Some(without_user)), vec![8]),
        ("packs-signed", day_with(3, Some(done(EventType::Pack, "set", "set-1", &['a'], &[]))), vec![4]),
        (
            "drives-identified",
            day_with(3, Some(done(EventType::Pack, "set", "s", &[], &[("key", "k")]))),
            vec![4],
        ),
        ("sources-locked", day_with(2, Some(done(EventType::Mirror, "lock", "l", &['1'], &[]))), vec![3]),
        ("policy-named", day_with(4, Some(done(EventType::Verify, "set", "s", &['a'], &[]))), vec![5]),
        ("no-alarms", day_with(0, Some(done(EventType::Alarm, "log", "other.example", &[], &[]))), vec![1]),
        (
            "six-fields",
            day_with(2, Some(done(EventType::Mirror, "", "l", &['1'], &[("lock", "l")]))),
            vec![3],
        ),
    ];
    for (name, steps, exceptions) in cases {
        let found = nist(steps);
        let result = check(&found, name);
        assert_eq!(result.exceptions, exceptions, "{name}");
        assert_eq!(result.found + exceptions.len() as u64, result.expected, "{name}");
        assert!(result.expected > 0, "{name}");
    }
}

#[test]
fn a_registry_that_did_not_stop_cleanly_is_an_exception_and_a_running_one_is_not() {
    let start = || done(EventType::ServeStart, "store", "/srv/store", &[], &[]);
    let count = |steps| {
        let found = nist(steps);
        let closed = check(&found, "serve-closed");
        (closed.expected, closed.found, closed.exceptions.clone())
    };
    assert_eq!(count(vec![start()]), (0, 0, vec![]));
    assert_eq!(count(vec![start(), start()]), (1, 0, vec![1]));
    assert_eq!(
        count(vec![start(), done(EventType::ServeStop, "store", "s", &[], &[]), start()]),
        (1, 1, vec![])
    );
}

#[test]
fn a_missing_start_event_and_a_missing_part_of_an_event_are_exceptions() {
    let mut lost = entries(good_day());
    lost.remove(0);
    let found = report(&of_entries(lost), Framework::Nist80053r5);
    assert_eq!(check(&found, "first-leaf").found, 0);
    assert_eq!(status(&found, "AU-9"), Status::NotSatisfied);

    let mut step = done(EventType::Mirror, "lock", "l", &[], &[("lock", "l")]);
    step.draft.digests((0..600).map(|number| format!("sha512:{number:0128}")));
    let all = entries(vec![step]);
    assert_eq!(all.len(), 4);
    let whole = report(&of_entries(all.clone()), Framework::Nist80053r5);
    assert_eq!(check(&whole, "parts").exceptions, [0; 0]);
    assert_eq!(check(&whole, "sources-locked").expected, 1, "three leaves are one event");
    for (missing, exceptions) in [(1, vec![1]), (2, vec![1, 2]), (3, vec![2])] {
        let mut some = all.clone();
        some.remove(missing);
        let found = report(&of_entries(some), Framework::Nist80053r5);
        assert_eq!(check(&found, "parts").exceptions, exceptions, "without leaf {missing}");
    }
}

#[test]
fn a_clock_that_was_set_back_and_an_invalid_time_are_exceptions() {
    let changed = |position: usize, time: &str| {
        let mut all = entries(good_day());
        let mut event = Event::parse(&all[position]).unwrap();
        time.clone_into(&mut event.time);
        all[position] = event.to_bytes();
        let found = report(&of_entries(all), Framework::Nist80053r5);
        (check(&found, "time-order").exceptions.clone(), status(&found, "AU-8"), found.leaves.len())
    };
    assert_eq!(changed(3, "2026-02-28T00:00:00Z"), (vec![3], Status::NotSatisfied, 10));
    assert_eq!(changed(3, "yesterday"), (vec![3], Status::NotSatisfied, 10));
    assert_eq!(changed(3, "2026-03-01T01:03:00+01:00").1, Status::NotSatisfied, "not in UTC");
}

#[test]
fn every_leaf_is_in_one_of_the_counts() {
    let mut all = entries(good_day());
    all.insert(4, b"not an event".to_vec());
    let log = of_entries(all);
    let period = Period {
        since: Some(datetime!(2026-03-01 00:02:00 UTC)),
        until: Some(datetime!(2026-03-01 00:07:00 UTC)),
    };
    for framework in Framework::ALL {
        let found = Report::of(&log.reader, *framework, period, LEAVES).unwrap();
        let counts = &found.counts;
        assert_eq!((counts.leaves, counts.before, counts.after, counts.no_events), (11, 2, 3, 1));
        assert_eq!(counts.relevant + counts.irrelevant, 5);
        assert_eq!(counts.events.iter().map(|tally| tally.leaves).sum::<u64>(), 5);
        assert_eq!(found.leaves.len() as u64, counts.relevant);
        assert_eq!(check(&found, "gapless").found, 10);
        let audit = found.controls.iter().find(|f| f.control.checks_named().contains(&"gapless")).unwrap();
        assert_eq!(audit.status, Status::NotSatisfied);
    }
}

#[test]
fn without_events_in_the_period_there_is_no_evidence() {
    let log = of(good_day());
    let period = Period { since: Some(datetime!(2027-01-01 00:00:00 UTC)), until: None };
    let found = Report::of(&log.reader, Framework::Nist80053r5, period, LEAVES).unwrap();
    assert!(found.controls.iter().all(|finding| finding.status == Status::NotAssessed));
    assert_eq!((found.counts.before, found.leaves.len()), (10, 0));
}

#[test]
fn an_exception_counts_only_for_the_controls_that_include_its_leaf() {
    let without_user =
        by(done(EventType::Push, "manifest", "apps/web:1", &['3'], &[("verdict", "signed")]), None);
    let found = nist(day_with(7, Some(without_user)));
    assert_eq!(status(&found, "CM-5"), Status::NotSatisfied);
    assert_eq!(status(&found, "SC-12"), Status::NotAssessed, "ann generated the keys");
    let finding = found.controls.iter().find(|finding| finding.control.id == "CM-5").unwrap();
    assert!(finding.reason.ends_with("(except leaf 8)."), "{}", finding.reason);
}

#[test]
fn a_refused_operation_is_not_evidence() {
    let tried = refused(done(EventType::Pack, "set", "/media", &[], &[]), "no-room", "no space is left");
    let found = nist(vec![tried]);
    assert_eq!(status(&found, "MP-5"), Status::NotAssessed);
    assert_eq!(status(&found, "AU-7"), Status::Satisfied);
}

#[test]
fn a_refusal_does_not_show_a_response_and_an_alarm_contradicts_it() {
    let step = done(EventType::Verify, "set", "set-2", &['b'], &[]);
    let mut steps = good_day();
    steps.push(refused(step, "signature", "no key of the trust file signed it"));
    assert_eq!(status(&nist(steps), "SI-7(7)"), Status::NotAssessed);
    let mut steps = good_day();
    steps.push(done(EventType::Alarm, "log", "other.example", &[], &[]));
    let found = nist(steps);
    assert_eq!(status(&found, "IR-4"), Status::NotSatisfied);
    assert_eq!(found.controls.iter().find(|f| f.control.id == "IR-4").unwrap().leaves, [10]);
}

#[test]
fn a_log_that_is_verified_with_its_own_key_proves_less() {
    let log = of(good_day());
    let reader = &log.reader;
    std::fs::write(reader.path().join("key.pub"), format!("{}\n", crate::log::key().verifier())).unwrap();
    let own = audit::Reader::open(reader.path(), audit::LogTrust::own(reader.path()).unwrap()).unwrap();
    let found = Report::of(&own, Framework::Nist80053r5, Period::default(), LEAVES).unwrap();
    assert_eq!(status(&found, "AU-9(3)"), Status::NotAssessed);
    assert_eq!(status(&found, "AU-3"), Status::Satisfied);
}

/// Makes a report of the events of a log that `keep` selects.
fn collect(log: &TestLog, keep: impl Fn(u64) -> bool) -> audit::Result<Report> {
    let reader = &log.reader;
    let mut collector = Collector::new(Framework::CmmcL2, Period::default(), LEAVES);
    reader
        .all(&mut |index, event, _| {
            if keep(index) {
                collector.take(index, &event);
            }
        })
        .unwrap();
    collector.end(reader, CheckpointTrust::of(reader))
}

#[test]
fn a_report_fails_unless_all_leaves_were_read_and_can_be_proved() {
    let log = of(good_day());
    let report = collect(&log, |_| true).unwrap();
    assert!(matches!(collect(&log, |index| index != 4), Err(Error::Missing { found: 9, size: 10 })));
    assert!(json::write(&report, &mut Vec::new()).is_ok());
    // The log changes before the leaves are read again.
    let log = of((0..300).map(|_| done(EventType::Push, "manifest", "apps/web:1", &['3'], &[])).collect());
    let report = collect(&log, |_| true).unwrap();
    let bundle = log.reader.path().join("tile/entries/000");
    let mut bytes = std::fs::read(&bundle).unwrap();
    let position = bytes.windows(6).position(|window| window == b"\"push\"").unwrap();
    bytes[position + 1] = b'r';
    std::fs::write(&bundle, &bytes).unwrap();
    assert!(json::write(&report, &mut Vec::new()).is_err());
    bytes[position + 1] = b'p';
    std::fs::write(&bundle, &bytes).unwrap();
    assert!(json::write(&collect(&log, |_| true).unwrap(), &mut Vec::new()).is_ok());
}

#[test]
fn a6_all_leaves_are_counted_and_checked_and_some_are_listed() {
    let push = |user: Option<&str>| by(done(EventType::Push, "manifest", "apps/web:1", &['3'], &[]), user);
    let mut steps: Vec<Step> = (0..1000).map(|_| push(Some("bob"))).collect();
    // The exceptions are in the middle, where leaves are left out.
    for position in (300..600).step_by(100) {
        steps[position] = push(None);
    }
    steps.push(done(EventType::Import, "set", "set-1", &['a'], &[]));
    let log = of(steps);
    let report =
        log.keep_for(Report::of(&log.reader, Framework::Nist80053r5, Period::default(), 10).unwrap());
    assert_eq!((report.counts.leaves, report.counts.relevant), (1002, 1002));
    assert_eq!(report.leaves.len() as u64 + report.leaves_left_out, 1002);
    assert!(report.leaves.len() < 100 && report.leaves.contains(&1001), "{:?}", report.leaves);
    let attributed = check(&report, "attributed");
    assert_eq!((attributed.expected, attributed.found), (1001, 998));
    assert_eq!((attributed.exceptions.as_slice(), attributed.exceptions_left_out), (&[301, 401, 501][..], 0));
    assert!(attributed.exceptions.iter().all(|leaf| report.leaves.contains(leaf)));
    let control = report.controls.iter().find(|finding| finding.control.id == "CM-5").unwrap();
    assert_eq!(control.status, Status::NotSatisfied);
    assert!(control.reason.contains("except leaf 301, 401, 501"), "{}", control.reason);
    assert!(control.count >= 1000 && control.left_out() == control.count - control.leaves.len() as u64);
    let judged = check(&report, "pushes-judged");
    assert_eq!((judged.expected, judged.found, judged.exceptions.len()), (1000, 0, 10));
    assert_eq!(judged.exceptions_left_out, 990);
}

#[test]
fn control_identifiers_are_unique_and_every_event_type_is_evidence_for_a_specific_control() {
    for framework in Framework::ALL {
        assert_eq!(framework.name().parse::<Framework>().unwrap(), *framework);
        let controls = framework.controls();
        let ids: BTreeSet<_> = controls.iter().map(|control| control.id).collect();
        assert_eq!(ids.len(), controls.len());
        for control in controls {
            for text in [control.title, control.evidences, control.leaves_out] {
                assert!(!text.is_empty() && text.trim() == text, "{}", control.id);
            }
        }
    }
    let special: BTreeSet<_> = Framework::ALL
        .iter()
        .flat_map(|framework| framework.controls())
        .flat_map(audit::report::Control::kinds)
        .collect();
    let unused: Vec<_> = EventType::ALL.iter().filter(|kind| !special.contains(kind)).collect();
    assert_eq!(unused, [&EventType::LogStart; 0]);
}

#[test]
fn a6_a_refused_push_changed_nothing_and_needs_no_user() {
    let push = by(done(EventType::Push, "manifest", "apps/web:1", &[], &[("count", "30000")]), None);
    let found = nist(day_with(7, Some(refused(push, "http-401", "a password is needed"))));
    assert_eq!(check(&found, "attributed").exceptions, Vec::<u64>::new());
    assert_ne!(status(&found, "CM-5"), Status::NotSatisfied);
}

/// A day on which an image is signed through the registry: the image is pushed by digest, then its signatures, then its tag.
fn signed_through_the_registry(change: impl FnOnce(&mut Vec<Step>)) -> TestReport {
    let push = |name: &str, digit, evidence: &[(&str, &str)]| {
        by(done(EventType::Push, "manifest", name, &[digit], evidence), Some("bob"))
    };
    let image = digest('4');
    let statement = [("holds", "signature"), ("subject", image.as_str())];
    let mut steps = day_with(7, None);
    steps.extend([
        push(&format!("apps/new@{image}"), '4', &[]),
        push(&format!("apps/new:{}.sig", image.replace(':', "-")), '5', &statement),
        push(&format!("apps/new@{}", digest('6')), '6', &statement),
        done(
            EventType::Verify,
            "image",
            "apps/new",
            &['4'],
            &[("trust", "sha256:f"), ("signer", "site-key")],
        ),
        push("apps/new:1", '4', &[]),
    ]);
    change(&mut steps);
    nist(steps)
}

#[test]
fn cm14_an_image_that_is_signed_through_the_registry_is_a_signed_component() {
    let found = signed_through_the_registry(|_| {});
    let pushes = check(&found, "pushes-judged");
    assert_eq!((pushes.expected, pushes.found), (2, 2), "the image by its digest and by its tag");
    assert_eq!(status(&found, "CM-14"), Status::Satisfied);
}

#[test]
fn cm14_is_not_satisfied_by_signatures_alone_or_by_a_late_verification() {
    let verify = |steps: &[Step]| steps.len() - 2;
    // Without a verification, a signature in the registry shows nothing.
    let found = signed_through_the_registry(|steps| drop(steps.remove(verify(steps))));
    let pushes = check(&found, "pushes-judged");
    assert_eq!((pushes.expected, pushes.found), (2, 0));
    assert_eq!(status(&found, "CM-14"), Status::NotSatisfied);
    // The tag was pushed before the verification.
    let found = signed_through_the_registry(|steps| {
        let at = verify(steps);
        steps.swap(at, at + 1);
    });
    assert_eq!(check(&found, "pushes-judged").found, 1);
    assert_eq!(status(&found, "CM-14"), Status::NotSatisfied);
    // A manifest with a subject that is not a statement is an image.
    let found = signed_through_the_registry(|steps| {
        let at = verify(steps) - 1;
        let name = format!("apps/new@{}", digest('6'));
        steps[at] =
            by(done(EventType::Push, "manifest", &name, &['6'], &[("subject", &digest('4'))]), Some("bob"));
    });
    assert_eq!(status(&found, "CM-14"), Status::NotSatisfied);
    // A day on which only signatures were pushed shows nothing about components.
    let signature =
        by(done(EventType::Push, "manifest", "a:1", &['5'], &[("holds", "signature")]), Some("bob"));
    let found = nist(vec![signature]);
    assert_eq!((check(&found, "pushes-judged").expected, status(&found, "CM-14")), (0, Status::NotAssessed));
}

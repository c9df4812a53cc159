//! A control is satisfied only with evidence, and not without it.

use std::collections::BTreeSet;

use audit::report::{CheckpointTrust, Collector, Control, Framework, LEAVES, Period, Report, Status};
use audit::{Event, EventType};

use crate::log::{
    Step, TestLog, TestReport, by, digest, done, entries, good_day, of, of_entries, refused, report,
};

fn status(report: &Report, control: &str) -> Status {
    report.controls.iter().find(|finding| finding.control.id == control).unwrap().status
}

/// A good day on which the store was checked, too: it satisfies every control that can be satisfied.
fn best_day() -> Vec<Vec<u8>> {
    let mut steps = good_day();
    steps.push(done(EventType::StoreCheck, "store", "/srv/store", &[], &[]));
    entries(steps)
}

/// The log of the best day, with changed events.
fn changed(change: &dyn Fn(&mut Event)) -> TestLog {
    let mut all = best_day();
    for entry in &mut all {
        let mut event = Event::parse(entry).unwrap();
        change(&mut event);
        *entry = event.to_bytes();
    }
    of_entries(all)
}

/// The log of the best day, without the events of these types.
fn without(kinds: &[EventType]) -> TestLog {
    let kept = |entry: &Vec<u8>| !kinds.contains(&Event::parse(entry).unwrap().event);
    of_entries(best_day().into_iter().filter(kept).collect())
}

/// The log of the best day, with more events.
fn with(steps: Vec<Step>) -> TestLog {
    let mut all = good_day();
    all.push(done(EventType::StoreCheck, "store", "/srv/store", &[], &[]));
    all.extend(steps);
    of(all)
}

/// The report on a log that was verified with its own key or with a given one.
fn report_with(log: &TestLog, framework: Framework, own_key: bool) -> TestReport {
    let reader = &log.reader;
    let mut collector = Collector::new(framework, Period::default(), LEAVES);
    let others = reader.all(&mut |index, event, _| collector.take(index, &event)).unwrap();
    collector.no_events(others);
    log.keep_for(collector.end(reader, CheckpointTrust { own_key, witnessed: true }).unwrap())
}

/// A log that contradicts a check, and whether it is verified with its own key.
fn contradicting(check: &str) -> (TestLog, bool) {
    let only = |kind: EventType, change: fn(&mut Event)| {
        changed(&move |event| {
            if event.event == kind {
                change(event);
            }
        })
    };
    let log = match check {
        "gapless" => {
            let mut all = best_day();
            all.insert(4, b"not an event".to_vec());
            of_entries(all)
        }
        "first-leaf" => of_entries(best_day().split_off(1)),
        "six-fields" | "tells-what" => only(EventType::Mirror, |event| event.object.kind.clear()),
        "tells-when" | "utc" => only(EventType::Mirror, |event| "yesterday".clone_into(&mut event.time)),
        "tells-where" => only(EventType::Mirror, |event| event.host.clear()),
        "tells-source" => only(EventType::Push, |event| event.actor.address = None),
        "tells-outcome" => with(vec![refused(done(EventType::Push, "manifest", "a:1", &[], &[]), "", "")]),
        "system-clock" => only(EventType::Mirror, |event| "wall".clone_into(&mut event.time_source)),
        "time-order" => only(EventType::Mirror, |event| "2026-02-01T00:00:00Z".clone_into(&mut event.time)),
        "imports-verified" => only(EventType::Import, |event| {
            event.evidence.clear();
            event.object.digests = vec![digest('9')];
        }),
        "pushes-judged" => only(EventType::Push, |event| event.evidence.clear()),
        "policy-named" => only(EventType::Verify, |event| event.evidence.clear()),
        "packs-traced" => without(&[EventType::Mirror]),
        "sources-locked" => only(EventType::Mirror, |event| event.evidence.clear()),
        "drives-identified" => only(EventType::Pack, |event| event.object.digests.clear()),
        "logged-from-start" => without(&[EventType::ServeStart]),
        "stores-sound" => {
            let check = done(EventType::StoreCheck, "store", "/srv/store", &[], &[]);
            with(vec![refused(check, "faults", "1 blob does not match its digest")])
        }
        "no-alarms" => with(vec![done(EventType::Alarm, "log", "other.example", &[], &[])]),
        "trusted-key" => return (of_entries(best_day()), true),
        other => panic!("no log contradicts `{other}`: add one"),
    };
    (log, false)
}

fn satisfied(report: &Report) -> Vec<&'static Control> {
    let satisfied = report.controls.iter().filter(|finding| finding.status == Status::Satisfied);
    satisfied.map(|finding| finding.control).collect()
}

#[test]
fn o5_no_control_is_satisfied_if_its_evidence_is_contradicted_or_missing() {
    let mut rows = 0;
    for framework in Framework::ALL {
        let best = report(&of_entries(best_day()), *framework);
        let satisfiable: Vec<_> =
            framework.controls().iter().filter(|control| control.can_be_satisfied()).collect();
        let ids = |controls: &[&Control]| controls.iter().map(|control| control.id).collect::<Vec<_>>();
        assert_eq!(ids(&satisfied(&best)), ids(&satisfiable), "{framework}");
        for control in satisfiable {
            for check in control.checks_named() {
                let (log, own_key) = contradicting(check);
                let found = report_with(&log, *framework, own_key);
                assert_ne!(status(&found, control.id), Status::Satisfied, "{} despite {check}", control.id);
            }
            // Without its events, the log has only its start event, or only the other events.
            let kinds = if control.kinds().is_empty() { EventType::ALL } else { control.kinds() };
            let kinds: Vec<EventType> =
                kinds.iter().copied().filter(|kind| *kind != EventType::LogStart).collect();
            let found = report_with(&without(&kinds), *framework, false);
            let finding = found.controls.iter().find(|finding| finding.control.id == control.id).unwrap();
            assert_eq!(finding.status, Status::NotAssessed, "{} without its events", control.id);
            assert!(finding.reason.starts_with("Missing: "), "{}", finding.reason);
            rows += 1;
        }
    }
    assert!(rows >= 20, "{rows}");
}

#[test]
fn o5_a_control_that_a_log_alone_cannot_show_is_never_satisfied_and_names_the_missing_evidence() {
    let checks: BTreeSet<&str> = Framework::ALL
        .iter()
        .flat_map(|framework| framework.controls())
        .filter(|control| control.can_be_satisfied())
        .flat_map(Control::checks_named)
        .collect();
    let mut logs: Vec<(TestLog, bool)> = checks.into_iter().map(contradicting).collect();
    logs.push((of_entries(best_day()), false));
    for framework in Framework::ALL {
        for (log, own_key) in &logs {
            for finding in &report_with(log, *framework, *own_key).controls {
                if !finding.control.can_be_satisfied() {
                    assert_ne!(finding.status, Status::Satisfied, "{}", finding.control.id);
                }
                if finding.status == Status::NotAssessed {
                    assert!(finding.reason.contains("Missing: "), "{}", finding.reason);
                }
            }
        }
    }
}

/// Controls about the permissions for changes.
const RESTRICTED: [(Framework, &[&str]); 3] = [
    (Framework::Nist80053r5, &["CM-5"]),
    (Framework::CmmcL2, &["CM.L2-3.4.5"]),
    (Framework::SrgContainer, &["SRG-APP-000133-CTR-000290", "SRG-APP-000378-CTR-000890"]),
];

#[test]
fn o5_a_log_in_which_a_user_overwrites_the_tag_of_another_satisfies_no_control_about_permissions() {
    let signed = [("key", "site-key"), ("trust", "sha256:f")];
    let push =
        |digit, user| by(done(EventType::Push, "manifest", "apps/web:1", &[digit], &signed), Some(user));
    let configured = |event, open: &str| {
        let settings = [("passwords", "true"), ("anonymousPush", open)];
        done(event, "store", "/srv/store", &[], &settings)
    };
    let start = |open| configured(EventType::ServeStart, open);
    let overwritten = || vec![start("false"), push('3', "alice"), push('4', "node-17")];
    let open = || vec![start("true"), push('3', "alice")];
    let opened = || vec![start("false"), configured(EventType::ServeReload, "true"), push('3', "alice")];
    let without_user = || {
        let push = done(EventType::Push, "manifest", "apps/web:1", &['4'], &signed);
        vec![start("false"), by(push, None)]
    };
    for (framework, controls) in RESTRICTED {
        for control in controls {
            assert_eq!(
                status(&report(&of(overwritten()), framework), control),
                Status::NotAssessed,
                "{control}"
            );
            for log in [open(), opened()] {
                assert_eq!(status(&report(&of(log), framework), control), Status::NotSatisfied, "{control}");
            }
            assert_eq!(
                status(&report(&of(without_user()), framework), control),
                Status::NotSatisfied,
                "{control}"
            );
        }
    }
}

#[test]
fn o5_a_control_that_only_requires_a_user_is_not_assessed() {
    for framework in Framework::ALL {
        for control in framework.controls() {
            let names: BTreeSet<&str> = control.checks_named().into_iter().collect();
            if names == BTreeSet::from(["attributed"]) {
                assert!(!control.can_be_satisfied(), "{}", control.id);
            }
        }
    }
}

#[test]
fn o5_an_import_is_not_verified_by_a_verification_of_other_content_or_without_the_senders_log() {
    let verdict = [("key", "site-key"), ("trust", "sha256:f")];
    let set = digest('a');
    let import = |more: &[(&str, &str)]| {
        let evidence = [&[("set", set.as_str())], more].concat();
        done(EventType::Import, "set", "set-1", &['1', '2', 'a'], &evidence)
    };
    let after = |verify: Step, import: Step| {
        let found = report(&of(vec![verify, import]), Framework::Nist80053r5);
        status(&found, "SR-4(3)")
    };
    let of_set = |evidence: &[(&str, &str)]| done(EventType::Verify, "set", "set-1", &['a'], evidence);
    assert_eq!(after(of_set(&verdict), import(&[])), Status::Satisfied);
    let of_image = done(EventType::Verify, "image", "apps/web", &['1'], &verdict);
    assert_eq!(after(of_image, import(&[])), Status::NotSatisfied, "one of its images");
    let without = [verdict[0], verdict[1], ("log", "without")];
    assert_eq!(after(of_set(&without), import(&[])), Status::NotSatisfied, "without the sender's log");
    let warned = [verdict[0], verdict[1], ("warned", "apps/web")];
    assert_eq!(
        after(of_set(&verdict), import(&warned)),
        Status::NotSatisfied,
        "a trust file that only warns"
    );
}

#[test]
fn o5_titles_are_the_catalogues_own() {
    let title = |framework: Framework, id: &str| {
        framework.controls().iter().find(|control| control.id == id).unwrap().title
    };
    for (framework, id, expected) in [
        (Framework::Nist80053r5, "AC-4", "Information Flow Enforcement"),
        (Framework::Nist80053r5, "CM-5", "Access Restrictions for Change"),
        (Framework::Nist80053r5, "AU-10", "Non-repudiation"),
        (Framework::CmmcL2, "AC.L2-3.1.3", "Control CUI Flow"),
        (Framework::CmmcL2, "SI.L2-3.14.1", "Flaw Remediation [CUI Data]"),
        (
            Framework::SrgContainer,
            "SRG-APP-000378-CTR-000890",
            "The container platform registry must prohibit installation or modification of container images without explicit \
             privileged status.",
        ),
    ] {
        assert_eq!(title(framework, id), expected);
    }
    for control in Framework::SrgContainer.controls() {
        assert!(control.title.ends_with('.') && control.title.contains(" must "), "{}", control.id);
    }
}

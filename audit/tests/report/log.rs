//! Logs for tests: the same events always give the same bytes, key and signature.

use std::ops::Deref;
use std::rc::Rc;

use audit::report::{Framework, LEAVES, Period, Report};
use audit::{Actor, Component, Draft, Ending, EventSource, EventType, LogTrust, Outcome, Reader};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tlog::note::KeyKind;
use tlog::{Log, SigningKey};

/// An Ed25519 key whose seed is the numbers from 0 to 31.
const KEY: &str = "MFMCAQEwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4foSMDIQADoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==";

/// A log that is removed when it is dropped.
pub(crate) struct TestLog {
    pub(crate) reader: Reader,
    folder: Rc<tempfile::TempDir>,
}

/// A report with the log that it reads its leaves from.
pub(crate) struct TestReport {
    report: Report,
    _folder: Rc<tempfile::TempDir>,
}

impl Deref for TestReport {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl TestLog {
    pub(crate) fn keep_for(&self, report: Report) -> TestReport {
        TestReport { report, _folder: Rc::clone(&self.folder) }
    }
}

/// An event one minute after the previous one.
pub(crate) struct Step {
    pub(crate) draft: Draft,
    pub(crate) outcome: Outcome,
}

pub(crate) fn key() -> SigningKey {
    let pkcs8 = BASE64_STANDARD.decode(KEY).unwrap();
    SigningKey::new("log.example", KeyKind::Ed25519, &pkcs8).unwrap()
}

/// A log of entries.
pub(crate) fn of_entries(entries: Vec<Vec<u8>>) -> TestLog {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::create_dir(&path).unwrap();
    Log::create(&path, key()).unwrap().append(entries).unwrap();
    let reader = Reader::open(&path, LogTrust::by_key(&key().verifier().to_string()).unwrap()).unwrap();
    TestLog { reader, folder: Rc::new(folder) }
}

/// The entries of events, beginning with the start event of the log.
pub(crate) fn entries(steps: Vec<Step>) -> Vec<Vec<u8>> {
    let component = Component { name: "airlock".to_owned(), version: "1.2.3".to_owned() };
    let actor = Actor { user: Some("ann".to_owned()), uid: Some(1000), address: None };
    let source = EventSource { actor, host: "site".to_owned(), component };
    let mut start = vec![done(EventType::LogStart, "log", "log.example", &[], &[])];
    start.extend(steps);
    let event = |(minute, Step { draft, outcome }): (u32, Step)| {
        draft.end(&outcome, &source, &format!("2026-03-01T{:02}:{:02}:00Z", minute / 60, minute % 60))
    };
    (0..).zip(start).flat_map(event).map(|event| event.to_bytes()).collect()
}

/// A log of events.
pub(crate) fn of(steps: Vec<Step>) -> TestLog {
    of_entries(entries(steps))
}

/// A digest of one repeated digit.
pub(crate) fn digest(digit: char) -> String {
    format!("sha256:{}", String::from(digit).repeat(64))
}

/// A successful event about the digests of these digits, with this evidence.
pub(crate) fn done(
    kind: EventType,
    object: &str,
    name: &str,
    digits: &[char],
    evidence: &[(&str, &str)],
) -> Step {
    let mut draft = Draft::new(kind, object, name);
    draft.digests(digits.iter().map(|digit| digest(*digit)));
    for (name, value) in evidence {
        draft.evidence(name, value);
    }
    Step { draft, outcome: Outcome::success() }
}

/// The event with a refusal as its outcome.
pub(crate) fn refused(step: Step, reason: &str, detail: &str) -> Step {
    Step { outcome: Outcome::because(Ending::Refused, reason, detail), ..step }
}

/// The event with a user of the registry as its actor.
pub(crate) fn by(mut step: Step, user: Option<&str>) -> Step {
    step.draft.by(user, Some("192.0.2.7"));
    step
}

/// A day on both sides of the air gap, with all evidence.
pub(crate) fn good_day() -> Vec<Step> {
    let (trust, set) = (digest('f'), digest('a'));
    let verdict = [("key", "site-key"), ("trust", trust.as_str())];
    vec![
        done(EventType::KeyGenerate, "key", "site-key", &['e'], &[]),
        done(EventType::PolicyWrite, "policy", "trust.toml", &['f'], &[]),
        done(EventType::Mirror, "lock", "mirror.lock", &['1', '2'], &[("lock", &digest('c'))]),
        done(
            EventType::Pack,
            "set",
            "set-1",
            &['1', '2', 'a'],
            &[("key", "site-key"), ("lock", &digest('c')), ("set", &set)],
        ),
        done(EventType::Verify, "set", "set-1", &['a'], &verdict),
        done(EventType::Import, "set", "set-1", &['1', '2', 'a'], &[verdict[0], verdict[1], ("set", &set)]),
        done(EventType::ServeStart, "store", "/srv/store", &[], &[]),
        by(done(EventType::Push, "manifest", "apps/web:1", &['3'], &verdict), Some("bob")),
        done(EventType::ServeStop, "store", "/srv/store", &[], &[]),
    ]
}

pub(crate) fn report(log: &TestLog, framework: Framework) -> TestReport {
    log.keep_for(Report::of(&log.reader, framework, Period::default(), LEAVES).unwrap())
}

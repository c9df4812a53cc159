//! Verifying a log finds every change of its files, and reports its kind, its position and its time.

#![expect(clippy::unwrap_used, reason = "a failed setup fails its test")]

mod files;
mod interrupted;
mod searches;

use std::fs;
use std::path::PathBuf;

use audit::verify::{LogFault, Part, Report, verify};
use audit::{Draft, EventSource, EventType, Index, Journal, LogTrust, Outcome, Reader};
use time::{Duration, OffsetDateTime};

const FULL: &str = "tile/entries/001";
const LAST: &str = "tile/entries/002.p/88";

/// A log with its start event and `count` events, one second apart, and its index.
struct Rig {
    folder: tempfile::TempDir,
}

impl Rig {
    fn new(count: u64) -> Self {
        let rig = Self { folder: tempfile::tempdir().unwrap() };
        rig.append(1..count + 1);
        Index::open(&rig.reader()).unwrap();
        rig
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn journal(&self) -> Journal {
        Journal::open(&self.log(), EventSource::of_process("airlock", "0")).unwrap()
    }

    fn append(&self, numbers: std::ops::Range<u64>) {
        let (journal, success) = (self.journal(), Outcome::success());
        let numbers: Vec<u64> = numbers.collect();
        for chunk in numbers.chunks(100) {
            let drafts = chunk.iter().map(|number| (draft(*number), &success)).collect();
            journal.record_at(time(*chunk.first().unwrap()), drafts).unwrap();
        }
    }

    fn trust(&self) -> LogTrust {
        LogTrust::own(&self.log()).unwrap()
    }

    fn reader(&self) -> Reader {
        Reader::open(&self.log(), self.trust()).unwrap()
    }

    fn verify(&self) -> Report {
        verify(&self.log(), &self.trust(), &[]).unwrap()
    }

    fn sound(&self) {
        let report = self.verify();
        assert!(report.is_sound(), "{:?}", report.faults);
    }

    /// The one fault.
    fn fault(&self) -> LogFault {
        let report = self.verify();
        assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
        report.faults[0].clone()
    }

    fn change(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let path = self.log().join(file);
        let before = fs::read(&path).unwrap();
        let mut bytes = before.clone();
        change(&mut bytes);
        assert_ne!(bytes, before);
        fs::write(&path, bytes).unwrap();
        before
    }

    fn restore(&self, file: &str, bytes: &[u8]) {
        fs::write(self.log().join(file), bytes).unwrap();
        self.sound();
    }

    fn time_of(&self, index: u64) -> String {
        let bytes = fs::read(self.log().join(if index < 512 { FULL } else { LAST })).unwrap();
        let place = usize::try_from(index % 256).unwrap();
        let list = entries(&bytes);
        let entry = &list[place.min(list.len() - 1)];
        audit::Event::parse(entry).unwrap().time
    }

    fn sql(&self, sql: &str) {
        rusqlite::Connection::open(Index::path(&self.log())).unwrap().execute_batch(sql).unwrap();
    }
}

fn time(number: u64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(i64::try_from(number).unwrap())
}

fn draft(number: u64) -> Draft {
    let kind = if number.is_multiple_of(10) { EventType::Delete } else { EventType::Push };
    let mut draft = Draft::new(kind, "manifest", &format!("team/app:{number:05}"));
    draft.digests([format!("sha256:{number:064x}"), format!("sha512:{number:0128x}")]);
    draft.by(Some(if number.is_multiple_of(3) { "ann" } else { "bob" }), None);
    draft
}

fn entries(bytes: &[u8]) -> Vec<Vec<u8>> {
    tlog::tile::decode_entries(bytes).unwrap()
}

fn bundle(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        tlog::tile::encode_entry(entry, &mut bytes).unwrap();
    }
    bytes
}

fn assert_fault(fault: &LogFault, part: Part, entry: Option<u64>, words: &str) {
    assert_eq!((fault.part, fault.entry), (part, entry), "{fault}");
    assert!(fault.what.contains(words), "{fault}");
}

//! A log keeps every acknowledged event, with concurrent writers and when writers are killed.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use audit::verify::verify;
    use audit::{Draft, EventSource, EventType, Index, Journal, LogTrust, Outcome, Reader};

    const WORKER: &str = "AIRLOCK_AUDIT_TEST_LOG";
    const THREADS: u64 = 4;

    fn journal(log: &Path) -> Journal {
        Journal::open(log, EventSource::of_process("airlock", "0")).unwrap()
    }

    fn draft(name: &str) -> Draft {
        let mut draft = Draft::new(EventType::Push, "blob", name);
        draft.digests([format!("sha256:{:064x}", name.len())]);
        draft
    }

    /// Not a test: the process that is killed. It prints the acknowledged events.
    #[test]
    fn worker() {
        let Some(log) = std::env::var_os(WORKER) else { return };
        let journal = Arc::new(journal(&PathBuf::from(log)));
        let id = std::process::id();
        let append = |thread| {
            let journal = Arc::clone(&journal);
            std::thread::spawn(move || {
                for round in 0_u64.. {
                    let name = format!("{id}-{thread}-{round}");
                    // Sometimes more than a bundle, so that the log's tail is replaced often.
                    let count = if round % 7 == 6 { 300 } else { 1 };
                    let success = Outcome::success();
                    let drafts = (0..count).map(|_| (draft(&name), &success)).collect();
                    let range = journal.record_at(time::OffsetDateTime::now_utc(), drafts).unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "acknowledged {} {} {name}", range.start, range.end).unwrap();
                    out.flush().unwrap();
                }
            })
        };
        let threads: Vec<_> = (0..THREADS).map(append).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    fn start(log: &Path) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["tests::worker", "--exact", "--nocapture", "--test-threads=1"])
            .env(WORKER, log)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    #[test]
    fn killed_writers_lose_no_acknowledged_event() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        drop(journal(&log));
        let mut acknowledged: BTreeMap<u64, String> = BTreeMap::new();
        let begin = Instant::now();
        let mut kills = 0;
        while kills < 60 || (acknowledged.len() < 2000 && begin.elapsed() < Duration::from_mins(2)) {
            let mut child = start(&log);
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut wait = 1 + kills * 37 % 23;
            for line in lines.by_ref().map_while(Result::ok) {
                note(&line, &mut acknowledged);
                wait -= i32::from(line.contains("acknowledged"));
                if wait <= 0 {
                    break;
                }
            }
            child.kill().unwrap();
            // Lines that were printed before the kill count, even if they were not read by then.
            for line in lines.map_while(Result::ok) {
                note(&line, &mut acknowledged);
            }
            child.wait().unwrap();
            kills += 1;
            if kills % 10 == 0 {
                drop(journal(&log));
                let report = verify(&log, &LogTrust::own(&log).unwrap(), &[]).unwrap();
                assert!(report.is_sound(), "after {kills} kills: {:?}", report.faults);
            }
        }
        drop(journal(&log));
        let reader = Reader::open(&log, LogTrust::own(&log).unwrap()).unwrap();
        let mut found = BTreeMap::new();
        reader.all(&mut |index, event, _| drop(found.insert(index, event.object.name))).unwrap();
        for (index, name) in &acknowledged {
            assert_eq!(found.get(index), Some(name), "entry {index}");
        }
        assert!(acknowledged.len() >= 2000, "only {} were acknowledged", acknowledged.len());
        assert_eq!(found.len() as u64, reader.size());
        println!("{kills} kills, {} acknowledged of {}", acknowledged.len(), found.len());
    }

    fn note(line: &str, acknowledged: &mut BTreeMap<u64, String>) {
        // The test harness prints text before the first line.
        let Some((_, rest)) = line.split_once("acknowledged ") else { return };
        let words: Vec<&str> = rest.split(' ').collect();
        let (begin, end): (u64, u64) = (words[0].parse().unwrap(), words[1].parse().unwrap());
        for index in begin..end {
            assert_eq!(
                acknowledged.insert(index, words[2].to_owned()),
                None,
                "entry {index} was acknowledged twice"
            );
        }
    }

    #[test]
    fn concurrent_openings_create_one_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(folder.path().join("log"));
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let log = Arc::clone(&log);
                std::thread::spawn(move || {
                    journal(&log).record(draft(&format!("{number}")), &Outcome::success()).unwrap();
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let report = verify(&log, &LogTrust::own(&log).unwrap(), &[]).unwrap();
        assert_eq!((report.size, report.counts["log.start"], report.counts["push"]), (9, 1, 8));
        assert!(report.is_sound());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no other file is left");
    }

    #[test]
    fn searches_and_proofs_work_during_writes() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let journal = Arc::new(journal(&log));
        let writer = Arc::clone(&journal);
        let thread = std::thread::spawn(move || {
            for number in 0..400 {
                writer.record(draft(&number.to_string()), &Outcome::success()).unwrap();
            }
        });
        let mut rounds = 0;
        while !thread.is_finished() || rounds == 0 {
            let trust = LogTrust::own(&log).unwrap();
            let reader = Reader::open(&log, trust.clone()).unwrap();
            Index::open(&reader).unwrap();
            reader.event(reader.size() - 1).unwrap();
            let report = verify(&log, &trust, &[]).unwrap();
            assert!(
                report.is_sound() && report.notices.is_empty(),
                "{:?} {:?}",
                report.faults,
                report.notices
            );
            rounds += 1;
        }
        thread.join().unwrap();
    }
}

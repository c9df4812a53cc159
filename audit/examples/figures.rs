//! Measures a log in a folder: durable appends, proofs, searches, and the verification of a million entries. See `bench/log`.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use audit::verify::verify;
use audit::{Draft, EventSource, EventType, Filter, Index, Journal, LogTrust, Outcome, Reader, search};

const SPAN: Duration = Duration::from_secs(5);
const BATCH: u64 = 4096;
const SAMPLES: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let log = PathBuf::from(arguments.next().ok_or("usage: figures NEW_LOG [ENTRIES]")?);
    let entries = arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(1_000_000);
    let journal = Arc::new(Journal::open(&log, EventSource::of_process("airlock", "0"))?);
    for threads in [1, 16, 64, 256] {
        let rate = appends(&journal, threads);
        say(&format!(
            "append, {threads} concurrent callers that wait for each event: {rate:.0} events/s durable"
        ))?;
    }
    fill(&journal, entries)?;
    proofs(&log)?;
    let begin = Instant::now();
    let report = verify(&log, &LogTrust::own(&log)?, &[])?;
    let seconds = begin.elapsed().as_secs_f64();
    say(&format!(
        "verify with the index: {seconds:.1} s for {} entries, {} faults",
        report.size,
        report.faults.len()
    ))?;
    Ok(())
}

/// The number of events per second that were durable and signed, one by one.
fn appends(journal: &Arc<Journal>, threads: u64) -> f64 {
    let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let begin = Instant::now();
    let handles: Vec<_> = (0..threads)
        .map(|thread| {
            let (journal, count, stop) = (Arc::clone(journal), Arc::clone(&count), Arc::clone(&stop));
            std::thread::spawn(move || {
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed)
                        || journal.record(draft(thread, number), &Outcome::success()).is_err()
                    {
                        break;
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    std::thread::sleep(SPAN);
    stop.store(true, Ordering::Relaxed);
    for handle in handles {
        let _ = handle.join();
    }
    ratio(count.load(Ordering::Relaxed), begin.elapsed())
}

fn fill(journal: &Journal, entries: u64) -> Result<(), Box<dyn Error>> {
    let (begin, success) = (Instant::now(), Outcome::success());
    let (mut first, mut last) = (None, 0);
    while last < entries {
        let count = BATCH.min(entries - last);
        let drafts = (0..count).map(|number| (draft(number % 50, last + number), &success)).collect();
        let range = journal.record_at(time::OffsetDateTime::now_utc(), drafts)?;
        first.get_or_insert(range.start);
        last = range.end;
    }
    let added = last - first.unwrap_or(last);
    let rate = ratio(added, begin.elapsed());
    say(&format!("append, batches of {BATCH}: {rate:.0} events/s durable; the log has {last} entries"))
}

fn proofs(log: &Path) -> Result<(), Box<dyn Error>> {
    let reader = Reader::open(log, LogTrust::own(log)?)?;
    let mut times = Vec::new();
    for sample in 0..SAMPLES {
        let index = sample.wrapping_mul(0x9e37_79b9_7f4a_7c15) % reader.size();
        let begin = Instant::now();
        reader.proof(index)?;
        times.push(begin.elapsed());
    }
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default().as_micros();
    say(&format!("inclusion proof, generated and verified: median {} us, 99 % below {} us", at(50), at(99)))?;
    let begin = Instant::now();
    let index = Index::open(&reader)?;
    say(&format!("index built: {:.1} s", begin.elapsed().as_secs_f64()))?;
    let begin = Instant::now();
    let filter = Filter { actor: Some("user-7".to_owned()), limit: Some(100), ..Filter::default() };
    let found = search::search(&reader, &index, &filter, &mut |_, _| Ok(()))?;
    say(&format!("search by actor, the newest {found}, each proved: {} ms", begin.elapsed().as_millis()))
}

fn draft(user: u64, number: u64) -> Draft {
    let mut draft = Draft::new(EventType::Push, "manifest", &format!("team/application-{user}:v{number}"));
    draft.digests([format!("sha256:{:064x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))]);
    draft.by(Some(&format!("user-{user}")), Some("192.0.2.7"));
    draft
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn ratio(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn say(line: &str) -> Result<(), Box<dyn Error>> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

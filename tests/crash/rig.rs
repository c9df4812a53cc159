//! Records a command, builds the states that power cuts leave, and passes each state to a check.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use audit::verify::verify;
use audit::{Draft, EventSource, EventType, Journal, LogTrust};

use crate::disk::{self, Disk, FEW, MODELS, Tree};
use crate::tally::{Count, Repaired, Violation, is_long};
use crate::trace::{self, Call};

/// The approximate number of states of one command in a sample.
const SAMPLE: usize = 24;

/// The approximate number of states of a command to check. A state that several models share is checked once.
fn most() -> usize {
    let given = std::env::var("AIRLOCK_TEST_STATES").ok().and_then(|text| text.parse().ok());
    given.filter(|_| is_long()).unwrap_or(if is_long() { usize::MAX } else { SAMPLE })
}

/// The command that error messages of a store name.
pub(crate) const REBUILD: &str = "airlock store rebuild";

pub(crate) type Checked = Result<Repaired, Violation>;

/// The state that a power cut leaves.
pub(crate) struct State<'a> {
    pub(crate) folder: &'a Path,
    /// Whether the command had ended.
    pub(crate) ended: bool,
    /// The responses sent before the power cut.
    pub(crate) answers: &'a [String],
}

pub(crate) struct Rig {
    folder: tempfile::TempDir,
}

impl Rig {
    /// Returns `None` if system calls cannot be recorded.
    pub(crate) fn new() -> Option<Self> {
        let can = Command::new("strace").arg("-o").arg("/dev/null").arg("true").status();
        if !can.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os("AIRLOCK_TEST_REQUIRE_PEERS").is_none(), "strace is missing");
            println!("skipped: strace is not installed, or may not trace");
            return None;
        }
        // In memory, if possible: the tests do not depend on real flushes.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let rig = Self { folder: folder.unwrap() };
        std::fs::create_dir(rig.work()).unwrap();
        std::fs::create_dir(rig.path("home")).unwrap();
        Some(rig)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.path("work")
    }

    fn environment<'a>(&self, command: &'a mut Command, folder: &Path) -> &'a mut Command {
        let command = command.current_dir(folder).env_clear().env("HOME", self.path("home"));
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AIRLOCK_KEY_PASSWORD", "a password")
    }

    pub(crate) fn airlock(&self, folder: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_airlock"));
        self.environment(&mut command, folder).args(arguments).output().unwrap()
    }

    pub(crate) fn works(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = self.airlock(folder, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned() + &said
    }

    /// Runs a command on a state. If it fails and names a repair command, runs that and then the command again.
    pub(crate) fn resumes(
        &self,
        folder: &Path,
        arguments: &[&str],
        store: &str,
    ) -> Result<(String, Repaired), Violation> {
        let output = self.airlock(folder, arguments);
        let said = text(&output);
        let repaired = if output.status.success() {
            Repaired::Again
        } else if said.contains(REBUILD) {
            let rebuilt = self.airlock(folder, &["store", "rebuild", "--store", store]);
            expect(rebuilt.status.success(), || stuck(&["rebuild"], &rebuilt))?;
            let again = self.airlock(folder, arguments);
            expect(again.status.success(), || stuck(arguments, &again))?;
            return Ok((text(&again), Repaired::By(REBUILD)));
        } else {
            return Err(stuck(arguments, &output));
        };
        Ok((said, repaired))
    }

    /// A command that records the system calls of `airlock` with these arguments.
    pub(crate) fn traced(&self, arguments: &[&str]) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_airlock"));
        let mut command = trace::traced(binary, arguments, &self.path("trace"));
        self.environment(&mut command, &self.work());
        command
    }

    /// The recorded system calls of a traced command that has ended.
    pub(crate) fn calls(&self) -> Vec<Call> {
        trace::read(&self.path("trace"), &self.work(), &self.work())
    }

    /// Records a command, and passes each state to `check`.
    pub(crate) fn cut(&self, name: &str, arguments: &[&str], check: &dyn Fn(&State<'_>) -> Checked) -> Count {
        let start = disk::tree_of(&self.work());
        let output = self.traced(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        self.cut_calls(name, &start, &self.calls(), check)
    }

    /// Passes each distinct state that a power cut during these calls may leave to `check`.
    pub(crate) fn cut_calls(
        &self,
        name: &str,
        start: &Tree,
        calls: &[Call],
        check: &dyn Fn(&State<'_>) -> Checked,
    ) -> Count {
        let mut count =
            Count { name: name.to_owned(), states: 0, by: BTreeMap::new(), violations: Vec::new() };
        let models = if is_long() { &MODELS[..] } else { &MODELS[..FEW] };
        // A step that is coprime to the number of models visits each model.
        let step = (calls.len() * models.len() / most()).max(1);
        let step = (step..step + 70).find(|step| step % 2 == 1 && step % 3 > 0 && step % 11 > 0).unwrap_or(1);
        let (mut seen, mut answers, mut number) = (HashSet::new(), Vec::new(), 0);
        let (mut disk, state) = (Disk::holding(start, &self.work()), self.path("state"));
        for point in 0..=calls.len() {
            let ended = point == calls.len();
            for model in models {
                number += 1;
                if !ended && number % step != 0 {
                    continue;
                }
                let tree = disk.survivors(*model);
                let mut hasher = DefaultHasher::new();
                (&tree, &answers, ended).hash(&mut hasher);
                if !seen.insert(hasher.finish()) {
                    continue;
                }
                let _ = std::fs::remove_dir_all(&state);
                disk::write(&tree, &state);
                let place = || {
                    let last: String = format!("{:?}", calls[..point].last()).chars().take(200).collect();
                    format!("cut at {point} of {}, {model:?}, after {last}", calls.len())
                };
                match check(&State { folder: &state, ended, answers: &answers }) {
                    Ok(Repaired::Again) => {}
                    Ok(Repaired::By(command)) => *count.by.entry(command).or_default() += 1,
                    Err(violation) => count.violations.push((place(), violation)),
                }
            }
            match calls.get(point) {
                Some(Call::Said(line)) if line.starts_with("HTTP/1.1 ") => answers.push(line.clone()),
                Some(call) => disk.apply(call),
                None => {}
            }
        }
        count.states = seen.len();
        println!("{name}: {} calls, {} states", calls.len(), count.states);
        assert!(count.states >= 10, "{name}: only {} states", count.states);
        count
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub(crate) fn expect(holds: bool, violation: impl FnOnce() -> Violation) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(violation()) }
}

/// The violation of a command that cannot be resumed, or that reports a power cut as tampering.
fn stuck(arguments: &[&str], output: &Output) -> Violation {
    let said = format!("{arguments:?} ended with {:?}: {}", output.status.code(), text(output));
    let alarms = ["edited", "tamper", "another program wrote", "another log", "forged"];
    let is_alarm = output.status.code() == Some(7) || alarms.iter().any(|word| said.contains(word));
    if is_alarm { Violation::Alarm(said) } else { Violation::Stuck(said) }
}

pub(crate) fn event(number: usize) -> Draft {
    Draft::new(EventType::StoreCheck, "store", &format!("number {number}"))
}

pub(crate) fn journal(log: &Path) -> Journal {
    Journal::open(log, EventSource::of_process("airlock", "0")).unwrap()
}

/// Verifies the log with its own key; returns the number of entries.
pub(crate) fn sound(log: &Path) -> Result<u64, Violation> {
    let report = LogTrust::own(log).and_then(|trust| verify(log, &trust, &[]));
    let report = report.map_err(|error| Violation::Alarm(format!("{error:?}")))?;
    expect(report.is_sound(), || Violation::Alarm(format!("{:?}", report.faults)))?;
    Ok(report.size)
}

/// Like [`sound`], but a log that does not exist yet has no entries.
pub(crate) fn sound_if_begun(log: &Path) -> Result<u64, Violation> {
    if log.join("checkpoint").exists() { sound(log) } else { Ok(0) }
}

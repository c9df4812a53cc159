//! Records a command, cuts it, and gives each state to a check.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use audit::verify::verify;
use audit::{Belief, Draft, EventType, Journal, Station};

use crate::disk::{self, Disk, FEW, MODELS, Tree};
use crate::tally::{Count, Healed, Trouble, is_long};
use crate::trace::{self, Call};

/// States of one command that a sample checks, about.
const SAMPLE: usize = 24;

/// How many states of a command are checked, about: those that several models leave alike are checked once.
fn most() -> usize {
    let given = std::env::var("AIRLOCK_TEST_STATES").ok().and_then(|text| text.parse().ok());
    given.filter(|_| is_long()).unwrap_or(if is_long() { usize::MAX } else { SAMPLE })
}

/// The command that messages of a store name.
pub(crate) const REBUILD: &str = "airlock store rebuild";

pub(crate) type Checked = Result<Healed, Trouble>;

/// A state that a cut leaves.
pub(crate) struct State<'a> {
    pub(crate) folder: &'a Path,
    /// Whether the command had ended.
    pub(crate) ended: bool,
    /// What had been answered.
    pub(crate) answers: &'a [String],
}

pub(crate) struct Rig {
    folder: tempfile::TempDir,
}

impl Rig {
    /// None where system calls cannot be recorded.
    pub(crate) fn new() -> Option<Self> {
        let can = Command::new("strace").arg("-o").arg("/dev/null").arg("true").status();
        if !can.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os("AIRLOCK_TEST_REQUIRE_PEERS").is_none(), "strace is missing");
            println!("skipped: strace is not installed, or may not trace");
            return None;
        }
        // In memory where that is to be had: the disk's own flushes tell nothing here.
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

    /// Runs a command on a state; where it fails and names a command, that one, and then the first again.
    pub(crate) fn goes_on(
        &self,
        folder: &Path,
        arguments: &[&str],
        store: &str,
    ) -> Result<(String, Healed), Trouble> {
        let output = self.airlock(folder, arguments);
        let said = text(&output);
        let healed = if output.status.success() {
            Healed::Again
        } else if said.contains(REBUILD) {
            let rebuilt = self.airlock(folder, &["store", "rebuild", "--store", store]);
            expect(rebuilt.status.success(), || stuck(&["rebuild"], &rebuilt))?;
            let again = self.airlock(folder, arguments);
            expect(again.status.success(), || stuck(arguments, &again))?;
            return Ok((text(&again), Healed::By(REBUILD)));
        } else {
            return Err(stuck(arguments, &output));
        };
        Ok((said, healed))
    }

    /// The command that records the calls of another one.
    pub(crate) fn traced(&self, arguments: &[&str]) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_airlock"));
        let mut command = trace::traced(binary, arguments, &self.path("trace"));
        self.environment(&mut command, &self.work());
        command
    }

    /// What a traced command did, once it has ended.
    pub(crate) fn calls(&self) -> Vec<Call> {
        trace::read(&self.path("trace"), &self.work(), &self.work())
    }

    /// Records a command, and gives each state to `check`.
    pub(crate) fn cut(&self, name: &str, arguments: &[&str], check: &dyn Fn(&State<'_>) -> Checked) -> Count {
        let start = disk::tree_of(&self.work());
        let output = self.traced(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        self.cut_calls(name, &start, &self.calls(), check)
    }

    /// Gives each state that a cut of these calls may leave to `check`, each once.
    pub(crate) fn cut_calls(
        &self,
        name: &str,
        start: &Tree,
        calls: &[Call],
        check: &dyn Fn(&State<'_>) -> Checked,
    ) -> Count {
        let mut count = Count { name: name.to_owned(), states: 0, by: BTreeMap::new(), troubles: Vec::new() };
        let models = if is_long() { &MODELS[..] } else { &MODELS[..FEW] };
        // A step that has no divisor in common with the models' number meets each of them.
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
                    Ok(Healed::Again) => {}
                    Ok(Healed::By(command)) => *count.by.entry(command).or_default() += 1,
                    Err(trouble) => count.troubles.push((place(), trouble)),
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

pub(crate) fn expect(holds: bool, why: impl FnOnce() -> Trouble) -> Result<(), Trouble> {
    if holds { Ok(()) } else { Err(why()) }
}

/// A command that does not go on, or that takes a cut for tampering.
fn stuck(arguments: &[&str], output: &Output) -> Trouble {
    let said = format!("{arguments:?} ended with {:?}: {}", output.status.code(), text(output));
    let alarms = ["edited", "tamper", "something else wrote", "another log", "forged"];
    let is_alarm = output.status.code() == Some(7) || alarms.iter().any(|word| said.contains(word));
    if is_alarm { Trouble::Alarm(said) } else { Trouble::Stuck(said) }
}

pub(crate) fn event(number: usize) -> Draft {
    Draft::new(EventType::StoreCheck, "store", &format!("number {number}"))
}

pub(crate) fn journal(log: &Path) -> Journal {
    Journal::open(log, Station::of_process("airlock", "0")).unwrap()
}

/// The log is whole, by its own word; gives how many entries it has.
pub(crate) fn sound(log: &Path) -> Result<u64, Trouble> {
    let report = Belief::own(log).and_then(|belief| verify(log, &belief, &[]));
    let report = report.map_err(|error| Trouble::Alarm(format!("{error:?}")))?;
    expect(report.is_sound(), || Trouble::Alarm(format!("{:?}", report.faults)))?;
    Ok(report.size)
}

/// The log of a store that may not have come to be yet.
pub(crate) fn sound_if_begun(log: &Path) -> Result<u64, Trouble> {
    if log.join("checkpoint").exists() { sound(log) } else { Ok(0) }
}

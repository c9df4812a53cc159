//! Power cuts: the calls of a command are recorded, and at points between them what a cut would leave is built for several
//! models of what a disk keeps. In each state nothing is told as tampering, nothing acknowledged is lost, and the same command
//! run again ends as it should. A sample of the states is checked, and all of them with `AIRLOCK_TEST_LONG=1`.

#[cfg(test)]
mod disk;
#[cfg(test)]
mod record;

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    use audit::verify::verify;
    use audit::{Belief, Draft, Index, Journal, Kind, Outcome, Reader, Station};

    use crate::disk::{MODELS, Model, Recording};
    use crate::record::record;

    /// States of one command that are checked by default.
    const SAMPLE: usize = 60;

    struct Rig {
        folder: tempfile::TempDir,
    }

    impl Rig {
        /// None where system calls cannot be recorded.
        fn new() -> Option<Self> {
            let can = Command::new("strace").arg("-o").arg("/dev/null").arg("true").status();
            if !can.is_ok_and(|status| status.success()) {
                println!("skipped: strace is not installed, or may not trace");
                return None;
            }
            let rig = Self { folder: tempfile::tempdir().unwrap() };
            std::fs::create_dir(rig.work()).unwrap();
            Some(rig)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().canonicalize().unwrap().join(name)
        }

        fn work(&self) -> PathBuf {
            self.path("work")
        }

        fn airlock(&self, folder: &Path, arguments: &[&str]) -> Output {
            Command::new(env!("CARGO_BIN_EXE_airlock"))
                .args(arguments)
                .current_dir(folder)
                .env_clear()
                .env("HOME", self.path("home"))
                .env("AIRLOCK_KEY_PASSWORD", "a password")
                .output()
                .unwrap()
        }

        fn works(&self, folder: &Path, arguments: &[&str]) -> String {
            let output = self.airlock(folder, arguments);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{arguments:?}: {said}");
            String::from_utf8_lossy(&output.stdout).into_owned() + &said
        }

        /// Records a command, and gives each state to `check` with whether the command had ended.
        fn cut(&self, name: &str, arguments: &[&str], check: &dyn Fn(&Path, bool)) {
            let (before, state) = (self.path("before"), self.path("state"));
            let _ = std::fs::remove_dir_all(&before);
            let copied = Command::new("cp").arg("-a").arg(self.work()).arg(&before).status().unwrap();
            assert!(copied.success());
            let home = self.path("home");
            std::fs::create_dir_all(&home).unwrap();
            let calls = record(&self.work(), &home, arguments);
            let recording = Recording::of(&before, &self.work(), &calls);
            let all = recording.points() * MODELS.len();
            let is_long = std::env::var_os("AIRLOCK_TEST_LONG").is_some_and(|value| value == "1");
            let step = if is_long { 1 } else { (all / SAMPLE).max(1) | 1 };
            let mut checked = 0;
            for number in (0..all).step_by(step).chain(all - MODELS.len()..all) {
                let (cut, model) = (number / MODELS.len(), MODELS[number % MODELS.len()]);
                recording.leave(cut, model, &state);
                let ended = cut + 1 == recording.points();
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&state, ended)));
                if let Err(panic) = outcome {
                    println!("{name}: cut after {cut} of {} operations, {model:?}", recording.points() - 1);
                    std::panic::resume_unwind(panic);
                }
                checked += 1;
            }
            println!("{name}: {} operations, {all} states, {checked} checked", recording.points() - 1);
            assert!(checked >= 40, "{name}: only {checked} states");
            assert!(MODELS.contains(&Model::Strict));
        }
    }

    fn event(number: usize) -> Draft {
        Draft::new(Kind::StoreCheck, "store", &format!("number {number}"))
    }

    fn journal(log: &Path) -> Journal {
        Journal::open(log, Station::of_process("airlock", "0")).unwrap()
    }

    /// The log is whole, by its own word; gives how many entries it has.
    fn sound(log: &Path) -> u64 {
        let report = verify(log, &Belief::own(log).unwrap(), &[]).unwrap();
        assert!(report.is_sound(), "told as tampering: {:?}", report.faults);
        report.size
    }

    #[test]
    fn c1_a_power_cut_at_any_point_of_an_append_loses_nothing_and_is_no_tampering() {
        // Within a bundle, around a full one, and where the first tile of the next level begins to grow.
        for count in [3, 254, 255, 511] {
            let Some(rig) = Rig::new() else { return };
            let log = rig.work().join("log");
            let writer = journal(&log);
            let success = Outcome::success();
            let events = (0..count).map(|number| (event(number), &success)).collect();
            writer.record_at(time::OffsetDateTime::UNIX_EPOCH, events).unwrap();
            drop(writer);
            let size = sound(&log);
            let name = format!("append to {size} entries");
            rig.cut(&name, &["keys", "generate", "k", "--audit-log", "log"], &|state, ended| {
                let log = state.join("log");
                let found = sound(&log);
                assert!(found >= size + u64::from(ended), "{found} entries of {size} and {ended}");
                let reader = Reader::open(&log, Belief::own(&log).unwrap()).unwrap();
                assert_eq!(reader.all(&mut |_, _, _| {}).unwrap(), 0);
                journal(&log).record(event(0), &Outcome::success()).unwrap();
                assert!(sound(&log) > size);
            });
        }
    }

    #[test]
    fn c4_a_power_cut_at_any_point_of_an_index_update_is_no_tampering() {
        for is_new in [true, false] {
            let Some(rig) = Rig::new() else { return };
            let log = rig.work().join("log");
            let writer = journal(&log);
            let reader = || Reader::open(&log, Belief::own(&log).unwrap()).unwrap();
            if !is_new {
                Index::open(&reader()).unwrap();
            }
            for number in 0..40 {
                writer.record(event(number), &Outcome::success()).unwrap();
            }
            rig.cut("index update", &["audit", "log", "--audit-log", "log"], &|state, _| {
                let log = state.join("log");
                sound(&log);
                let told = rig.airlock(state, &["audit", "log", "--audit-log", "log", "--output", "json"]);
                let said = String::from_utf8_lossy(&told.stderr).into_owned();
                // A file whose number and times are others was copied; here every file was, so only damage counts.
                assert!(told.status.success() && !said.contains("it is damaged"), "{said}");
                let found: Vec<serde_json::Value> = serde_json::from_slice(&told.stdout).unwrap();
                assert_eq!(found.len(), 41);
                sound(&log);
            });
        }
    }

    const MIRROR: &str = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\nsources: [{files: [{path: a.txt}]}]\n";

    /// A sender's store with a file, its keys, and a trust file.
    fn sender() -> Option<Rig> {
        let rig = Rig::new()?;
        let work = rig.work();
        std::fs::write(work.join("airlock.yaml"), MIRROR).unwrap();
        std::fs::write(work.join("a.txt"), "first").unwrap();
        rig.works(&work, &["keys", "generate", "k"]);
        rig.works(&work, &["mirror", "--store", "near"]);
        rig.works(&work, &["keys", "trust", "k.pub", "--log", "near/log/key.pub"]);
        Some(rig)
    }

    #[test]
    fn c6_a_power_cut_at_any_point_of_a_pack_leaves_a_store_and_a_drive_that_the_same_command_completes() {
        let Some(rig) = sender() else { return };
        let pack = ["pack", "--store", "near", "--key", "k.key", "--to", "media/usb/drive"];
        rig.cut("pack", &pack, &|state, ended| {
            sound(&state.join("near/log"));
            let verify = ["verify", "media/usb/drive", "--trust", "trust.yaml"];
            if ended {
                rig.works(state, &verify);
            } else {
                let early = rig.airlock(state, &verify);
                assert_ne!(early.status.code(), Some(7), "{}", String::from_utf8_lossy(&early.stderr));
            }
            let _ = std::fs::remove_dir_all(rig.path("home/.local"));
            rig.works(state, &pack);
            let said = rig.works(state, &verify);
            assert!(!said.contains("warning"), "{said}");
            sound(&state.join("near/log"));
        });
    }

    #[test]
    fn g_a_power_cut_at_any_point_of_an_import_is_told_as_none_of_the_sites_faults() {
        let Some(rig) = sender() else { return };
        let work = rig.work();
        rig.works(&work, &["pack", "--store", "near", "--key", "k.key", "--to", "drive"]);
        std::fs::remove_dir_all(work.join("near")).unwrap();
        let import = ["import", "drive", "--trust", "trust.yaml", "--store", "far"];
        let check = |state: &Path, ended: bool| {
            let log = state.join("far/log");
            if log.exists() {
                sound(&log);
            }
            if ended {
                assert!(rig.works(state, &["store", "list", "--store", "far"]).contains("files:a.txt"));
            }
            rig.works(state, &import);
            sound(&log);
            assert!(rig.works(state, &["store", "list", "--store", "far"]).contains("files:a.txt"));
            rig.works(state, &["store", "check", "--store", "far"]);
        };
        rig.cut("import into a store", &import, &check);
    }
}

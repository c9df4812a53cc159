//! Sets on several media: all at once, and one after the other in one drive.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::cli::{airlock, fails};
use crate::signing::{mirror_file, works};

/// A store whose set has volumes of at most 100 kB: one file is split over all of them.
fn sender(path: &Path) {
    let mut noise: Vec<u8> = Vec::new();
    let mut state = 7_u64;
    while noise.len() < 210_000 {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        noise.extend((state >> 32).to_le_bytes());
    }
    fs::write(path.join("big.bin"), noise).unwrap();
    fs::write(path.join("small.txt"), "small").unwrap();
    let sources = "  - files: [{path: big.bin}, {path: small.txt}]\n";
    fs::write(path.join("airlock.yaml"), mirror_file("", sources)).unwrap();
    works(path, &["mirror", "--store", "near"]);
    works(path, &["keys", "generate", "k"]);
    works(path, &["keys", "trust", "k.pub", "--log", "near/log/key.pub"]);
}

const PACK: [&str; 7] = ["pack", "--store", "near", "--key", "k.key", "--volume-size", "100kB"];

fn volumes(folder: &Path) -> Vec<String> {
    let listing = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = listing
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.contains("-of-"))
        .collect();
    names.sort();
    names
}

/// Runs a command that asks for media; each function of `inserted` changes the medium before Enter is pressed.
fn prompted(folder: &Path, arguments: &[&str], inserted: &[&dyn Fn()]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_airlock"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("AIRLOCK_KEY_PASSWORD", "a password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    {
        let mut answers = child.stdin.take().unwrap();
        let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut left = inserted.iter();
        let mut line = String::new();
        while std::io::BufRead::read_line(&mut errors, &mut line).unwrap() > 0 {
            said += &line;
            if line.contains("press Enter") {
                let Some(insert) = left.next() else { break };
                insert();
                answers.write_all(b"\n").unwrap();
            }
            line.clear();
        }
        drop(answers);
        std::io::Read::read_to_string(&mut errors, &mut said).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    Output { stderr: said.into_bytes(), ..output }
}

fn fine(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Moves the medium away under a name, and inserts another one.
fn change(path: &Path, away: Option<&str>, with: Option<&str>) {
    if let Some(away) = away {
        fs::rename(path.join("disc"), path.join(away)).unwrap();
    }
    match with {
        Some(with) => fs::rename(path.join(with), path.join("disc")).unwrap(),
        None => fs::create_dir(path.join("disc")).unwrap(),
    }
}

#[test]
fn o24_a_set_is_written_to_several_media_at_once_and_imported_from_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    let to = ["--to", "one", "--to", "two", "--to", "three"];
    works(path, &[&PACK[..], &to].concat());
    for (number, medium) in (1..).zip(["one", "two", "three"]) {
        assert_eq!(volumes(&path.join(medium)), [format!("a-{number:03}-of-003.tar")]);
        // Each medium has the completion mark and the log.
        assert!(
            path.join(medium).join("a.complete.json").exists()
                && path.join(medium).join("log/checkpoint").exists()
        );
    }
    works(path, &["import", "three", "one", "two", "--trust", "trust.yaml", "--store", "far"]);
    works(path, &["store", "get", "big.bin", "--to", "back.bin", "--store", "far"]);
    assert!(fs::read(path.join("back.bin")).unwrap() == fs::read(path.join("big.bin")).unwrap());
    // With fewer folders than volumes, the volumes fill the folders in order.
    works(path, &[&PACK[..], &["--to", "both", "--to", "rest"]].concat());
    assert_eq!(volumes(&path.join("both")).len(), 3);
}

#[test]
fn o24_a_set_is_written_and_imported_one_medium_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    let pack = [&PACK[..], &["--to", "disc", "--one-by-one"]].concat();
    let second = || change(path, Some("disc-1"), None);
    let third = || change(path, Some("disc-2"), None);
    fine(&prompted(path, &pack, &[&second, &third]));
    change(path, Some("disc-3"), Some("disc-1"));
    assert_eq!(volumes(&path.join("disc")), ["a-001-of-003.tar"]);
    let far = ["--trust", "trust.yaml", "--store", "far"];
    let import = [&["import", "disc", "--one-by-one"][..], &far].concat();
    // The log is on the last disc, and nothing is read before it is verified. After a wrong disc, the command asks again.
    let first_log = || change(path, Some("disc-1"), Some("disc-3"));
    let wrong = || change(path, Some("disc-3"), Some("disc-2"));
    let one = || change(path, Some("disc-2"), Some("disc-1"));
    let two = || change(path, Some("disc-1"), Some("disc-2"));
    let three = || change(path, Some("disc-2"), Some("disc-3"));
    fine(&prompted(path, &import, &[&first_log, &wrong, &one, &two, &three]));
    works(path, &["store", "get", "big.bin", "--to", "back.bin", "--store", "far"]);
    assert!(fs::read(path.join("back.bin")).unwrap() == fs::read(path.join("big.bin")).unwrap());
    assert!(works(path, &["audit", "verify", "--store", "far"]).contains("every entry"));
}

#[test]
fn o14_a_disc_of_another_set_is_reported_and_the_command_asks_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    works(path, &[&PACK[..], &["--to", "one", "--to", "two", "--to", "three"]].concat());
    fs::create_dir(path.join("other")).unwrap();
    fs::write(path.join("other/small.txt"), "another set").unwrap();
    let other = mirror_file("", "  - files: [{path: other/small.txt}]\n");
    fs::write(path.join("other.yaml"), other.replace("{name: a}", "{name: other}")).unwrap();
    works(path, &["mirror", "-f", "other.yaml", "--store", "near", "--lock", "other.lock"]);
    let pack = ["pack", "--lock", "other.lock", "--store", "near", "--key", "k.key", "--to", "foreign"];
    works(path, &pack);
    fs::create_dir(path.join("empty")).unwrap();
    for command in [&["verify"][..], &["import", "--store", "far"]] {
        fs::rename(path.join("one"), path.join("disc")).unwrap();
        let foreign = || change(path, Some("one"), Some("foreign"));
        let empty = || change(path, Some("foreign"), Some("empty"));
        let two = || change(path, Some("empty"), Some("two"));
        let three = || change(path, Some("two"), Some("three"));
        let in_turn = [command, &["disc", "--one-by-one", "--trust", "trust.yaml"]].concat();
        let output = prompted(path, &in_turn, &[&foreign, &empty, &two, &three]);
        fine(&output);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("wrong medium: `disc` belongs to set `sha256:"), "{text}");
        assert!(text.contains("wrong medium: no airlock volume was found in `disc`"), "{text}");
        assert_eq!(text.matches("insert volume 2 of 3").count(), 3, "{text}");
        change(path, Some("three"), Some("one"));
        fs::rename(path.join("disc"), path.join("one")).unwrap();
    }
}

#[test]
fn o14_a_disc_with_another_volume_is_reported_and_the_command_asks_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    works(path, &[&PACK[..], &["--to", "one", "--to", "two", "--to", "three"]].concat());
    fs::rename(path.join("one"), path.join("disc")).unwrap();
    let same = || {};
    let two = || change(path, Some("one"), Some("two"));
    let three = || change(path, Some("two"), Some("three"));
    let verify = ["verify", "disc", "--one-by-one", "--trust", "trust.yaml"];
    let output = prompted(path, &verify, &[&same, &two, &three]);
    fine(&output);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("the medium has volume 1, but volume 2 is needed"), "{text}");
}

#[test]
fn o14_a_set_is_verified_one_medium_at_a_time_including_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    works(path, &[&PACK[..], &["--to", "one", "--to", "two", "--to", "three"]].concat());
    let whole = works(path, &["verify", "one", "two", "three", "--trust", "trust.yaml"]);
    fs::rename(path.join("one"), path.join("disc")).unwrap();
    let verify = ["verify", "disc", "--one-by-one", "--trust", "trust.yaml"];
    let two = || change(path, Some("one"), Some("two"));
    let three = || change(path, Some("two"), Some("three"));
    let output = prompted(path, &verify, &[&two, &three]);
    fine(&output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), whole);
    change(path, Some("three"), Some("one"));
    let stopped = prompted(path, &verify, &[]);
    let text = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert!(stopped.status.code() == Some(1) && text.contains("volume 2 of 3"), "{text}");
    let mut bytes = fs::read(path.join("two/a-002-of-003.tar")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path.join("two/a-002-of-003.tar"), &bytes).unwrap();
    let refused = prompted(path, &verify, &[&two, &three]);
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[test]
fn o24_without_input_the_same_command_resumes_with_the_next_volume() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    let pack = [&PACK[..], &["--to", "disc", "--one-by-one"]].concat();
    for (number, next) in [(1, 2), (2, 3)] {
        let said = prompted(path, &pack, &[]);
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(1), "{text}");
        assert!(
            text.contains(&format!("volume {next} of 3")) && text.contains("run the same command again"),
            "{text}"
        );
        assert_eq!(volumes(&path.join("disc")), [format!("a-{number:03}-of-003.tar")]);
        assert!(!path.join("disc/a.complete.json").exists());
        change(path, Some(&format!("disc-{number}")), None);
    }
    fine(&prompted(path, &pack, &[]));
    change(path, Some("disc-3"), None);
    let far = ["--trust", "trust.yaml", "--store", "far"];
    let all = ["import", "disc-1", "disc-2", "disc-3"];
    fails(path, &[&["import", "disc-1", "disc-3"][..], &far].concat(), 4, "a-002-of-003.tar");
    works(path, &[&all[..], &far].concat());
    // The volumes that several runs wrote are one set with one signature.
    let signature = |volume: &str| {
        let bytes = fs::read(path.join(volume)).unwrap();
        let begin = bytes.windows(11).position(|window| window == b"messageSign").unwrap();
        bytes[begin..begin + 200].to_vec()
    };
    assert_eq!(signature("disc-1/a-001-of-003.tar"), signature("disc-3/a-003-of-003.tar"));
}

#[test]
fn o24_nothing_is_published_before_every_volume_was_read_and_a_changed_disc_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    works(path, &[&PACK[..], &["--to", "one", "--to", "two", "--to", "three"]].concat());
    fs::rename(path.join("one"), path.join("disc")).unwrap();
    let import = ["import", "disc", "--one-by-one", "--trust", "trust.yaml", "--store", "far"];
    let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let stopped = prompted(path, &import, &[]);
    assert!(
        stopped.status.code() == Some(1) && text(&stopped).contains("volume 2 of 3"),
        "{}",
        text(&stopped)
    );
    assert_eq!(works(path, &["store", "list", "--store", "far"]), "");
    let mut bytes = fs::read(path.join("two/a-002-of-003.tar")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path.join("two/a-002-of-003.tar"), &bytes).unwrap();
    let two = || change(path, Some("one"), Some("two"));
    let three = || change(path, Some("two"), Some("three"));
    let refused = prompted(path, &import, &[&two, &three]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    assert_eq!(works(path, &["store", "list", "--store", "far"]), "");
    assert!(!airlock(path, &["store", "get", "big.bin", "--to", "x", "--store", "far"]).status.success());
    bytes[middle] ^= 1;
    fs::write(path.join("two/a-002-of-003.tar"), &bytes).unwrap();
    change(path, Some("three"), Some("one"));
    fine(&prompted(path, &import, &[&two, &three]));
    works(path, &["store", "get", "big.bin", "--to", "back.bin", "--store", "far"]);
}

#[test]
fn o14_pack_asks_again_if_the_inserted_medium_has_another_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    fs::create_dir(path.join("used")).unwrap();
    fs::write(path.join("used/a-002-of-003.tar"), "of another set").unwrap();
    let pack = [&PACK[..], &["--to", "disc", "--one-by-one"]].concat();
    let used = || change(path, Some("disc-1"), Some("used"));
    let second = || change(path, Some("used"), None);
    let third = || change(path, Some("disc-2"), None);
    let output = prompted(path, &pack, &[&used, &second, &third]);
    fine(&output);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("wrong medium: `disc/a-002-of-003.tar` already exists"), "{text}");
    assert_eq!(text.matches("insert volume 2 of 3").count(), 2, "{text}");
    assert_eq!(fs::read_to_string(path.join("used/a-002-of-003.tar")).unwrap(), "of another set");
    change(path, Some("disc-3"), Some("used"));
    // The first medium is not requested, so without input its error is the result.
    let output = prompted(path, &[&pack[..], &["--no-read-back"]].concat(), &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && text.contains("already exists"), "{text}");
}

#[test]
fn o14_a_link_a_fifo_or_an_empty_file_in_place_of_a_volume_is_reported_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    sender(path);
    works(path, &[&PACK[..], &["--to", "disc"]].concat());
    let volume = path.join("disc/a-002-of-003.tar");
    fs::rename(&volume, path.join("kept.tar")).unwrap();
    let verify = ["verify", "disc", "--trust", "trust.yaml"];
    fails(path, &verify, 4, "1 is missing: `a-002-of-003.tar`");
    let link = || std::os::unix::fs::symlink(path.join("kept.tar"), &volume).unwrap();
    let fifo = || assert!(Command::new("mkfifo").arg(&volume).status().unwrap().success());
    let empty = || fs::write(&volume, "").unwrap();
    let kinds: [(&dyn Fn(), &str); 3] =
        [(&link, "a symbolic link"), (&fifo, "a FIFO"), (&empty, "an empty file")];
    for (make, kind) in kinds {
        make();
        fails(path, &verify, 3, &format!("a-002-of-003.tar` is {kind}, not a volume"));
        assert!(works(path, &["inspect", "disc"]).contains(&format!("{kind}  a-002-of-003.tar")));
        // Alone on a medium, too.
        fs::create_dir(path.join("alone")).unwrap();
        fs::rename(&volume, path.join("alone/a-002-of-003.tar")).unwrap();
        fails(path, &["inspect", "alone"], 3, &format!("is {kind}, not a volume"));
        fs::remove_dir_all(path.join("alone")).unwrap();
    }
    // A file that the user names is an argument.
    fails(path, &["inspect", "airlock.lock"], 2, "`airlock.lock` is another kind of file, not a volume");
}

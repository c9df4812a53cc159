//! What publishing leaves behind, whatever obstructs it.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{FileType, Mode};

use super::*;

const BOTH: [Existing; 2] = [Existing::Keep, Existing::Replace];

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

fn names(folder: &Path) -> Vec<OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn publishing_writes_the_whole_file_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    publish(&path, b"one", Existing::Keep, Readers::Owner).unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o600));
    publish(&path, b"two", Existing::Replace, Readers::Owner).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_new_file_never_replaces_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    // Not even a file that appears while the new one is written.
    let new = Temporary::beside(&path, Existing::Keep, Readers::All).unwrap();
    fs::write(&path, "mine").unwrap();
    assert_eq!(new.publish().unwrap_err().kind(), ErrorKind::AlreadyExists);
    let late = publish(&path, b"yours", Existing::Keep, Readers::All);
    assert_eq!(late.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_link_at_either_path_is_never_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("file"), folder.path().join("other"));
    fs::write(&other, "other").unwrap();
    symlink(&other, &path).unwrap();
    for existing in BOTH {
        publish(&path, b"new", existing, Readers::All).unwrap_err();
    }
    fs::remove_file(&path).unwrap();
    symlink(&other, temporary_path(&path).unwrap()).unwrap();
    publish(&path, b"new", Existing::Keep, Readers::Owner).unwrap();
    assert_eq!((fs::read(&other).unwrap(), fs::read(&path).unwrap()), (b"other".to_vec(), b"new".to_vec()));
    assert_eq!(names(folder.path()), ["file", "other"]);
}

#[test]
fn a_file_of_another_type_is_neither_replaced_nor_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (path, pipe) = (folder.path().join("folder"), folder.path().join("pipe"));
    fs::create_dir(&path).unwrap();
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
    for existing in BOTH {
        publish(&path, b"new", existing, Readers::All).unwrap_err();
        publish(&pipe, b"new", existing, Readers::All).unwrap_err();
        publish(Path::new("/"), b"new", existing, Readers::All).unwrap_err();
    }
    fs::rename(&pipe, temporary_path(&folder.path().join("file")).unwrap()).unwrap();
    publish(&folder.path().join("file"), b"new", Existing::Keep, Readers::All).unwrap();
    assert_eq!(names(folder.path()), ["file", "folder"]);
}

#[test]
fn a_file_for_all_keeps_the_mode_of_the_file_that_it_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for before in [0o600, 0o664, 0o777, 0o444] {
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
        publish(&path, b"new", Existing::Replace, Readers::All).unwrap();
        assert_eq!(mode(&path), before);
        publish(&path, b"new", Existing::Replace, Readers::Owner).unwrap();
        assert_eq!(mode(&path), 0o600);
    }
}

#[test]
fn the_file_of_a_killed_writer_is_removed_and_not_published() {
    let folder = tempfile::tempdir().unwrap();
    // The longest name, too.
    for name in ["file".to_owned(), "n".repeat(255)] {
        let path = folder.path().join(name);
        let left = temporary_path(&path).unwrap();
        fs::write(&left, "half of a longer file").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o666)).unwrap();
        publish(&path, b"whole", Existing::Replace, Readers::Owner).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"whole".to_vec(), 0o600));
    }
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn a_file_that_is_dropped_unpublished_leaves_the_old_one_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "old").unwrap();
    let new = Temporary::beside(&path, Existing::Replace, Readers::All).unwrap();
    new.file().write_all(b"half").unwrap();
    drop(new);
    assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"old".to_vec(), vec!["file".into()]));
}

#[test]
fn concurrent_writers_publish_whole_files_and_only_one_creates_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, once) = (folder.path().join("file"), folder.path().join("once"));
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for writer in 0..8_u8 {
            let (path, once, made) = (&path, &once, &made);
            scope.spawn(move || {
                for _ in 0..25 {
                    publish(path, &[writer; 9000], Existing::Replace, Readers::Owner).unwrap();
                    let seen = fs::read(path).unwrap();
                    assert!(seen.len() == 9000 && seen.iter().all(|byte| *byte == seen[0]));
                }
                match publish(once, &[writer], Existing::Keep, Readers::Owner) {
                    Ok(()) => drop(made.fetch_add(1, Ordering::SeqCst)),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
                }
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
    assert_eq!(names(folder.path()), ["file", "once"]);
}

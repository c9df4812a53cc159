//! Only the owner can access a store's files, and an error about a lock names its holder.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use store::{Error, Store};

use crate::rig::{push, put, repository};

const CHILD: &str = "STORE_TEST_PRIVATE";

fn walk(path: &Path, visit: &mut dyn FnMut(&Path, u32, bool)) {
    let found = fs::symlink_metadata(path).unwrap();
    visit(path, found.permissions().mode() & 0o777, found.is_dir());
    if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), visit);
        }
    }
}

fn assert_private(root: &Path) -> usize {
    let mut seen = 0;
    walk(root, &mut |path, mode, is_folder| {
        assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "{}", path.display());
        seen += 1;
    });
    seen
}

/// Creates every kind of file that a store has.
fn fill(root: &Path) {
    let store = Store::open(root).unwrap();
    push(&store, "a/b", "v1").unwrap();
    let id = store.create_upload(&repository("a/b")).unwrap();
    store.upload(&repository("a/b"), &id).unwrap().unwrap().write(b"part").unwrap();
    store.partial(&oci::Digest::sha256(b"other")).unwrap().write(b"part").unwrap();
    let rotten = put(&store, b"rotten").unwrap();
    fs::write(crate::rig::file_of(root, &rotten), "else").unwrap();
    assert!(store.blob(&rotten).unwrap().is_none());
    // While the store is open, with the files that SQLite creates beside the database.
    assert!(assert_private(root) > 520);
}

#[test]
fn a16_folders_are_0700_and_files_0600_whatever_the_umask() {
    let name = "private::the_child_fills_a_store";
    for umask in ["0000", "0022", "0077", "0277", "0777"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        let me = std::env::current_exe().unwrap();
        let script = format!("umask {umask}; exec \"$0\" --exact {name} --nocapture");
        let mut shell = Command::new("sh");
        let done = shell.args(["-c", &script]).arg(me).env(CHILD, &root).output().unwrap();
        assert!(done.status.success(), "{umask}: {}", String::from_utf8_lossy(&done.stdout));
        assert!(assert_private(&root) > 520);
    }
}

#[test]
fn the_child_fills_a_store() {
    if let Some(root) = std::env::var_os(CHILD) {
        fill(Path::new(&root));
    }
}

#[test]
fn a16_a_store_that_others_can_read_is_made_private() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    fill(&root);
    let open_up = |root: &Path| {
        walk(root, &mut |path, _, is_folder| {
            fs::set_permissions(path, Permissions::from_mode(if is_folder { 0o755 } else { 0o644 })).unwrap();
        });
    };
    open_up(&root);
    drop(Store::open(&root).unwrap());
    assert_private(&root);
    // A reader changes nothing.
    open_up(&root);
    drop(Store::open_to_read(&root).unwrap());
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a16_waiting_for_a_lock_has_a_limit_and_names_the_holder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    drop(Store::open(&root).unwrap());
    let lock = File::open(root.join("store.lock")).unwrap();
    lock.lock().unwrap();
    let begun = Instant::now();
    let Err(refused) = Store::open_within(&root, Duration::from_millis(300)) else {
        panic!("the store was opened although it was locked")
    };
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(matches!(refused, Error::Locked { .. }) && refused.hint().is_some(), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())) && text.contains("contract"), "{text}");
    lock.unlock().unwrap();
    Store::open_within(&root, Duration::from_millis(300)).unwrap();
}

/// The same for the creation of a store, which uses another lock.
#[test]
fn a16_waiting_for_the_creation_of_a_store_has_a_limit_too() {
    let folder = tempfile::tempdir().unwrap();
    let lock = File::open(folder.path()).unwrap();
    lock.lock().unwrap();
    let refused = Store::open_within(folder.path(), Duration::from_millis(200)).err().unwrap();
    assert!(matches!(refused, Error::Locked { .. }), "{refused:?}");
}

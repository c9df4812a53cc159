//! The same with a second process that is slow at each system call in turn.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use oci::Digest;
use store::Store;

use super::{CHILD, assert_served, finish, interfere, publish};
use crate::rig::{file_of, long, repository};

/// The system calls of an upload.
const CALLS: [&str; 13] = [
    "openat",
    "flock",
    "statx",
    "lseek",
    "read",
    "write",
    "ftruncate",
    "fdatasync",
    "rename",
    "renameat2",
    "fsync",
    "close",
    "pwrite64",
];

/// All system calls of one kind are slow in a second process, which in turn is the honest one and the attacker.
#[test]
#[expect(clippy::too_many_lines, reason = "one run, in order")]
fn a5_uploads_with_delays_at_every_system_call_serve_no_wrong_byte() {
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("AIRLOCK_TEST_REQUIRE_PEERS").is_none(), "strace is missing");
        println!("skipped: strace is not installed");
        return;
    }
    let rounds = if long() { 40 } else { 4 };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (mut uploads, mut acknowledged) = (0, 0);
    for call in CALLS {
        let mut child = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:delay_enter=2000")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "race::the_child_interferes", "--nocapture"])
            .env(CHILD, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut commands = child.stdin.take().unwrap();
        let mut replies = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..rounds {
            let content = format!("first half of {uploads}, slow at {call}");
            let (first, rest) = content.split_at(content.len() - 12);
            let honest = uploads % 2 == 0;
            let digest = Digest::sha256(content.as_bytes());
            let id = store.create_upload(&repository("a/b")).unwrap();
            store.upload(&repository("a/b"), &id).unwrap().unwrap().write(first.as_bytes()).unwrap();
            let done = std::thread::scope(|scope| {
                writeln!(commands, "{id} {digest} 0 {}", if honest { rest } else { "" }).unwrap();
                let ours = scope.spawn(|| {
                    // Repeatedly, as long as the other one is slow.
                    (0..20).any(|_| {
                        std::thread::sleep(Duration::from_millis(1));
                        if honest {
                            let _ = interfere(&store, &id);
                            publish(&store, &id, &digest).is_some()
                        } else {
                            finish(&store, &id, rest.as_bytes(), &digest).is_some()
                        }
                    })
                });
                let line =
                    replies.find_map(|line| line.ok().filter(|line| line.contains("interfered"))).unwrap();
                ours.join().unwrap() || line.contains("interfered true")
            });
            if done {
                assert_served(&store, folder.path(), &digest, content.as_bytes(), &content);
            } else if let Ok(found) = std::fs::read(file_of(folder.path(), &digest)) {
                assert_eq!(found, content.as_bytes(), "{content}");
            }
            acknowledged += usize::from(done);
            uploads += 1;
            let _ = store.cancel_upload(&repository("a/b"), &id);
        }
        drop(commands);
        let rest: Vec<String> = replies.map_while(Result::ok).collect();
        assert!(child.wait().unwrap().success(), "{call}: {rest:?}");
    }
    println!("{uploads} uploads, {acknowledged} acknowledged");
    assert!(acknowledged > uploads / 10, "{acknowledged} of {uploads}");
    assert!(store.check(&mut |_| {}).unwrap().faults.is_empty());
}

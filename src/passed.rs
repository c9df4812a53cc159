//! Sockets that systemd passes to this process (`LISTEN_FDS`, `LISTEN_PID`, `LISTEN_FDNAMES`).

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Mutex, OnceLock, PoisonError};

use listenfd::ListenFd;

use crate::env;
use crate::failure::Usage;

/// The sockets that were passed and not taken yet.
static PASSED: OnceLock<Mutex<Passed>> = OnceLock::new();

struct Passed {
    sockets: ListenFd,
    names: Vec<String>,
}

/// A socket that listens.
pub(crate) enum PassedSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Receives the sockets. Must be called before the first thread starts, because it removes variables from the environment, so
/// that no child process takes the sockets for its own.
pub(crate) fn receive() {
    let value = |name| std::env::var(name).unwrap_or_default();
    // A parent's sockets are not for this process.
    let is_mine = value(env::LISTEN_PID).parse() == Ok(std::process::id());
    let names = value(env::LISTEN_FDNAMES).split(':').map(str::to_owned).collect();
    let sockets = if is_mine { ListenFd::from_env() } else { ListenFd::empty() };
    let _ = PASSED.set(Mutex::new(Passed { sockets, names }));
}

/// Takes the sockets with a name, or all of them.
pub(crate) fn take(name: Option<&str>) -> anyhow::Result<Vec<PassedSocket>> {
    let mut taken = Vec::new();
    if let Some(passed) = PASSED.get() {
        let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
        let Passed { sockets, names } = &mut *passed;
        let is_wanted = |at: &usize| name.is_none_or(|name| names.get(*at).is_some_and(|own| own == name));
        for at in (0..sockets.len()).filter(is_wanted) {
            taken.extend(take_one(sockets, at)?);
        }
    }
    if taken.is_empty() {
        let message = match name {
            Some(name) => format!("systemd passed no socket with the name `{name}`"),
            None => "systemd passed no socket".to_owned(),
        };
        let hint = "start airlock with a .socket unit, as described in docs/serve.md";
        return Err(Usage { message, hint }.into());
    }
    Ok(taken)
}

fn take_one(sockets: &mut ListenFd, at: usize) -> std::io::Result<Option<PassedSocket>> {
    // A socket of the other kind stays in its place.
    if let Ok(socket) = sockets.take_unix_listener(at) {
        return Ok(socket.map(PassedSocket::Unix));
    }
    Ok(sockets.take_tcp_listener(at)?.map(PassedSocket::Tcp))
}

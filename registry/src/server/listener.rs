//! The sockets that a server listens on: TCP, with or without TLS, and Unix sockets.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Mode;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixSocket, UnixStream};

use super::certificates::ClientAuthorities;
use super::guard::address::Peer;

/// The permissions of a Unix socket: its owner and its group can connect.
const MODE: u32 = 0o660;
/// The maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A socket that clients connect to.
pub struct Listener {
    socket: Socket,
    clients: Option<Arc<ClientAuthorities>>,
}

enum Socket {
    Tcp(TcpListener, Option<Arc<rustls::ServerConfig>>),
    Unix { listener: UnixListener, _file: Option<SocketFile> },
}

/// The stream of a client.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The file of a Unix socket, removed on drop if it is still the same one.
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl Listener {
    /// A TCP listener, with TLS if it has a configuration for it.
    #[must_use]
    pub fn tcp(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self { socket: Socket::Tcp(listener, tls), clients: None }
    }

    /// With certificates of clients, which the TLS configuration verifies with these CAs.
    #[must_use]
    pub fn with_clients(self, clients: Option<Arc<ClientAuthorities>>) -> Self {
        Self { clients, ..self }
    }

    /// Creates a Unix socket for its owner and its group, without TLS. A socket that a killed process left behind is
    /// replaced.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when a process listens at the path or the path is another file, and when the socket
    /// cannot be created.
    pub fn unix(path: &Path) -> io::Result<Self> {
        let bind = || {
            let socket = UnixSocket::new_stream()?;
            // The file inherits this mode less the umask, so it never has more permissions than this.
            rustix::fs::fchmod(&socket, Mode::from_bits_truncate(MODE))?;
            socket.bind(path)?;
            Ok::<_, io::Error>(socket)
        };
        let socket = match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
                std::fs::remove_file(path)?;
                bind()?
            }
            bound => bound?,
        };
        let file = SocketFile::of(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        let socket = Socket::Unix { listener: socket.listen(BACKLOG)?, _file: Some(file) };
        Ok(Self { socket, clients: None })
    }

    /// A Unix socket that another process created and passed to this one. Its file stays.
    ///
    /// # Errors
    /// When it cannot be used without blocking.
    pub fn passed_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let socket = Socket::Unix { listener: UnixListener::from_std(listener)?, _file: None };
        Ok(Self { socket, clients: None })
    }

    pub(super) fn tls(&self) -> Option<Arc<rustls::ServerConfig>> {
        match &self.socket {
            Socket::Tcp(_, tls) => tls.clone(),
            Socket::Unix { .. } => None,
        }
    }

    /// The CAs of client certificates, if the listener accepts these.
    pub(super) fn clients(&self) -> Option<Arc<ClientAuthorities>> {
        self.clients.clone()
    }

    /// Waits for the next client.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.socket {
            Socket::Tcp(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer { address: Some(address), secure: tls.is_some() }))
            }
            Socket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), Peer { address: None, secure: false }))
            }
        }
    }
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: id_of(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another process may have replaced it.
        if id_of(&self.path).is_ok_and(|id| id == self.id) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    let found = path.symlink_metadata()?;
    Ok((found.dev(), found.ino()))
}

/// Whether a path is a socket on which no process listens.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = path.symlink_metadata().is_ok_and(|found| found.file_type().is_socket());
    let refused = || {
        std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    is_socket && refused()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &Path) -> Option<io::ErrorKind> {
        Listener::unix(path).err().map(|error| error.kind())
    }

    #[tokio::test]
    async fn only_an_abandoned_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let first = Listener::unix(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(kind(&path), Some(io::ErrorKind::AddrInUse));
        drop(first);
        assert!(!path.exists());
        // As after a kill: the file is there, and no process listens.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert_eq!(kind(&path), None);
        let other = folder.path().join("file");
        std::fs::File::create_new(&other).unwrap();
        assert_eq!(kind(&other), Some(io::ErrorKind::AddrInUse));
        assert!(other.exists());
    }

    #[tokio::test]
    async fn the_socket_of_another_process_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let first = Listener::unix(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let _second = Listener::unix(&path).unwrap();
        drop(first);
        assert!(path.exists());
    }
}

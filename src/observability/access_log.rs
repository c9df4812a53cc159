//! Writes the access log. Requests wait in a bounded queue for the thread that writes them. If it is full, lines are left
//! out and counted: no response waits for the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use registry::server::{Access, AccessLog, Metrics};
use tokio::signal::unix::{SignalKind, signal};

use super::access_line::AccessFormat;
use crate::files::Output;

/// The maximum number of requests that wait to be written.
const QUEUE: usize = 8192;
/// The maximum number of lines in one write.
const BATCH: usize = 512;
/// How often the thread looks for a signal while no request comes.
const TICK: Duration = Duration::from_millis(200);
/// How long the end of the program waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(5);
/// The mode of a new file: requests name users and content.
const MODE: u32 = 0o600;

/// The thread that writes the access log.
pub(super) struct AccessWriter {
    queue: Arc<Queue>,
    flags: Arc<Flags>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Flags {
    reopen: AtomicBool,
    end: AtomicBool,
}

struct Queue {
    requests: SyncSender<Access>,
    metrics: Metrics,
}

impl AccessLog for Queue {
    fn ended(&self, access: Access) {
        if self.requests.try_send(access).is_err() {
            self.metrics.access_log_dropped();
        }
    }
}

impl AccessWriter {
    /// Opens the file, and starts the thread.
    pub(super) fn open(path: &Path, format: AccessFormat, metrics: Metrics) -> anyhow::Result<Self> {
        let target = match Output::of(path)? {
            Output::Stdout => Target::Stdout,
            Output::File(path) => {
                let file = append(path)
                    .with_context(|| format!("cannot write the access log `{}`", path.display()))?;
                Target::File { path: path.to_owned(), file }
            }
        };
        let (requests, inbox) = sync_channel(QUEUE);
        let flags = Arc::new(Flags::default());
        let writing = Writing {
            target,
            format,
            flags: Arc::clone(&flags),
            metrics: metrics.clone(),
            failed: false,
            lost: false,
        };
        let thread =
            std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writing.run(&inbox))?;
        Ok(Self { queue: Arc::new(Queue { requests, metrics }), flags, thread })
    }

    pub(super) fn log(&self) -> Arc<dyn AccessLog> {
        Arc::clone(&self.queue) as Arc<dyn AccessLog>
    }

    /// Reopens the file after each SIGUSR1, which rotation tools send after they renamed it.
    pub(super) fn reopen_on_signal(&self) -> tokio::task::JoinHandle<()> {
        let flags = Arc::clone(&self.flags);
        tokio::spawn(async move {
            let Ok(mut signals) = signal(SignalKind::user_defined1()) else { return };
            while signals.recv().await.is_some() {
                flags.reopen.store(true, Ordering::Relaxed);
            }
        })
    }

    /// Writes the remaining lines, and ends the thread.
    pub(super) async fn finish(self) {
        self.flags.end.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        if tokio::time::timeout(PATIENCE, joined).await.is_err() {
            tracing::warn!("the last lines of the access log were not written in time");
        }
    }
}

/// Where lines are written.
enum Target {
    Stdout,
    File { path: PathBuf, file: File },
}

/// The state of the thread.
struct Writing {
    target: Target,
    format: AccessFormat,
    flags: Arc<Flags>,
    metrics: Metrics,
    /// Whether the last write or reopening failed, so that an error that lasts is logged once.
    failed: bool,
    lost: bool,
}

impl Writing {
    fn run(mut self, inbox: &Receiver<Access>) {
        loop {
            // Read before the queue: what was queued before the end is written.
            let ends = self.flags.end.load(Ordering::Relaxed);
            let first = inbox.recv_timeout(if ends { Duration::ZERO } else { TICK });
            if self.flags.reopen.swap(false, Ordering::Relaxed) || self.target.is_moved() {
                self.reopen();
            }
            match first {
                Ok(first) => {
                    let lines = std::iter::once(first).chain(inbox.try_iter().take(BATCH - 1));
                    let lines: Vec<String> = lines.map(|access| self.format.line(&access)).collect();
                    self.write(&lines);
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if ends => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Opens the path again. If that fails, lines are still written to the old file.
    fn reopen(&mut self) {
        let reopened = self.target.reopen();
        if let Err(error) = &reopened
            && !self.lost
        {
            tracing::error!(%error, "cannot reopen the access log");
        }
        self.lost = reopened.is_err();
    }

    /// Writes lines. If that fails, they are lost, and the error is logged once.
    fn write(&mut self, lines: &[String]) {
        let written = self.target.write(&lines.concat());
        if let Err(error) = &written {
            for _ in lines {
                self.metrics.access_log_dropped();
            }
            if !self.failed {
                tracing::error!(%error, "cannot write the access log");
            }
        }
        self.failed = written.is_err();
    }
}

impl Target {
    fn write(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()
            }
            Self::File { file, .. } => file.write_all(text.as_bytes()),
        }
    }

    /// Whether the path no longer names the open file.
    fn is_moved(&self) -> bool {
        let Self::File { path, file } = self else { return false };
        let identity = |found: &std::fs::Metadata| (found.dev(), found.ino());
        let named = path.metadata().ok().map(|found| identity(&found));
        named != file.metadata().ok().map(|found| identity(&found))
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self {
            *file = append(path)?;
        }
        Ok(())
    }
}

/// Opens a file to append to it, so that it may be truncated meanwhile. The mode of an existing file stays: it may be meant
/// for a group.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::observability::access_line::tests::access;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    fn wait_for(reason: &str, condition: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !condition() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{reason}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[tokio::test]
    async fn a_renamed_file_is_reopened_and_no_line_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let writer = AccessWriter::open(&path, AccessFormat::Json, Metrics::default()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        writer.log().ended(access("/one"));
        wait_for("the first line", || text(&path).contains("/one"));
        std::fs::rename(&path, &old).unwrap();
        wait_for("the new file", || path.exists());
        writer.log().ended(access("/two"));
        writer.finish().await;
        assert!(text(&old).contains("/one") && !text(&old).contains("/two"));
        assert!(text(&path).contains("/two") && !text(&path).contains("/one"));
    }

    #[tokio::test]
    async fn a_signal_reopens_the_file_and_an_existing_one_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        std::fs::write(&path, "before\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let writer = AccessWriter::open(&path, AccessFormat::Combined, Metrics::default()).unwrap();
        writer.flags.reopen.store(true, Ordering::Relaxed);
        wait_for("the flag", || !writer.flags.reopen.load(Ordering::Relaxed));
        writer.log().ended(access("/one"));
        writer.finish().await;
        assert!(text(&path).starts_with("before\n192.0.2.1 - "), "{}", text(&path));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_full_queue_drops_lines_and_counts_them() {
        let (requests, inbox) = sync_channel(2);
        let queue = Queue { requests, metrics: Metrics::default() };
        let telemetry = telemetry::Telemetry::default();
        telemetry.register(|registry| queue.metrics.register(registry, None));
        (0..5).for_each(|_| queue.ended(access("/")));
        assert_eq!(inbox.try_iter().count(), 2);
        assert!(telemetry.text().contains("airlock_registry_access_log_dropped_total 3\n"));
    }

    #[test]
    fn a_device_or_folder_is_no_access_log() {
        for path in ["/dev/null", "/"] {
            assert!(
                AccessWriter::open(Path::new(path), AccessFormat::Json, Metrics::default()).is_err(),
                "{path}"
            );
        }
    }
}

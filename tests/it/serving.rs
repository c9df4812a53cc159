//! `airlock serve`: a registry in another process, its configuration file, and its reloads.

mod backup;
mod certificates;
mod check;
#[cfg(feature = "slow-tests")]
mod full_disk;
mod health;
#[cfg(feature = "slow-tests")]
mod kills;
mod ldap;
mod oidc;
mod passed;
mod policies;
mod reload;
mod space;
#[path = "../../registry/tests/support/tokens.rs"]
mod tokens;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cli::AIRLOCK;

/// Password files of `ann`, with the passwords `one` and `two`.
pub(crate) const ONE: &str = "ann:$2b$04$abcdefghijklmnopqrstuuuiMd1XkP3MYkehzxpPHB6m5Tr0FZSYG\n";
pub(crate) const TWO: &str = "ann:$2b$04$abcdefghijklmnopqrstuuIHDRnKw4Zdb/3/EAZQMg/2vwJPJBL7u\n";

/// How long a test waits for another process.
const PATIENCE: Duration = Duration::from_secs(30);

/// A registry that is killed with the test.
struct Registry {
    child: Child,
    urls: Vec<String>,
    log: PathBuf,
}

impl Registry {
    fn start(path: &Path, arguments: &[&str]) -> Self {
        let (address, log) = (path.join("address"), path.join("stderr"));
        let _ = std::fs::remove_file(&address);
        let child = Command::new(AIRLOCK)
            .args(["serve", "--address-file", "address"])
            .args(arguments)
            .current_dir(path)
            .env_clear()
            .env("HOME", path)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut registry = Self { child, urls: Vec::new(), log };
        registry.until("it serves", || address.exists());
        let urls = std::fs::read_to_string(&address).unwrap();
        registry.urls = urls.lines().map(str::to_owned).collect();
        registry
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; it said: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Everything on its standard error.
    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Does something, and waits until the registry has said these words once more.
    fn says_after(&self, words: &str, action: impl FnOnce()) {
        let count = || self.said().matches(words).count();
        let before = count();
        action();
        self.until(words, || count() > before);
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    fn hangup(&self, words: &str) {
        self.says_after(words, || self.signal("HUP"));
    }

    fn address(&self, number: usize) -> &str {
        self.urls[number].split_once("://").unwrap().1
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address(0)).unwrap()
    }

    /// The status of a request over plain HTTP.
    fn status(&self, method: &str, path: &str, user: Option<(&str, &str)>) -> u16 {
        status(self.connect(), method, path, user)
    }

    /// Stops it, which must succeed.
    fn stop(mut self) {
        self.signal("TERM");
        assert!(self.child.wait().unwrap().success(), "{}", self.said());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status of a request on a new connection.
pub(crate) fn status(
    mut stream: impl std::io::Read + std::io::Write,
    method: &str,
    path: &str,
    user: Option<(&str, &str)>,
) -> u16 {
    let secret = user.map(|(name, password)| STANDARD.encode(format!("{name}:{password}")));
    let secret = secret.map(|secret| format!("authorization: Basic {secret}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n{secret}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer)[9..12].parse().unwrap()
}

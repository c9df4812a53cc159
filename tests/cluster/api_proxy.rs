//! A proxy between a controller and the API server. It counts requests, kills the controller at one of them, and shows it
//! only the objects of its own cluster, so that many controllers can be tested with one API server.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// The proxy.
pub(crate) struct ApiProxy {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The cluster whose objects are shown, or a label if `by_label` is set.
    cluster: String,
    /// Show the objects of all clusters that have the label.
    by_label: bool,
    /// The number of requests by method and resource.
    kinds: BTreeMap<String, usize>,
    /// The process to kill, the number of the request, and the word that the request must contain.
    victim: Option<(u32, usize, String)>,
    /// The number of such requests so far.
    counted: usize,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    /// The controller is killed, and the request does not arrive.
    Lost,
    /// The request arrives, and the response is lost.
    Unanswered,
}

impl ApiProxy {
    /// A proxy to `upstream`, which uses plain HTTP, for one cluster.
    pub(crate) fn new(upstream: u16, cluster: &str) -> Self {
        Self::of(upstream, State { cluster: cluster.to_owned(), ..State::default() })
    }

    /// A proxy for all clusters whose objects have this label.
    pub(crate) fn labelled(upstream: u16, label: &str) -> Self {
        Self::of(upstream, State { cluster: label.to_owned(), by_label: true, ..State::default() })
    }

    fn of(upstream: u16, state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || relay(client, upstream, &state));
            }
        });
        Self { port, state }
    }

    /// A kubeconfig for this proxy.
    pub(crate) fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: t, cluster: {{server: 'http://127.0.0.1:{}'}}}}]\n\
             users: [{{name: a, user: {{}}}}]\ncontexts: [{{name: t, context: {{cluster: t, user: a}}}}]\ncurrent-context: t\n",
            self.port
        )
    }

    /// Kills a process at the n-th request from now on, counted from 1, whose path contains this word.
    pub(crate) fn kill_at(&self, process: u32, at: usize, word: &str) {
        let mut state = self.lock();
        (state.counted, state.victim) = (0, Some((process, at, word.to_owned())));
    }

    /// Cancels [`Self::kill_at`].
    pub(crate) fn cancel(&self) {
        self.lock().victim = None;
    }

    /// Whether the process was killed.
    pub(crate) fn has_killed(&self) -> bool {
        self.lock().victim.is_none()
    }

    /// Shows the objects of all clusters from now on.
    pub(crate) fn show_all(&self) {
        self.lock().cluster.clear();
    }

    /// The number of requests since the last call, by method and resource.
    pub(crate) fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.lock().kinds)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn relay(mut client: TcpStream, upstream: u16, state: &Mutex<State>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", upstream)) else { return };
    let (mut back, mut responses) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let down = std::thread::spawn(move || {
        let _ = std::io::copy(&mut responses, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut rest = Vec::new();
    while let Some((line, request)) = next(&mut client, &mut rest) {
        let fate = decide(&line, state);
        if fate == Fate::Lost {
            break;
        }
        let request = narrowed(request, &state.lock().unwrap_or_else(PoisonError::into_inner));
        if server.write_all(&request).is_err() || fate == Fate::Unanswered {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
    let _ = client.shutdown(Shutdown::Read);
    let _ = down.join();
}

/// Reads the next request; returns its first line and all its bytes.
fn next(client: &mut TcpStream, rest: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let mut piece = [0; 16 << 10];
    loop {
        if let Some(head) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&rest[..head]).into_owned();
            let length = text.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            let whole = head + 4 + length.unwrap_or_default();
            if rest.len() >= whole {
                let request = rest.drain(..whole).collect();
                return Some((text.lines().next()?.to_owned(), request));
            }
        }
        let got = client.read(&mut piece).ok()?;
        if got == 0 {
            return None;
        }
        rest.extend_from_slice(&piece[..got]);
    }
}

/// Whether a request is part of an operation, and not one that every controller sends all the time.
fn is_work(line: &str) -> bool {
    let quiet = [
        "watch=true",
        "/leases",
        "limit=500",
        "admissionregistration",
        "airlock-webhook",
        "trustpolicies",
        "/version",
        "/events",
    ];
    !quiet.iter().any(|quiet| line.contains(quiet))
}

/// The method and the resource of a request.
fn kind(line: &str) -> String {
    let (method, path) = line.split_once(' ').unwrap_or_default();
    let (path, query) = path.split(' ').next().unwrap_or_default().split_once('?').unwrap_or((path, ""));
    let mut parts = path.trim_end_matches(" HTTP/1.1").split('/').skip(1);
    let skipped = if parts.next() == Some("api") { 1 } else { 2 };
    let mut parts = parts.skip(skipped).peekable();
    if parts.peek() == Some(&"namespaces") {
        parts.next();
        parts.next();
    }
    let resource = parts.next().unwrap_or("namespaces");
    let watch = if query.contains("watch=true") { " watch" } else { "" };
    format!("{method} {resource}{watch}")
}

fn decide(line: &str, state: &Mutex<State>) -> Fate {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    *state.kinds.entry(kind(line)).or_default() += 1;
    if !is_work(line) {
        return Fate::Passes;
    }
    let Some((process, at, word)) = state.victim.clone() else { return Fate::Passes };
    if !line.contains(&word) {
        return Fate::Passes;
    }
    state.counted += 1;
    if state.counted != at {
        return Fate::Passes;
    }
    state.victim = None;
    // At every other point, the request still arrives.
    let arrives = at % 2 == 0;
    if !arrives {
        end(process);
        return Fate::Lost;
    }
    // The process is killed while the request is in transit.
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(15));
        end(process);
    });
    Fate::Unanswered
}

fn end(process: u32) {
    let _ = Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status();
}

/// Narrows lists and watches of shared resources to one cluster, and hides webhook configurations.
fn narrowed(request: Vec<u8>, state: &State) -> Vec<u8> {
    const PACKAGES: &str = "/apis/packages.eks.amazonaws.com/v1alpha1/";
    let end = request.iter().position(|byte| *byte == b'\n').unwrap();
    let line = String::from_utf8_lossy(&request[..end]).into_owned();
    let mut narrow = line.replace("/apis/admissionregistration.k8s.io/", "/apis/nothing.example/");
    let cluster = &state.cluster;
    if !cluster.is_empty() {
        let (packages, settings) = if state.by_label {
            let selector = format!("labelSelector={cluster}");
            (format!("packages?{selector}&"), format!("packagebundlecontrollers?{selector}&"))
        } else {
            (
                format!("namespaces/eksa-packages-{cluster}/packages?"),
                format!("packagebundlecontrollers?fieldSelector=metadata.name%3D{cluster}&"),
            )
        };
        narrow = narrow
            .replace(&format!("GET {PACKAGES}packages?"), &format!("GET {PACKAGES}{packages}"))
            .replace(
                &format!("GET {PACKAGES}packagebundlecontrollers?"),
                &format!("GET {PACKAGES}{settings}"),
            );
    }
    if narrow == line {
        return request;
    }
    [narrow.as_bytes(), &request[end..]].concat()
}

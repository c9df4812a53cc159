//! Something between a controller and the API server: it counts requests, ends the controller at one of them, and
//! shows it only what is of its own cluster, so that many controllers can be tried on one API server.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// What is between.
pub(crate) struct Between {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The one cluster whose objects are shown.
    cluster: String,
    /// Instead, objects with a label of that name are shown, of many clusters.
    by_label: bool,
    /// Requests by method and kind of path.
    kinds: BTreeMap<String, usize>,
    /// The process to end, and at which request that has this word.
    victim: Option<(u32, usize, String)>,
    /// How many of those there were.
    counted: usize,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    /// The controller is ended, and the request never arrives.
    Lost,
    /// The request arrives, and nobody gets the answer.
    Unanswered,
}

impl Between {
    /// Between controllers and `upstream`, which is plain HTTP.
    pub(crate) fn new(upstream: u16, cluster: &str) -> Self {
        Self::of(upstream, State { cluster: cluster.to_owned(), ..State::default() })
    }

    /// The same for all clusters whose objects have this label.
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

    /// A kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: t, cluster: {{server: 'http://127.0.0.1:{}'}}}}]\n\
             users: [{{name: a, user: {{}}}}]\ncontexts: [{{name: t, context: {{cluster: t, user: a}}}}]\ncurrent-context: t\n",
            self.port
        )
    }

    /// Ends a process at the n-th request with this word in its path that comes from now on, the first being 1.
    pub(crate) fn ends(&self, process: u32, at: usize, word: &str) {
        let mut state = self.lock();
        (state.counted, state.victim) = (0, Some((process, at, word.to_owned())));
    }

    /// Ends nothing any more.
    pub(crate) fn spares(&self) {
        self.lock().victim = None;
    }

    /// Whether the process was ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().victim.is_none()
    }

    /// Shows all clusters' objects from now on.
    pub(crate) fn shows_all(&self) {
        self.lock().cluster.clear();
    }

    /// How many requests there were since the last time, by method and resource.
    pub(crate) fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.lock().kinds)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn relay(mut client: TcpStream, upstream: u16, state: &Mutex<State>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", upstream)) else { return };
    let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let down = std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut rest = Vec::new();
    while let Some((line, request)) = next(&mut client, &mut rest) {
        let fate = judge(&line, state);
        if fate == Fate::Lost {
            break;
        }
        let request = shown(request, &state.lock().unwrap_or_else(PoisonError::into_inner));
        if server.write_all(&request).is_err() || fate == Fate::Unanswered {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
    let _ = client.shutdown(Shutdown::Read);
    let _ = down.join();
}

/// The next request: its first line, and all its bytes.
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

/// What every controller asks all the time, whatever it works on.
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

/// The method and the resource: the part of the path that is in the plural.
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

fn judge(line: &str, state: &Mutex<State>) -> Fate {
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
    // Every other time the request is done all the same.
    let arrives = at % 2 == 0;
    if !arrives {
        end(process);
        return Fate::Lost;
    }
    // It is on its way when the process ends.
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(15));
        end(process);
    });
    Fate::Unanswered
}

fn end(process: u32) {
    let _ = Command::new("kill").args(["-9", &process.to_string()]).stderr(Stdio::null()).status();
}

/// Lists and watches of what all clusters share are narrowed to one; webhooks are nobody's affair here.
fn shown(request: Vec<u8>, state: &State) -> Vec<u8> {
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

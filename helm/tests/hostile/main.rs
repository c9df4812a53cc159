//! Hostile charts: each must end within two seconds of processor time and 256 MiB, without a crash.
//!
//! Each case runs in a separate process: this test binary starts itself again and reports the cost.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed setup fails its test")]

mod archives;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use helm::{Chart, Error, Limits, Options, render};

/// The maximum cost of a case.
const PROCESSOR: Duration = Duration::from_secs(2);
const MEMORY: u64 = 256 << 20;
/// The time limit of a render, which stops the cases that would run for hours.
const TIME: Duration = Duration::from_secs(1);
/// After this time the parent kills a child, even on a busy machine.
const CHILD_TIMEOUT: Duration = Duration::from_mins(1);
/// The minimum number of cases.
const MIN_CASES: usize = 250;

/// The environment variable with the case that the child runs.
const CASE: &str = "HOSTILE_CASE";

/// The expected end of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
enum End {
    /// An error that contains this text.
    Error(String),
    /// Success or any error.
    Any,
}

struct Case {
    name: String,
    end: End,
    template: String,
}

/// The templates of `data/hostile.txt`.
fn templates() -> Vec<Case> {
    let text = include_str!("../data/hostile.txt");
    let (mut section, mut number, mut cases) = ("", 0, Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("== ") {
            (section, number) = (name, 0);
        } else if !line.is_empty() && !line.starts_with('#') {
            let end = match line.strip_prefix("error") {
                Some(text) => End::Error(text.trim().to_owned()),
                None => End::Any,
            };
            number += 1;
            let template = lines.next().unwrap().replace('↵', "\n");
            cases.push(Case { name: format!("{section}-{number}"), end, template });
        }
    }
    cases
}

/// The report of the child.
#[derive(Debug)]
struct Cost {
    /// The error text, if any.
    error: Option<String>,
    processor: Duration,
    memory: u64,
}

fn limits() -> Limits {
    Limits { time: TIME, ..Limits::default() }
}

fn text(name: &str, content: &str) -> (String, Vec<u8>) {
    (name.to_owned(), content.as_bytes().to_vec())
}

/// A chart with one template.
fn chart(template: &str) -> Vec<(String, Vec<u8>)> {
    vec![
        text("Chart.yaml", "apiVersion: v2\nname: conf\nversion: 1.0.0\n"),
        text("values.yaml", "list: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\nmap: {a: {b: {c: d}}}\n"),
        (format!("{}b", "a".repeat(40)), b"x".to_vec()),
        ("big.txt".to_owned(), vec![b'x'; 5_000_000]),
        text("templates/case.yaml", template),
    ]
}

fn render_files(files: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
    render_within(files, &limits())
}

fn render_within(files: Vec<(String, Vec<u8>)>, limits: &Limits) -> Result<(), Error> {
    let chart = Chart::from_files(files, limits)?;
    let mut options = Options::new("rel", "space", [7; 32], Duration::from_secs(1_767_323_045));
    options.limits = limits.clone();
    render(&chart, &options).map(drop)
}

fn render_chart(chart: &Chart) -> Result<(), Error> {
    let mut options = Options::new("rel", "space", [7; 32], Duration::from_secs(1_767_323_045));
    options.limits = limits();
    render(chart, &options).map(drop)
}

/// The error with all its sources.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// The processor time of all threads of this process.
fn processor() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let run = tasks.map(|task| {
        let line = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        line.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(run.sum())
}

/// The peak memory of this process.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Runs the case of this process; does nothing in the parent.
#[test]
fn child() {
    let Ok(name) = env::var(CASE) else { return };
    let before = processor();
    let result = match templates().into_iter().find(|case| case.name == name) {
        Some(case) => render_files(chart(&case.template)),
        None => archives::run_archive(&name),
    };
    let cost = (processor().saturating_sub(before)).as_nanos();
    // Only both ends of the text, which can be long.
    let shown = |error: &Error| {
        let text: Vec<char> = with_causes(error).chars().collect();
        let (from, to) = (text.len().min(300), text.len().saturating_sub(300).max(text.len().min(300)));
        text.iter().take(from).chain(text.iter().skip(to)).collect::<String>()
    };
    let error = result.as_ref().err().map(shown);
    let report = serde_json::json!({"error": error, "processor": cost, "memory": memory()});
    writeln!(std::io::stdout(), "\ncost {report}").unwrap();
}

/// The cost of a case in a separate process. An error describes how that process died.
fn cost(name: &str) -> Result<Cost, String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(CASE, name)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > CHILD_TIMEOUT {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err("does not end".to_owned());
        }
        thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&stdout);
    let Some(line) = stdout.lines().find_map(|line| line.strip_prefix("cost ")) else {
        let tail: Vec<u8> = stderr.iter().rev().take(400).rev().copied().collect();
        return Err(format!("died with {status}: {}", String::from_utf8_lossy(&tail)));
    };
    let report: serde_json::Value = serde_json::from_str(line).unwrap();
    Ok(Cost {
        error: report["error"].as_str().map(str::to_owned),
        processor: Duration::from_nanos(report["processor"].as_u64().unwrap()),
        memory: report["memory"].as_u64().unwrap(),
    })
}

/// Runs a case and describes what is wrong with its end.
fn problem(name: &str, end: &End) -> Option<String> {
    let cost = match cost(name) {
        Ok(cost) => cost,
        Err(death) => return Some(death),
    };
    let error = cost.error.as_deref();
    let mut problems = Vec::new();
    if cost.processor > PROCESSOR {
        problems.push(format!("takes {:?} of processor time", cost.processor));
    }
    if cost.memory > MEMORY {
        problems.push(format!("uses {} MiB", cost.memory >> 20));
    }
    match (end, error) {
        (End::Error(_), None) => problems.push("is not rejected".to_owned()),
        (End::Error(expected), Some(text)) if !text.contains(expected.as_str()) => {
            problems.push(format!("the error is {text:.200?}, without {expected:?}"));
        }
        _ => {}
    }
    (!problems.is_empty()).then(|| format!("{} ({error:.100?})", problems.join(", ")))
}

/// The problems of all cases, found by as many processes as there are processors.
fn problems(cases: Vec<(String, End, String)>) -> Vec<String> {
    let queue = Mutex::new(cases);
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, end, shown)) = { queue.lock().unwrap().pop() } {
                    if let Some(problem) = problem(&name, &end) {
                        found.lock().unwrap().push(format!("{name} {shown:.300}\n    {problem}"));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    found
}

#[test]
fn a_hostile_template_ends() {
    let only = env::var("HOSTILE_ONLY").unwrap_or_default();
    let cases = templates();
    assert!(cases.len() >= MIN_CASES, "only {} cases", cases.len());
    let chosen = cases.into_iter().filter(|case| case.name.starts_with(&only));
    let found = problems(chosen.map(|case| (case.name, case.end, case.template)).collect());
    assert!(found.is_empty(), "{} cases fail:\n{}", found.len(), found.join("\n"));
}

/// Calls every function with numbers at the ends of their range, strings that are not UTF-8, and wrong types.
#[test]
fn no_function_panics() {
    let few = [
        "-9223372036854775808",
        "9223372036854775807",
        "0",
        "\"\"",
        "(b64dec \"//4=\")",
        "nil",
        "(list nil)",
    ];
    let odd = [
        "1e308",
        "\"x\"",
        "(dict \"a\" nil)",
        "true",
        ".Files",
        "\"-9223372036854775808\"",
        "(toDate \"2006\" \"9999\")",
    ];
    let names = include_str!("../data/conformance/functions.txt").lines();
    // These functions generate keys and passwords, which is expensive. Other cases cover them.
    let names = names
        .filter(|name| !name.starts_with("gen") && !["bcrypt", "htpasswd", "derivePassword"].contains(name));
    let mut templates = Vec::new();
    for name in names {
        templates.extend(few.iter().chain(&odd).map(|a| format!("{{{{ {name} {a} }}}}")));
        templates.extend(
            few.iter().chain(&odd).flat_map(|a| few.iter().map(move |b| format!("{{{{ {name} {a} {b} }}}}"))),
        );
        templates.extend(
            few.iter().flat_map(|a| few.iter().map(move |b| format!("{{{{ {name} {a} {b} \"aż\" }}}}"))),
        );
        templates
            .extend(few.iter().flat_map(|a| few.iter().map(move |b| format!("{{{{ {name} {a} 1 {b} }}}}"))));
    }
    let metadata = [text("Chart.yaml", METADATA)];
    for template in templates {
        let files = metadata.iter().cloned().chain([text("templates/case.yaml", &template)]).collect();
        let mut options = limits();
        options.steps = 100_000;
        let result = std::panic::catch_unwind(|| render_within(files, &options));
        assert!(result.is_ok(), "{template} panics");
    }
}

const METADATA: &str = "apiVersion: v2\nname: conf\nversion: 1.0.0\n";

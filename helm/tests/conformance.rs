//! Compares every function, verb and construct of templates with the results of real Helm 4.
//!
//! `data/conformance/goldens.jsonl` holds the results. `make.py` in the same directory generates them from the cases in
//! `cases.txt`. Each case is rendered alone, in the chart of the directory `chart`, in the same way as `make.py` does.

#![expect(clippy::unwrap_used, reason = "a failed setup fails its test")]

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helm::{Chart, KubeVersion, Limits, Options, render};
use serde::Deserialize;
use tempfile::TempDir;

/// The minimum number of cases.
const MIN_CASES: usize = 5000;
/// The minimum number of error texts that equal Helm's.
const MIN_SAME_TEXTS: usize = 1576;
/// 2026-01-02 03:04:05 UTC
const NOW: Duration = Duration::from_secs(1_767_323_045);

/// The first line of the golden file.
#[derive(Deserialize)]
struct Head {
    helm: String,
    cases: usize,
}

/// Helm's result for one case.
#[derive(Deserialize)]
struct Golden {
    id: String,
    source: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// The value as text, through `toJson` and through `printf "%T"`, or the error.
#[derive(Deserialize, Default, PartialEq, Eq, Clone)]
#[serde(default)]
struct Outcome {
    text: Option<String>,
    text_base64: Option<String>,
    json: Option<String>,
    r#type: Option<String>,
    error: Option<String>,
    /// The error occurs only if the case is included from another template.
    included: bool,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conformance")
}

fn goldens() -> (Head, Vec<Golden>) {
    let text = fs::read_to_string(folder().join("goldens.jsonl")).unwrap();
    let mut lines = text.lines();
    let head = serde_json::from_str(lines.next().unwrap()).unwrap();
    (head, lines.map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// A copy of the chart around the cases, which gets one case at a time.
struct Workspace {
    folder: TempDir,
}

impl Workspace {
    fn new() -> Self {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                let copied = to.join(path.file_name().unwrap());
                if path.is_dir() { copy(&path, &copied) } else { fs::copy(&path, &copied).map(drop).unwrap() }
            }
        }
        let workspace = Self { folder: TempDir::new().unwrap() };
        copy(&folder().join("chart"), &workspace.chart());
        workspace
    }

    fn chart(&self) -> PathBuf {
        self.folder.path().join("conf")
    }

    /// The manifest of the chart with these additional templates, or the error text.
    fn render(&self, templates: &[(&str, String)]) -> Result<String, String> {
        let path = |name: &str| self.chart().join("templates").join(name);
        for (name, text) in templates {
            fs::write(path(name), text).unwrap();
        }
        let limits = Limits::default();
        let mut options = Options::new("rel", "space", [7; 32], NOW);
        options.capabilities.kube_version = KubeVersion::parse("v1.33.4").unwrap();
        let versions = ["example.com/v1", "example.com/v1/Thing"].map(str::to_owned);
        options.capabilities.api_versions.extend(versions);
        let rendered =
            Chart::from_directory(&self.chart(), &limits).and_then(|chart| render(&chart, &options));
        for (name, _) in templates {
            fs::remove_file(path(name)).unwrap();
        }
        rendered.map(|rendered| rendered.manifest_text()).map_err(|error| error.to_string())
    }
}

/// The reasons in `accepted.txt`, by the source of the case.
fn accepted() -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder().join("accepted.txt")).unwrap();
    let mut reason = String::new();
    let mut sources = BTreeMap::new();
    for line in text.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            text.clone_into(&mut reason);
        } else if !line.is_empty() {
            sources.insert(line.replace('↵', "\n"), reason.clone());
        }
    }
    sources
}

/// How the engine's outcome compares with Helm's.
enum Verdict {
    /// The same value, or an error in both cases; `text` says whether the error texts are equal.
    Same { text: bool },
    /// The differences.
    Different(String),
}

fn judge(helm: &Outcome, ours: &Outcome) -> Verdict {
    match (&helm.error, &ours.error) {
        (Some(theirs), Some(ours)) => Verdict::Same { text: theirs == ours },
        (None, None) if helm == ours => Verdict::Same { text: true },
        _ => {
            let pairs = [
                ("error", &helm.error, &ours.error),
                ("text", &helm.text, &ours.text),
                ("bytes", &helm.text_base64, &ours.text_base64),
                ("json", &helm.json, &ours.json),
                ("type", &helm.r#type, &ours.r#type),
            ];
            let different = pairs.iter().filter(|(_, helms, ours)| helms != ours);
            let lines = different.map(|(part, helms, ours)| {
                format!("    {part}: Helm {helms:?}\n    {part}: ours {ours:?}\n")
            });
            Verdict::Different(lines.collect())
        }
    }
}

/// The engine's outcome for one case, determined as `make.py` determines Helm's.
fn outcome(workspace: &Workspace, golden: &Golden) -> Outcome {
    let source = &golden.source;
    if golden.outcome.error.is_some() && !golden.outcome.included {
        let whole = if source.contains("{{") { source.clone() } else { format!("{{{{ {source} }}}}") };
        return match workspace.render(&[("case.yaml", whole)]) {
            Ok(out) => Outcome { text: Some(out), ..Outcome::default() },
            Err(error) => Outcome { error: Some(error), ..Outcome::default() },
        };
    }
    let parts = if golden.outcome.r#type.is_some() {
        // The goldens have no JSON for a string: it would repeat the text.
        let is_string = golden.outcome.r#type.as_deref() == Some("string");
        let json = if is_string { String::new() } else { format!("{{{{ toJson ({source}) }}}}") };
        [format!("{{{{ {source} }}}}"), json, format!("{{{{ printf \"%T\" ({source}) }}}}")]
    } else if source.contains("{{") {
        [source.clone(), String::new(), String::new()]
    } else {
        [format!("{{{{ {source} }}}}"), String::new(), String::new()]
    };
    let [case, json, r#type] = parts;
    let out = ["case", "json", "type"]
        .map(|part| format!("{part}: \"{{{{ include \"conf/templates/_{part}.tpl\" . | b64enc }}}}\"\n"))
        .concat();
    let files = [("_case.tpl", case), ("_json.tpl", json), ("_type.tpl", r#type), ("out.yaml", out)];
    match workspace.render(&files) {
        Ok(out) => values(&out),
        Err(error) => Outcome { error: Some(error), ..Outcome::default() },
    }
}

/// The decoded values of `out.yaml`.
fn values(out: &str) -> Outcome {
    let part = |name: &str| {
        let line = out.lines().find_map(|line| line.strip_prefix(&format!("{name}: \""))).unwrap();
        STANDARD.decode(line.strip_suffix('"').unwrap()).unwrap()
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|error| STANDARD.encode(error.into_bytes()));
    let some = |bytes: Vec<u8>| text(bytes).ok().filter(|text| !text.is_empty());
    let (text, text_base64) = match text(part("case")) {
        Ok(text) => (Some(text), None),
        Err(encoded) => (None, Some(encoded)),
    };
    Outcome { text, text_base64, json: some(part("json")), r#type: some(part("type")), ..Outcome::default() }
}

/// Compares every `step`th case.
fn judge_every(goldens: &[Golden], from: usize, step: usize) -> Vec<(&Golden, Verdict)> {
    let workspace = Workspace::new();
    let some = goldens.iter().skip(from).step_by(step);
    some.map(|golden| {
        let ours = catch_unwind(|| outcome(&workspace, golden));
        let panics = |_| Verdict::Different("    the engine panics\n".to_owned());
        (golden, ours.map_or_else(panics, |ours| judge(&golden.outcome, &ours)))
    })
    .collect()
}

/// The cases on which the engine and Helm differ, and the number of errors with the same text.
fn differences(goldens: &[Golden]) -> (Vec<(&Golden, String)>, usize) {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let judged: Vec<_> = thread::scope(|scope| {
        let start = |from| scope.spawn(move || judge_every(goldens, from, workers));
        let handles: Vec<_> = (0..workers).map(start).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    let mut same_texts = 0;
    let mut found = Vec::new();
    for (golden, verdict) in judged {
        match verdict {
            Verdict::Same { text } => same_texts += usize::from(text && golden.outcome.error.is_some()),
            Verdict::Different(text) => found.push((golden, text)),
        }
    }
    (found, same_texts)
}

#[test]
fn templates_render_as_they_do_in_helm() {
    let (head, goldens) = goldens();
    assert_eq!(goldens.len(), head.cases, "the golden file is truncated");
    assert!(goldens.len() >= MIN_CASES, "only {} cases", goldens.len());
    let mut accepted = accepted();
    let (found, same_texts) = differences(&goldens);
    let errors = goldens.iter().filter(|golden| golden.outcome.error.is_some()).count();
    println!(
        "{} cases of Helm {}, {errors} of them errors, {same_texts} with the same text",
        goldens.len(),
        head.helm
    );
    let mut unexpected = 0;
    for (golden, text) in &found {
        if let Some(reason) = accepted.remove(&golden.source) {
            println!("accepted: {} {:?}: {reason}", golden.id, golden.source);
        } else {
            unexpected += 1;
            println!("{} {:?}\n{text}", golden.id, golden.source);
        }
    }
    assert_eq!(unexpected, 0, "of {} cases differ from Helm", goldens.len());
    assert!(accepted.is_empty(), "these no longer differ: {accepted:?}");
    assert!(same_texts >= MIN_SAME_TEXTS, "only {same_texts} errors have Helm's text");
}

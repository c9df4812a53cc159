//! Every function, verb and construct of templates against what real Helm 4 made of them.
//!
//! `data/conformance/goldens.jsonl` holds the answers, `make.py` beside it makes them; the cases are written in
//! `cases.txt`. Each case is rendered alone, in the chart of the folder `chart`, as `make.py` had Helm render it.

#![expect(clippy::unwrap_used, reason = "a rig that cannot be built fails its test")]

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

/// Fewer cases than this prove too little.
const FLOOR: usize = 5000;
/// Fewer error texts than this in Helm's own words are a step back.
const SAME_WORDS: usize = 1576;
/// 2026-01-02 03:04:05 UTC
const NOW: Duration = Duration::from_secs(1_767_323_045);

/// The first line of the goldens.
#[derive(Deserialize)]
struct Head {
    helm: String,
    cases: usize,
}

/// What Helm made of one case.
#[derive(Deserialize)]
struct Golden {
    id: String,
    source: String,
    #[serde(flatten)]
    answer: Answer,
}

/// The value as text, through `toJson` and through `printf "%T"`, or why there is none.
#[derive(Deserialize, Default, PartialEq, Eq, Clone)]
#[serde(default)]
struct Answer {
    text: Option<String>,
    text_base64: Option<String>,
    json: Option<String>,
    r#type: Option<String>,
    error: Option<String>,
    /// The error comes only where the case is included.
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

/// A copy of the chart around the cases, to put one case at a time into.
struct Rig {
    folder: TempDir,
}

impl Rig {
    fn new() -> Self {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                let copied = to.join(path.file_name().unwrap());
                if path.is_dir() { copy(&path, &copied) } else { fs::copy(&path, &copied).map(drop).unwrap() }
            }
        }
        let rig = Self { folder: TempDir::new().unwrap() };
        copy(&folder().join("chart"), &rig.chart());
        rig
    }

    fn chart(&self) -> PathBuf {
        self.folder.path().join("conf")
    }

    /// The manifest of the chart with these templates more, or the error's text.
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

/// The reasons of `accepted.txt`, by the source of the case.
fn accepted() -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder().join("accepted.txt")).unwrap();
    let mut reason = String::new();
    let mut sources = BTreeMap::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# ") {
            words.clone_into(&mut reason);
        } else if !line.is_empty() {
            sources.insert(line.replace('↵', "\n"), reason.clone());
        }
    }
    sources
}

/// How the engine's answer stands beside Helm's.
enum Verdict {
    /// The same value, or both refuse; whether in the same words.
    Same { words: bool },
    /// What differs.
    Different(String),
}

fn judge(helm: &Answer, ours: &Answer) -> Verdict {
    match (&helm.error, &ours.error) {
        (Some(theirs), Some(words)) => Verdict::Same { words: theirs == words },
        (None, None) if helm == ours => Verdict::Same { words: true },
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
                format!("    {part}: Helm {helms:?}\n    {part}: here {ours:?}\n")
            });
            Verdict::Different(lines.collect())
        }
    }
}

/// The engine's answer to one case, found as `make.py` finds Helm's.
fn answer(rig: &Rig, golden: &Golden) -> Answer {
    let source = &golden.source;
    if golden.answer.error.is_some() && !golden.answer.included {
        let whole = if source.contains("{{") { source.clone() } else { format!("{{{{ {source} }}}}") };
        return match rig.render(&[("case.yaml", whole)]) {
            Ok(out) => Answer { text: Some(out), ..Answer::default() },
            Err(error) => Answer { error: Some(error), ..Answer::default() },
        };
    }
    let parts = if golden.answer.r#type.is_some() {
        // What is a string has no JSON among the goldens: the text says it.
        let is_string = golden.answer.r#type.as_deref() == Some("string");
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
    match rig.render(&files) {
        Ok(out) => values(&out),
        Err(error) => Answer { error: Some(error), ..Answer::default() },
    }
}

/// What `out.yaml` says, decoded.
fn values(out: &str) -> Answer {
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
    Answer { text, text_base64, json: some(part("json")), r#type: some(part("type")), ..Answer::default() }
}

/// Judges every `step`th case.
fn judge_every(goldens: &[Golden], from: usize, step: usize) -> Vec<(&Golden, Verdict)> {
    let rig = Rig::new();
    let some = goldens.iter().skip(from).step_by(step);
    some.map(|golden| {
        let ours = catch_unwind(|| answer(&rig, golden));
        let panics = |_| Verdict::Different("    the engine panics\n".to_owned());
        (golden, ours.map_or_else(panics, |ours| judge(&golden.answer, &ours)))
    })
    .collect()
}

/// The cases on which the engine and Helm differ, and the number of errors in the same words.
fn differences(goldens: &[Golden]) -> (Vec<(&Golden, String)>, usize) {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let judged: Vec<_> = thread::scope(|scope| {
        let start = |from| scope.spawn(move || judge_every(goldens, from, workers));
        let handles: Vec<_> = (0..workers).map(start).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap()).collect()
    });
    let mut words = 0;
    let mut found = Vec::new();
    for (golden, verdict) in judged {
        match verdict {
            Verdict::Same { words: same } => words += usize::from(same && golden.answer.error.is_some()),
            Verdict::Different(text) => found.push((golden, text)),
        }
    }
    (found, words)
}

#[test]
fn templates_give_what_helm_gives() {
    let (head, goldens) = goldens();
    assert_eq!(goldens.len(), head.cases, "the goldens are torn");
    assert!(goldens.len() >= FLOOR, "{} cases prove too little", goldens.len());
    let mut accepted = accepted();
    let (found, words) = differences(&goldens);
    let errors = goldens.iter().filter(|golden| golden.answer.error.is_some()).count();
    println!(
        "{} cases of Helm {}, {errors} of them errors, {words} in the same words",
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
    assert!(accepted.is_empty(), "no longer different: {accepted:?}");
    assert!(words >= SAME_WORDS, "only {words} errors are in Helm's words");
}

//! Compares the reader and the writers with Go's results for the same text.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::json::writer::Style;

/// Go's results for one document; `tests/data/yaml/generate` documents the fields.
#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    id: String,
    #[serde(default)]
    src: String,
    #[serde(default)]
    text: String,
    json: Option<String>,
    exact: Option<String>,
    err: Option<String>,
    strict: Option<String>,
    yaml: Option<String>,
    pretty: Option<String>,
    mode: Option<String>,
}

impl Case {
    /// The document, unless it is not UTF-8.
    fn source(&self) -> Option<String> {
        if self.src.is_empty() {
            return Some(self.text.clone());
        }
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(&self.src).unwrap()).ok()
    }

    fn value(&self, source: &str, limits: &Limits) -> Result<Value, String> {
        if self.mode.as_deref() == Some("json") {
            let read = crate::json::reader::read(source, limits);
            return read.map(|read| read.value).map_err(|error| format!("{error:?}"));
        }
        parse_value(source, limits).map_err(|error| error.to_string())
    }
}

/// Runs `check` in a scope with default limits.
fn scoped<T>(check: impl FnOnce(&Budget<'_>) -> T) -> T {
    let limits = Limits::default();
    check(&Budget::new(&limits))
}

fn cases(text: &str) -> Vec<Case> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The differences from Go's results, each with its name: `all` of them, or only those in the fields that the oldest
/// results file has.
fn differences(case: &Case, all: bool) -> Vec<String> {
    let Some(source) = case.source() else { return Vec::new() };
    scoped(|scope| {
        let mut found = Vec::new();
        let value = match (case.value(&source, scope.limits), &case.json) {
            (Err(_), None) => return Vec::new(),
            (Err(error), Some(json)) => return vec![format!("rejected: {error}, Go: {json}")],
            (Ok(_), None) => {
                return vec![format!("accepted, Go: {}", case.err.as_deref().unwrap_or_default())];
            }
            (Ok(value), Some(_)) => value,
        };
        let mut compare = |what: &str, ours: Result<String, Failure>, go: Option<&String>| {
            let ours = ours.map_err(|error| format!("{error:?}"));
            if ours.as_ref().ok() != go {
                found.push(format!("{what}\n  ours {ours:?}\n  Go   {go:?}"));
            }
        };
        compare("json", crate::json::write(&value, Style::Compact, scope), case.json.as_ref());
        compare("yaml", write_value(&value, Dialect::Marshal, scope), case.yaml.as_ref());
        if !all {
            return found;
        }
        let trim = |text: String| text.strip_suffix('\n').unwrap_or(&text).to_owned();
        let pretty = write_value(&value, Dialect::V3, scope).map(trim);
        let go = case.pretty.clone().or_else(|| case.yaml.clone().map(trim));
        compare("pretty", pretty, go.as_ref());
        if case.mode.is_none() {
            let exact = parse(&source, scope.limits).map(|value| value.to_string()).unwrap_or_default();
            let go = case.exact.as_ref().or(case.json.as_ref()).unwrap();
            let go: serde_json::Value = serde_json::from_str(go).unwrap();
            compare("exact", Ok(exact), Some(&go.to_string()));
            let strict = parse_strict(&source, scope.limits).is_err();
            compare("strict", Ok(strict.to_string()), Some(&case.strict.is_some().to_string()));
        }
        found
    })
}

/// A differential run over a results file that is not committed; `AIRLOCK_YAML_ANSWERS` names it.
#[test]
fn results_of_go_in_an_external_file_match() {
    let Ok(path) = std::env::var("AIRLOCK_YAML_ANSWERS") else {
        println!("skipped: AIRLOCK_YAML_ANSWERS is not set");
        return;
    };
    let (mut all, mut different) = (0, 0);
    for case in cases(&std::fs::read_to_string(path).unwrap()) {
        all += 1;
        let found = differences(&case, true);
        if !found.is_empty() {
            different += 1;
            println!("{} {:?}", case.id, case.source().unwrap().chars().take(400).collect::<String>());
            for text in found {
                println!("  {}", text.chars().take(20_000).collect::<String>());
            }
        }
    }
    println!("{different} of {all} differ");
}

/// The cases of the committed table in which the result differs from Go's, and the reason.
const KNOWN_DIFFERENCES: [(&str, &str); 2] = [
    (r"plain '\ufeff'", "granit-parser rejects a byte order mark within a document"),
    ("literal tab", "libyaml rejects a tab where it detects the indentation of a block"),
];

#[test]
fn the_table_of_hard_cases_matches_go() {
    let all = cases(include_str!("../../tests/data/yaml/cases.jsonl"));
    assert!(all.len() > 700);
    for case in all {
        let known = KNOWN_DIFFERENCES.iter().any(|(id, _)| *id == case.id);
        let found = differences(&case, true);
        assert_eq!(known, !found.is_empty(), "{}: {found:#?}", case.id);
    }
}

/// The shared fixture `name`, which is not committed; prints a line if it does not exist.
fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AIRLOCK_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = root.join("fixtures").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no shared fixture {name}");
    None
}

#[test]
fn shared_hard_cases_match_go() {
    let Some(path) = shared("yaml/go-yaml-v2-hard-cases.jsonl") else { return };
    let all = cases(&std::fs::read_to_string(path).unwrap());
    assert_eq!(all.len(), 190);
    for case in all {
        let found = differences(&case, false);
        assert!(found.is_empty(), "{} {found:#?}", case.id);
    }
}

/// All YAML documents of the shared charts and manifests.
fn documents_of_charts() -> Vec<String> {
    let mut all = Vec::new();
    for archive in shared("charts").into_iter().flat_map(|path| std::fs::read_dir(path).unwrap()) {
        let file = std::fs::File::open(archive.unwrap().path()).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut text = String::new();
            if name.ends_with("values.yaml") || name.ends_with("Chart.yaml") {
                entry.read_to_string(&mut text).unwrap();
                all.push(text);
            }
        }
    }
    for golden in shared("helm-golden").into_iter().flat_map(|path| std::fs::read_dir(path).unwrap()) {
        let text = std::fs::read_to_string(golden.unwrap().path()).unwrap();
        if let Ok(golden) = serde_json::from_str::<serde_json::Value>(&text)
            && let Some(manifest) = golden["manifest"].as_str()
        {
            all.push(manifest.to_owned());
        }
    }
    all
}

#[test]
fn charts_and_manifests_read_and_write_back() {
    let limits = Limits::default();
    for text in documents_of_charts() {
        for value in documents(&text, &limits).unwrap() {
            assert_eq!(parse(&write(&value), &limits).as_ref(), Ok(&value));
        }
    }
}

/// Reads the text on a small stack and within a time limit; returns the problem, if any.
fn bounded(text: String) -> Option<Problem> {
    let start = Instant::now();
    let read = move || {
        let error = parse(&text, &Limits::default()).err()?;
        Some(error.problem().clone())
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(read).unwrap();
    let problem = thread.join().unwrap();
    // Generous, for debug builds on a busy machine: the test is about growth.
    println!("{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    problem
}

#[test]
fn bombs_end_with_an_error_that_names_the_limit() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        laughs += &format!("a{level}: &a{level} [{alias}]\n");
    }
    assert_eq!(bounded(laughs), Some(Problem::Aliasing));
    let spread: String = (0..40_000).map(|key| format!("  k{key}: {{a: *x}}\n")).collect();
    let wide = format!("x: &x [{}]\ny:\n{spread}", "1, ".repeat(60));
    assert_eq!(bounded(wide), Some(Problem::Aliasing));
    assert_eq!(bounded("a: &x [*x]".to_owned()), Some(Problem::SelfReference("x".into())));
    for (open, count) in [("[", 10_000), ("{a: ", 10_000), ("- ", 10_000), ("? ", 10_000), ("[", 1_000_000)] {
        assert_eq!(bounded(open.repeat(count)), Some(Problem::Limit("value_depth")), "{open} {count}");
    }
    let block: String = (0..2000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(bounded(block), Some(Problem::Limit("value_depth")));
    let keys: String = (0..600_000).map(|key| format!("k{key}: 1\n")).collect();
    assert_eq!(bounded(keys), Some(Problem::Limit("value_nodes")));
    assert_eq!(bounded("- \n".repeat(1_100_000)), Some(Problem::Limit("value_nodes")));
    // Each repair of an unindented scalar reads the text again.
    let unindented: String = (0..20_000).map(|key| format!("k{key}: 'a\nb'\n")).collect();
    assert_eq!(bounded(unindented), Some(Problem::Unindented));
}

#[test]
fn large_and_deep_documents_within_the_limits_are_read_and_written() {
    assert_eq!(bounded(format!("a: \"{}\"", "x ".repeat(1 << 20))), None);
    assert_eq!(bounded(format!("a: |\n  {}\n", "x ".repeat(1 << 20))), None);
    assert_eq!(bounded("[".repeat(999) + &"]".repeat(999)), None);
    let write_deep = || {
        let limits = Limits::default();
        let value = parse(&("[".repeat(999) + "'a b'" + &"]".repeat(999)), &limits).unwrap();
        assert!(write(&value).contains("- - a\n"));
        scoped(|scope| {
            let value = crate::json::to_value(&value);
            crate::json::from_value(&value, scope).unwrap();
            for dialect in [Dialect::Marshal, Dialect::V3] {
                write_value(&value, dialect, scope).unwrap();
            }
        });
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(write_deep).unwrap().join().unwrap();
}

#[test]
fn shared_and_nested_template_values_cannot_exceed_the_limits() {
    scoped(|scope| {
        let mut value = Value::list(vec!["x".into()]);
        for _ in 0..40 {
            value = Value::list(vec![value.clone(), value]);
        }
        assert!(matches!(write_value(&value, Dialect::Marshal, scope), Err(Failure::Limit(_))));
    });
    scoped(|scope| {
        // Folded after column 80, each word would be on its own line, with an indentation of more than a thousand.
        let mut value = Value::from("a ".repeat(1 << 20));
        for _ in 0..900 {
            value = Value::map([("k", value)]);
        }
        assert!(matches!(write_value(&value, Dialect::Marshal, scope), Err(Failure::Limit(_))));
    });
    scoped(|scope| {
        let map = crate::value::Map::new::<&str>([]);
        map.entries.borrow_mut().insert("self".into(), Value::Map(map.clone()));
        let written = write_value(&Value::Map(map.clone()), Dialect::Marshal, scope);
        assert_eq!(written, Err(Failure::Limit("value_depth")));
        map.entries.borrow_mut().clear();
    });
}

#[test]
fn errors_report_line_and_column() {
    let limits = Limits::default();
    let error = parse("a:\n  b: !!int x\n", &limits).unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 12: cannot decode !!str `x` as a !!int");
    let error = parse("a: 1\nb: *c\n", &limits).unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 4: unknown anchor 'c' referenced");
    let error = parse("a: 1\n~: 2\n", &limits).unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 1: unsupported map key of type null");
    let error = parse_strict("a: {b: 1, c: 2,\n b: 3}", &limits).unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 2: key \"b\" already set in map");
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let text = || {
        prop_oneof![
            "[ -~\\n\\t]{0,40}",
            "\\PC{0,12}",
            any::<String>(),
            "(yes|no|null|~|[0-9]{1,4}|1:20|0x1F|1e3|a b: c|- x|<<|#)",
            "([a-z' ]{1,9}\\n?){0,30}",
        ]
    };
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_filter("JSON has it", |value| value.is_finite()).prop_map(|value| json!(value)),
        text().prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| json!(items)),
            prop::collection::btree_map(text(), inner, 0..6).prop_map(|entries| json!(entries)),
        ]
    })
}

/// Whether the value survives a round trip through YAML: go-yaml writes `<<` plain, which then merges, and
/// granit-parser does not know the line breaks that only YAML 1.1 has.
fn is_faithful(value: &serde_json::Value) -> bool {
    let text = value.to_string();
    !text.contains(['\u{2028}', '\u{2029}', '\u{feff}']) && !text.contains("\"<<\":")
}

proptest! {
    #[test]
    fn any_text_is_read_or_rejected(text in any::<String>()) {
        let _ = documents(&text, &Limits::default());
    }

    #[test]
    fn any_indicators_are_read_or_rejected(
        text in "([-?:,\\[\\]{}#&*!|>'\"%@` a1\\n\\t<]|\\r|---|<<: ){0,60}"
    ) {
        if let Ok(value) = parse(&text, &Limits::default()) && is_faithful(&value) {
            prop_assert_eq!(parse(&write(&value), &Limits::default()), Ok(value));
        }
    }

    #[test]
    fn written_values_read_back(value in any_json()) {
        prop_assume!(is_faithful(&value));
        let text = write(&value);
        let read = parse(&text, &Limits::default());
        prop_assert_eq!(read.as_ref().map(write), Ok(text.clone()), "{}", text);
        let json = serde_json::to_string(&value).unwrap();
        let read = crate::json::reader::read::<serde_json::Value>(&json, &Limits::default()).unwrap();
        prop_assert_eq!(write(&read.value), text);
    }
}

use std::time::Duration;

use gostd::limits::Limits;
use gostd::value::Value;
use serde_json::Value as Json;

use super::*;
use crate::function::Random;
use crate::lookup::Deny;
use crate::template::{RenderError, Set};

const HELPERS: &str = "{{ define \"h\" }}[{{ .Values.s }}]{{ end }}\n{{ define \"bad\" }}\n  {{ .Values.zzz.q }}{{ end }}\
    {{ define \"loop\" }}{{ include \"loop\" . }}{{ end }}{{ define \"id\" }}{{ . }}{{ end }}";

fn list(numbers: &[f64]) -> Value {
    Value::list(numbers.iter().copied().map(Value::Float64).collect())
}

/// The values of `tests/data/template/record.py`.
fn data() -> Value {
    let inner = Value::map([("d", Value::from("why"))]);
    let item = |number| Value::map([("k", Value::Float64(number))]);
    let values = Value::map([
        ("a", Value::map([("b", Value::from("x")), ("c", inner)])),
        ("num", Value::Float64(3.0)),
        ("f", Value::Float64(1_234_567.5)),
        ("big", Value::Float64(123_456_789.0)),
        ("l", Value::list(vec!["p".into(), "q".into(), Value::Nil])),
        ("ints", list(&[1.0, 2.0, 3.0])),
        ("maps", Value::list(vec![item(1.0), item(2.0)])),
        ("t", true.into()),
        ("no", false.into()),
        ("s", "text".into()),
        ("empty", "".into()),
        ("none", Value::map::<&str>([])),
        ("nil", Value::list(Vec::new())),
        ("tpl", "{{ .Values.s }}-{{ .Values.zzz }}".into()),
        ("bad", "{{ .Values.zzz.q }}".into()),
        ("broken", "{{ if }}".into()),
        ("u", "h\u{e9} <&>'\"=".into()),
    ]);
    Value::map([("Values", values)])
}

fn render_within(limits: &Limits, files: &[(&str, &str)], name: &str) -> Result<String, RenderError> {
    let render = || {
        let scope = Scope::new(limits, Duration::ZERO, &Random::new([0; 32]), &Deny);
        let set = Set::new(files.iter().copied(), Mode::Render, limits)?;
        set.render(name, &data(), &scope)
    };
    stack::with_stack(limits, render).unwrap()
}

/// The exceeded limit; its location must be a line of `a`.
fn limit(error: &RenderError) -> Option<&'static str> {
    match error {
        RenderError::Limit { location, limit } if location.starts_with("a:") => Some(limit),
        _ => None,
    }
}

fn render(source: &str) -> Result<String, RenderError> {
    let files = [("c/templates/x.yaml", source), ("c/templates/_h.tpl", HELPERS)];
    render_within(&Limits::default(), &files, "c/templates/x.yaml")
}

/// Compares each template with the result of real Helm, which `tests/data/template/record.py` recorded.
fn check(rows: &str) {
    let mut wrong = Vec::new();
    for row in rows.lines() {
        let row: Json = serde_json::from_str(row).unwrap();
        let want = match (row["output"].as_str(), row["error"].as_str()) {
            (Some(output), None) => Ok(output.replace("<no value>", "")),
            (_, error) => Err(error.unwrap().to_owned()),
        };
        let found = render(row["source"].as_str().unwrap()).map_err(|error| error.to_string());
        if found != want {
            let cut = |text: String| text.chars().take(900).collect::<String>();
            let (want, found) = (want.map_or_else(cut, cut), found.map_or_else(cut, cut));
            wrong.push(format!("{}\n  want {want:?}\n  but  {found:?}", row["source"]));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn renders_and_fails_as_helm_does() {
    let rows = include_str!("../../../tests/data/template/golden.json");
    assert!(rows.lines().filter(|row| row.contains("\"error\"")).count() > 30);
    check(rows);
}

#[test]
fn arguments_are_checked_as_in_helm() {
    check(include_str!("../../../tests/data/template/functions.json"));
}

/// A template that includes itself inside this many parentheses and control structures.
fn recursive(parentheses: usize, ifs: usize) -> String {
    let [open, close] = ["(", ")"].map(|text| text.repeat(parentheses));
    let [start, end] = ["{{ with . }}", "{{ end }}"].map(|text| text.repeat(ifs));
    format!(
        "{{{{ define \"r\" }}}}{start}{{{{ print {open}include \"r\" .{close} }}}}{end}{{{{ end }}}}{{{{ include \"r\" . }}}}"
    )
}

#[test]
fn recursion_exceeds_helms_limit_or_ours_and_never_the_stack() {
    let limits = Limits::default();
    for (parentheses, ifs) in [(1, 0), (1, 1), (1, 13), (13, 1), (7, 7)] {
        let error =
            render_within(&limits, &[("a", &recursive(parentheses, ifs))], "a").unwrap_err().to_string();
        assert!(
            error.ends_with("rendering template has a nested reference name: r: unable to execute template")
        );
    }
    for (parentheses, ifs) in [(1, 100), (100, 1), (90, 90)] {
        let error = render_within(&limits, &[("a", &recursive(parentheses, ifs))], "a").unwrap_err();
        assert_eq!(limit(&error), Some("include_depth"));
    }
    let others = [
        "{{ define \"t\" }}{{ template \"t\" . }}{{ end }}{{ template \"t\" . }}",
        "{{ define \"t\" }}{{ range .Values.l }}{{ template \"t\" $ }}{{ end }}{{ end }}{{ template \"t\" . }}",
        "{{ define \"t\" }}{{ tpl \"{{ template `t` . }}\" . }}{{ end }}{{ template \"t\" . }}",
    ];
    for source in others {
        let error = render_within(&limits, &[("a", source)], "a").unwrap_err();
        assert_eq!(limit(&error), Some("include_depth"), "{source}");
    }
}

#[test]
fn a_loop_exceeds_the_limit_on_steps() {
    let limits = Limits { steps: 1000, ..Limits::default() };
    let error = render_within(&limits, &[("a", "{{ range 1000000000000 }}{{ end }}")], "a").unwrap_err();
    assert_eq!(limit(&error), Some("steps"));
}

#[test]
fn output_exceeds_its_limit() {
    let limits = Limits { output_bytes: 1000, ..Limits::default() };
    let error = render_within(&limits, &[("a", "{{ range 1000 }}text{{ end }}")], "a").unwrap_err();
    assert_eq!(limit(&error), Some("output_bytes"));
}

#[test]
fn a_million_nested_lists_are_dropped() {
    let source = "{{ $x := 1 }}{{ range 1000000 }}{{ $x = list $x }}{{ end }}{{ len $x }}";
    assert_eq!(render_within(&Limits::default(), &[("a", source)], "a").unwrap(), "1");
}

#[test]
fn printing_a_deeply_nested_value_exceeds_the_depth_limit() {
    let source = "{{ $x := 1 }}{{ range 5000 }}{{ $x = list $x }}{{ end }}{{ $x }}";
    let error = render_within(&Limits::default(), &[("a", source)], "a").unwrap_err();
    assert_eq!(limit(&error), Some("value_depth"));
}

#[test]
fn the_file_of_the_highest_level_wins_unless_it_is_empty() {
    let files = [
        ("c/templates/a.yaml", "{{ include \"x\" . }}{{ include \"y\" . }}"),
        ("c/templates/_a.tpl", "{{ define \"x\" }}first{{ end }}"),
        ("c/templates/_b.tpl", "{{ define \"x\" }}second{{ end }}{{ define \"y\" }} {{/* */}}{{ end }}"),
        ("c/charts/d/templates/_a.tpl", "{{ define \"x\" }}deep{{ end }}{{ define \"y\" }}deep{{ end }}"),
    ];
    let limits = Limits::default();
    assert_eq!(render_within(&limits, &files, "c/templates/a.yaml").unwrap(), "firstdeep");
    let set = Set::new(files, Mode::Render, &limits).ok().unwrap();
    assert_eq!(set.order().collect::<Vec<_>>(), ["c/templates/a.yaml"]);
}

#[test]
fn files_are_rendered_in_the_order_in_which_they_are_parsed() {
    let files = [("c/a", ""), ("c/b", ""), ("c/d/a", ""), ("c/d/b", ""), ("c/d/_c", "")];
    let set = Set::new(files, Mode::Render, &Limits::default()).ok().unwrap();
    assert_eq!(set.order().collect::<Vec<_>>(), ["c/d/b", "c/d/a", "c/b", "c/a"]);
}

/// A cluster with one object.
struct Cluster;

impl crate::lookup::Lookup for Cluster {
    fn lookup(&self, api: &str, kind: &str, namespace: &str, name: &str) -> Result<Option<Json>, String> {
        match name {
            "one" => Ok(Some(serde_json::json!({"id": [api, kind, namespace], "whole": 3, "part": 1.5}))),
            "none" => Ok(None),
            _ => Err("denied".to_owned()),
        }
    }
}

fn render_in(mode: Mode, source: &str) -> Result<String, String> {
    let limits = Limits::default();
    let scope = Scope::new(&limits, Duration::ZERO, &Random::new([0; 32]), &Cluster);
    let set = Set::new([("a", source)], mode, &limits).map_err(|error| error.to_string())?;
    set.render("a", &data(), &scope).map_err(|error| error.to_string())
}

#[test]
fn lookup_returns_the_objects_of_the_caller() {
    let one =
        r#"{{ with lookup "v1" "Pod" "ns" "one" }}{{ .id }} {{ eq .whole 3 }} {{ eq .part 1.5 }}{{ end }}"#;
    assert_eq!(render_in(Mode::Render, one).unwrap(), "[v1 Pod ns] true true");
    let none = r#"{{ lookup "v1" "Pod" "ns" "none" }}"#;
    assert_eq!(render_in(Mode::Render, none).unwrap(), "map[]");
    let denied = render_in(Mode::Render, r#"{{ lookup "v1" "Pod" "ns" "" }}"#).unwrap_err();
    assert!(denied.ends_with("error calling lookup: denied"), "{denied}");
}

#[test]
fn lint_requires_nothing_and_does_not_look_up() {
    let source = r#"{{ required "x" nil }}{{ fail "x" }}{{ lookup "v1" "Pod" "ns" "one" }}"#;
    assert_eq!(render_in(Mode::Lint, source).unwrap(), "map[]");
}

#[test]
fn h9_an_error_names_the_file_and_line_that_exceeded_the_limit() {
    let limits = Limits { steps: 1000, ..Limits::default() };
    let files = [
        ("a", "text\n{{ include \"deep\" . }}"),
        ("_h", "\n\n{{ define \"deep\" }}\n  {{ range 100000 }}{{ add 1 . }}{{ end }}{{ end }}"),
    ];
    let error = render_within(&limits, &files, "a").unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("rendering `_h:4:") && error.ends_with("` exceeds the limit `steps`"),
        "{error}"
    );
    // The text given to `tpl` is not in a file, so the line is that of the call.
    let source = "1\n2\n{{ tpl \"{{ range 100000 }}{{ add 1 . }}{{ end }}\" . }}";
    let error = render_within(&limits, &[("a", source)], "a").unwrap_err();
    assert!(error.to_string().starts_with("rendering `a:3:"), "{error}");
    let limits = Limits { syntax_depth: 5, ..Limits::default() };
    let error = render_within(&limits, &[("a", "\n\n{{((((((1))))))}}")], "a").unwrap_err();
    assert_eq!(error.to_string(), "rendering `a:3` exceeds the limit `syntax_depth`");
}

#[test]
fn h9_as_many_parentheses_and_appends_as_in_helm_are_rendered() {
    let deep = format!("{{{{ if true }}}}{{{{ {}1{} }}}}{{{{ end }}}}", "(".repeat(500), ")".repeat(500));
    assert_eq!(render_within(&Limits::default(), &[("a", &deep)], "a").unwrap(), "1");
    for source in [
        "{{ $l := list }}{{ range 20000 }}{{ $l = append $l . }}{{ end }}{{ len $l }} {{ index $l 19999 }}",
        "{{ $l := list }}{{ range 20000 }}{{ $l = mustAppend $l . }}{{ $_ := last $l }}{{ end }}{{ len $l }} {{ last $l }}",
        "{{ $l := list }}{{ range 20000 }}{{ $l = concat $l (list .) }}{{ end }}{{ len $l }} {{ last $l }}",
        "{{ $d := dict \"l\" list }}{{ range 20000 }}{{ $_ := set $d \"l\" (append $d.l .) }}{{ end }}{{ len $d.l }} {{ last $d.l }}",
        "{{ $l := list }}{{ range 20000 }}{{ $l = prepend $l . }}{{ end }}{{ len $l }} {{ first $l }}",
    ] {
        let text = render_within(&Limits::default(), &[("a", source)], "a").unwrap();
        assert_eq!(text, "20000 19999", "{source}");
    }
}

#[test]
fn h9_lookups_have_a_limit_that_usual_charts_do_not_exceed() {
    let ask = "\n{{ range 5000 }}{{ $_ := lookup \"v1\" \"Pod\" \"ns\" \"none\" }}{{ end }}done";
    assert_eq!(render_within(&Limits::default(), &[("a", ask)], "a").unwrap(), "\ndone");
    let limits = Limits { lookups: 4999, ..Limits::default() };
    let error = render_within(&limits, &[("a", ask)], "a").unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("rendering `a:2:") && error.ends_with("` exceeds the limit `lookups`"),
        "{error}"
    );
}

//! Compares printed trees with Go's output.

use gostd::limits::Limits;

use super::*;
use crate::template::parser::parse;

fn tree(source: &str) -> Tree {
    parse("t", source, &|_| true, &Limits::default()).unwrap().remove(0)
}

fn printed(source: &str) -> String {
    tree(source).body.iter().map(ToString::to_string).collect()
}

#[test]
fn space_is_normalized_and_parentheses_are_kept() {
    for (source, expected) in [
        ("{{- .a.b  |  f   1\n`r` -}}", "{{.a.b | f 1 `r`}}"),
        ("{{ f (g .x) (.y) }}", "{{f (g .x) (.y)}}"),
        ("{{ (f .x).a.b | g }}", "{{(f .x).a.b | g}}"),
        ("{{ f.a }}", "{{f.a}}"),
        ("{{ $x:=1 }}{{ $x = 0x10 }}{{ $x.y }}", "{{$x := 1}}{{$x = 0x10}}{{$x.y}}"),
        ("{{ f nil true . $ 'c' \"\\n\" }}", "{{f nil true . $ 'c' \"\\n\"}}"),
        ("{{ template `a\"b` }}", "{{template \"a\\\"b\"}}"),
        ("{{ template \"a\" .x }}", "{{template \"a\" .x}}"),
        ("{{ block \"a\" . }}1{{ end }}", "{{template \"a\" .}}"),
        ("{{ range $i,$x := .a }}1{{ continue }}{{ end }}", "{{range $i, $x := .a}}1{{continue}}{{end}}"),
        ("{{ if .a }} 1 {{ else }} 2 {{ end }}", "{{if .a}} 1 {{else}} 2 {{end}}"),
        ("a{{/* c */}}b", "ab"),
    ] {
        assert_eq!(printed(source), expected, "{source}");
    }
}

#[test]
fn a_pipeline_by_itself_has_no_parentheses() {
    let tree = tree("{{ f (g .x) }}");
    let Some(Node::Action(pipeline)) = tree.body.first() else { panic!("{tree:?}") };
    assert_eq!(pipeline.commands[0].to_string(), "f (g .x)");
    assert_eq!(pipeline.commands[0].operands[1].to_string(), "g .x");
}

#[test]
fn columns_are_bytes_from_zero() {
    let tree = tree("é{{ .a.b }}\n\n  {{ .c }}");
    let at = |position| location(&tree, position).to_string();
    assert_eq!(at(0), "1:0");
    assert_eq!(at(7), "1:7");
    assert_eq!(at(12), "1:12");
    assert_eq!(at(13), "2:0");
    assert_eq!(at(19), "3:5");
    assert_eq!(at(Position::MAX), "3:10");
}

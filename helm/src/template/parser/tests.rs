//! Tests of trees, and of the errors of rejected templates.

use super::*;
use crate::template::stack::with_stack;

mod charts;
mod malformed;
mod properties;
mod trees;

const FUNCTIONS: &[&str] = &["print", "upper", "include", "index", "eq"];

fn parse_file(source: &str) -> Result<Vec<Tree>, SyntaxError> {
    parse("c/templates/t.yaml", source, &|name| FUNCTIONS.contains(&name), &Limits::default())
}

#[test]
fn errors_have_helms_text() {
    for (source, expected) in malformed::MALFORMED {
        let error = parse_file(source).expect_err(source);
        let expected = format!("parse error at (c/templates/t.yaml:{expected}");
        let error = crate::template::syntax("c/templates/t.yaml", &error.to_string());
        assert_eq!(error.to_string(), expected, "{source}");
    }
}

#[test]
fn errors_name_file_and_line_as_in_go() {
    let error = parse_file("a\n{{ define \"x\" }}1{{ end }}\n{{ define \"x\" }}2{{ end }}").unwrap_err();
    let expected = "template: c/templates/t.yaml:3: template: multiple definition of template \"x\"";
    assert_eq!(error.to_string(), expected);
    assert_eq!(Failure::from(error), Failure::Message(expected.to_owned()));
}

#[test]
fn complex_constants_are_rejected() {
    for number in ["1+2i", "2i", "0i", "1.5e3i"] {
        let error = parse_file(&format!("{{{{ {number} }}}}")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("template: c/templates/t.yaml:1: complex constant {number} is not supported")
        );
    }
}

#[test]
fn nesting_is_limited() {
    let limits = Limits { syntax_depth: 5, ..Limits::default() };
    let parse = |source: &str| parse("t", source, &|_| true, &limits).map(drop);
    // The number of repetitions within five levels.
    for (open, close, levels) in [
        ("{{if .}}", "{{end}}", 5),
        ("{{range .}}", "{{end}}", 5),
        ("{{block \"b\" .}}", "{{end}}", 5),
        ("{{if .}}{{else}}{{with .}}", "{{end}}{{end}}", 2),
        ("{{if .}}{{else if .}}", "{{end}}", 2),
    ] {
        // The blocks share a name, so Go treats the outer ones as multiple definitions.
        let within = parse(&(open.repeat(levels) + &close.repeat(levels)));
        assert!(!matches!(within, Err(SyntaxError::Limit { .. })), "{open}");
        let error = parse(&(open.repeat(levels + 1) + &close.repeat(levels + 1))).expect_err(open);
        assert_eq!(Failure::from(error), Failure::Limit("syntax_depth"), "{open}");
    }
    parse("{{((((( . )))))}}").unwrap();
    let error = parse("\n{{(((((( . ))))))}}").unwrap_err();
    assert_eq!(error.to_string(), "template: t:2: exceeds the limit `syntax_depth`");
}

#[test]
fn a_deep_file_exceeds_the_limit_and_not_the_stack() {
    with_stack(&Limits::default(), parse_deep_files).unwrap();
}

fn parse_deep_files() {
    for open in ["{{(", "{{if .}}", "{{with .}}{{else with .}}", "{{block \"b\" .}}"] {
        let depth = Limits::default().syntax_depth;
        let within = if open == "{{(" {
            format!("{{{{{}.{}}}}}", "(".repeat(depth), ")".repeat(depth))
        } else {
            open.repeat(depth / open.matches("{{").count())
        };
        let _ = parse_file(&within);
        let beyond =
            if open == "{{(" { format!("{{{{{}", "(".repeat(100_000)) } else { open.repeat(100_000) };
        let error = parse_file(&beyond).expect_err(open);
        assert_eq!(Failure::from(error), Failure::Limit("syntax_depth"), "{open}");
    }
}

#[test]
fn nodes_are_limited() {
    let limits = Limits { syntax_nodes: 30, ..Limits::default() };
    let parse = |source: &str| parse("t", source, &|_| true, &limits).map(drop);
    for part in ["{{.}}", "{{.a.b.c}}", "{{f 1 2}}", "{{$x := 1}}", "a{{/**/}}", "{{(.)}}"] {
        parse(part).unwrap();
        let error = parse(&part.repeat(31)).expect_err(part);
        assert_eq!(Failure::from(error), Failure::Limit("syntax_nodes"), "{part}");
    }
}

#[test]
fn hostile_sources_cost_no_more_than_their_bytes() {
    // Each of these could be quadratic: variables in scope, empty definitions of the same name.
    let variables: String = (0..60_000).map(|index| format!("{{{{$v{index} := 1}}}}{{{{$v0}}}}")).collect();
    parse_file(&variables).unwrap();
    let spaces = " {{/**/}}".repeat(60_000);
    let empties = "{{define \"d\"}}{{end}}".repeat(60_000);
    parse_file(&format!("{{{{define \"d\"}}}}{spaces}{{{{.}}}}{{{{end}}}}{empties}")).unwrap();
}

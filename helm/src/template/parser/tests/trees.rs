//! Tests of trees: names, order and parts.

use super::*;
use crate::template::ast::{Expression, Number, Operand};

fn names(source: &str) -> Vec<String> {
    parse_file(source).unwrap().iter().map(|tree| tree.name.to_string()).collect()
}

fn printed(source: &str) -> String {
    parse_file(source).unwrap()[0].body.iter().map(ToString::to_string).collect()
}

/// The one operand of the one command of the one action of `source`.
fn operand(source: &str) -> Operand {
    let mut trees = parse_file(source).expect(source);
    match trees.remove(0).body.pop() {
        Some(Node::Action(mut pipeline)) => {
            let mut command = pipeline.commands.pop().unwrap();
            command.operands.pop().unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn number(text: &str) -> Number {
    match operand(&format!("{{{{ {text} }}}}")).expression {
        Expression::Number(number) => number,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_file_comes_first_and_definitions_in_the_order_of_their_ends() {
    let source = "{{define \"a\"}}1{{block \"b\" .}}2{{end}}{{end}}x{{define \"c\"}}3{{end}}";
    assert_eq!(names(source), ["c/templates/t.yaml", "b", "a", "c"]);
    let trees = parse_file(source).unwrap();
    assert!(trees.iter().all(|tree| *tree.file == *"c/templates/t.yaml" && *tree.source == *source));
}

#[test]
fn an_empty_definition_is_replaced_by_another_with_its_name() {
    for source in [
        "{{define \"a\"}} \n{{/* c */}}{{end}}{{define \"a\"}}1{{end}}",
        "{{define \"a\"}}1{{end}}{{define \"a\"}}\u{a0}{{end}}",
    ] {
        let trees = parse_file(source).unwrap();
        assert_eq!(trees.len(), 2);
        assert_eq!(trees[1].body[0].to_string(), "1", "{source}");
    }
}

#[test]
fn a_definition_may_have_the_name_of_an_otherwise_empty_file() {
    let trees = parse_file("{{define \"c/templates/t.yaml\"}}1{{end}}\n").unwrap();
    assert_eq!(trees.len(), 1);
    assert_eq!(trees[0].body[0].to_string(), "1");
    let error = parse_file("{{define \"c/templates/t.yaml\"}}1{{end}}2").unwrap_err();
    assert!(error.to_string().ends_with("multiple definition of template \"c/templates/t.yaml\""));
}

#[test]
fn only_space_and_comments_are_empty() {
    for (source, is_empty) in [
        ("", true),
        (" \t\r\n\u{a0}\u{2003}", true),
        ("{{/* c */}} {{define \"x\"}}1{{end}}", true),
        ("x", false),
        ("{{\"\"}}", false),
        ("{{if .}}{{end}}", false),
        ("\u{200b}", false),
    ] {
        assert_eq!(parse_file(source).unwrap()[0].is_empty(), is_empty, "{source:?}");
    }
}

#[test]
fn chains_of_else_nest() {
    assert_eq!(
        printed("{{if .a}}1{{else if .b}}2{{else if .c}}3{{else}}4{{end}}5"),
        "{{if .a}}1{{else}}{{if .b}}2{{else}}{{if .c}}3{{else}}4{{end}}{{end}}{{end}}5"
    );
    assert_eq!(
        printed("{{with .a}}1{{else with .b}}2{{end}}{{range $i, $x := .c}}{{break}}{{else}}3{{end}}"),
        "{{with .a}}1{{else}}{{with .b}}2{{end}}{{end}}{{range $i, $x := .c}}{{break}}{{else}}3{{end}}"
    );
}

#[test]
fn variables_live_to_the_end_of_their_block() {
    for source in [
        "{{$x := 1}}{{if .}}{{$x}}{{$x = 2}}{{end}}{{$x}}",
        "{{if $x := .a}}{{$x}}{{else}}{{$x}}{{end}}",
        "{{if $x := .a}}{{else if $y := $x}}{{$y}}{{end}}",
        "{{range $i, $x := .a}}{{$i}}{{$x}}{{else}}{{$i}}{{end}}",
        "{{if .}}{{$x := 1}}{{end}}{{$x := 2}}{{$x}}",
        // Only the evaluator detects that the variable does not exist.
        "{{$x = 1}}",
    ] {
        parse_file(source).expect(source);
    }
    for source in
        ["{{if $x := .a}}{{end}}{{$x}}", "{{range $i, $x := .a}}{{end}}{{$i}}", "{{$x := $x}}{{$y}}"]
    {
        let error = parse_file(source).expect_err(source).to_string();
        assert!(error.contains("undefined variable \"$"), "{error}");
    }
}

#[test]
fn a_function_named_break_replaces_the_keyword() {
    let trees =
        parse("t", "{{break 1}}{{range .}}{{continue}}{{end}}", &|name| name == "break", &Limits::default());
    assert_eq!(trees.unwrap()[0].body[0].to_string(), "{{break 1}}");
}

#[test]
fn operands_have_the_positions_of_go() {
    for (source, position) in [
        ("{{ .a }}", 3),
        ("{{ .a.b.c }}", 5),
        ("{{ $.a.b }}", 4),
        ("{{ (print .a) }}", 4),
        ("{{ (print .a).b.c }}", 13),
        ("{{ \"é\" }}", 3),
    ] {
        assert_eq!(operand(source).position, position, "{source}");
    }
}

#[test]
fn strings_that_are_not_utf_8_keep_their_bytes() {
    match operand(r#"{{ "\xff" }}"#).expression {
        Expression::Binary { quoted, bytes } => {
            assert_eq!(*quoted, *r#""\xff""#);
            assert_eq!(*bytes, [0xff]);
        }
        other => panic!("{other:?}"),
    }
    let error = parse_file(r#"{{ define "\xff" }}{{ end }}"#).unwrap_err();
    assert!(error.to_string().ends_with("template name is not valid UTF-8"));
}

#[test]
fn integers_are_read_in_every_base() {
    for (text, int, uint) in [
        ("0", Some(0), Some(0)),
        ("-0", Some(0), Some(0)),
        ("+5", Some(5), None),
        ("-7", Some(-7), None),
        ("0x1F", Some(31), Some(31)),
        ("0B101", Some(5), Some(5)),
        ("0o17", Some(15), Some(15)),
        ("017", Some(15), Some(15)),
        ("1_000", Some(1000), Some(1000)),
        ("0x_1", Some(1), Some(1)),
        ("0_7", Some(7), Some(7)),
        ("9223372036854775807", Some(i64::MAX), Some(1 << 63).map(|top: u64| top - 1)),
        ("-9223372036854775808", Some(i64::MIN), None),
        ("18446744073709551615", None, Some(u64::MAX)),
        ("1e3", Some(1000), Some(1000)),
        ("3.0", Some(3), Some(3)),
        ("-1.0", Some(-1), None),
        ("1e19", None, Some(10_000_000_000_000_000_000)),
        ("9223372036854775808.0", None, Some(1 << 63)),
        ("1e100", None, None),
        ("1.5", None, None),
    ] {
        let number = number(text);
        assert_eq!((number.int, number.uint), (int, uint), "{text}");
        assert!(number.float.is_some() && !number.is_character, "{text}");
        assert_eq!(*number.text, *text);
    }
}

#[test]
fn floats_are_the_nearest() {
    for (text, value) in [
        (".5", 0.5),
        ("5.", 5.0),
        ("1E-3", 0.001),
        ("-2.5e+2", -250.0),
        ("1_0.2_5", 10.25),
        ("0x1p4", 16.0),
        ("0x1.8p-1", 0.75),
        ("-0X.8P1", -1.0),
        ("0x1_0p0", 16.0),
        ("0x1.fffffffffffffp1023", f64::MAX),
        ("0x1p-1074", 5e-324),
        ("0x1p-1075", 0.0),
        ("0x1.1p-1075", 5e-324),
        ("0x1.00000000000008p0", 1.0),
        ("0x1.000000000000080001p0", 1.0 + f64::EPSILON),
        ("0x1.00000000000018p0", 1.0 + 2.0 * f64::EPSILON),
        ("0x0.00000000000000000000001p100", 256.0),
        ("18446744073709551615", 18_446_744_073_709_551_615.0),
    ] {
        assert_eq!(number(text).float.map(f64::to_bits), Some(value.to_bits()), "{text}");
    }
}

#[test]
fn invalid_numbers_are_rejected() {
    for text in [
        "08",
        "1__0",
        "_1.",
        "1_",
        "0x",
        "0xp1",
        "0x1.8",
        "0x1p",
        "1e",
        "1e+",
        "1_e5",
        "1e_5",
        "+",
        "1e400",
        "0b2",
        "0o8",
        "0x1p1024",
        "0x1.fffffffffffff8p1023",
        "0x1_p4",
        "99999999999999999999",
    ] {
        let error = parse_file(&format!("{{{{ {text} }}}}")).expect_err(text);
        assert!(matches!(error, SyntaxError::Malformed { .. }), "{text}: {error}");
    }
}

#[test]
fn characters_are_numbers() {
    let number = number("'é'");
    assert_eq!((number.int, number.uint, number.float), (Some(233), Some(233), Some(233.0)));
    assert!(number.is_character);
}

//! Tokens of sources.

use super::*;
use crate::template::token::Keyword;

/// The tokens up to the end or a fault, as kind, text and place.
fn tokens(source: &str) -> Vec<(Kind, &str, u32, u32)> {
    let mut lexer = Lexer::new(source, LoopWords { has_break: true, has_continue: true });
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token();
        tokens.push((token.kind, token.text, token.position, token.line));
        if matches!(token.kind, Kind::End | Kind::Fault(_)) {
            return tokens;
        }
    }
}

fn texts(source: &str) -> Vec<&str> {
    tokens(source).into_iter().filter(|token| token.0 == Kind::Text).map(|token| token.1).collect()
}

fn kinds(source: &str) -> Vec<Kind> {
    tokens(source).into_iter().map(|token| token.0).collect()
}

#[test]
fn markers_trim_the_space_before_and_after_an_action() {
    assert_eq!(texts("a \n{{.}} \nb"), ["a \n", " \nb"]);
    assert_eq!(texts("a \t\r\n{{- . -}}\n b"), ["a", "b"]);
    assert_eq!(texts(" {{- . -}} "), [""; 0]);
    assert_eq!(texts("a\u{a0} {{- . }}"), ["a\u{a0}"]);
    assert_eq!(texts("a {{-\n.\n-}} b"), ["a", "b"]);
    assert_eq!(texts("a {{.  -}} b"), ["a ", "b"]);
    // Without a space it is a sign.
    assert_eq!(texts("a {{-3}} b"), ["a ", " b"]);
    assert_eq!(kinds("{{3-}}").last(), Some(&Kind::Fault(Fault::BadNumber)));
}

#[test]
fn comments_leave_no_token_and_trim_the_side_that_says_so() {
    assert_eq!(texts("a {{/* c */}} b"), ["a ", " b"]);
    assert_eq!(texts("a {{- /* c */}} b"), ["a", " b"]);
    assert_eq!(texts("a {{/* c */ -}} b"), ["a ", "b"]);
    assert_eq!(texts("a {{- /* }} \n */ -}} b"), ["a", "b"]);
    // After a space it is no comment.
    assert_eq!(kinds("{{ /* c */}}").get(2), Some(&Kind::Character));
    assert_eq!(kinds("{{/* c */ }}"), [Kind::Fault(Fault::CommentEndsEarly)]);
    assert_eq!(kinds("{{/* c }}"), [Kind::Fault(Fault::UnclosedComment)]);
}

#[test]
fn places_are_bytes_and_lines() {
    let expected = [
        (Kind::Text, "é", 0, 1),
        (Kind::LeftDelimiter, "{{", 4, 2),
        (Kind::Field, ".a", 8, 2),
        (Kind::Space, "\n", 10, 2),
        (Kind::RawString, "`\n`", 11, 3),
        (Kind::RightDelimiter, "}}", 16, 4),
        (Kind::Text, "z", 19, 5),
        (Kind::End, "", 20, 5),
    ];
    assert_eq!(tokens("é\n {{- .a\n`\n` -}}\nz"), expected);
}

#[test]
fn words_are_keywords_constants_or_functions() {
    let word = |source| kinds(source).get(1).copied();
    assert_eq!(word("{{if}}"), Some(Kind::Keyword(Keyword::If)));
    assert_eq!(word("{{nil}}"), Some(Kind::Keyword(Keyword::Nil)));
    assert_eq!(word("{{.}}"), Some(Kind::Keyword(Keyword::Dot)));
    assert_eq!(word("{{true}}"), Some(Kind::Bool));
    assert_eq!(word("{{iff}}"), Some(Kind::Identifier));
    assert_eq!(word("{{世}}"), Some(Kind::Identifier));
    assert_eq!(word("{{$}}"), Some(Kind::Variable));
    assert_eq!(word("{{break}}"), Some(Kind::Keyword(Keyword::Break)));
    let mut lexer = Lexer::new("{{break}}", LoopWords { has_break: false, has_continue: true });
    lexer.token();
    assert_eq!(lexer.token().kind, Kind::Identifier);
}

#[test]
fn fields_and_numbers_share_the_dot() {
    assert_eq!(kinds("{{.a.b}}").get(1..3), Some(&[Kind::Field, Kind::Field][..]));
    assert_eq!(kinds("{{.5}}").get(1), Some(&Kind::Number));
    assert_eq!(kinds("{{..a}}").get(1..3), Some(&[Kind::Keyword(Keyword::Dot), Kind::Field][..]));
}

#[test]
fn tokens_are_named_as_go_names_them() {
    let names = |source| {
        let mut lexer = Lexer::new(source, LoopWords { has_break: true, has_continue: true });
        (0..3).map(|_| lexer.token().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names("{{if}}"), [r#""{{""#, "<if>", r#""}}""#]);
    assert_eq!(names("{{\"0123456789\"}}").get(1).unwrap(), r#""\"012345678"..."#);
    assert_eq!(names("{{`éééééé`}}").get(1).unwrap(), r#""`éééééé`"..."#);
    assert_eq!(names("{{1x}}").get(1).unwrap(), r#"bad number syntax: "1x""#);
    assert_eq!(names("{{.a😀}}").get(1).unwrap(), "bad character U+1F600 '😀'");
    assert_eq!(names("{{\u{7}}}").get(1).unwrap(), "unrecognized character in action: U+0007");
    assert_eq!(names("a{{").get(2).unwrap(), "unclosed action");
}

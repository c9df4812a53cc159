//! Tests of the tokens of sources.

use super::*;
use crate::template::token::Keyword;

/// The tokens up to the end or an error, as kind, text, position and line.
fn tokens(source: &str) -> Vec<(TokenKind, &str, u32, u32)> {
    let mut lexer = Lexer::new(source, LoopWords { has_break: true, has_continue: true });
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token();
        tokens.push((token.kind, token.text, token.position, token.line));
        if matches!(token.kind, TokenKind::End | TokenKind::Error(_)) {
            return tokens;
        }
    }
}

fn texts(source: &str) -> Vec<&str> {
    tokens(source).into_iter().filter(|token| token.0 == TokenKind::Text).map(|token| token.1).collect()
}

fn kinds(source: &str) -> Vec<TokenKind> {
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
    // Without a space, the minus is a sign.
    assert_eq!(texts("a {{-3}} b"), ["a ", " b"]);
    assert_eq!(kinds("{{3-}}").last(), Some(&TokenKind::Error(LexError::BadNumber)));
}

#[test]
fn comments_leave_no_token_and_trim_the_marked_sides() {
    assert_eq!(texts("a {{/* c */}} b"), ["a ", " b"]);
    assert_eq!(texts("a {{- /* c */}} b"), ["a", " b"]);
    assert_eq!(texts("a {{/* c */ -}} b"), ["a ", "b"]);
    assert_eq!(texts("a {{- /* }} \n */ -}} b"), ["a", "b"]);
    // After a space, it is not a comment.
    assert_eq!(kinds("{{ /* c */}}").get(2), Some(&TokenKind::Character));
    assert_eq!(kinds("{{/* c */ }}"), [TokenKind::Error(LexError::CommentEndsEarly)]);
    assert_eq!(kinds("{{/* c }}"), [TokenKind::Error(LexError::UnclosedComment)]);
}

#[test]
fn positions_are_bytes_and_lines() {
    let expected = [
        (TokenKind::Text, "é", 0, 1),
        (TokenKind::LeftDelimiter, "{{", 4, 2),
        (TokenKind::Field, ".a", 8, 2),
        (TokenKind::Space, "\n", 10, 2),
        (TokenKind::RawString, "`\n`", 11, 3),
        (TokenKind::RightDelimiter, "}}", 16, 4),
        (TokenKind::Text, "z", 19, 5),
        (TokenKind::End, "", 20, 5),
    ];
    assert_eq!(tokens("é\n {{- .a\n`\n` -}}\nz"), expected);
}

#[test]
fn words_are_keywords_constants_or_functions() {
    let word = |source| kinds(source).get(1).copied();
    assert_eq!(word("{{if}}"), Some(TokenKind::Keyword(Keyword::If)));
    assert_eq!(word("{{nil}}"), Some(TokenKind::Keyword(Keyword::Nil)));
    assert_eq!(word("{{.}}"), Some(TokenKind::Keyword(Keyword::Dot)));
    assert_eq!(word("{{true}}"), Some(TokenKind::Bool));
    assert_eq!(word("{{iff}}"), Some(TokenKind::Identifier));
    assert_eq!(word("{{世}}"), Some(TokenKind::Identifier));
    assert_eq!(word("{{$}}"), Some(TokenKind::Variable));
    assert_eq!(word("{{break}}"), Some(TokenKind::Keyword(Keyword::Break)));
    let mut lexer = Lexer::new("{{break}}", LoopWords { has_break: false, has_continue: true });
    lexer.token();
    assert_eq!(lexer.token().kind, TokenKind::Identifier);
}

#[test]
fn fields_and_numbers_share_the_dot() {
    assert_eq!(kinds("{{.a.b}}").get(1..3), Some(&[TokenKind::Field, TokenKind::Field][..]));
    assert_eq!(kinds("{{.5}}").get(1), Some(&TokenKind::Number));
    assert_eq!(kinds("{{..a}}").get(1..3), Some(&[TokenKind::Keyword(Keyword::Dot), TokenKind::Field][..]));
}

#[test]
fn tokens_have_the_names_of_go() {
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

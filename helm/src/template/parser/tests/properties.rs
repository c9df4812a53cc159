//! No source makes the parser panic, and printed trees parse to the same trees.

use proptest::prelude::*;

use super::*;
use crate::template::print::location;

/// Pieces that form valid and invalid templates.
const PIECES: &[&str] = &[
    "{{",
    "{{- ",
    "}}",
    " -}}",
    "/*",
    "*/",
    "(",
    ")",
    "|",
    ",",
    ":=",
    "=",
    ".",
    ".a",
    ".a.b",
    "$",
    "$x",
    "$x := ",
    "$i, $x := ",
    "\"s\"",
    "\"\\xff\"",
    "\"",
    "`r`",
    "`",
    "'c'",
    "'",
    "1",
    "-0x1p-3",
    "1.5e3",
    "1+2i",
    "_",
    "print",
    "nope",
    "true",
    "nil",
    "if ",
    "else ",
    "else if ",
    "with ",
    "range ",
    "end",
    "break",
    "continue",
    "define \"d\"",
    "block \"b\" ",
    "template \"d\" ",
    " ",
    "\n",
    "\t",
    "text",
    "é",
    "😀",
    "\u{a0}",
    "\0",
    "#",
    "\\",
];

/// Whole templates to damage.
const WHOLE: &[&str] = &[
    "a {{- if and .a (not .b.c) -}} b {{ else if $x := .d }}{{ $x | print 1 \"s\" }}{{- end }}\n",
    "{{ define \"d\" }}{{ range $i, $x := .list }}{{ $i }}{{ break }}{{ else }}{{ end }}{{ end }}{{ template \"d\" . }}",
    "{{/* c */}}{{ with (index .a 'x' 0x1F).b.c }}{{ . }}{{ end }}{{ block \"b\" $ }}{{ `raw` }}{{ end }}",
];

fn check(source: &str) {
    let limits = Limits { syntax_depth: 50, ..Limits::default() };
    let functions = |name: &str| matches!(name, "print" | "and" | "not" | "index");
    let Ok(trees) = parse("t", source, &functions, &limits) else {
        return;
    };
    for tree in trees {
        let _ = location(&tree, Position::try_from(source.len()).unwrap()).to_string();
        for node in &tree.body {
            // Except text, in which trimming may have joined separate braces.
            if let Node::Action(pipeline) = node
                && !pipeline.to_string().contains('$')
            {
                let printed = node.to_string();
                let again = parse("t", &printed, &functions, &limits).expect(&printed);
                assert_eq!(again[0].body[0].to_string(), printed);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_parses_or_is_rejected(source in "\\PC*") {
        check(&source);
        check(&format!("{{{{{source}}}}}"));
    }

    #[test]
    fn any_pieces_parse_or_are_rejected(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..30)) {
        let source = pieces.concat();
        check(&source);
        check(&format!("{{{{{source}}}}}"));
    }

    #[test]
    fn damaged_templates_parse_or_are_rejected(
        whole in prop::sample::select(WHOLE),
        piece in prop::sample::select(PIECES),
        cut in any::<prop::sample::Index>(),
        length in 0_usize..12,
    ) {
        let characters: Vec<char> = whole.chars().collect();
        let start = cut.index(characters.len());
        let end = (start + length).min(characters.len());
        let head: String = characters[..start].iter().collect();
        let tail: String = characters[end..].iter().collect();
        check(&format!("{head}{tail}"));
        check(&format!("{head}{piece}{tail}"));
        check(&head);
    }
}

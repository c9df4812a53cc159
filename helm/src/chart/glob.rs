//! The patterns of `.Files.Glob`, as in `github.com/gobwas/glob` v1 with `/` as the separator.
//!
//! `*` and `?` stop at a slash; `**` and classes do not. A class such as `[!a-z]` holds either one range or one set of
//! characters, never both. `{a,b}` are alternatives. An invalid pattern matches every file.

use regex::{Regex, RegexBuilder};

/// A compiled pattern.
pub(super) enum Glob {
    /// Matches names with a regular expression.
    Pattern(Regex),
    /// Matches every name, because the pattern is invalid.
    Anything,
}

impl Glob {
    /// Compiles a pattern. A pattern that is invalid, or whose automaton exceeds `bytes`, matches everything.
    pub(super) fn new(pattern: &str, bytes: usize) -> Self {
        let compiled = translate(pattern).and_then(|expression| {
            RegexBuilder::new(&expression).size_limit(bytes).dot_matches_new_line(true).build().ok()
        });
        compiled.map_or(Self::Anything, Self::Pattern)
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Pattern(expression) => expression.is_match(name),
            Self::Anything => true,
        }
    }
}

/// Translates a pattern into a regular expression.
fn translate(pattern: &str) -> Option<String> {
    let mut out = String::from(r"\A(?:");
    let mut rest = pattern.chars().peekable();
    let mut alternatives = 0usize;
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => out.push_str(".*"),
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' => out.push_str(&class(&mut rest)?),
            '{' => {
                alternatives += 1;
                out.push_str("(?:");
            }
            '}' if alternatives > 0 => {
                alternatives -= 1;
                out.push(')');
            }
            ',' if alternatives > 0 => out.push('|'),
            '\\' => out.push_str(&literal(rest.next()?)),
            other => out.push_str(&literal(other)),
        }
    }
    out.push_str(r")\z");
    (alternatives == 0).then_some(out)
}

fn literal(character: char) -> String {
    regex::escape(character.encode_utf8(&mut [0; 4]))
}

/// Translates the text after `[`: an optional `!`, and then either `lo-hi]` or characters up to `]`.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let not = if rest.next_if_eq(&'!').is_some() { "^" } else { "" };
    let first = rest.next()?;
    if rest.next_if_eq(&'-').is_some() {
        let last = rest.next()?;
        let closed = rest.next()? == ']' && first <= last;
        return closed.then(|| format!("[{not}{}-{}]", escaped(first), escaped(last)));
    }
    let mut set = String::new();
    let mut next = Some(first);
    loop {
        match next? {
            ']' if set.is_empty() => return None,
            ']' => return Some(format!("[{not}{set}]")),
            '\\' => set.push_str(&escaped(rest.next()?)),
            other => set.push_str(&escaped(other)),
        }
        next = rest.next();
    }
}

/// Escapes a character for use in a class.
fn escaped(character: char) -> String {
    format!(r"\x{{{:x}}}", u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_same_names_as_in_helm() {
        let names = ["a.txt", "d/[x].txt", "d/b.txt", "d/e/c.txt", "d/x,y.txt"];
        // The results are those of Helm 4.3.
        for (pattern, expected) in [
            ("d/*", vec![1, 2, 4]),
            ("d/**", vec![1, 2, 3, 4]),
            ("*", vec![0]),
            ("d/[[]x].txt", vec![1]),
            (r"d/\[x\].txt", vec![1]),
            (r"d/{b,x\,y}.txt", vec![2, 4]),
            ("d/{b,x?y}.txt", vec![2, 4]),
            ("{a,d/b}.txt", vec![0, 2]),
            ("d/[a-c].txt", vec![2]),
            ("d/[!a-c]*", vec![1, 4]),
            ("d/[^a-c]*", vec![]),
            ("d/[", vec![0, 1, 2, 3, 4]),
            ("d/{b", vec![0, 1, 2, 3, 4]),
            ("d/b}", vec![]),
            ("d/{b,{x,y}*}.txt", vec![2, 4]),
            ("d/***", vec![1, 2, 3, 4]),
            ("d/**.txt", vec![1, 2, 3, 4]),
            ("**/c.txt", vec![3]),
            ("**c.txt", vec![3]),
            ("", vec![]),
            ("d/[ab-c].txt", vec![2]),
            ("d/[a-bc].txt", vec![0, 1, 2, 3, 4]),
            ("d/[]", vec![0, 1, 2, 3, 4]),
            ("d/[!b].txt", vec![]),
            ("d/[!]b.txt", vec![0, 1, 2, 3, 4]),
            ("d?b.txt", vec![]),
            ("d/[!x]/c.txt", vec![3]),
            ("d[!x]b.txt", vec![2]),
            (r"d/b.tx\t", vec![2]),
            ("d/b.txt\\", vec![0, 1, 2, 3, 4]),
            ("d/{}b.txt", vec![2]),
            ("d/{,b}.txt", vec![2]),
            ("d/**/c.txt", vec![3]),
            ("d/b.txt,", vec![]),
        ] {
            let glob = Glob::new(pattern, 1 << 20);
            let found: Vec<usize> = (0..names.len()).filter(|index| glob.matches(names[*index])).collect();
            assert_eq!(found, expected, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_exceeds_its_limit_is_invalid() {
        assert!(Glob::new(&"{a*,b*}".repeat(10_000), 1 << 20).matches("anything"));
        assert!(Glob::new(&"{".repeat(100_000), 1 << 20).matches("anything"));
        let nested = format!("{}{}", "{".repeat(100_000), "}".repeat(100_000));
        assert!(Glob::new(&nested, 1 << 20).matches("anything"));
    }
}

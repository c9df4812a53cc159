//! The patterns of `.Files.Glob`, as `github.com/gobwas/glob` v1 takes them with `/` as separator.
//!
//! `*` and `?` stop at a slash, `**` does not, nor does a class; `[!a-z]` is one range or one set of
//! characters, never both; `{a,b}` are alternatives. A pattern that is wrong matches every file.

use regex::{Regex, RegexBuilder};

/// What a pattern matches.
pub(super) enum Glob {
    /// Names that the expression takes.
    Pattern(Regex),
    /// Every name: the pattern is wrong.
    Anything,
}

impl Glob {
    /// The pattern, if its automaton stays within `bytes`; else, and if it is wrong, everything.
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

/// The regular expression of a pattern.
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

/// What follows `[`: `lo-hi]`, or characters up to `]`, either after a `!`.
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

/// A character that means itself within a class.
fn escaped(character: char) -> String {
    format!(r"\x{{{:x}}}", u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_match_in_helm() {
        let names = ["a.txt", "d/[x].txt", "d/b.txt", "d/e/c.txt", "d/x,y.txt"];
        // Each line was asked of Helm 4.3.
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
    fn a_pattern_beyond_its_bound_is_a_wrong_one() {
        assert!(Glob::new(&"{a*,b*}".repeat(10_000), 1 << 20).matches("anything"));
        assert!(Glob::new(&"{".repeat(100_000), 1 << 20).matches("anything"));
        let nested = format!("{}{}", "{".repeat(100_000), "}".repeat(100_000));
        assert!(Glob::new(&nested, 1 << 20).matches("anything"));
    }
}

//! Patterns of repository names: `*` matches any text within a path segment, `**` any text. Patterns of tags: `*` matches any
//! text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, RepositoryName, Tag};

/// A pattern of repository names, such as `team-a/**`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryPattern {
    text: String,
    /// The length of the text before the first `*`.
    literal: usize,
    /// The rest of the pattern.
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// `*`
    InSegment,
    /// `**`
    Any,
}

impl RepositoryPattern {
    /// Whether the name matches. The time is at most proportional to the product of both lengths.
    #[must_use]
    pub fn matches(&self, name: &RepositoryName) -> bool {
        let Some(rest) = name.as_str().strip_prefix(&self.text[..self.literal]) else { return false };
        match self.parts[..] {
            [] => rest.is_empty(),
            [Part::Any] => true,
            _ => parts_match(&self.parts, rest.as_bytes()),
        }
    }

    /// Whether every name matches.
    #[must_use]
    pub fn matches_all(&self) -> bool {
        self.text == "**"
    }
}

/// Follows all possible positions in the pattern at once, so that no pattern needs exponential time.
fn parts_match(parts: &[Part], text: &[u8]) -> bool {
    let mut positions = vec![false; parts.len() + 1];
    positions[0] = true;
    pass_empty(parts, &mut positions);
    for byte in text {
        let mut next = vec![false; parts.len() + 1];
        for (at, part) in parts.iter().enumerate().filter(|(at, _)| positions[*at]) {
            match part {
                Part::Byte(expected) => next[at + 1] |= expected == byte,
                Part::InSegment => next[at] |= *byte != b'/',
                Part::Any => next[at] = true,
            }
        }
        pass_empty(parts, &mut next);
        positions = next;
    }
    positions[parts.len()]
}

/// Adds the positions behind stars, which also match the empty text.
fn pass_empty(parts: &[Part], positions: &mut [bool]) {
    for (at, part) in parts.iter().enumerate() {
        if positions[at] && !matches!(part, Part::Byte(_)) {
            positions[at + 1] = true;
        }
    }
}

impl FromStr for RepositoryPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let in_name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/*".contains(&byte);
        let good = !text.is_empty()
            && text.len() <= RepositoryName::MAX_LEN
            && text.bytes().all(in_name)
            && !text.contains("***")
            && text.split('/').all(|segment| !segment.is_empty());
        if !good {
            return Err(Error::RepositoryPattern(text.to_owned()));
        }
        let literal = text.find('*').unwrap_or(text.len());
        let mut parts = Vec::new();
        for byte in text[literal..].bytes() {
            match (byte, parts.last()) {
                (b'*', Some(Part::InSegment)) => {
                    parts.pop();
                    parts.push(Part::Any);
                }
                (b'*', _) => parts.push(Part::InSegment),
                (byte, _) => parts.push(Part::Byte(byte)),
            }
        }
        Ok(Self { text: text.to_owned(), literal, parts })
    }
}

impl TryFrom<String> for RepositoryPattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<RepositoryPattern> for String {
    fn from(pattern: RepositoryPattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A pattern of tags, such as `v*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TagPattern {
    text: String,
    parts: Vec<Part>,
}

impl TagPattern {
    /// Whether the tag matches.
    #[must_use]
    pub fn matches(&self, tag: &Tag) -> bool {
        parts_match(&self.parts, tag.as_str().as_bytes())
    }
}

impl FromStr for TagPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let in_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"._-*".contains(&byte);
        let good = !text.is_empty()
            && text.len() <= Tag::MAX_LEN
            && text.bytes().all(in_tag)
            && !text.contains("**");
        if !good {
            return Err(Error::TagPattern(text.to_owned()));
        }
        let part = |byte| if byte == b'*' { Part::Any } else { Part::Byte(byte) };
        Ok(Self { text: text.to_owned(), parts: text.bytes().map(part).collect() })
    }
}

impl TryFrom<String> for TagPattern {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<TagPattern> for String {
    fn from(pattern: TagPattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        let (pattern, name): (RepositoryPattern, RepositoryName) =
            (pattern.parse().unwrap(), name.parse().unwrap());
        pattern.matches(&name)
    }

    #[test]
    fn a_star_stays_within_a_segment_and_two_stars_do_not() {
        for (pattern, good, bad) in [
            ("a", &["a"][..], &["a/b", "ab", "b"][..]),
            ("team-a/**", &["team-a/x", "team-a/x/y"], &["team-a", "team-ab/x", "team-b/x"]),
            ("library/*", &["library/nginx"], &["library", "library/x/y", "library2/x"]),
            ("*", &["a", "a-b"], &["a/b"]),
            ("**", &["a", "a/b/c"], &[]),
            ("*/public", &["a/public", "b-c/public"], &["public", "a/b/public", "a/public/x"]),
            ("**/public", &["a/public", "a/b/public"], &["public", "a/publicx"]),
            ("a/*/c/**", &["a/b/c/d", "a/b/c/d/e"], &["a/c/d", "a/b/x/c/d", "a/b/c"]),
            ("team-*/**/ci", &["team-a/x/ci", "team-b/x/y/ci"], &["team-a/ci", "team/x/ci"]),
            ("a*b", &["ab", "axb", "abb"], &["a/b", "abc"]),
        ] {
            for name in good {
                assert!(matches(pattern, name), "{pattern} {name}");
            }
            for name in bad {
                assert!(!matches(pattern, name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn a_malformed_pattern_is_refused() {
        for bad in
            ["", "A", "a b", "a?", "[a]", "{a,b}", "***", "a***", "/a", "a/", "a//b", "/", "a\\*", "é", "!a"]
        {
            assert!(
                matches!(bad.parse::<RepositoryPattern>(), Err(Error::RepositoryPattern(text)) if text == bad)
            );
        }
        assert!("a".repeat(256).parse::<RepositoryPattern>().is_err());
    }

    #[test]
    fn a_star_in_a_pattern_of_tags_matches_any_text() {
        for (pattern, good, bad) in [
            ("v*", &["v1", "v1.2.3-rc.1", "v"][..], &["1", "xv1"][..]),
            ("*.*.*", &["1.2.3", "v1.2.3-rc"], &["1.2", "latest"]),
            ("latest", &["latest"], &["latest2", "Latest"]),
            ("*", &["a", "1"], &[]),
        ] {
            let pattern: TagPattern = pattern.parse().unwrap();
            for tag in good {
                assert!(pattern.matches(&tag.parse().unwrap()), "{pattern} {tag}");
            }
            for tag in bad {
                assert!(!pattern.matches(&tag.parse().unwrap()), "{pattern} {tag}");
            }
        }
        for bad in ["", "**", "a/b", "a:b", "v[0-9]", "v?", "!v", &"a".repeat(129)] {
            assert!(
                matches!(bad.parse::<TagPattern>(), Err(Error::TagPattern(text)) if text == bad),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let pattern = format!("{}b", "*a".repeat(100));
        let begun = std::time::Instant::now();
        assert!(!matches(&pattern, &"a".repeat(255)));
        assert!(!matches(&"**a".repeat(60), &format!("{}b", "a".repeat(254))));
        assert!(begun.elapsed().as_secs() < 5);
    }

    /// The same decision, by trying every split.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=name.len()).any(|at| naive(rest, &name[at..])),
            [b'*', rest @ ..] => {
                let segment = name.iter().take_while(|byte| **byte != b'/').count();
                (0..=segment).any(|at| naive(rest, &name[at..]))
            }
            [byte, rest @ ..] => name.first() == Some(byte) && naive(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_equals_the_definition(pattern in "[ab*/]{1,8}", name in "[ab/]{1,10}") {
            if let (Ok(parsed), Ok(name)) = (pattern.parse::<RepositoryPattern>(), name.parse::<RepositoryName>()) {
                prop_assert_eq!(parsed.matches(&name), naive(pattern.as_bytes(), name.as_str().as_bytes()));
            }
        }
    }
}

//! Patterns for the names of images.

use std::fmt;

use super::MAX_SCOPE;
use crate::{Error, ImageName, Result};

/// `HOST/PATH`, where `*` matches one part of the path, and `**` at the end all parts that follow, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`Error::TrustMember`].
    pub fn parse(text: &str) -> Result<Self> {
        let (host, path) = text.split_once('/').unwrap_or_default();
        let last = path.split('/').count();
        let part = |(at, part): (usize, &str)| {
            part == "*" || part == "**" && at + 1 == last || !part.contains('*') && !part.is_empty()
        };
        let name = text.replace("**", "x").replace('*', "x");
        let sound = !host.contains('*')
            && path.split('/').enumerate().all(part)
            && text.len() <= MAX_SCOPE
            && name.parse::<ImageName>().is_ok();
        // In the form in which names are compared.
        let text_of = || Self(format!("{}/{path}", host.strip_suffix(":443").unwrap_or(host)));
        sound.then(text_of).ok_or_else(|| Error::TrustMember {
            member: "repositories",
            value: text.to_owned(),
            expected: "HOST/PATH with `*` for one path segment, or `**` for all remaining segments",
        })
    }

    /// Whether it matches a name.
    #[must_use]
    pub fn matches(&self, name: &ImageName) -> bool {
        let name = name.to_string();
        let (mut wanted, mut parts) = (self.0.split('/'), name.split('/'));
        loop {
            match (wanted.next(), parts.next()) {
                (None, None) | (Some("**"), Some(_)) => return true,
                (Some("*"), Some(_)) => {}
                (Some(wanted), Some(part)) if wanted == part => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_parts() {
        let fits = |pattern: &str, name: &str| {
            Pattern::parse(pattern).unwrap().matches(&name.parse::<ImageName>().unwrap())
        };
        for (pattern, name) in [
            ("r.example/a/b", "r.example/a/b"),
            ("r.example/*/b", "r.example/a/b"),
            ("r.example/**", "r.example/a/b/c"),
            ("r.example:5000/a/*", "r.example:5000/a/b"),
            ("r.example:443/**", "r.example/a"),
            ("r.example/**", "r.example:443/a"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("r.example/a", "r.example/a/b"),
            ("r.example/*", "r.example/a/b"),
            ("r.example/a/**", "r.example/a"),
            ("r.example/**", "r.example.evil/a"),
            ("r.example/a/*", "r.example/ab/c"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        for bad in [
            "",
            "*",
            "*/a",
            "R.example/a",
            "r.example:0443/a",
            "r.example",
            "r.example/",
            "r.example/a*",
            "r.example/**/a",
            "r.example/A",
        ] {
            assert!(matches!(Pattern::parse(bad), Err(Error::TrustMember { .. })), "{bad}");
        }
    }
}

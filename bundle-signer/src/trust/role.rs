//! What a key may sign.

use std::fmt;

use super::document::{FormatText, RangeText, RoleText};
use crate::{Error, Format, ImageName, Result, statement};

/// How things that are signed are called beside predicate types, none of which looks like these.
const NAMES: [(&str, What); 5] = [
    ("driveManifest", What::Drive),
    ("packageBundle", What::PackageBundle),
    ("bundles", What::Bundles),
    ("release", What::Release),
    ("anything", What::Anything),
];
const MOST: usize = 1024;

/// A kind of thing that is signed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// The manifest of a drive.
    Drive,
    /// A `PackageBundle` of EKS Anywhere. Only a role that names it allows it; so for the next two.
    PackageBundle,
    /// The `Bundles` of EKS Anywhere.
    Bundles,
    /// A `Release` of EKS Distro.
    Release,
    /// All kinds; only in roles.
    Anything,
    /// A statement about an image, by its predicate type.
    Statement(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drive | Self::PackageBundle | Self::Bundles | Self::Release | Self::Anything => {
                let name = NAMES.iter().find(|(_, what)| what == self);
                f.write_str(name.map_or("", |(name, _)| name))
            }
            Self::Statement(predicate_type) => {
                let name = statement::TYPE_NAMES.iter().find(|(_, uri)| uri == predicate_type);
                f.write_str(name.map_or(predicate_type, |(name, _)| name))
            }
        }
    }
}

impl What {
    /// Whether it is a manifest of EKS Anywhere, which no key may sign without a role for it.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        matches!(self, Self::PackageBundle | Self::Bundles | Self::Release)
    }

    /// Reads a kind by its name in trust files.
    ///
    /// # Errors
    /// [`Error::TrustMember`].
    pub fn parse(text: &str) -> Result<Self> {
        if let Some((_, what)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(what.clone());
        }
        let known = statement::predicate_type(text).filter(|_| text.len() <= MOST);
        known.map(|uri| Self::Statement(uri.to_owned())).ok_or_else(|| Error::TrustMember {
            member: "sign",
            value: text.to_owned(),
            expected: "`driveManifest`, `packageBundle`, `bundles`, `release`, `anything`, `signature`, a name of a predicate type, or a URI",
        })
    }
}

/// One thing that a key may do: all of it must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    what: Vec<What>,
    repositories: Option<Vec<Pattern>>,
    formats: Option<Vec<Format>>,
    sequence: Option<(u64, Option<u64>)>,
}

/// What is asked of a role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed<'a> {
    pub(super) what: &'a What,
    /// The image's name and the signature's format.
    pub(super) image: Option<(&'a ImageName, Format)>,
    pub(super) sequence: Option<u64>,
}

impl Role {
    pub(super) fn read(text: RoleText) -> Result<Self> {
        let expected = "a list with something in it";
        let empty = [
            (text.sign.is_empty(), "sign"),
            (text.repositories.as_ref().is_some_and(Vec::is_empty), "repositories"),
            (text.formats.as_ref().is_some_and(Vec::is_empty), "formats"),
        ];
        if let Some((_, member)) = empty.into_iter().find(|(empty, _)| *empty) {
            return Err(Error::TrustMember { member, value: "[]".to_owned(), expected });
        }
        let sequence = text.sequence.map(|range| (range.from, range.to));
        if let Some((from, Some(to))) = sequence
            && from > to
        {
            let (value, expected) = (format!("{from} to {to}"), "a range that begins before it ends");
            return Err(Error::TrustMember { member: "sequence", value, expected });
        }
        let patterns = |texts: Vec<String>| texts.iter().map(|text| Pattern::parse(text)).collect();
        Ok(Self {
            what: text.sign.iter().map(|what| What::parse(what)).collect::<Result<_>>()?,
            repositories: text.repositories.map(patterns).transpose()?,
            formats: text.formats.map(|formats| formats.into_iter().map(Format::from).collect()),
            sequence,
        })
    }

    /// The role to sign these, whatever they are about.
    pub(super) fn of(what: Vec<What>) -> Self {
        Self { what, repositories: None, formats: None, sequence: None }
    }

    pub(super) fn text(&self) -> RoleText {
        let patterns = |patterns: &Vec<Pattern>| patterns.iter().map(|pattern| pattern.0.clone()).collect();
        RoleText {
            sign: self.what.iter().map(What::to_string).collect(),
            repositories: self.repositories.as_ref().map(patterns),
            formats: self.formats.as_ref().map(|formats| formats.iter().map(|&f| f.into()).collect()),
            sequence: self.sequence.map(|(from, to)| RangeText { from, to }),
        }
    }

    /// What may be signed.
    pub(super) fn what(&self) -> &[What] {
        &self.what
    }

    /// Whether this may be signed, whatever else is asked.
    pub(super) fn is_for(&self, what: &What) -> bool {
        self.what.contains(what) || self.what.contains(&What::Anything)
    }

    pub(super) fn allows(&self, deed: &Deed<'_>) -> bool {
        let what = self.is_for(deed.what);
        let image = match deed.image {
            None => true,
            Some((name, format)) => {
                let named = |patterns: &Vec<Pattern>| patterns.iter().any(|pattern| pattern.matches(name));
                self.repositories.as_ref().is_none_or(named)
                    && self.formats.as_ref().is_none_or(|formats| formats.contains(&format))
            }
        };
        let sequence = self.sequence.is_none_or(|(from, to)| {
            deed.sequence.is_some_and(|number| number >= from && to.is_none_or(|to| number <= to))
        });
        what && image && sequence
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what: Vec<_> = self.what.iter().map(What::to_string).collect();
        f.write_str(&what.join(", "))?;
        if let Some(patterns) = &self.repositories {
            let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.0.as_str()).collect();
            write!(f, " of {}", patterns.join(", "))?;
        }
        if let Some(formats) = &self.formats {
            let formats: Vec<_> = formats.iter().map(Format::to_string).collect();
            write!(f, " as {}", formats.join(" or "))?;
        }
        match self.sequence {
            None => Ok(()),
            Some((from, None)) => write!(f, " with a sequence from {from}"),
            Some((from, Some(to))) => write!(f, " with a sequence from {from} to {to}"),
        }
    }
}

impl From<FormatText> for Format {
    fn from(text: FormatText) -> Self {
        match text {
            FormatText::SimpleSigning => Self::SimpleSigning,
            FormatText::Envelope => Self::Envelope,
            FormatText::Bundle => Self::Bundle,
        }
    }
}

impl From<Format> for FormatText {
    fn from(format: Format) -> Self {
        match format {
            Format::SimpleSigning => Self::SimpleSigning,
            Format::Envelope => Self::Envelope,
            Format::Bundle => Self::Bundle,
        }
    }
}

/// `HOST/PATH` with `*` for one part of the path and `**` at the end for all that follow, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern.
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
            && text.len() <= MOST
            && name.parse::<ImageName>().is_ok();
        // As names are compared.
        let text_of = || Self(format!("{}/{path}", host.strip_suffix(":443").unwrap_or(host)));
        sound.then(text_of).ok_or_else(|| Error::TrustMember {
            member: "repositories",
            value: text.to_owned(),
            expected: "HOST/PATH with `*` for one whole part, or `**` for the last parts",
        })
    }

    /// Whether a name is one of those that it means.
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

//! Roles: what a key or an identity may sign.

use std::fmt;

use super::document::{FormatText, RangeText, RoleText};
use crate::{Error, Format, ImageName, Result, statement};

/// The names of kinds of content other than predicate types, none of which has such a name.
const NAMES: [(&str, ContentKind); 5] = [
    ("driveManifest", ContentKind::Drive),
    ("packageBundle", ContentKind::PackageBundle),
    ("bundles", ContentKind::Bundles),
    ("release", ContentKind::Release),
    ("anything", ContentKind::Anything),
];
const MAX_LEN: usize = 1024;

/// A kind of signed content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentKind {
    /// The manifest of a drive.
    Drive,
    /// A `PackageBundle` of EKS Anywhere. Only a role that names it allows it, as for the next two.
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

impl fmt::Display for ContentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drive | Self::PackageBundle | Self::Bundles | Self::Release | Self::Anything => {
                let name = NAMES.iter().find(|(_, content)| content == self);
                f.write_str(name.map_or("", |(name, _)| name))
            }
            Self::Statement(predicate_type) => {
                let name = statement::TYPE_NAMES.iter().find(|(_, uri)| uri == predicate_type);
                f.write_str(name.map_or(predicate_type, |(name, _)| name))
            }
        }
    }
}

impl ContentKind {
    /// Whether it is a manifest of EKS Anywhere, which a key may sign only with a role for it.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        matches!(self, Self::PackageBundle | Self::Bundles | Self::Release)
    }

    /// Parses the name of a kind in trust files.
    ///
    /// # Errors
    /// [`Error::TrustMember`].
    pub fn parse(text: &str) -> Result<Self> {
        if let Some((_, content)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(content.clone());
        }
        let known = statement::predicate_type(text).filter(|_| text.len() <= MAX_LEN);
        known.map(|uri| Self::Statement(uri.to_owned())).ok_or_else(|| Error::TrustMember {
            member: "sign",
            value: text.to_owned(),
            expected: "`driveManifest`, `packageBundle`, `bundles`, `release`, `anything`, `signature`, the name of a predicate type, or a URI",
        })
    }
}

/// A permission to sign: all of its conditions must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    content: Vec<ContentKind>,
    repositories: Option<Vec<Pattern>>,
    formats: Option<Vec<Format>>,
    sequence: Option<(u64, Option<u64>)>,
}

/// A signature that a role may allow.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoleRequest<'a> {
    pub(super) content: &'a ContentKind,
    /// The image's name and the signature's format.
    pub(super) image: Option<(&'a ImageName, Format)>,
    pub(super) sequence: Option<u64>,
}

impl Role {
    pub(super) fn read(text: RoleText) -> Result<Self> {
        let expected = "a non-empty list";
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
            let (value, expected) = (format!("{from} to {to}"), "a range from a smaller to a greater number");
            return Err(Error::TrustMember { member: "sequence", value, expected });
        }
        let patterns = |texts: Vec<String>| texts.iter().map(|text| Pattern::parse(text)).collect();
        Ok(Self {
            content: text.sign.iter().map(|content| ContentKind::parse(content)).collect::<Result<_>>()?,
            repositories: text.repositories.map(patterns).transpose()?,
            formats: text.formats.map(|formats| formats.into_iter().map(Format::from).collect()),
            sequence,
        })
    }

    /// The role to sign these kinds of content, without other conditions.
    pub(super) fn of(content: Vec<ContentKind>) -> Self {
        Self { content, repositories: None, formats: None, sequence: None }
    }

    pub(super) fn text(&self) -> RoleText {
        let patterns = |patterns: &Vec<Pattern>| patterns.iter().map(|pattern| pattern.0.clone()).collect();
        RoleText {
            sign: self.content.iter().map(ContentKind::to_string).collect(),
            repositories: self.repositories.as_ref().map(patterns),
            formats: self.formats.as_ref().map(|formats| formats.iter().map(|&f| f.into()).collect()),
            sequence: self.sequence.map(|(from, to)| RangeText { from, to }),
        }
    }

    /// The kinds of content that may be signed.
    pub(super) fn content(&self) -> &[ContentKind] {
        &self.content
    }

    /// Whether this kind of content may be signed, regardless of the other conditions.
    pub(super) fn is_for(&self, content: &ContentKind) -> bool {
        self.content.contains(content) || self.content.contains(&ContentKind::Anything)
    }

    pub(super) fn allows(&self, request: &RoleRequest<'_>) -> bool {
        let content = self.is_for(request.content);
        let image = match request.image {
            None => true,
            Some((name, format)) => {
                let named = |patterns: &Vec<Pattern>| patterns.iter().any(|pattern| pattern.matches(name));
                self.repositories.as_ref().is_none_or(named)
                    && self.formats.as_ref().is_none_or(|formats| formats.contains(&format))
            }
        };
        let sequence = self.sequence.is_none_or(|(from, to)| {
            request.sequence.is_some_and(|number| number >= from && to.is_none_or(|to| number <= to))
        });
        content && image && sequence
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content: Vec<_> = self.content.iter().map(ContentKind::to_string).collect();
        f.write_str(&content.join(", "))?;
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
            && text.len() <= MAX_LEN
            && name.parse::<ImageName>().is_ok();
        // In the form in which names are compared.
        let text_of = || Self(format!("{}/{path}", host.strip_suffix(":443").unwrap_or(host)));
        sound.then(text_of).ok_or_else(|| Error::TrustMember {
            member: "repositories",
            value: text.to_owned(),
            expected: "HOST/PATH with `*` for one whole part, or `**` for the last parts",
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

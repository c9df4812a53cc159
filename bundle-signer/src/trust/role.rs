//! Roles: what a key or an identity may sign.

use std::fmt;

use super::document::{FormatText, RangeText, RoleText};
use super::{ContentKind, Pattern};
use crate::{Error, Format, ImageName, Result};

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
        let patterns = |patterns: &Vec<Pattern>| patterns.iter().map(Pattern::to_string).collect();
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
            let patterns: Vec<_> = patterns.iter().map(Pattern::to_string).collect();
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

//! Semantic versions as Masterminds/semver 3.5 parses them: loosely, so that `v1.2` is a version.

mod constraint;
mod object;

use std::cmp::Ordering;
use std::fmt;

pub(crate) use constraint::Constraint;

/// A semantic version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    /// The first number.
    pub(crate) major: u64,
    /// The second number; 0 if omitted.
    pub(crate) minor: u64,
    /// The third number; 0 if omitted.
    pub(crate) patch: u64,
    /// The text after the first `-`.
    pub(crate) prerelease: String,
    /// The text after the `+`.
    pub(crate) metadata: String,
    /// The original text.
    pub(crate) original: String,
    /// Whether it is a `semver.Version` in Go, not a pointer to one.
    value: bool,
}

/// The reason why a text is not a version or constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    /// The text is not a version.
    #[error("invalid semantic version")]
    Version,
    /// A version is longer than the library accepts.
    #[error("version string is too long (max 256 bytes)")]
    VersionLength,
    /// A number of a version does not fit 64 bits.
    #[error("error parsing version segment: strconv.ParseUint: parsing \"{0}\": value out of range")]
    Number(String),
    /// A number in a prerelease starts with zero.
    #[error("version segment starts with 0")]
    LeadingZero,
    /// A constraint is longer than the library accepts.
    #[error("constraint string is too long (max 512 bytes)")]
    ConstraintLength,
    /// A constraint has more alternatives than the library accepts.
    #[error("too many constraint groups (max 32)")]
    ConstraintGroups,
    /// The text is not a constraint.
    #[error("improper constraint: {0}")]
    Constraint(String),
    /// The version in a constraint is invalid.
    #[error("constraint parser error")]
    ConstraintVersion,
}

impl Version {
    /// Parses a version with one to three numbers, with or without a leading `v`.
    ///
    /// # Errors
    /// The text is not a version.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > 256 {
            return Err(Invalid::VersionLength);
        }
        let (core, metadata) = match text.split_once('+') {
            Some((core, metadata)) => (core, Some(metadata)),
            None => (text, None),
        };
        let (numbers, prerelease) = match core.split_once('-') {
            Some((numbers, prerelease)) => (numbers, Some(prerelease)),
            None => (core, None),
        };
        if ![prerelease, metadata].into_iter().flatten().all(is_identifiers) {
            return Err(Invalid::Version);
        }
        let numbers: Vec<&str> = numbers.strip_prefix('v').unwrap_or(numbers).split('.').collect();
        let is_number =
            |number: &&str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        if numbers.len() > 3 || !numbers.iter().all(is_number) {
            return Err(Invalid::Version);
        }
        let number = |index: usize| match numbers.get(index) {
            Some(digits) => digits.parse().map_err(|_| Invalid::Number((*digits).to_owned())),
            None => Ok(0),
        };
        let version = Self {
            major: number(0)?,
            minor: number(1)?,
            patch: number(2)?,
            prerelease: prerelease.unwrap_or_default().to_owned(),
            metadata: metadata.unwrap_or_default().to_owned(),
            original: text.to_owned(),
            value: false,
        };
        let padded = |part: &str| {
            part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if version.prerelease.split('.').any(padded) { Err(Invalid::LeadingZero) } else { Ok(version) }
    }

    /// The order of precedence, which ignores metadata.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| {
            match (self.prerelease.as_str(), other.prerelease.as_str()) {
                ("", "") => Ordering::Equal,
                ("", _) => Ordering::Greater,
                (_, "") => Ordering::Less,
                (left, right) => compare_prereleases(left, right),
            }
        })
    }
}

/// The greatest of `versions` that is in `range`, as Helm chooses a chart's version; `None` if there is none, or the
/// range is invalid.
pub fn newest<'a>(range: &str, versions: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let range = Constraint::parse(range).ok()?;
    let fitting = versions.into_iter().filter_map(|text| {
        let version = Version::parse(text).ok()?;
        range.accepts(&version).then_some((version, text))
    });
    fitting.max_by(|(a, _), (b, _)| a.compare(b)).map(|(_, text)| text)
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.prerelease.is_empty() {
            write!(formatter, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(formatter, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

/// Whether the text consists of identifiers of letters, digits and hyphens, separated by single dots.
fn is_identifiers(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

/// Numbers come before names, and a shorter prerelease before a longer one.
fn compare_prereleases(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let (left, right) = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) if left == right => continue,
            (Some(left), Some(right)) => (left, right),
        };
        return match (left.parse::<u64>(), right.parse::<u64>()) {
            (Ok(left), Ok(right)) => left.cmp(&right),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => left.cmp(right),
        };
    }
}

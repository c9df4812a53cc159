//! Constraints on versions, as in Masterminds/semver 3.5: `>=1.2 <2 || ^3.1`, `1.2 - 1.4`, `~1.2`, `1.x`. A prerelease
//! satisfies only a group that contains a prerelease.

use std::cmp::Ordering;
use std::sync::LazyLock;

use gostd::fmt;
use regex::{Captures, Regex};

use super::{Invalid, Version};

/// Alternatives, each of which is a group of comparisons that must all be true.
#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    groups: Vec<Vec<Comparison>>,
}

/// One operator with its version.
#[derive(Clone, Debug)]
struct Comparison {
    operator: Operator,
    version: Version,
    given: Given,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// The part of a version that a comparison specifies; the rest is omitted or a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Nothing,
    Major,
    Minor,
    All,
}

/// The regular expressions of the library's grammar.
struct Grammar {
    range: Regex,
    group: Regex,
    each: Regex,
    one: Regex,
}

static GRAMMAR: LazyLock<Option<Grammar>> = LazyLock::new(|| Grammar::new().ok());

const BLANK: &str = r"[\t\n\f\r ]";
const NUMBER: &str = r"[0-9|xX*]+";
const IDENTIFIERS: &str = r"[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*";
const OPERATOR: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";

impl Grammar {
    fn new() -> Result<Self, regex::Error> {
        let version =
            format!(r"v?{NUMBER}(?:\.{NUMBER})?(?:\.{NUMBER})?(?:-{IDENTIFIERS})?(?:\+{IDENTIFIERS})?");
        let parts = format!(
            r"v?(?<major>{NUMBER})(?<minor>\.{NUMBER})?(?<patch>\.{NUMBER})?(?<pre>-{IDENTIFIERS})?(?:\+{IDENTIFIERS})?"
        );
        let one = format!(r"(?:{OPERATOR}){BLANK}*{version}");
        Ok(Self {
            range: Regex::new(&format!(
                r"{BLANK}*(?<low>{version}){BLANK}+-{BLANK}+(?<high>{version}){BLANK}*"
            ))?,
            group: Regex::new(&format!(r"^{BLANK}*{one}{BLANK}*(?:(?:{BLANK}+|,{BLANK}*){one}{BLANK}*)*$"))?,
            each: Regex::new(&one)?,
            one: Regex::new(&format!(r"^(?<operator>{OPERATOR}){BLANK}*(?<version>{parts})$"))?,
        })
    }

    /// Rewrites `a - b` as two comparisons.
    fn without_ranges(&self, text: &str) -> String {
        let mut rewritten = text.to_owned();
        for found in self.range.captures_iter(text) {
            let (low, high) = (part(&found, "low"), part(&found, "high"));
            let whole = found.get(0).map_or("", |found| found.as_str());
            rewritten = rewritten.replacen(whole, &format!(">= {low}, <= {high} "), 1);
        }
        rewritten
    }
}

fn part<'a>(captures: &Captures<'a>, name: &str) -> &'a str {
    captures.name(name).map_or("", |found| found.as_str())
}

impl Constraint {
    /// Parses a constraint.
    ///
    /// # Errors
    /// The text is not a constraint.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() > 512 {
            return Err(Invalid::ConstraintLength);
        }
        let improper = |text: &str| Invalid::Constraint(fmt::quote(text.as_bytes()));
        let Some(grammar) = GRAMMAR.as_ref() else { return Err(improper(text)) };
        let text = grammar.without_ranges(text);
        let alternatives: Vec<&str> = text.split("||").collect();
        if alternatives.len() > 32 {
            return Err(Invalid::ConstraintGroups);
        }
        let mut groups = Vec::new();
        for alternative in alternatives {
            if !grammar.group.is_match(alternative) {
                return Err(improper(alternative));
            }
            let comparisons = grammar.each.find_iter(alternative).map(|found| {
                let parts = grammar.one.captures(found.as_str()).ok_or_else(|| improper(found.as_str()))?;
                Comparison::new(&parts)
            });
            groups.push(comparisons.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self { groups })
    }

    /// Whether `version` satisfies one of the alternatives.
    pub(crate) fn accepts(&self, version: &Version) -> bool {
        self.groups.iter().any(|group| {
            let names_prerelease = group.iter().any(|comparison| !comparison.version.prerelease.is_empty());
            (version.prerelease.is_empty() || names_prerelease)
                && group.iter().all(|comparison| comparison.accepts(version))
        })
    }
}

impl Comparison {
    fn new(parts: &Captures<'_>) -> Result<Self, Invalid> {
        let operator = match part(parts, "operator") {
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            ">=" | "=>" => Operator::GreaterOrEqual,
            "<=" | "=<" => Operator::LessOrEqual,
            "~" | "~>" => Operator::Tilde,
            "^" => Operator::Caret,
            _ => Operator::Equal,
        };
        let [major, minor, patch, pre] = ["major", "minor", "patch", "pre"].map(|name| part(parts, name));
        let open = |number: &str| matches!(number, "" | "x" | "X" | "*" | ".x" | ".X" | ".*");
        let (given, text) = if open(major) {
            (Given::Nothing, format!("0.0.0{pre}"))
        } else if open(minor) {
            (Given::Major, format!("{major}.0.0{pre}"))
        } else if open(patch) {
            (Given::Minor, format!("{major}{minor}.0{pre}"))
        } else {
            (Given::All, part(parts, "version").to_owned())
        };
        let version = Version::parse(&text).map_err(|_| Invalid::ConstraintVersion)?;
        Ok(Self { operator, version, given })
    }

    /// Whether `version` satisfies the comparison. The caller has already checked prereleases.
    fn accepts(&self, version: &Version) -> bool {
        let (own, given) = (&self.version, self.given);
        let order = version.compare(own);
        match self.operator {
            Operator::Equal if given == Given::All => order.is_eq(),
            Operator::Equal | Operator::Tilde => order.is_ge() && self.tilde(version),
            Operator::NotEqual => self.differs(version, order),
            Operator::Less => order.is_lt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Caret => order.is_ge() && self.caret(version),
            Operator::Greater => match (version.major.cmp(&own.major), given) {
                (_, Given::All) | (Ordering::Equal, Given::Nothing) => order.is_gt(),
                (Ordering::Equal, Given::Major) => false,
                (Ordering::Equal, Given::Minor) => version.minor > own.minor,
                (majors, _) => majors.is_gt(),
            },
            Operator::LessOrEqual => match (version.major.cmp(&own.major), given) {
                (_, Given::All) => order.is_le(),
                (Ordering::Equal, Given::Major) => true,
                (Ordering::Equal, _) => version.minor <= own.minor,
                (majors, _) => majors.is_lt(),
            },
        }
    }

    /// Whether the specified numbers are equal, up to the minor number.
    fn tilde(&self, version: &Version) -> bool {
        let own = &self.version;
        // `*` accepts everything; in the library, so does `~0.0.0`.
        let all = (own.major, own.minor, own.patch) == (0, 0, 0);
        (all && matches!(self.given, Given::Nothing | Given::All))
            || (version.major == own.major && (self.given == Given::Major || version.minor == own.minor))
    }

    fn differs(&self, version: &Version, order: Ordering) -> bool {
        let own = &self.version;
        match self.given {
            Given::All => order.is_ne(),
            _ if own.major != version.major => true,
            Given::Major => false,
            _ if own.minor != version.minor => true,
            Given::Minor => own.prerelease != version.prerelease,
            Given::Nothing => own.patch != version.patch || order.is_ne(),
        }
    }

    /// Whether the numbers are equal up to the first one that is not zero.
    fn caret(&self, version: &Version) -> bool {
        let own = &self.version;
        if own.major > 0 || self.given == Given::Major {
            version.major == own.major
        } else if version.major > 0 {
            false
        } else if own.minor > 0 || self.given == Given::Minor {
            version.minor == own.minor
        } else {
            version.minor == 0 && version.patch == own.patch
        }
    }
}

//! What a framework asks for, as data: controls, and which events and checks speak for each.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::check::{Check, Class};
use super::{cmmc, nist, srg};
use crate::{Ending, Error, EventType, Result};

/// A catalogue of controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// NIST SP 800-53 revision 5.
    Nist80053r5,
    /// CMMC Level 2, which is NIST SP 800-171 revision 2 by other names.
    CmmcL2,
    /// DISA's Security Requirements Guide for container platforms.
    SrgContainer,
}

/// One control, and what a log can say of it.
#[derive(Debug)]
pub struct Control {
    /// As its catalogue spells it.
    pub id: &'static str,
    /// Its title, in the catalogue's own words.
    pub title: &'static str,
    /// Another name of it, where the catalogue has one: the rule and its severity.
    pub also: Option<&'static str>,
    /// What airlock's log shows of it. The status is about this.
    pub evidences: &'static str,
    /// What it does not show, so that somebody else must.
    pub leaves_out: &'static str,
    pub(crate) basis: Basis,
}

/// What a status rests on.
#[derive(Debug)]
pub(crate) enum Basis {
    /// Events, of which all checks must hold, and at least one that [`Check::proves`] must be about one of them.
    Events(Rows, &'static [Check]),
    /// Events that can contradict it. They never suffice: [`Control::leaves_out`] is missing.
    Partial(Rows, &'static [Check]),
    /// Nothing in a log can show it.
    Outside,
    /// It is known not to be so, whatever the log says.
    Lacking,
}

/// Which events.
#[derive(Debug)]
pub(crate) enum Rows {
    /// Each.
    All,
    /// Those of a kind.
    Of(&'static [EventType]),
    /// Those of a kind that were refused or failed, and alarms.
    Against(&'static [EventType]),
}

/// What the log shows of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Events show it, and would not if they were missing or other ones.
    Satisfied,
    /// The log and the period do not have what would show it, or no log can; nothing speaks against it.
    NotAssessed,
    /// Something was not as it must be.
    NotSatisfied,
}

impl Framework {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Nist80053r5, Self::CmmcL2, Self::SrgContainer];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nist80053r5 => "nist-800-53r5",
            Self::CmmcL2 => "cmmc-l2",
            Self::SrgContainer => "srg-container",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Nist80053r5 => "NIST SP 800-53 Revision 5",
            Self::CmmcL2 => "CMMC Level 2",
            Self::SrgContainer => "DISA Container Platform SRG",
        }
    }

    /// Where its identifiers are from.
    #[must_use]
    pub fn sources(self) -> &'static [&'static str] {
        match self {
            Self::Nist80053r5 => &["NIST SP 800-53 Revision 5, by its OSCAL catalog"],
            Self::CmmcL2 => &["CMMC Assessment Guide Level 2, version 2.13", "NIST SP 800-171 Revision 2"],
            Self::SrgContainer => &["Container Platform SRG, version 2 release 4, of 28 October 2025"],
        }
    }

    /// Its controls. Those that airlock has nothing to do with are not here, and a report says nothing of them.
    #[must_use]
    pub fn controls(self) -> &'static [Control] {
        match self {
            Self::Nist80053r5 => nist::CONTROLS,
            Self::CmmcL2 => cmmc::CONTROLS,
            Self::SrgContainer => srg::CONTROLS,
        }
    }
}

impl fmt::Display for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Framework {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|framework| framework.name() == text);
        found.copied().ok_or_else(|| Error::Framework(text.to_owned()))
    }
}

impl Status {
    /// For programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Satisfied => "satisfied",
            Self::NotAssessed => "not-assessed",
            Self::NotSatisfied => "not-satisfied",
        }
    }

    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Satisfied => "satisfied",
            Self::NotAssessed => "not assessed",
            Self::NotSatisfied => "not satisfied",
        }
    }
}

impl Control {
    /// A control that events speak for.
    pub(crate) const fn new(
        id: &'static str,
        title: &'static str,
        rows: Rows,
        checks: &'static [Check],
    ) -> Self {
        Self { id, title, also: None, evidences: "", leaves_out: "", basis: Basis::Events(rows, checks) }
    }

    /// A control that events can contradict, but not show: the log is a part of the evidence only.
    pub(crate) const fn partial(
        id: &'static str,
        title: &'static str,
        rows: Rows,
        checks: &'static [Check],
    ) -> Self {
        Self { id, title, also: None, evidences: "", leaves_out: "", basis: Basis::Partial(rows, checks) }
    }

    /// Whether a log can show it. Otherwise its status is never [`Status::Satisfied`].
    #[must_use]
    pub fn can_be_satisfied(&self) -> bool {
        matches!(self.basis, Basis::Events(..))
    }

    /// A control that no event can speak for.
    pub(crate) const fn outside(id: &'static str, title: &'static str, leaves_out: &'static str) -> Self {
        Self { id, title, also: None, evidences: "Nothing.", leaves_out, basis: Basis::Outside }
    }

    /// A control that is not met, and why.
    pub(crate) const fn lacking(id: &'static str, title: &'static str, leaves_out: &'static str) -> Self {
        Self { id, title, also: None, evidences: "Nothing.", leaves_out, basis: Basis::Lacking }
    }

    /// Says what is shown, and what is not.
    pub(crate) const fn says(mut self, evidences: &'static str, leaves_out: &'static str) -> Self {
        self.evidences = evidences;
        self.leaves_out = leaves_out;
        self
    }

    /// Gives the other name.
    pub(crate) const fn also(mut self, also: &'static str) -> Self {
        self.also = Some(also);
        self
    }

    /// The checks that the status rests on.
    pub(crate) fn checks(&self) -> &'static [Check] {
        match self.basis {
            Basis::Events(_, checks) | Basis::Partial(_, checks) => checks,
            Basis::Outside | Basis::Lacking => &[],
        }
    }

    /// The names of the checks that its status rests on.
    #[must_use]
    pub fn checks_named(&self) -> Vec<&'static str> {
        self.checks().iter().map(|check| check.name()).collect()
    }

    /// The kinds of events that it names one by one.
    #[must_use]
    pub fn kinds(&self) -> &'static [EventType] {
        match self.basis {
            Basis::Events(Rows::Of(kinds) | Rows::Against(kinds), _)
            | Basis::Partial(Rows::Of(kinds) | Rows::Against(kinds), _) => kinds,
            Basis::Events(Rows::All, _) | Basis::Partial(Rows::All, _) | Basis::Outside | Basis::Lacking => {
                &[]
            }
        }
    }

    /// Whether events of this kind that ended like this are evidence for it.
    pub(crate) fn names(&self, (kind, ending): Class) -> bool {
        match self.basis {
            Basis::Events(Rows::All, _) | Basis::Partial(Rows::All, _) => true,
            Basis::Events(Rows::Of(kinds), _) | Basis::Partial(Rows::Of(kinds), _) => kinds.contains(&kind),
            Basis::Events(Rows::Against(kinds), _) | Basis::Partial(Rows::Against(kinds), _) => {
                kind == EventType::Alarm || ending != Ending::Success && kinds.contains(&kind)
            }
            Basis::Outside | Basis::Lacking => false,
        }
    }
}

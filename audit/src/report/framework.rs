//! The controls of the frameworks, as data, each with the events and checks that are evidence for it.

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
    /// CMMC Level 2, which has the requirements of NIST SP 800-171 revision 2 under other identifiers.
    CmmcL2,
    /// DISA's Security Requirements Guide for container platforms.
    SrgContainer,
}

/// A control, and the evidence that a log has for it.
#[derive(Debug)]
pub struct Control {
    /// Its identifier, as its catalogue spells it.
    pub id: &'static str,
    /// Its title, in the catalogue's own words.
    pub title: &'static str,
    /// Its other identifier, if the catalogue has one: the rule and its severity.
    pub also: Option<&'static str>,
    /// What airlock's log shows about it. The status refers to this.
    pub evidences: &'static str,
    /// What the log does not show, so that other evidence is needed.
    pub leaves_out: &'static str,
    pub(crate) basis: Basis,
}

/// The basis of a status.
#[derive(Debug)]
pub(crate) enum Basis {
    /// Events for which all checks must pass. At least one check that [`Check::proves`] must be about one of them.
    Events(Rows, &'static [Check]),
    /// Events that can contradict the control, but never show it: [`Control::leaves_out`] is missing.
    Partial(Rows, &'static [Check]),
    /// No event can show or contradict the control.
    Outside,
    /// The control is known not to be met, independently of the log.
    Lacking,
}

/// The events for a control.
#[derive(Debug)]
pub(crate) enum Rows {
    /// All events.
    All,
    /// Events of these types.
    Of(&'static [EventType]),
    /// Events of these types that were refused or failed, and alarms.
    Against(&'static [EventType]),
}

/// The status of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Events show it; if they were missing or had other content, it would not be satisfied.
    Satisfied,
    /// No event in the period shows it, or no log can show it; nothing contradicts it.
    NotAssessed,
    /// A check failed, or the control is known not to be met.
    NotSatisfied,
}

impl Framework {
    /// All frameworks.
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

    /// The sources of its identifiers.
    #[must_use]
    pub fn sources(self) -> &'static [&'static str] {
        match self {
            Self::Nist80053r5 => &["NIST SP 800-53 Revision 5, by its OSCAL catalog"],
            Self::CmmcL2 => &["CMMC Assessment Guide Level 2, version 2.13", "NIST SP 800-171 Revision 2"],
            Self::SrgContainer => &["Container Platform SRG, version 2 release 4, of 28 October 2025"],
        }
    }

    /// Its controls. Controls that do not apply to airlock are omitted, also from reports.
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
    /// Its name for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Satisfied => "satisfied",
            Self::NotAssessed => "not-assessed",
            Self::NotSatisfied => "not-satisfied",
        }
    }

    /// Its name for people.
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
    /// A control that events can show.
    pub(crate) const fn new(
        id: &'static str,
        title: &'static str,
        rows: Rows,
        checks: &'static [Check],
    ) -> Self {
        Self { id, title, also: None, evidences: "", leaves_out: "", basis: Basis::Events(rows, checks) }
    }

    /// A control that events can contradict, but not show: the log is only a part of the evidence.
    pub(crate) const fn partial(
        id: &'static str,
        title: &'static str,
        rows: Rows,
        checks: &'static [Check],
    ) -> Self {
        Self { id, title, also: None, evidences: "", leaves_out: "", basis: Basis::Partial(rows, checks) }
    }

    /// Whether a log can show the control. Otherwise, its status is never [`Status::Satisfied`].
    #[must_use]
    pub fn can_be_satisfied(&self) -> bool {
        matches!(self.basis, Basis::Events(..))
    }

    /// A control that no event can show.
    pub(crate) const fn outside(id: &'static str, title: &'static str, leaves_out: &'static str) -> Self {
        Self { id, title, also: None, evidences: "Nothing.", leaves_out, basis: Basis::Outside }
    }

    /// A control that is not met, with the reason.
    pub(crate) const fn lacking(id: &'static str, title: &'static str, leaves_out: &'static str) -> Self {
        Self { id, title, also: None, evidences: "Nothing.", leaves_out, basis: Basis::Lacking }
    }

    /// Sets what the log shows, and what it does not show.
    pub(crate) const fn says(mut self, evidences: &'static str, leaves_out: &'static str) -> Self {
        self.evidences = evidences;
        self.leaves_out = leaves_out;
        self
    }

    /// Sets the other identifier.
    pub(crate) const fn also(mut self, also: &'static str) -> Self {
        self.also = Some(also);
        self
    }

    /// The checks that determine the status.
    pub(crate) fn checks(&self) -> &'static [Check] {
        match self.basis {
            Basis::Events(_, checks) | Basis::Partial(_, checks) => checks,
            Basis::Outside | Basis::Lacking => &[],
        }
    }

    /// The names of the checks that determine the status.
    #[must_use]
    pub fn checks_named(&self) -> Vec<&'static str> {
        self.checks().iter().map(|check| check.name()).collect()
    }

    /// The event types that the control lists explicitly.
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

    /// Whether events of this type with this result are evidence for the control.
    pub(crate) fn includes(&self, (kind, ending): Class) -> bool {
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

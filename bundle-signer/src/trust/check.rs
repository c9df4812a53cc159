//! What does not fit together in a trust file: rules that nobody can meet, and those that say less than they seem to.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Gate, Holder, Mode, TrustFile, TrustedIdentity};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// A rule can never be met.
    Contradiction,
    /// A rule may be weaker than its writer thinks.
    Warning,
}

/// Something about a trust file that its writer should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub text: String,
}

impl TrustFile {
    /// Looks for contradictions and for rules that are weaker than they seem.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut tell = |severity, text| findings.push(Finding { severity, text });
        if !self.holders().any(|key| self.lives(key)) {
            tell(Severity::Contradiction, "every key and identity is revoked".to_owned());
        }
        for group in &self.groups {
            let alive = self.count(self.behind(&group.name).0.into_iter().filter(|key| self.lives(key)));
            if alive < group.threshold {
                let (name, threshold) = (&group.name, group.threshold);
                let text =
                    format!("group `{name}` needs {threshold} signers, but only {alive} are not revoked");
                tell(Severity::Contradiction, text);
            }
            let used = self.gates.iter().flat_map(|(_, rules)| &rules.rules).any(|(_, by)| *by == group.name);
            if !used {
                tell(Severity::Warning, format!("no gate asks for group `{}`", group.name));
            }
        }
        for (gate, rules) in &self.gates {
            for (what, by) in &rules.rules {
                let (keys, threshold) = self.behind(by);
                let able = self
                    .count(keys.into_iter().filter(|key| self.lives(key) && key.may_ever(what, self.open)));
                if able < threshold {
                    let text = format!(
                        "gate `{gate}` asks `{by}` for `{what}`: {able} of its signers may sign that, {threshold} must"
                    );
                    tell(Severity::Contradiction, text);
                }
                if let Some(text) = not_asked(*gate, what) {
                    tell(Severity::Warning, text);
                }
                if *what == super::What::Drive && threshold > 1 {
                    let text = format!(
                        "gate `{gate}` asks {threshold} signatures of a drive, which has room for one"
                    );
                    tell(Severity::Contradiction, text);
                }
            }
            if rules.mode == Mode::Warn {
                tell(Severity::Warning, format!("gate `{gate}` only warns"));
            }
        }
        self.check_keys(&mut tell);
        self.check_identities(&mut tell);
        findings
    }

    fn check_keys(&self, tell: &mut impl FnMut(Severity, String)) {
        let scoped = self.holders().any(|key| key.roles.is_some());
        for key in self.holders() {
            match &key.roles {
                Some(roles) if roles.is_empty() => {
                    tell(Severity::Warning, format!("`{}` may sign nothing", key.name));
                }
                None if scoped || !self.groups.is_empty() => {
                    let name = &key.name;
                    let may = if self.open { "anything" } else { "drives and anything about images" };
                    let text = format!("key `{name}` has no roles: it may sign {may}");
                    tell(Severity::Warning, text);
                }
                Some(_) | None => {}
            }
        }
        let logs = || self.logs.iter().chain(&self.witnesses);
        for log in logs().filter(|log| self.log_revocation(log).is_some()) {
            tell(Severity::Warning, format!("the key of log or witness `{}` is revoked", log.name()));
        }
        for key in self.holders() {
            let old = key.replaces.as_ref().and_then(|old| self.holders().find(|key| key.name == *old));
            if let Some(old) = old.filter(|old| self.lives(old)) {
                let text = format!(
                    "`{}` replaces `{}`, which is still accepted: revoke it once nothing rests on it",
                    key.name, old.name
                );
                tell(Severity::Warning, text);
            }
        }
        for revocation in &self.revocations {
            if self.holder(&revocation.hint).is_none() && !logs().any(|log| log.hint() == revocation.hint) {
                let text = format!(
                    "no key, identity, log or witness of this file has the hint {}: the revocation refuses nothing",
                    revocation.hint
                );
                tell(Severity::Contradiction, text);
            }
        }
        if self.gates.is_empty() && !self.groups.is_empty() {
            let gates: Vec<_> = Gate::ALL.iter().map(Gate::to_string).collect();
            let text =
                format!("groups without gates change nothing: {} take any one signer", gates.join(", "));
            tell(Severity::Contradiction, text);
        }
    }

    /// Patterns say more than their writers think, and one person is one signer.
    fn check_identities(&self, tell: &mut impl FnMut(Severity, String)) {
        for known in &self.identities {
            let (name, identity) = (known.name(), known.identity());
            for (wanted, what) in [(identity.subject(), "subject"), (identity.issuer(), "issuer")] {
                if identity.is_wide(wanted) {
                    let text = format!("identity `{name}` accepts any {what}: {wanted} matches anything");
                    tell(Severity::Warning, text);
                } else if let Some(part) = wanted.loose_dot() {
                    let text = format!(
                        "identity `{name}`: in the {what} {wanted} a `.` stands for any character at `{part}`; write `\\.`"
                    );
                    tell(Severity::Warning, text);
                }
            }
            let person = (identity.subject().text(), identity.issuer().text());
            let covers = |other: &&TrustedIdentity| {
                identity.is_exact() && other.name() != name && other.identity().fits(person.0, person.1)
            };
            for other in self.identities.iter().filter(covers) {
                let text = format!(
                    "identity `{}` fits `{name}`, too: what that one signs counts as `{name}`'s alone",
                    other.name()
                );
                tell(Severity::Warning, text);
            }
        }
    }

    fn lives(&self, key: &Holder) -> bool {
        self.revocation(key).is_none()
    }

    /// Those that speak for a group, or for the key or identity, of this name; and how many must sign.
    fn behind(&self, name: &str) -> (Vec<&Holder>, usize) {
        let keys = self.holders().filter(|key| self.speaks_for(key, name)).collect();
        (keys, self.group(name).map_or(1, |group| group.threshold))
    }

    /// How many signers these are.
    fn count<'a>(&'a self, keys: impl Iterator<Item = &'a Holder>) -> usize {
        keys.map(|key| self.signer(key)).collect::<BTreeSet<_>>().len()
    }
}

/// A rule of a gate at which its kind of thing does not come by.
fn not_asked(gate: Gate, what: &super::What) -> Option<String> {
    if what.is_manifest() {
        // Their rules hold wherever such a manifest is verified.
        return None;
    }
    let is_drive = *what == super::What::Drive;
    let why = match (gate, is_drive) {
        (Gate::Import, false) => "drives are asked about there, not images",
        (Gate::Pack | Gate::Push | Gate::Pull, true) => {
            "images are asked about there; drives are at `import`"
        }
        (Gate::Mirror, _) => {
            "only `verify-image` asks it; the mirror file says what upstream must have signed"
        }
        (Gate::Import, true) | (Gate::Pack | Gate::Push | Gate::Pull, false) => return None,
    };
    Some(format!("gate `{gate}` has a rule for `{what}` in vain: {why}"))
}

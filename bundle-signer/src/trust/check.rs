//! What does not fit together in a trust file: rules that nobody can meet, and those that say less than they seem to.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Gate, Mode, TrustFile, TrustedKey};

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
        if !self.keys.iter().any(|key| self.lives(key)) {
            tell(Severity::Contradiction, "every key is revoked".to_owned());
        }
        for group in &self.groups {
            let alive = self.count(self.behind(&group.name).0.into_iter().filter(|key| self.lives(key)));
            if alive < group.threshold {
                let (name, threshold) = (&group.name, group.threshold);
                let text = format!("group `{name}` needs {threshold} keys, but only {alive} are not revoked");
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
                        "gate `{gate}` asks `{by}` for `{what}`: {able} of its keys may sign that, {threshold} must"
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
        findings
    }

    fn check_keys(&self, tell: &mut impl FnMut(Severity, String)) {
        let scoped = self.keys.iter().any(|key| key.roles.is_some());
        for key in &self.keys {
            match &key.roles {
                Some(roles) if roles.is_empty() => {
                    tell(Severity::Warning, format!("key `{}` may sign nothing", key.name));
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
        for key in &self.keys {
            let old = key.replaces.as_ref().and_then(|old| self.keys.iter().find(|key| key.name == *old));
            if let Some(old) = old.filter(|old| self.lives(old)) {
                let text = format!(
                    "key `{}` replaces `{}`, which is still accepted: revoke it once nothing rests on it",
                    key.name, old.name
                );
                tell(Severity::Warning, text);
            }
        }
        for revocation in &self.revocations {
            if self.find(&revocation.hint).is_none() && !logs().any(|log| log.hint() == revocation.hint) {
                let text = format!(
                    "no key, log or witness of this file has the hint {}: the revocation refuses nothing",
                    revocation.hint
                );
                tell(Severity::Contradiction, text);
            }
        }
        if self.gates.is_empty() && !self.groups.is_empty() {
            let gates: Vec<_> = Gate::ALL.iter().map(Gate::to_string).collect();
            let text = format!("groups without gates change nothing: {} take any one key", gates.join(", "));
            tell(Severity::Contradiction, text);
        }
    }

    fn lives(&self, key: &TrustedKey) -> bool {
        self.revocation(&key.key).is_none()
    }

    /// The keys that speak for a group, or for the key, of this name; and how many must sign.
    fn behind(&self, name: &str) -> (Vec<&TrustedKey>, usize) {
        let keys = self.keys.iter().filter(|key| self.speaks_for(key, name)).collect();
        (keys, self.group(name).map_or(1, |group| group.threshold))
    }

    /// How many signers these keys are.
    fn count<'a>(&'a self, keys: impl Iterator<Item = &'a TrustedKey>) -> usize {
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

//! Inconsistencies in a trust file: rules that cannot be met, and rules that are weaker than they seem.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Gate, Holder, Mode, TrustFile, TrustedIdentity};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// A rule can never be met.
    Contradiction,
    /// A rule may be weaker than its author thinks.
    Warning,
}

/// An inconsistency that the author of a trust file should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The severity.
    pub severity: Severity,
    /// The description.
    pub text: String,
}

impl TrustFile {
    /// Finds contradictions and rules that are weaker than they seem.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut report = |severity, text| findings.push(Finding { severity, text });
        if !self.holders().any(|key| self.is_active(key)) {
            report(Severity::Contradiction, "every key and identity is revoked".to_owned());
        }
        for group in &self.groups {
            let active =
                self.count(self.signers_for(&group.name).0.into_iter().filter(|key| self.is_active(key)));
            if active < group.threshold {
                let (name, threshold) = (&group.name, group.threshold);
                let text =
                    format!("group `{name}` needs {threshold} signers, but only {active} are not revoked");
                report(Severity::Contradiction, text);
            }
            let used = self.gates.iter().flat_map(|(_, rules)| &rules.rules).any(|(_, by)| *by == group.name);
            if !used {
                report(Severity::Warning, format!("no gate requires group `{}`", group.name));
            }
        }
        for (gate, rules) in &self.gates {
            for (content, by) in &rules.rules {
                let (keys, threshold) = self.signers_for(by);
                let able = self.count(
                    keys.into_iter().filter(|key| self.is_active(key) && key.may_ever(content, self.open)),
                );
                if able < threshold {
                    let text = format!(
                        "gate `{gate}` requires `{content}` by `{by}`: {threshold} of its signers must sign, but only {able} may"
                    );
                    report(Severity::Contradiction, text);
                }
                if let Some(text) = rule_without_effect(*gate, content) {
                    report(Severity::Warning, text);
                }
                if *content == super::ContentKind::Drive && threshold > 1 {
                    let text = format!(
                        "gate `{gate}` requires {threshold} signatures on a drive, which can have only one"
                    );
                    report(Severity::Contradiction, text);
                }
            }
            if rules.mode == Mode::Warn {
                report(Severity::Warning, format!("gate `{gate}` only warns"));
            }
        }
        self.check_keys(&mut report);
        self.check_identities(&mut report);
        findings
    }

    fn check_keys(&self, report: &mut impl FnMut(Severity, String)) {
        let scoped = self.holders().any(|key| key.roles.is_some());
        for key in self.holders() {
            match &key.roles {
                Some(roles) if roles.is_empty() => {
                    report(Severity::Warning, format!("`{}` may sign nothing", key.name));
                }
                None if scoped || !self.groups.is_empty() => {
                    let name = &key.name;
                    let may = if self.open { "anything" } else { "drives and statements about images" };
                    let text = format!("key `{name}` has no roles: it may sign {may}");
                    report(Severity::Warning, text);
                }
                Some(_) | None => {}
            }
        }
        let logs = || self.logs.iter().chain(&self.witnesses);
        for log in logs().filter(|log| self.log_revocation(log).is_some()) {
            report(Severity::Warning, format!("the key of log or witness `{}` is revoked", log.name()));
        }
        for key in self.holders() {
            let old = key.replaces.as_ref().and_then(|old| self.holders().find(|key| key.name == *old));
            if let Some(old) = old.filter(|old| self.is_active(old)) {
                let text = format!(
                    "`{}` replaces `{}`, which is still accepted: revoke the old one when nothing depends on it",
                    key.name, old.name
                );
                report(Severity::Warning, text);
            }
        }
        for revocation in &self.revocations {
            if self.holder(&revocation.hint).is_none() && !logs().any(|log| log.hint() == revocation.hint) {
                let text = format!(
                    "no key, identity, log or witness of this file has the hint {}: the revocation has no effect",
                    revocation.hint
                );
                report(Severity::Contradiction, text);
            }
        }
        if self.gates.is_empty() && !self.groups.is_empty() {
            let gates: Vec<_> = Gate::ALL.iter().map(Gate::to_string).collect();
            let text =
                format!("groups without gates have no effect: {} accept any single signer", gates.join(", "));
            report(Severity::Contradiction, text);
        }
    }

    /// Patterns may match more than their authors think, and one person is one signer.
    fn check_identities(&self, report: &mut impl FnMut(Severity, String)) {
        for known in &self.identities {
            let (name, identity) = (known.name(), known.identity());
            for (matcher, field) in [(identity.subject(), "subject"), (identity.issuer(), "issuer")] {
                if identity.matches_anyone(matcher) {
                    let text = format!("identity `{name}` accepts any {field}: {matcher} matches anything");
                    report(Severity::Warning, text);
                } else if let Some(part) = matcher.unescaped_dot() {
                    let text = format!(
                        "identity `{name}`: in the {field} {matcher}, the `.` in `{part}` matches any character; write `\\.`"
                    );
                    report(Severity::Warning, text);
                }
            }
            let person = (identity.subject().text(), identity.issuer().text());
            let covers = |other: &&TrustedIdentity| {
                identity.is_exact() && other.name() != name && other.identity().matches(person.0, person.1)
            };
            for other in self.identities.iter().filter(covers) {
                let text = format!(
                    "identity `{}` also matches the signer of `{name}`: its signatures count only as `{name}`",
                    other.name()
                );
                report(Severity::Warning, text);
            }
        }
    }

    fn is_active(&self, key: &Holder) -> bool {
        self.revocation(key).is_none()
    }

    /// The keys and identities that count for the group, key or identity of this name, and how many must sign.
    fn signers_for(&self, name: &str) -> (Vec<&Holder>, usize) {
        let keys = self.holders().filter(|key| self.counts_for(key, name)).collect();
        (keys, self.group(name).map_or(1, |group| group.threshold))
    }

    /// The number of distinct signers.
    fn count<'a>(&'a self, keys: impl Iterator<Item = &'a Holder>) -> usize {
        keys.map(|key| self.signer(key)).collect::<BTreeSet<_>>().len()
    }
}

/// Describes a rule for a kind of content that its gate does not check.
fn rule_without_effect(gate: Gate, content: &super::ContentKind) -> Option<String> {
    if content.is_manifest() {
        // Rules for manifests apply wherever such a manifest is verified.
        return None;
    }
    let is_drive = *content == super::ContentKind::Drive;
    let reason = match (gate, is_drive) {
        (Gate::Import, false) => "this gate checks drives, not images",
        (Gate::Pack | Gate::Push | Gate::Pull, true) => {
            "this gate checks images; drives are checked at `import`"
        }
        (Gate::Mirror, _) => {
            "only `verify-image` uses this gate; the mirror file defines the required upstream signatures"
        }
        (Gate::Import, true) | (Gate::Pack | Gate::Push | Gate::Pull, false) => return None,
    };
    Some(format!("the rule for `{content}` of gate `{gate}` has no effect: {reason}"))
}

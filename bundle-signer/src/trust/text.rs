//! The trust file written down, as people expect to read it.

use super::document::{GateText, GatesText, RuleText};
use super::{API_VERSION, Gate, Group, KIND, Revocation, Role, TrustFile, TrustedLog, What};

impl TrustFile {
    /// The file's text.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        // JSON is YAML; only keys are written as people expect them.
        let json = |value: serde_json::Result<String>| value.unwrap_or_default();
        let mut text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n");
        if let Some(sequence) = self.sequence {
            text.push_str(&format!("sequence: {sequence}\n"));
        }
        if self.open {
            text.push_str("keysWithoutRoles: anything\n");
        }
        text.push_str("keys:\n");
        for trusted in &self.keys {
            let name = serde_json::Value::from(trusted.name.as_str());
            text.push_str(&format!("  - name: {name}\n    publicKey: |\n"));
            for line in trusted.key.to_pem().lines() {
                text.push_str(&format!("      {line}\n"));
            }
            if let Some(old) = &trusted.replaces {
                text.push_str(&format!("    replaces: {}\n", serde_json::Value::from(old.as_str())));
            }
            if let Some(roles) = &trusted.roles {
                let roles: Vec<_> = roles.iter().map(Role::text).collect();
                text.push_str(&format!("    roles: {}\n", json(serde_json::to_string(&roles))));
            }
        }
        for (list, logs) in [("logs", &self.logs), ("witnesses", &self.witnesses)] {
            if !logs.is_empty() {
                let logs: Vec<_> = logs.iter().map(TrustedLog::text).collect();
                text.push_str(&format!("{list}: {}\n", json(serde_json::to_string(&logs))));
            }
        }
        if !self.groups.is_empty() {
            let groups: Vec<_> = self.groups.iter().map(Group::text).collect();
            text.push_str(&format!("groups: {}\n", json(serde_json::to_string(&groups))));
        }
        if !self.revocations.is_empty() {
            let revocations: Vec<_> = self.revocations.iter().map(Revocation::text).collect();
            text.push_str(&format!("revocations: {}\n", json(serde_json::to_string(&revocations))));
        }
        if !self.gates.is_empty() {
            text.push_str(&format!("gates: {}\n", json(serde_json::to_string(&self.gates_text()))));
        }
        text
    }

    fn gates_text(&self) -> GatesText {
        let text = |gate| {
            let rules = self.rules(gate)?;
            let rule = |(what, by): &(What, String)| RuleText { sign: what.to_string(), by: by.clone() };
            Some(GateText { mode: rules.mode, require: rules.rules.iter().map(rule).collect() })
        };
        let [mirror, pack, import, push, pull] = Gate::ALL.map(text);
        GatesText { mirror, pack, import, push, pull }
    }
}

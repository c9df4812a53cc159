//! Serializing the trust file, in a readable form.

use super::document::{GateText, GatesText, RuleText};
use super::{
    API_VERSION, ContentKind, Gate, Group, KIND, Revocation, Role, TrustFile, TrustedIdentity, TrustedKey,
    TrustedLog,
};

impl TrustFile {
    /// The file's text.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n");
        if let Some(sequence) = self.sequence {
            text.push_str(&format!("sequence: {sequence}\n"));
        }
        if self.open {
            text.push_str("keysWithoutRoles: anything\n");
        }
        if !self.keys.is_empty() {
            text.push_str("keys:\n");
            text.extend(self.keys.iter().map(TrustedKey::to_yaml));
        }
        if !self.identities.is_empty() {
            text.push_str("identities:\n");
            text.extend(self.identities.iter().map(TrustedIdentity::to_yaml));
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
            let rule = |(content, by): &(ContentKind, String)| RuleText {
                sign: content.to_string(),
                by: by.clone(),
            };
            Some(GateText { mode: rules.mode, require: rules.rules.iter().map(rule).collect() })
        };
        let [mirror, pack, import, push, pull] = Gate::ALL.map(text);
        GatesText { mirror, pack, import, push, pull }
    }
}

impl TrustedKey {
    fn to_yaml(&self) -> String {
        let mut text = format!("  - name: {}\n    publicKey: |\n", quoted(self.name()));
        for line in self.key.to_pem().lines() {
            text.push_str(&format!("      {line}\n"));
        }
        if let Some(old) = self.replaces() {
            text.push_str(&format!("    replaces: {}\n", quoted(old)));
        }
        if let Some(roles) = self.roles() {
            let roles: Vec<_> = roles.iter().map(Role::text).collect();
            text.push_str(&format!("    roles: {}\n", json(serde_json::to_string(&roles))));
        }
        text
    }
}

impl TrustedIdentity {
    fn to_yaml(&self) -> String {
        let document = self.text();
        let mut text = format!("  - name: {}\n", quoted(&document.name));
        for (member, value) in [
            ("certificateIdentity", &document.certificate_identity),
            ("certificateIdentityRegexp", &document.certificate_identity_regexp),
            ("certificateOidcIssuer", &document.certificate_oidc_issuer),
            ("certificateOidcIssuerRegexp", &document.certificate_oidc_issuer_regexp),
            ("replaces", &document.replaces),
        ] {
            if let Some(value) = value {
                text.push_str(&format!("    {member}: {}\n", quoted(value)));
            }
        }
        text.push_str(&format!("    roles: {}\n", json(serde_json::to_string(&document.roles))));
        text.push_str(&format!("    trustedRoot: {}\n", block(&document.trusted_root)));
        text
    }
}

/// JSON is also YAML; only values that are read line by line are written in block form.
fn json(value: serde_json::Result<String>) -> String {
    value.unwrap_or_default()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text as a block of lines, if the block preserves it byte for byte.
fn block(text: &str) -> String {
    let (lines, mark) = match text.strip_suffix('\n') {
        Some(lines) => (lines, "|"),
        None => (text, "|-"),
    };
    let plain = |c: char| c == '\n' || c == ' ' || c.is_ascii_graphic();
    let whole =
        lines.lines().all(|line| line.trim_end() == line && !line.is_empty()) && !lines.ends_with('\n');
    if !lines.chars().all(plain) || !whole || !lines.starts_with('{') {
        return quoted(text);
    }
    let indented = lines.lines().map(|line| format!("\n      {line}")).collect::<String>();
    format!("{mark}{indented}")
}

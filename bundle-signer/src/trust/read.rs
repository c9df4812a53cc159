//! Parsing the trust file: contradictions and unknown names are refused.

use std::collections::BTreeSet;
use std::path::Path;

use super::document::{
    Document, GateText, GatesText, GroupText, KeyText, RevocationText, RuleText, Unscoped,
};
use super::identity::{self, ReadRoot};
use super::{
    API_VERSION, ContentKind, Gate, GateRules, Group, KIND, MAX_DEPTH, MAX_LEN, MAX_REASON, Revocation, Role,
    TrustFile, TrustedKey, TrustedLog, check_name, numbers, unknown,
};
use crate::{Error, PublicKey, Result, json, keyless};

impl TrustFile {
    /// Parses a self-contained trust file, YAML or JSON: trusted roots are given by their text.
    ///
    /// # Errors
    /// When it is malformed, of another kind, has no key and no identity, has a duplicate name, or refers to an unknown
    /// name.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with(text, &|_| {
            Err(std::io::Error::other("a trusted root must be given by its text here, not by a path"))
        })
    }

    /// Like [`TrustFile::parse`], for a file in a folder that paths of trusted roots are relative to.
    ///
    /// # Errors
    /// As [`TrustFile::parse`], and when a trusted root cannot be read.
    pub fn parse_in(text: &str, folder: &Path) -> Result<Self> {
        Self::parse_with(text, &|path| input::read_text(&folder.join(path), keyless::MAX_ROOT as u64))
    }

    /// A warning for the author of this file: with `keysWithoutRoles: anything`, a key may sign more than intended. Older
    /// versions of airlock wrote it by default.
    #[must_use]
    pub fn warning(&self, text: &str) -> Option<String> {
        let line = Some(numbers::keys_without_roles_line(text, limits())?).filter(|_| self.open)?;
        let bare = self.keys.iter().filter(|key| key.roles().is_none());
        let bare: Vec<_> = bare.map(|key| format!("`{}`", key.name())).collect();
        let fix = if bare.is_empty() {
            "remove the line: every key has roles".to_owned()
        } else {
            format!(
                "give {} roles, such as `roles: [{{sign: [signature, driveManifest]}}]`, and remove the line: without \
                 roles, a key may sign everything, including package bundles",
                bare.join(", ")
            )
        };
        Some(format!("line {line}: `keysWithoutRoles: anything`: {fix}"))
    }

    fn parse_with(text: &str, read: &ReadRoot<'_>) -> Result<Self> {
        if text.len() > MAX_LEN {
            return Err(Error::TrustTooLarge(text.len()));
        }
        let document: Document = serde_saphyr::from_str_with_options(text, limits())
            .map_err(|error| Error::Trust(Box::new(error)))?;
        for (field, found, expected) in
            [("apiVersion", &document.api_version, API_VERSION), ("kind", &document.kind, KIND)]
        {
            if found != expected {
                return Err(Error::TrustKind { field, found: found.clone(), expected });
            }
        }
        numbers::check(text, limits())?;
        let keys = document.keys.into_iter().map(TrustedKey::read).collect::<Result<_>>()?;
        let mut trust = Self::of(keys, identity::read_all(document.identities, read)?)?;
        trust.sequence = document.sequence;
        trust.open = document.keys_without_roles == Unscoped::Anything;
        trust.logs = TrustedLog::read_all(document.logs, false)?;
        trust.witnesses = TrustedLog::read_all(document.witnesses, true)?;
        for group in document.groups {
            let group = trust.read_group(group)?;
            trust.groups.push(group);
        }
        for revocation in document.revocations {
            let revocation = Revocation::read(revocation)?;
            if trust.revocations.iter().any(|known| known.hint == revocation.hint) {
                return Err(Error::TrustTwice(revocation.hint));
            }
            trust.revocations.push(revocation);
        }
        let GatesText { mirror, pack, import, push, pull } = document.gates;
        for (gate, text) in Gate::ALL.into_iter().zip([mirror, pack, import, push, pull]) {
            if let Some(text) = text {
                let rules = trust.read_gate(text)?;
                trust.gates.push((gate, rules));
            }
        }
        Ok(trust)
    }

    fn read_group(&self, text: GroupText) -> Result<Group> {
        check_name(&text.name)?;
        if self.knows(&text.name) {
            return Err(Error::TrustTwice(text.name));
        }
        let mut seen = BTreeSet::new();
        for name in &text.keys {
            if !self.holders().any(|key| key.name == *name) {
                return Err(unknown("group key", name, "the name of a key or an identity of this file"));
            }
            if !seen.insert(name) {
                return Err(Error::TrustTwice(name.clone()));
            }
        }
        let signers: BTreeSet<_> =
            self.holders().filter(|key| text.keys.contains(&key.name)).map(|key| self.signer(key)).collect();
        if text.threshold == 0 || text.threshold > signers.len() {
            let expected = "a number from 1 to the number of the group's signers";
            return Err(unknown("threshold", &text.threshold.to_string(), expected));
        }
        Ok(Group { name: text.name, threshold: text.threshold, keys: text.keys })
    }

    fn read_gate(&self, text: GateText) -> Result<GateRules> {
        let mut rules: Vec<(ContentKind, String)> = Vec::new();
        for RuleText { sign, by } in text.require {
            let content = ContentKind::parse(&sign)?;
            if content == ContentKind::Anything {
                return Err(unknown("sign", &sign, "one kind of content; `anything` is only for roles"));
            }
            if !self.knows(&by) {
                return Err(unknown("by", &by, "the name of a group, a key or an identity of this file"));
            }
            if rules.iter().any(|(known, _)| *known == content) {
                return Err(Error::TrustTwice(sign));
            }
            rules.push((content, by));
        }
        Ok(GateRules { mode: text.mode, rules })
    }
}

impl TrustedKey {
    fn read(text: KeyText) -> Result<Self> {
        let roles = |roles: Vec<_>| roles.into_iter().map(Role::read).collect::<Result<_>>();
        match PublicKey::from_pem(&text.public_key) {
            Ok(key) => {
                let roles = text.roles.map(roles).transpose()?;
                Ok(Self::new(text.name, key, text.replaces, roles))
            }
            Err(source) => Err(Error::TrustKey { name: text.name, source: Box::new(source) }),
        }
    }
}

impl Revocation {
    pub(super) fn read(text: RevocationText) -> Result<Self> {
        if json::base64_array::<32>("hint", &text.hint).is_err() {
            return Err(unknown(
                "hint",
                &text.hint,
                "base64 of a SHA-256, as `airlock keys generate` and `airlock trust check` print it",
            ));
        }
        let reason = text.reason.trim() == text.reason && !text.reason.chars().any(char::is_control);
        if !reason || !(1..=MAX_REASON).contains(&text.reason.len()) {
            return Err(unknown("reason", &text.reason, "1 to 512 printable characters"));
        }
        if !is_date(&text.date) {
            return Err(unknown("date", &text.date, "a date as YYYY-MM-DD"));
        }
        Ok(Self { hint: text.hint, reason: text.reason, date: text.date })
    }
}

fn is_date(text: &str) -> bool {
    let shape = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
    shape && text.parse::<jiff::civil::Date>().is_ok()
}

/// A trust file needs no anchors, aliases or merge keys, with which a small text can become a huge value.
fn limits() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_anchors: 0,
            max_aliases: 0,
            max_documents: 1,
            max_total_scalar_bytes: MAX_LEN,
        },
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        with_snippet: false,
    }
}

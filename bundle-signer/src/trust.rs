//! The trust file: the accepted keys and identities, by name; what each may sign; how many must sign; which are revoked.
//!
//! A key without roles may sign drives and statements about images. Manifests of EKS Anywhere need a role that names
//! them, or a file with `keysWithoutRoles: anything`. Groups and gates only narrow these permissions. Unknown members,
//! names and kinds are refused.
//!
//! - `document`: the format; `holder`: the common parts of keys and identities; `identity`: signers with a certificate;
//!   `role`: what a signer may sign (`content_kind`), and for which images (`pattern`); `logs`: keys of logs and witnesses; `decide`: the decision on signatures; `check`:
//!   contradictions
//! - `manifest`: manifests of EKS Anywhere
//! - `read`, `numbers`: parsing; `change`: replacing and revoking keys; `text`: serializing

mod change;
mod content_kind;
mod decide;
mod document;
mod findings;
mod holder;
mod identity;
mod logs;
mod manifest;
mod numbers;
mod pattern;
mod read;
mod role;
mod text;

use std::collections::BTreeSet;

pub use self::change::Additions;
pub use self::content_kind::ContentKind;
pub use self::decide::{Claims, Decision, Gate, Mode, Reason};
use self::document::{Document, GroupText, RevocationText};
pub use self::findings::{Finding, Severity};
pub use self::holder::Holder;
pub use self::identity::TrustedIdentity;
pub use self::logs::TrustedLog;
pub use self::pattern::Pattern;
pub use self::role::Role;
use crate::statement::COSIGN_SIGN;
use crate::{Error, PublicKey, Result};

const API_VERSION: &str = "airlock.dev/v1alpha1";
const KIND: &str = "Trust";

/// The largest trust file that is read: several thousand keys.
pub const MAX_LEN: usize = 1024 * 1024;
const MAX_NAME: usize = 128;
/// The longest name of a kind of content, and the longest pattern.
const MAX_SCOPE: usize = 1024;
const MAX_REASON: usize = 512;
/// More than the format needs, so that an unknown member is reported as such and not as too deep.
const MAX_DEPTH: usize = 16;

/// The accepted keys and identities, at least one, and the rules for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFile {
    sequence: Option<u64>,
    /// Whether keys without roles may sign manifests of EKS Anywhere, too.
    open: bool,
    keys: Vec<TrustedKey>,
    identities: Vec<TrustedIdentity>,
    logs: Vec<TrustedLog>,
    witnesses: Vec<TrustedLog>,
    groups: Vec<Group>,
    revocations: Vec<Revocation>,
    gates: Vec<(Gate, GateRules)>,
}

/// A key with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    holder: Holder,
    key: PublicKey,
}

/// Keys and identities of which several must sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    name: String,
    threshold: usize,
    keys: Vec<String>,
}

/// A key or an identity whose signatures no longer count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    hint: String,
    reason: String,
    date: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct GateRules {
    mode: Mode,
    rules: Vec<(ContentKind, String)>,
}

/// The trust file's JSON Schema.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}

impl TrustFile {
    /// A trust file of these keys, each of which may sign drives and statements about images.
    ///
    /// # Errors
    /// [`Error::TrustEmpty`] for an empty list, [`Error::TrustTwice`] for a duplicate name or key.
    pub fn new(keys: Vec<(String, PublicKey)>) -> Result<Self> {
        Self::of(
            keys.into_iter().map(|(name, key)| TrustedKey::new(name, key, None, None)).collect(),
            Vec::new(),
        )
    }

    /// A trust file of these identities.
    ///
    /// # Errors
    /// [`Error::TrustEmpty`] for an empty list, [`Error::TrustTwice`] for a duplicate name or identity.
    pub fn of_identities(identities: Vec<TrustedIdentity>) -> Result<Self> {
        Self::of(Vec::new(), identities)
    }

    /// The same file with more identities.
    ///
    /// # Errors
    /// [`Error::TrustTwice`] when a name or an identity is already in the file.
    pub fn with_identities(mut self, identities: Vec<TrustedIdentity>) -> Result<Self> {
        self.identities.extend(identities);
        self.check_holders()?;
        Ok(self)
    }

    /// The same file, with permission for keys without roles to sign anything.
    #[must_use]
    pub fn opened(mut self) -> Self {
        self.open = true;
        self
    }

    /// Whether keys without roles may sign anything, including manifests of EKS Anywhere.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The same keys, each of which may sign only these kinds of content.
    #[must_use]
    pub fn limited_to(mut self, content: &[ContentKind]) -> Self {
        for key in &mut self.keys {
            key.holder.roles = Some(vec![Role::of(content.to_vec())]);
        }
        self
    }

    fn of(keys: Vec<TrustedKey>, identities: Vec<TrustedIdentity>) -> Result<Self> {
        let file = Self {
            sequence: None,
            open: false,
            keys,
            identities,
            logs: Vec::new(),
            witnesses: Vec::new(),
            groups: Vec::new(),
            revocations: Vec::new(),
            gates: Vec::new(),
        };
        file.check_holders()?;
        Ok(file)
    }

    fn check_holders(&self) -> Result<()> {
        let (mut names, mut hints, mut replaced) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for holder in self.holders() {
            check_name(&holder.name)?;
            if let Some(old) = &holder.replaces {
                // Only an earlier one, which prevents cycles.
                if !names.contains(old.as_str()) {
                    let expected = "the name of an earlier key or identity in this file";
                    return Err(unknown("replaces", old, expected));
                }
                if !replaced.insert(old.as_str()) {
                    return Err(Error::TrustTwice(old.clone()));
                }
            }
            if !names.insert(holder.name.as_str()) || !hints.insert(holder.hint.as_str()) {
                return Err(Error::TrustTwice(holder.name.clone()));
            }
        }
        if names.is_empty() { Err(Error::TrustEmpty) } else { Ok(()) }
    }

    /// All keys, then all identities, including revoked ones.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        let keys = self.keys.iter().map(TrustedKey::holder);
        keys.chain(self.identities.iter().map(TrustedIdentity::holder))
    }

    fn knows(&self, name: &str) -> bool {
        self.holders().any(|holder| holder.name == name) || self.groups.iter().any(|group| group.name == name)
    }

    /// A trust file of one key, from the text of its public key file.
    ///
    /// # Errors
    /// When the text is not a public key, or the name is invalid.
    pub fn from_public_key(name: &str, pem: &str) -> Result<Self> {
        Self::new(vec![(name.to_owned(), PublicKey::from_pem(pem)?)])
    }

    /// The keys, in the file's order, including revoked ones.
    #[must_use]
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The file's sequence number, which only increases; 0 if it has none.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence.unwrap_or(0)
    }

    /// The groups, in the file's order.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The revocations, in the file's order; some may be for keys that are not in the file.
    #[must_use]
    pub fn revocations(&self) -> &[Revocation] {
        &self.revocations
    }

    /// The effect of a refusal at a gate.
    #[must_use]
    pub fn mode(&self, gate: Gate) -> Mode {
        self.rules(gate).map_or(Mode::Enforce, |rules| rules.mode)
    }

    /// The kinds of content that a gate has rules for, each with the required group, key or identity.
    #[must_use]
    pub fn required(&self, gate: Gate) -> Vec<(&ContentKind, &str)> {
        let rules = self.rules(gate).into_iter().flat_map(|rules| &rules.rules);
        rules.map(|(content, by)| (content, by.as_str())).collect()
    }

    /// The statements about images that a gate requires, as predicate types: those of its rules; a signature if it has no
    /// rules; nothing if the file does not have the gate.
    #[must_use]
    pub fn required_statements(&self, gate: Gate) -> Vec<&str> {
        let Some(rules) = self.rules(gate) else { return Vec::new() };
        if rules.rules.is_empty() {
            return vec![COSIGN_SIGN];
        }
        let statements = rules.rules.iter().filter_map(|(content, _)| match content {
            ContentKind::Statement(kind) => Some(kind.as_str()),
            ContentKind::Drive
            | ContentKind::PackageBundle
            | ContentKind::Bundles
            | ContentKind::Release
            | ContentKind::Anything => None,
        });
        statements.collect()
    }

    /// The name of the group, key or identity that must sign a statement at a gate; any permitted signer if none.
    #[must_use]
    pub fn required_signer(&self, gate: Gate, predicate_type: &str) -> Option<&str> {
        self.rule(gate, &ContentKind::Statement(predicate_type.to_owned()))
    }

    /// Whether the file has a gate.
    #[must_use]
    pub fn has_gate(&self, gate: Gate) -> bool {
        self.rules(gate).is_some()
    }

    fn rules(&self, gate: Gate) -> Option<&GateRules> {
        self.gates.iter().find(|(known, _)| *known == gate).map(|(_, rules)| rules)
    }

    fn rule(&self, gate: Gate, content: &ContentKind) -> Option<&str> {
        let rules = &self.rules(gate)?.rules;
        rules.iter().find(|(known, _)| known == content).map(|(_, by)| by.as_str())
    }

    /// The names that a key or an identity represents: its own, and those of all its predecessors.
    fn names<'a>(&'a self, holder: &'a Holder) -> impl Iterator<Item = &'a str> {
        std::iter::successors(Some(holder), |holder| {
            let old = holder.replaces.as_ref()?;
            self.holders().find(|known| known.name == *old)
        })
        .map(Holder::name)
    }

    /// The name of the signer: that of the first predecessor, however often it was replaced.
    fn signer<'a>(&'a self, holder: &'a Holder) -> &'a str {
        self.names(holder).last().unwrap_or(&holder.name)
    }

    /// Whether a signature by `holder` counts for the key, the identity or the group with the name `by`.
    fn counts_for(&self, holder: &Holder, by: &str) -> bool {
        match self.group(by) {
            Some(group) => self.names(holder).any(|name| group.keys.iter().any(|member| member == name)),
            None => self.names(holder).any(|name| name == by),
        }
    }

    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The key with this hint, if the file has it. It may be revoked.
    #[must_use]
    pub fn find(&self, hint: &str) -> Option<&TrustedKey> {
        self.keys.iter().find(|trusted| trusted.holder.hint == hint)
    }

    /// The key or the identity with this hint, if the file has it. It may be revoked.
    #[must_use]
    pub fn holder(&self, hint: &str) -> Option<&Holder> {
        self.holders().find(|holder| holder.hint == hint)
    }

    /// The revocation of a key or an identity, if it is revoked.
    #[must_use]
    pub fn revocation(&self, holder: &Holder) -> Option<&Revocation> {
        self.revocations.iter().find(|revocation| revocation.hint == holder.hint)
    }

    /// Refuses a revoked key or identity.
    ///
    /// # Errors
    /// [`Error::RevokedKey`].
    pub(crate) fn refuse_revoked(&self, holder: &Holder) -> Result<()> {
        match self.revocation(holder) {
            None => Ok(()),
            Some(Revocation { reason, date, .. }) => Err(Error::RevokedKey {
                key: holder.name.clone(),
                reason: reason.clone(),
                date: date.clone(),
            }),
        }
    }
}

impl TrustedKey {
    fn new(name: String, key: PublicKey, replaces: Option<String>, roles: Option<Vec<Role>>) -> Self {
        Self { holder: Holder { name, hint: key.hint(), replaces, roles }, key }
    }

    /// The part that keys and identities have in common.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The name in the trust file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.holder.name
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The name of the key that it replaces, if any.
    #[must_use]
    pub fn replaces(&self) -> Option<&str> {
        self.holder.replaces()
    }

    /// What it may sign. Without roles: drives and statements about images, or anything if the file is open.
    #[must_use]
    pub fn roles(&self) -> Option<&[Role]> {
        self.holder.roles()
    }
}

impl Group {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of members that must sign.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The names of its keys and identities.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    fn text(&self) -> GroupText {
        GroupText { name: self.name.clone(), threshold: self.threshold, keys: self.keys.clone() }
    }
}

impl Revocation {
    /// The key's hint.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The date, as `YYYY-MM-DD`.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.date
    }

    fn text(&self) -> RevocationText {
        RevocationText { hint: self.hint.clone(), reason: self.reason.clone(), date: self.date.clone() }
    }
}

fn unknown(member: &'static str, value: &str, expected: &'static str) -> Error {
    Error::TrustMember { member, value: value.to_owned(), expected }
}

/// Names appear in terminals and reports, where control characters could hide or forge text.
fn check_name(name: &str) -> Result<()> {
    let shows = name.trim() == name && !name.chars().any(char::is_control);
    if shows && (1..=MAX_NAME).contains(&name.chars().count()) {
        Ok(())
    } else {
        Err(Error::TrustName(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;

    #[test]
    fn a_trust_file_round_trips() {
        let key = || PrivateKey::generate().unwrap().public_key().unwrap();
        let trust = TrustFile::new(vec![("a: \"b\"".into(), key()), ("c".into(), key())]).unwrap();
        assert_eq!(TrustFile::parse(&trust.to_yaml()).unwrap(), trust);
    }

    #[test]
    fn a20_a_sequence_is_a_plain_decimal_number_below_2_63() {
        let key = PrivateKey::generate().unwrap().public_key().unwrap();
        let good = TrustFile::new(vec![("a".into(), key)]).unwrap().to_yaml();
        let parse = |line: &str| TrustFile::parse(&format!("{good}{line}\n"));
        for (line, number) in [
            ("sequence: 4", 4),
            ("sequence:   0 # none", 0),
            ("sequence: 9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(parse(line).unwrap().sequence(), number, "{line}");
        }
        for line in [
            "sequence: 9223372036854775808",
            "sequence: 18446744073709551615",
            "sequence: 0o17",
            "sequence: 0x17",
            "sequence: 0b11",
            "sequence: 017",
            "sequence: '4'",
            "sequence: \"4\"",
            "sequence: +4",
            "sequence: 1_000",
            "sequence: 4.0",
            "sequence: !!int 4",
            "sequence: >-\n  4",
            "    roles: [{sign: [signature], sequence: {from: 0o17}}]",
            "    roles: [{sign: [signature], sequence: {to: '4'}}]",
            "    roles: [{sign: [signature], sequence: {to: 9223372036854775808}}]",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("    roles: [{sign: [signature], sequence: {from: 1, to: 15}}]").is_ok());
        // The same in JSON.
        assert!(parse("\"sequence\": 15").is_ok());
    }

    #[test]
    fn a20_a_revocation_that_matches_no_key_is_a_contradiction() {
        let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let trust = TrustFile::new(vec![("a".into(), key.public_key().unwrap())]).unwrap();
        let hint = other.public_key().unwrap().hint();
        let findings = trust.revoked(&hint, "lost", "2026-01-01").unwrap().findings();
        let found = findings.iter().find(|finding| finding.text.contains(&hint)).unwrap();
        assert_eq!(found.severity, Severity::Contradiction);
    }

    #[test]
    fn each_defect_has_its_error() {
        let key = PrivateKey::generate().unwrap().public_key().unwrap();
        let good = TrustFile::new(vec![("a".into(), key.clone())]).unwrap().to_yaml();
        assert!(matches!(TrustFile::parse(""), Err(Error::Trust(_))));
        assert!(matches!(TrustFile::parse(&good.replace("name", "nom")), Err(Error::Trust(_))));
        assert!(matches!(TrustFile::parse(&good.replace("v1alpha1", "v9")), Err(Error::TrustKind { .. })));
        assert!(matches!(
            TrustFile::parse(&good.replace("kind: Trust", "kind: X")),
            Err(Error::TrustKind { .. })
        ));
        let empty = "apiVersion: airlock.dev/v1alpha1\nkind: Trust\nkeys: []\n";
        assert!(matches!(TrustFile::parse(empty), Err(Error::TrustEmpty)));
        let twice = vec![("a".to_owned(), key.clone()), ("b".to_owned(), key)];
        assert!(matches!(TrustFile::new(twice), Err(Error::TrustTwice(_))));
    }
}

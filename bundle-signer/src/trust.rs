//! The trust file: which keys and identities are accepted, by name, and what each may sign; how many must; which are
//! revoked.
//!
//! A key without roles may sign drives and statements about images. Manifests of EKS Anywhere need a role that names
//! them, or a file that says `keysWithoutRoles: anything`. Groups and gates only narrow that. Everything is closed: an unknown member, name or kind is refused.
//!
//! - `document`: as written; `holder`: what keys and identities have in common; `identity`: signers for whom an authority
//!   vouches; `role`: what one may sign; `logs`: keys of logs and witnesses; `decide`: what signatures
//!   come to; `check`: contradictions
//! - `manifest`: manifests of EKS Anywhere
//! - `read`, `numbers`: taken from its text; `change`: a key replaced or revoked; `text`: written down

mod change;
mod check;
mod decide;
mod document;
mod holder;
mod identity;
mod logs;
mod manifest;
mod numbers;
mod read;
mod role;
mod text;

use std::collections::BTreeSet;

pub use self::change::Additions;
pub use self::check::{Finding, Severity};
pub use self::decide::{Claims, Decision, Gate, Mode, Reason};
use self::document::{Document, GroupText, RevocationText};
pub use self::holder::Holder;
pub use self::identity::TrustedIdentity;
pub use self::logs::TrustedLog;
pub use self::role::{Pattern, Role, What};
use crate::statement::COSIGN_SIGN;
use crate::{Error, PublicKey, Result};

const API_VERSION: &str = "airlock.dev/v1alpha1";
const KIND: &str = "Trust";

/// The largest trust file that is read: several thousand keys.
pub const MAX_LEN: usize = 1024 * 1024;
const MAX_NAME: usize = 128;
const MAX_REASON: usize = 512;
/// More than the format has, so that a stray member is told as one and not as too deep.
const MAX_DEPTH: usize = 16;

/// The keys and identities that are accepted; at least one. And what is asked of them.
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

/// A key with the name by which people know it.
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
    rules: Vec<(What, String)>,
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
    /// [`Error::TrustEmpty`] for none, [`Error::TrustTwice`] when a name or a key comes twice.
    pub fn new(keys: Vec<(String, PublicKey)>) -> Result<Self> {
        Self::of(
            keys.into_iter().map(|(name, key)| TrustedKey::new(name, key, None, None)).collect(),
            Vec::new(),
        )
    }

    /// A trust file of these identities.
    ///
    /// # Errors
    /// [`Error::TrustEmpty`] for none, [`Error::TrustTwice`] when a name or an identity comes twice.
    pub fn of_identities(identities: Vec<TrustedIdentity>) -> Result<Self> {
        Self::of(Vec::new(), identities)
    }

    /// The same file with more identities.
    ///
    /// # Errors
    /// [`Error::TrustTwice`] when a name or an identity is in the file.
    pub fn with_identities(mut self, identities: Vec<TrustedIdentity>) -> Result<Self> {
        self.identities.extend(identities);
        self.check_holders()?;
        Ok(self)
    }

    /// The same file, in which keys without roles may sign anything.
    #[must_use]
    pub fn opened(mut self) -> Self {
        self.open = true;
        self
    }

    /// Whether keys without roles may sign anything, manifests of EKS Anywhere among it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The same keys, each of which may sign these kinds of things and no others.
    #[must_use]
    pub fn limited_to(mut self, what: &[What]) -> Self {
        for key in &mut self.keys {
            key.holder.roles = Some(vec![Role::of(what.to_vec())]);
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
                // Only one that stands before it: so nobody replaces himself, by however many steps.
                if !names.contains(old.as_str()) {
                    let expected = "the name of a key or an identity before it in this file";
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

    /// Everybody whose word may count: the keys, then the identities, revoked ones among them.
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
    /// When the text is no public key, or the name does not do.
    pub fn from_public_key(name: &str, pem: &str) -> Result<Self> {
        Self::new(vec![(name.to_owned(), PublicKey::from_pem(pem)?)])
    }

    /// The keys, in the file's order, revoked ones among them.
    #[must_use]
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The number of the file, which only grows; 0 when it has none.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence.unwrap_or(0)
    }

    /// The groups, in the file's order.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The revocations, in the file's order; some may be of keys that are not in the file.
    #[must_use]
    pub fn revocations(&self) -> &[Revocation] {
        &self.revocations
    }

    /// What a refusal at a gate does.
    #[must_use]
    pub fn mode(&self, gate: Gate) -> Mode {
        self.rules(gate).map_or(Mode::Enforce, |rules| rules.mode)
    }

    /// What a gate asks for by name, each with the group or key whose word counts.
    #[must_use]
    pub fn required(&self, gate: Gate) -> Vec<(&What, &str)> {
        let rules = self.rules(gate).into_iter().flat_map(|rules| &rules.rules);
        rules.map(|(what, by)| (what, by.as_str())).collect()
    }

    /// The statements that a gate asks for about images, as predicate types: those of its rules; a signature where it
    /// has none; nothing where the file does not have the gate.
    #[must_use]
    pub fn asked(&self, gate: Gate) -> Vec<&str> {
        let Some(rules) = self.rules(gate) else { return Vec::new() };
        if rules.rules.is_empty() {
            return vec![COSIGN_SIGN];
        }
        let statements = rules.rules.iter().filter_map(|(what, _)| match what {
            What::Statement(kind) => Some(kind.as_str()),
            What::Drive | What::PackageBundle | What::Bundles | What::Release | What::Anything => None,
        });
        statements.collect()
    }

    /// Whose word a gate wants for a statement, by name; anybody's who may say it when it names none.
    #[must_use]
    pub fn asked_of(&self, gate: Gate, predicate_type: &str) -> Option<&str> {
        self.rule(gate, &What::Statement(predicate_type.to_owned()))
    }

    /// Whether the file has a gate.
    #[must_use]
    pub fn has_gate(&self, gate: Gate) -> bool {
        self.rules(gate).is_some()
    }

    fn rules(&self, gate: Gate) -> Option<&GateRules> {
        self.gates.iter().find(|(known, _)| *known == gate).map(|(_, rules)| rules)
    }

    fn rule(&self, gate: Gate, what: &What) -> Option<&str> {
        let rules = &self.rules(gate)?.rules;
        rules.iter().find(|(known, _)| known == what).map(|(_, by)| by.as_str())
    }

    /// The names that somebody goes by: the own one, and those of all that it replaces, back to the first.
    fn names<'a>(&'a self, holder: &'a Holder) -> impl Iterator<Item = &'a str> {
        std::iter::successors(Some(holder), |holder| {
            let old = holder.replaces.as_ref()?;
            self.holders().find(|known| known.name == *old)
        })
        .map(Holder::name)
    }

    /// Who signs: the first predecessor's name, however often it was replaced.
    fn signer<'a>(&'a self, holder: &'a Holder) -> &'a str {
        self.names(holder).last().unwrap_or(&holder.name)
    }

    /// Whether somebody's word is that of the key, the identity or the group of this name.
    fn speaks_for(&self, holder: &Holder, by: &str) -> bool {
        match self.group(by) {
            Some(group) => self.names(holder).any(|name| group.keys.iter().any(|member| member == name)),
            None => self.names(holder).any(|name| name == by),
        }
    }

    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The key that a hint names, if the file has it. It may be revoked.
    #[must_use]
    pub fn find(&self, hint: &str) -> Option<&TrustedKey> {
        self.keys.iter().find(|trusted| trusted.holder.hint == hint)
    }

    /// The key or the identity with a hint, if the file has it. It may be revoked.
    #[must_use]
    pub fn holder(&self, hint: &str) -> Option<&Holder> {
        self.holders().find(|holder| holder.hint == hint)
    }

    /// The revocation of a key or an identity, if there is one.
    #[must_use]
    pub fn revocation(&self, holder: &Holder) -> Option<&Revocation> {
        self.revocations.iter().find(|revocation| revocation.hint == holder.hint)
    }

    /// Refuses who was revoked.
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

    /// What it has in common with identities.
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

    /// What it may sign; when there is none, drives and statements about images, or anything by an open file.
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

    /// How many of them must sign.
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

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When, as `YYYY-MM-DD`.
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

/// Names go to terminals and reports, where control characters could hide or forge text.
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
    fn a_trust_file_survives_its_text() {
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
    fn a20_a_revocation_that_fits_no_key_is_a_contradiction() {
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

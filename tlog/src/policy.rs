//! Which logs are trusted, and how many witnesses must cosign (C2SP tlog-policy).

use std::collections::BTreeMap;
use std::fmt;

use crate::note::KeyKind;
use crate::{Checkpoint, Error, Note, Result, VerifierKey, cosignature};

/// The longest policy that is read.
pub const MAX_LEN: usize = 1 << 20;

/// Logs, witnesses, and the quorum that a checkpoint needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    members: BTreeMap<String, Member>,
    order: Vec<String>,
    quorum: Option<String>,
}

/// What a name in a policy refers to. A group refers only to names that are defined before it, so there are no cycles.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Member {
    Witness(Box<VerifierKey>),
    Group { threshold: usize, members: Vec<String> },
}

impl Policy {
    /// Trusts one log, without witnesses.
    #[must_use]
    pub fn of_log(log: VerifierKey) -> Self {
        Self { logs: vec![log], members: BTreeMap::new(), order: Vec::new(), quorum: None }
    }

    /// Parses the text of a policy.
    ///
    /// # Errors
    /// [`Error::Policy`] with the line.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_LEN {
            return Err(Error::Policy { line: 0, defect: "it is longer than 1 MiB" });
        }
        let mut policy = Self { logs: Vec::new(), members: BTreeMap::new(), order: Vec::new(), quorum: None };
        let mut decided = false;
        for (line, content) in (1..).zip(text.lines()) {
            let words: Vec<&str> = content.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            let result = match words.as_slice() {
                [] => Ok(()),
                [first, ..] if first.starts_with('#') => Ok(()),
                ["log", key, ..] => policy.add_log(key),
                ["witness", name, key, ..] => policy.add_witness(name, key),
                ["group", name, threshold, members @ ..] => policy.add_group(name, threshold, members),
                ["quorum", ..] if decided => Err("a second quorum"),
                ["quorum", name] => {
                    decided = true;
                    policy.set_quorum(name)
                }
                _ => Err("expected `log`, `witness`, `group` or `quorum`"),
            };
            result.map_err(|defect| Error::Policy { line, defect })?;
        }
        let lines = text.lines().count();
        match (policy.logs.is_empty(), decided) {
            (true, _) => Err(Error::Policy { line: lines, defect: "it names no log" }),
            (_, false) => Err(Error::Policy { line: lines, defect: "it has no quorum" }),
            _ => Ok(policy),
        }
    }

    /// The trusted logs.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// The trusted witnesses.
    pub fn witnesses(&self) -> impl Iterator<Item = &VerifierKey> {
        self.members.values().filter_map(|member| match member {
            Member::Witness(key) => Some(&**key),
            Member::Group { .. } => None,
        })
    }

    /// Whether a checkpoint needs witnesses.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        self.quorum.is_some()
    }

    /// Verifies the log signature of a checkpoint and its cosignatures.
    ///
    /// # Errors
    /// [`Error::NotSigned`], [`Error::WrongSignature`], [`Error::Quorum`] or [`Error::Checkpoint`].
    pub fn verify(&self, note: &Note) -> Result<Checkpoint> {
        let origin = Checkpoint::read(note)?.origin;
        let unknown = || Error::NotSigned(origin.clone());
        let log = self.logs.iter().find(|log| log.name() == origin).ok_or_else(unknown)?;
        let checkpoint = Checkpoint::verify(note, log)?;
        if let Some(quorum) = &self.quorum {
            let mut met: BTreeMap<&str, bool> = BTreeMap::new();
            for name in &self.order {
                let holds = match self.members.get(name) {
                    Some(Member::Witness(key)) => match cosignature::verify(note, key) {
                        Ok(_) => true,
                        Err(Error::NotSigned(_)) => false,
                        Err(error) => return Err(error),
                    },
                    Some(Member::Group { threshold, members }) => {
                        members.iter().filter(|member| met.get(member.as_str()) == Some(&true)).count()
                            >= *threshold
                    }
                    None => false,
                };
                met.insert(name, holds);
            }
            if met.get(quorum.as_str()) != Some(&true) {
                return Err(Error::Quorum(quorum.clone()));
            }
        }
        Ok(checkpoint)
    }

    fn add_log(&mut self, key: &str) -> std::result::Result<(), &'static str> {
        let key: VerifierKey = key.parse().map_err(|_| "the log's key is malformed")?;
        if key.kind() == KeyKind::Cosignature {
            return Err("the log's key is a witness key");
        }
        if self.logs.iter().any(|known| known.name() == key.name()) {
            return Err("a log is named twice");
        }
        self.logs.push(key);
        Ok(())
    }

    fn add_witness(&mut self, name: &str, key: &str) -> std::result::Result<(), &'static str> {
        let key: VerifierKey = key.parse().map_err(|_| "the witness's key is malformed")?;
        if key.kind() != KeyKind::Cosignature {
            return Err("the witness's key is not for cosignatures");
        }
        // One key under two names would count twice.
        let same =
            |member: &Member| matches!(member, Member::Witness(known) if known.public() == key.public());
        if self.members.values().any(same) {
            return Err("a witness is named twice");
        }
        self.add(name, Member::Witness(Box::new(key)))
    }

    fn add_group(
        &mut self,
        name: &str,
        threshold: &str,
        members: &[&str],
    ) -> std::result::Result<(), &'static str> {
        let mut own: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
        own.sort();
        own.dedup();
        if own.len() != members.len() || own.is_empty() {
            return Err("a group needs members, each once");
        }
        if own.iter().any(|member| !self.members.contains_key(member)) {
            return Err("a group's member is not defined before the group");
        }
        let threshold = match threshold {
            "any" => 1,
            "all" => own.len(),
            number => number.parse().map_err(|_| "the threshold is not `any`, `all` or a number")?,
        };
        if threshold == 0 || threshold > own.len() {
            return Err("the threshold is not between 1 and the number of members");
        }
        self.add(name, Member::Group { threshold, members: own })
    }

    fn set_quorum(&mut self, name: &str) -> std::result::Result<(), &'static str> {
        self.quorum = match name {
            "none" => None,
            name if self.members.contains_key(name) => Some(name.to_owned()),
            _ => return Err("the quorum is not defined before this line"),
        };
        Ok(())
    }

    fn add(&mut self, name: &str, member: Member) -> std::result::Result<(), &'static str> {
        if name == "none" || self.members.insert(name.to_owned(), member).is_some() {
            return Err("a name is already in use");
        }
        self.order.push(name.to_owned());
        Ok(())
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for log in &self.logs {
            writeln!(f, "log {log}")?;
        }
        for name in &self.order {
            match self.members.get(name) {
                Some(Member::Witness(key)) => writeln!(f, "witness {name} {key}")?,
                Some(Member::Group { threshold, members }) => {
                    writeln!(f, "group {name} {threshold} {}", members.join(" "))?;
                }
                None => {}
            }
        }
        writeln!(f, "quorum {}", self.quorum.as_deref().unwrap_or("none"))
    }
}

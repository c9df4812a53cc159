//! What an entry of the log says: canonical JSON (RFC 8785: sorted keys, no white space) with the six things that
//! NIST SP 800-53 AU-3 asks for: what (`event`, `object`), when (`time`), where (`host`), from where (`component`,
//! `actor.address`), how it ended (`outcome`), who (`actor`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The version in [`Event::v`].
pub const VERSION: u32 = 1;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The form's version, [`VERSION`].
    pub v: u32,
    /// RFC 3339, UTC.
    pub time: String,
    /// Where the time comes from; the order of entries does not depend on it.
    pub time_source: String,
    /// What was done.
    pub event: EventType,
    /// Who did it.
    pub actor: Actor,
    /// The machine.
    pub host: String,
    /// The program.
    pub component: Component,
    /// To what it was done.
    pub object: Object,
    /// How it ended.
    pub outcome: Outcome,
    /// Digests and key names of what the outcome rests on, for example `trust`, `key`, `set`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, String>,
    /// An event with more digests than fit is several entries, which differ in digests and in this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The login name, or a registry user's name; none for who came without one.
    pub user: Option<String>,
    /// The operating system's number; none for users of the registry.
    pub uid: Option<u32>,
    /// From where a user of the registry came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// The program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// To what it was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// A word: `image`, `set`, `manifest`, `tag`, `blob`, `key`, `policy`, `store`, `log`, ...
    pub kind: String,
    /// A reference, path or name.
    pub name: String,
    /// As `algorithm:hex`, sorted, each once.
    pub digests: Vec<String>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Whether it was done.
    pub result: Ending,
    /// Why not: a word for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The ways in which something can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// It was done.
    Success,
    /// It was not allowed: a signature, a digest, a rule.
    Refused,
    /// It could not be done.
    Failed,
}

/// Which of several entries this is, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// This one.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What is logged. Names with one first word before the dot belong together.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl EventType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its name in entries.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// The log began; always its first entry.
    LogStart = "log.start",
    /// A key pair was made.
    KeyGenerate = "key.generate",
    /// A key came from elsewhere.
    KeyImport = "key.import",
    /// A key took another's place.
    KeyRotate = "key.rotate",
    /// A key is not to be believed any more.
    KeyRevoke = "key.revoke",
    /// Something was signed.
    Sign = "sign",
    /// A statement about something was signed.
    Attest = "attest",
    /// Content came from registries and files.
    Mirror = "mirror",
    /// A drive was written.
    Pack = "pack",
    /// A drive, an image or a manifest was proved, or not.
    Verify = "verify",
    /// A drive's content came in, or was refused.
    Import = "import",
    /// A client put something into the registry.
    Push = "push",
    /// A client took something out of the registry.
    Delete = "delete",
    /// A client gave a wrong name or password.
    Login = "login",
    /// The registry opened.
    ServeStart = "serve.start",
    /// The registry closed in order.
    ServeStop = "serve.stop",
    /// A trust file was written.
    PolicyWrite = "policy.write",
    /// A trust file was checked for contradictions.
    PolicyCheck = "policy.check",
    /// A trust file decided for the first time.
    PolicyFirstUse = "policy.first-use",
    /// A trust file decided that is not what it was the last time.
    PolicyChange = "policy.change",
    /// A store was compared with its digests.
    StoreCheck = "store.check",
    /// Blobs that nothing names were removed.
    StoreGc = "store.gc",
    /// A store's database was made anew.
    StoreRebuild = "store.rebuild",
    /// Something that must never be: a log rolled back or forked, a drive replayed, a store damaged.
    Alarm = "alarm",
    /// Somebody let in what raised an alarm.
    AlarmRelease = "alarm.release",
    /// What was seen of senders' logs went back to them.
    Return = "return",
    /// What sites saw of this log came back.
    Acknowledge = "acknowledge",
    /// The controller was put into a cluster.
    ClusterInstall = "cluster.install",
    /// The controller was taken out of a cluster.
    ClusterUninstall = "cluster.uninstall",
    /// What a cluster is to have of packages was changed from the command line.
    PackageChange = "package.change",
    /// A package was installed in a cluster, or could not be.
    PackageInstall = "package.install",
    /// A package was brought to another version or other values, or could not be.
    PackageUpgrade = "package.upgrade",
    /// What was there before an installation that failed is there again.
    PackageRollback = "package.rollback",
    /// What somebody changed of a package was put right.
    PackageRepair = "package.repair",
    /// All that a package installed is gone.
    PackageUninstall = "package.uninstall",
}

impl EventType {
    /// Whether it is the kind `text`, or one of those that begin with the word `text`: `policy`, `key`.
    #[must_use]
    pub fn is(self, text: &str) -> bool {
        let name = self.name();
        name == text || name.split_once('.').is_some_and(|(group, _)| group == text)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for EventType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|kind| kind.name() == text);
        found.copied().ok_or_else(|| Error::EventType(text.to_owned()))
    }
}

impl Event {
    /// The entry's bytes. `serde_json` keeps members sorted and escapes as RFC 8785 does; numbers are integers.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let value = serde_json::to_value(self).unwrap_or_default();
        serde_json::to_vec(&value).unwrap_or_default()
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`Error::Form`], [`Error::Version`] or [`Error::NotCanonical`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let event: Self = serde_json::from_slice(bytes).map_err(Error::Form)?;
        if event.v != VERSION {
            return Err(Error::Version(event.v));
        }
        if event.to_bytes() != bytes {
            return Err(Error::NotCanonical);
        }
        Ok(event)
    }
}

impl Ending {
    /// Its name in entries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl Outcome {
    /// It was done.
    #[must_use]
    pub fn success() -> Self {
        Self { result: Ending::Success, reason: None, detail: None }
    }

    /// It was not: why, as a word for programs and as a sentence for people.
    #[must_use]
    pub fn because(result: Ending, reason: &str, detail: &str) -> Self {
        let detail = Some(crate::draft::cut(detail));
        Self { result, reason: Some(reason.to_owned()), detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"actor":{"uid":1000,"user":"ann"},"component":{"name":"airlock","version":"0.1.0"},"event":"import","evidence":{"trust":"sha256:00"},"host":"site","object":{"digests":["sha256:11"],"kind":"set","name":"a\u001b\n"},"outcome":{"reason":"signature","result":"refused"},"time":"2026-01-02T03:04:05Z","time_source":"system-clock","v":1}"#;

    #[test]
    fn entries_have_one_form() {
        assert_eq!(Event::parse(ENTRY.as_bytes()).unwrap().to_bytes(), ENTRY.as_bytes());
        let changed =
            |from: &str, to: &str| Event::parse(ENTRY.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(matches!(changed(":{", ": {"), Error::NotCanonical));
        assert!(matches!(changed(r"\n", r"\u000a"), Error::NotCanonical));
        assert!(matches!(changed(r#""v":1"#, r#""v":2"#), Error::Version(2)));
        assert!(matches!(changed(r#""v""#, r#""more":1,"v""#), Error::Form(_)));
        assert!(matches!(changed(r#""import""#, r#""export""#), Error::Form(_)));
    }

    #[test]
    fn kinds_are_found_by_name_and_by_first_word() {
        for kind in EventType::ALL {
            assert_eq!(kind.name().parse::<EventType>().unwrap(), *kind);
        }
        assert!(EventType::PolicyChange.is("policy") && EventType::PolicyChange.is("policy.change"));
        assert!(!EventType::PolicyChange.is("pol") && !EventType::Push.is("p") && EventType::Push.is("push"));
    }
}

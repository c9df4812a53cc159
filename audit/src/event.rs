//! The content of a log entry: canonical JSON (RFC 8785: sorted keys, no white space) with the six fields that
//! NIST SP 800-53 AU-3 requires: what (`event`, `object`), when (`time`), where (`host`), the source (`component`,
//! `actor.address`), the outcome (`outcome`) and the user (`actor`).

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
    /// The version of the format, [`VERSION`].
    pub v: u32,
    /// RFC 3339, UTC.
    pub time: String,
    /// The source of the time; the order of entries does not depend on it.
    pub time_source: String,
    /// The operation.
    pub event: EventType,
    /// The user.
    pub actor: Actor,
    /// The host name.
    pub host: String,
    /// The program.
    pub component: Component,
    /// The object of the operation.
    pub object: Object,
    /// The outcome of the operation.
    pub outcome: Outcome,
    /// Digests and key names that the outcome is based on, for example `trust`, `key`, `set`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, String>,
    /// An event with too many digests for one entry has several entries, which differ only in digests and in this part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// The user who performed the operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The login name, or the name of a registry user; `None` for a client without one.
    pub user: Option<String>,
    /// The user ID on the host; `None` for users of the registry.
    pub uid: Option<u32>,
    /// The address of a client of the registry.
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

/// The object of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// The kind: `image`, `set`, `manifest`, `tag`, `blob`, `key`, `policy`, `store`, `log`, ...
    pub kind: String,
    /// A reference, path or name.
    pub name: String,
    /// Its digests as `algorithm:hex`, sorted, without duplicates.
    pub digests: Vec<String>,
}

/// The outcome of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Whether the operation succeeded.
    pub result: Ending,
    /// The reason for a refusal or failure, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The possible results of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// The operation succeeded.
    Success,
    /// The operation was not allowed, because of a signature, a digest or a rule.
    Refused,
    /// The operation failed.
    Failed,
}

/// The position of an entry in an event with several entries, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The number of this entry.
    pub number: usize,
    /// The number of entries.
    pub of: usize,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// The type of an event. Types whose names have the same first word before the dot form a group.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl EventType {
            /// All event types.
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
    /// The log was created; always its first entry.
    LogStart = "log.start",
    /// A key pair was generated.
    KeyGenerate = "key.generate",
    /// A key was imported.
    KeyImport = "key.import",
    /// A key was replaced by another one.
    KeyRotate = "key.rotate",
    /// A key was revoked.
    KeyRevoke = "key.revoke",
    /// A robot account of the registry was created.
    RobotCreate = "robot.create",
    /// A robot account of the registry was revoked.
    RobotRevoke = "robot.revoke",
    /// Something was signed.
    Sign = "sign",
    /// A statement about something was signed.
    Attest = "attest",
    /// Content was mirrored from registries and files.
    Mirror = "mirror",
    /// A drive was written.
    Pack = "pack",
    /// A drive, an image or a manifest was verified, or its verification failed.
    Verify = "verify",
    /// The content of a drive was imported, or refused.
    Import = "import",
    /// A client pushed to the registry.
    Push = "push",
    /// A client deleted from the registry.
    Delete = "delete",
    /// A client gave a wrong user name or password.
    Login = "login",
    /// The registry started.
    ServeStart = "serve.start",
    /// The configuration of a running registry was reloaded, or could not be.
    ServeReload = "serve.reload",
    /// The registry stopped cleanly.
    ServeStop = "serve.stop",
    /// A trust file was written.
    PolicyWrite = "policy.write",
    /// A trust file was checked for contradictions.
    PolicyCheck = "policy.check",
    /// A trust file was used for the first time.
    PolicyFirstUse = "policy.first-use",
    /// A trust file was used that has changed since its last use.
    PolicyChange = "policy.change",
    /// A store was checked against its digests.
    StoreCheck = "store.check",
    /// The blobs of a store were verified one after the other.
    StoreScrub = "store.scrub",
    /// A blob of a store was found to be damaged or missing.
    StoreDamage = "store.damage",
    /// Damaged blobs were replaced from a drive.
    StoreHeal = "store.heal",
    /// A store was backed up.
    StoreBackup = "store.backup",
    /// A store was restored from a backup.
    StoreRestore = "store.restore",
    /// Unreferenced blobs were removed.
    StoreGc = "store.gc",
    /// Tags that no rule keeps were removed.
    StoreRetention = "store.retention",
    /// Names were protected from removal, or a protection ended.
    StoreProtect = "store.protect",
    /// A tag, a manifest or a repository was removed from a store.
    StoreRemove = "store.remove",
    /// A client pushed a manifest that waits for its signatures in the registry's inbox.
    InboxHold = "inbox.hold",
    /// A manifest in the inbox got its tag.
    InboxPromote = "inbox.promote",
    /// A manifest was dropped from the inbox.
    InboxDrop = "inbox.drop",
    /// A manifest in the inbox expired.
    InboxExpire = "inbox.expire",
    /// A tag of a store was rolled back.
    TagRollback = "tag.rollback",
    /// The database of a store was rebuilt.
    StoreRebuild = "store.rebuild",
    /// A log was rolled back or forked, a drive was replayed, or a store was damaged.
    Alarm = "alarm",
    /// An alarm was released.
    AlarmRelease = "alarm.release",
    /// Checkpoints of senders' logs were returned to them.
    Return = "return",
    /// Checkpoints of this log that sites have seen were received.
    Acknowledge = "acknowledge",
    /// The controller was installed in a cluster.
    ClusterInstall = "cluster.install",
    /// The controller was uninstalled from a cluster.
    ClusterUninstall = "cluster.uninstall",
    /// Packages of a cluster were changed from the command line.
    PackageChange = "package.change",
    /// A package was installed in a cluster, or its installation failed.
    PackageInstall = "package.install",
    /// A package was changed to another version or other values, or the upgrade failed.
    PackageUpgrade = "package.upgrade",
    /// A package was rolled back after a failed installation.
    PackageRollback = "package.rollback",
    /// Changed objects of a package were repaired.
    PackageRepair = "package.repair",
    /// A package was uninstalled.
    PackageUninstall = "package.uninstall",
}

impl EventType {
    /// Whether `text` is the name of this type, or of its group, such as `policy` or `key`.
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
    /// The bytes of the entry. `serde_json` keeps members sorted and escapes as RFC 8785 does; numbers are integers.
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
    /// The outcome of a successful operation.
    #[must_use]
    pub fn success() -> Self {
        Self { result: Ending::Success, reason: None, detail: None }
    }

    /// The outcome of a refused or failed operation, with the reason for programs and for people.
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
    fn entries_have_one_canonical_form() {
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
    fn event_types_match_their_name_and_their_group() {
        for kind in EventType::ALL {
            assert_eq!(kind.name().parse::<EventType>().unwrap(), *kind);
        }
        assert!(EventType::PolicyChange.is("policy") && EventType::PolicyChange.is("policy.change"));
        assert!(!EventType::PolicyChange.is("pol") && !EventType::Push.is("p") && EventType::Push.is("push"));
    }
}

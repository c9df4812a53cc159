//! The trust file as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may sign what.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Trust")]
pub(super) struct Document {
    /// Always `airlock.dev/v1alpha1`.
    pub(super) api_version: String,
    /// Always `Trust`.
    pub(super) kind: String,
    /// The number of this file, which only grows: a site that has seen a greater one refuses this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<u64>,
    /// What keys without roles may sign.
    #[serde(default)]
    pub(super) keys_without_roles: Unscoped,
    /// The keys that are known; at least one, or one identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<KeyText>,
    /// Signers without a key of their own, for whom an authority vouches: sigstore's keyless signatures, and GitHub's
    /// artifact attestations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) identities: Vec<IdentityText>,
    /// The logs of those who send drives. With some, each drive must carry the log of its sender; without, no log is
    /// looked at, and an older drive cannot be told from a newer one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) logs: Vec<LogText>,
    /// Witnesses: sites that say what they saw of a log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) witnesses: Vec<LogText>,
    /// Keys and identities of which several must sign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<GroupText>,
    /// Keys and identities whose signatures no longer count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) revocations: Vec<RevocationText>,
    /// What is asked for at each gate; a gate that is not here takes one key that has the role.
    #[serde(default, skip_serializing_if = "GatesText::is_empty")]
    pub(super) gates: GatesText,
}

/// What keys without roles may sign.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Unscoped {
    /// Drives and statements about images.
    #[default]
    DrivesAndImages,
    /// These, and manifests of EKS Anywhere.
    Anything,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct KeyText {
    /// Its name: 1 to 128 printable characters.
    pub(super) name: String,
    /// PEM, `PUBLIC KEY`.
    pub(super) public_key: String,
    /// The name of the key before it that this one takes over from. It stands for that one wherever a group or a
    /// gate names it, and both are one signer: two signatures of them count once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<String>,
    /// What it may sign: one of these. What `keysWithoutRoles` says when absent; nothing when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) roles: Option<Vec<RoleText>>,
}

/// Who it is stands in one member for the subject and one for the issuer, named as cosign's flags are.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IdentityText {
    /// Its name: 1 to 128 printable characters.
    pub(super) name: String,
    /// The certificate's subject: an email address, or the URI of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate_identity: Option<String>,
    /// Or a regular expression, which must match the whole of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate_identity_regexp: Option<String>,
    /// Who vouched for the subject: the issuer of the OIDC token, as the certificate has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate_oidc_issuer: Option<String>,
    /// Or a regular expression, which must match the whole of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate_oidc_issuer_regexp: Option<String>,
    /// Whose certificates, logs and timestamps count: the text of a `trusted_root.json`, or its path beside this file.
    pub(super) trusted_root: String,
    /// The name of a key or an identity before it that this one takes over from, as for keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<String>,
    /// What it may sign of images: one of these.
    pub(super) roles: Vec<RoleText>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LogText {
    /// Its name: 1 to 128 printable characters.
    pub(super) name: String,
    /// `NAME+ID+BASE64`, as C2SP signed-note writes keys.
    pub(super) key: String,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RoleText {
    /// `driveManifest`; `packageBundle`, `bundles`, `release`: manifests of EKS Anywhere and EKS Distro; `anything`; or
    /// predicate types: `signature`, a name of `cosign attest --type`, `vsa`, or a URI.
    pub(super) sign: Vec<String>,
    /// Of images: `HOST/PATH`, where `*` is any one part of the path and `**` at the end all that follow. All
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) repositories: Option<Vec<String>>,
    /// Of images: in which formats. All when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) formats: Option<Vec<FormatText>>,
    /// The numbers of deliveries. Any, and none, when absent; with it, the number must be signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<RangeText>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum FormatText {
    /// Cosign's first format, under the tag `.sig`.
    SimpleSigning,
    /// A bare envelope, under the tag `.att`.
    Envelope,
    /// A sigstore bundle, as a referrer.
    Bundle,
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RangeText {
    /// The least.
    #[serde(default)]
    pub(super) from: u64,
    /// The greatest; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<u64>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GroupText {
    /// Its name, which no key or identity has.
    pub(super) name: String,
    /// How many of them must sign.
    pub(super) threshold: usize,
    /// Names of keys and identities.
    pub(super) keys: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RevocationText {
    /// The hint of the key, as `airlock keys generate` and refusals print it, or of the identity, as `airlock trust check`
    /// does.
    pub(super) hint: String,
    /// Why.
    pub(super) reason: String,
    /// When: `YYYY-MM-DD`. For people; all signatures of the key are refused.
    pub(super) date: String,
}

#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GatesText {
    /// Before anything is named by `airlock mirror`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mirror: Option<GateText>,
    /// Before a drive is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pack: Option<GateText>,
    /// Before a drive's content is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) import: Option<GateText>,
    /// Before an image is put into a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) push: Option<GateText>,
    /// Before an image is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pull: Option<GateText>,
}

impl GatesText {
    fn is_empty(&self) -> bool {
        let gates = [&self.mirror, &self.pack, &self.import, &self.push, &self.pull];
        gates.iter().all(|gate| gate.is_none())
    }
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GateText {
    /// Whether a refusal stops, or is only told.
    #[serde(default)]
    pub(super) mode: super::Mode,
    /// Whose word counts for what; one key that has the role, for what is not here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) require: Vec<RuleText>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RuleText {
    /// As in a role.
    pub(super) sign: String,
    /// A group, a key or an identity.
    pub(super) by: String,
}

//! The format of the trust file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The accepted keys and identities, and what each may sign.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Trust")]
pub(super) struct Document {
    /// Always `airlock.dev/v1alpha1`.
    pub(super) api_version: String,
    /// Always `Trust`.
    pub(super) kind: String,
    /// The sequence number of this file, which only increases: a site that has seen a greater one refuses this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<u64>,
    /// What keys without roles may sign.
    #[serde(default)]
    pub(super) keys_without_roles: Unscoped,
    /// The accepted keys. At least one key or identity is required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<KeyText>,
    /// The accepted signers that use a certificate instead of a key: for sigstore's keyless signatures, and GitHub's
    /// artifact attestations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) identities: Vec<IdentityText>,
    /// The logs of the senders of drives. If given, each drive must contain the log of its sender. Otherwise, logs are
    /// ignored, and older drives cannot be detected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) logs: Vec<LogText>,
    /// Witnesses: sites that cosign the checkpoints of logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) witnesses: Vec<LogText>,
    /// Groups of keys and identities of which several must sign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<GroupText>,
    /// Keys and identities whose signatures no longer count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) revocations: Vec<RevocationText>,
    /// The requirements at each gate. A gate that is not listed requires one signer with the role.
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
    /// Drives, statements about images, and manifests of EKS Anywhere.
    Anything,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct KeyText {
    /// Its name: 1 to 128 printable characters.
    pub(super) name: String,
    /// The PEM block `PUBLIC KEY`.
    pub(super) public_key: String,
    /// The name of an earlier key that this key replaces. It represents that key in groups and gates, and both are one
    /// signer: signatures by both count once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<String>,
    /// What it may sign. One of the roles must allow a signature. If absent, `keysWithoutRoles` applies; if empty, it may
    /// sign nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) roles: Option<Vec<RoleText>>,
}

/// The signer is given by one field for the subject and one for the issuer, named after cosign's flags.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IdentityText {
    /// Its name: 1 to 128 printable characters.
    pub(super) name: String,
    /// The certificate's subject: an email address, or the URI of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate_identity: Option<String>,
    /// A regular expression that must match the whole subject; instead of `certificateIdentity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate_identity_regexp: Option<String>,
    /// The issuer of the OIDC token that authenticated the subject, as in the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate_oidc_issuer: Option<String>,
    /// A regular expression that must match the whole issuer; instead of `certificateOidcIssuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) certificate_oidc_issuer_regexp: Option<String>,
    /// The trusted CAs, logs and timestamp authorities: the text of a `trusted_root.json`, or its path relative to this
    /// file.
    pub(super) trusted_root: String,
    /// The name of an earlier key or identity that this identity replaces, as for keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replaces: Option<String>,
    /// What it may sign about images. One of the roles must allow a signature.
    pub(super) roles: Vec<RoleText>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LogText {
    /// Its name: 1 to 128 printable characters.
    pub(super) name: String,
    /// The key as `NAME+ID+BASE64` (C2SP signed-note).
    pub(super) key: String,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RoleText {
    /// `driveManifest`; `packageBundle`, `bundles`, `release`: manifests of EKS Anywhere and EKS Distro; `anything`; or
    /// predicate types: `signature`, a name of `cosign attest --type`, `vsa`, or a URI.
    pub(super) sign: Vec<String>,
    /// The image repositories: `HOST/PATH`, where `*` matches one part of the path, and `**` at the end all parts that
    /// follow. If absent, all repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) repositories: Option<Vec<String>>,
    /// The signature formats for images. If absent, all formats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) formats: Option<Vec<FormatText>>,
    /// The sequence numbers of deliveries. If given, the number must be signed. If absent, any number or none.
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
    /// The smallest number.
    #[serde(default)]
    pub(super) from: u64,
    /// The greatest number; unlimited if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<u64>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GroupText {
    /// Its name, which must differ from the names of keys and identities.
    pub(super) name: String,
    /// The number of members that must sign.
    pub(super) threshold: usize,
    /// The names of its keys and identities.
    pub(super) keys: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RevocationText {
    /// The hint of the key, as printed by `airlock keys generate` and in refusals, or of the identity, as printed by
    /// `airlock trust check`.
    pub(super) hint: String,
    /// The reason.
    pub(super) reason: String,
    /// The date: `YYYY-MM-DD`. It is informational; all signatures of the key are refused.
    pub(super) date: String,
}

#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GatesText {
    /// Before `airlock mirror` names anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mirror: Option<GateText>,
    /// Before a drive is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pack: Option<GateText>,
    /// Before the content of a drive is imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) import: Option<GateText>,
    /// Before an image is pushed to a registry.
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
    /// Whether a refusal stops the operation, or is only a warning.
    #[serde(default)]
    pub(super) mode: super::Mode,
    /// The required signers for each kind of content. A kind that is not listed requires one signer with the role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) require: Vec<RuleText>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RuleText {
    /// The kind of content, as in a role.
    pub(super) sign: String,
    /// The name of a group, a key or an identity.
    pub(super) by: String,
}

//! `TrustPolicy`: which images may run in which namespaces, and which signatures they need.
//!
//! `trust` holds the trust file that `--trust` accepts everywhere else in airlock, without its first two lines and
//! without gates: here the gate is admission, and `require` states its requirements.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{CustomResource, object};
use crate::{AIRLOCK_GROUP, Condition};

object! {
    /// Which images may run in which namespaces, and which signatures they need.
    TrustPolicy, TrustPolicySpec, TrustPolicyStatus, k8s_openapi::ClusterResourceScope
}

impl CustomResource for TrustPolicy {
    const GROUP: &'static str = AIRLOCK_GROUP;
    const KIND: &'static str = "TrustPolicy";
    const PLURAL: &'static str = "trustpolicies";
    const NAMESPACED: bool = false;
    const COLUMNS: &'static [(&'static str, &'static str, &'static str)] = &[
        ("Mode", "string", ".spec.mode"),
        ("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status"),
        ("Break-Glass", "string", ".spec.breakGlass.until"),
        ("Age", "date", ".metadata.creationTimestamp"),
    ];
    const DESCRIPTION: &'static str = "Which images may run in which namespaces, and which signatures they need. An image must satisfy every \
         policy that matches it.";
}

/// A policy for images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustPolicySpec {
    /// What to do with an image that violates the policy.
    #[serde(default)]
    #[schemars(extend("default" = "enforce"))]
    pub mode: PolicyMode,
    /// The images that the policy matches: `HOST/PATH`, where `*` matches one component of the path and a final `**` all
    /// that follow. Default: all images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub images: Option<Vec<String>>,
    /// The namespaces that the policy matches. Default: all except those of airlock and of the cluster itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceChoice>,
    /// What to do with images that are referenced by a tag.
    #[serde(default)]
    #[schemars(extend("default" = "pin"))]
    pub tags: TagMode,
    /// The keys, and what each of them may sign.
    pub trust: PolicyTrust,
    /// The required statements about an image, with their signers. Default: a signature by one key that may sign the
    /// image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub require: Option<Vec<Rule>>,
    /// A period in which violations are reported but do not block anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

/// What to do with an image that violates a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PolicyMode {
    /// Reject the object.
    #[default]
    Enforce,
    /// Return a warning to the client.
    Warn,
    /// Record the violation in the API server's audit log.
    Audit,
}

/// What to do with images that are referenced by a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TagMode {
    /// Add the current digest of the tag.
    #[default]
    Pin,
    /// Reject the object.
    Refuse,
}

/// The namespaces that a policy matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceChoice {
    /// The names of the namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// The labels that a namespace must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_labels: Option<BTreeMap<String, String>>,
}

/// The keys, and what each of them may sign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTrust {
    /// A number that only grows: a policy with a smaller sequence than one that was in force is rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The keys. A policy needs at least one key or identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub keys: Vec<PolicyKey>,
    /// Signers that are identified by a certificate: Sigstore's keyless signatures and GitHub's artifact attestations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub identities: Option<Vec<PolicyIdentity>>,
    /// Groups of signers of which several must sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<KeyGroup>>,
    /// Revoked keys and identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocations: Option<Vec<Revocation>>,
}

/// A key, and what it may sign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyKey {
    /// The name of the key.
    pub name: String,
    /// The public key, as PEM (`PUBLIC KEY`).
    pub public_key: String,
    /// What the key may sign: any of these. Default: anything about images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<KeyRole>>,
}

/// A signer that is identified by a certificate. As in cosign, set one member for the subject and one for the issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyIdentity {
    /// The name of the identity.
    pub name: String,
    /// The subject of the certificate: an email address or the URI of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_identity: Option<String>,
    /// A regular expression that must match the whole subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_identity_regexp: Option<String>,
    /// The issuer of the OIDC token, as in the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_oidc_issuer: Option<String>,
    /// A regular expression that must match the whole issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_oidc_issuer_regexp: Option<String>,
    /// The trusted CAs, transparency logs and timestamp authorities: the text of a `trusted_root.json`.
    pub trusted_root: String,
    /// What the identity may sign about images: any of these.
    #[schemars(length(min = 1))]
    pub roles: Vec<KeyRole>,
}

/// Statements that a key or an identity may sign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRole {
    /// `signature`, the short name of a predicate type, or the URI of one.
    pub sign: Vec<String>,
    /// The images that the statements may be about, as in `images`. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// The formats: `simpleSigning`, `envelope`, `bundle`. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formats: Option<Vec<String>>,
}

/// A group of signers of which several must sign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyGroup {
    /// The name of the group.
    pub name: String,
    /// How many members of the group must sign.
    #[schemars(range(min = 1))]
    pub threshold: u32,
    /// The names of keys and identities.
    pub keys: Vec<String>,
}

/// A revoked key or identity: its signatures are not accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// The hint of the key or identity, as printed in rejections.
    pub hint: String,
    /// The reason.
    pub reason: String,
    /// The date: `YYYY-MM-DD`.
    pub date: String,
}

/// A required statement about an image, with its signer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// The statement, as in a role.
    pub sign: String,
    /// The signer: a group, a key or an identity.
    pub by: String,
}

/// A period in which violations do not block anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakGlass {
    /// The end of the period: RFC 3339, at most 24 hours ahead when it is set.
    #[schemars(extend("format" = "date-time"))]
    pub until: String,
    /// The reason. It is recorded.
    #[schemars(length(min = 1))]
    pub reason: String,
}

/// The state of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustPolicyStatus {
    /// The conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The greatest sequence that was in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_sequence: Option<u64>,
}

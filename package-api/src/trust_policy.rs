//! `TrustPolicy`: which images may run in which namespaces, and whose signature they need.
//!
//! What `trust` holds is the document that `--trust` takes everywhere else in airlock, without its first two lines
//! and without gates: here the gate is admission, and what it asks for stands in `require`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::object::{Kind, object};
use crate::{AIRLOCK_GROUP, Condition};

object! {
    /// Which images may run in which namespaces, and whose signature they need.
    TrustPolicy, TrustPolicySpec, TrustPolicyStatus, k8s_openapi::ClusterResourceScope
}

impl Kind for TrustPolicy {
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
    const DESCRIPTION: &'static str = "Which images may run in which namespaces, and whose signature they need. An image that several policies \
         are about must satisfy each of them.";
}

/// A policy for images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustPolicySpec {
    /// What a refusal does.
    #[serde(default)]
    #[schemars(extend("default" = "enforce"))]
    pub mode: PolicyMode,
    /// Which images: `HOST/PATH`, where `*` is any one part of the path and `**` at the end all that follow. All
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub images: Option<Vec<String>>,
    /// Which namespaces. All when absent, but those that run airlock and the cluster itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceChoice>,
    /// Whether an image may be named by a tag.
    #[serde(default)]
    #[schemars(extend("default" = "pin"))]
    pub tags: TagMode,
    /// The keys, and what each may sign.
    pub trust: PolicyTrust,
    /// What must be said of an image, and by whom; one key that may sign it, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub require: Option<Vec<Rule>>,
    /// A time in which refusals are told but stop nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
}

/// What a refusal does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PolicyMode {
    /// It stops the object.
    #[default]
    Enforce,
    /// Who makes the object is told.
    Warn,
    /// It is written down.
    Audit,
}

/// What becomes of images that are named by a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TagMode {
    /// The digest that the tag has now is added.
    #[default]
    Pin,
    /// They are refused.
    Refuse,
}

/// Which namespaces a policy is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceChoice {
    /// By name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// By labels that they all have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_labels: Option<BTreeMap<String, String>>,
}

/// The keys, and what each may sign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTrust {
    /// A number that only grows: a policy with a smaller one than was in force is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// The keys. A policy has a key or an identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub keys: Vec<PolicyKey>,
    /// Signers without a key of their own, for whom an authority vouches: sigstore's keyless signatures, and GitHub's
    /// artifact attestations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub identities: Option<Vec<PolicyIdentity>>,
    /// Keys of which several must sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<KeyGroup>>,
    /// Keys whose signatures no longer count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocations: Option<Vec<Revocation>>,
}

/// A key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyKey {
    /// Its name.
    pub name: String,
    /// PEM, `PUBLIC KEY`.
    pub public_key: String,
    /// What it may sign: one of these. Anything about images when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<KeyRole>>,
}

/// A signer for whom an authority vouches, named as cosign names it: by one member for the subject, and one for the issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyIdentity {
    /// Its name.
    pub name: String,
    /// The certificate's subject: an email address, or the URI of a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_identity: Option<String>,
    /// Or a regular expression, which must match the whole of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_identity_regexp: Option<String>,
    /// Who vouched for the subject: the issuer of the OIDC token, as the certificate has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_oidc_issuer: Option<String>,
    /// Or a regular expression, which must match the whole of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_oidc_issuer_regexp: Option<String>,
    /// Whose certificates, logs and timestamps count: the text of a `trusted_root.json`.
    pub trusted_root: String,
    /// What it may sign of images: one of these.
    #[schemars(length(min = 1))]
    pub roles: Vec<KeyRole>,
}

/// One thing that a key or an identity may sign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRole {
    /// `signature`, a name of a predicate type, or a URI.
    pub sign: Vec<String>,
    /// Of which images, as in `images`. All when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// In which formats: `simpleSigning`, `envelope`, `bundle`. All when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formats: Option<Vec<String>>,
}

/// Keys of which several must sign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyGroup {
    /// Its name.
    pub name: String,
    /// How many.
    #[schemars(range(min = 1))]
    pub threshold: u32,
    /// Names of keys and identities.
    pub keys: Vec<String>,
}

/// A key whose signatures no longer count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// The hint of the key or identity, as refusals print it.
    pub hint: String,
    /// Why.
    pub reason: String,
    /// When: `YYYY-MM-DD`.
    pub date: String,
}

/// What must be said of an image, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// As in a role.
    pub sign: String,
    /// A group, a key or an identity.
    pub by: String,
}

/// A time in which refusals stop nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakGlass {
    /// Until when: RFC 3339, at most 24 hours ahead when it is set.
    #[schemars(extend("format" = "date-time"))]
    pub until: String,
    /// Why; it is written down.
    #[schemars(length(min = 1))]
    pub reason: String,
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrustPolicyStatus {
    /// Aspects of the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<Condition>>,
    /// The generation that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The greatest sequence that was in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_sequence: Option<u64>,
}

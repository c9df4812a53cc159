//! Hooks: objects that run at an event of the release instead of being part of it.
//!
//! Source: `pkg/release/v1/hook.go` and `util/manifest_sorter.go`.

use std::collections::BTreeMap;

use super::manifests::Manifest;

const HOOK: &str = "helm.sh/hook";
const WEIGHT: &str = "helm.sh/hook-weight";
const DELETE_POLICY: &str = "helm.sh/hook-delete-policy";
const OUTPUT_LOG_POLICY: &str = "helm.sh/hook-output-log-policy";

/// An object that runs at an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hook {
    /// The object's name.
    pub name: String,
    /// The object's kind.
    pub kind: String,
    /// The path of its template, including the parent charts.
    pub path: String,
    /// The events at which it runs.
    pub events: Vec<HookEvent>,
    /// The order among the hooks of an event: lower weights run first.
    pub weight: i64,
    /// The delete policies in the chart; see [`Hook::is_deleted`].
    pub delete_policies: Vec<DeletePolicy>,
    /// The conditions under which its logs are printed.
    pub output_log_policies: Vec<OutputLogPolicy>,
    /// The object.
    pub manifest: String,
}

/// An event at which a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookEvent {
    /// Before anything is created.
    PreInstall,
    /// After everything is created.
    PostInstall,
    /// Before anything is deleted.
    PreDelete,
    /// After everything is deleted.
    PostDelete,
    /// Before anything is changed.
    PreUpgrade,
    /// After everything is changed.
    PostUpgrade,
    /// Before anything is rolled back.
    PreRollback,
    /// After everything is rolled back.
    PostRollback,
    /// When the user runs the tests.
    Test,
}

/// The condition under which a hook is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeletePolicy {
    /// Before it runs again.
    BeforeHookCreation,
    /// Once it has succeeded.
    HookSucceeded,
    /// Once it has failed.
    HookFailed,
    /// A policy that Helm does not know.
    Other(String),
}

/// The condition under which a hook's logs are printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputLogPolicy {
    /// Once it has succeeded.
    HookSucceeded,
    /// Once it has failed.
    HookFailed,
    /// A policy that Helm does not know.
    Other(String),
}

impl HookEvent {
    /// Helm's name for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreInstall => "pre-install",
            Self::PostInstall => "post-install",
            Self::PreDelete => "pre-delete",
            Self::PostDelete => "post-delete",
            Self::PreUpgrade => "pre-upgrade",
            Self::PostUpgrade => "post-upgrade",
            Self::PreRollback => "pre-rollback",
            Self::PostRollback => "post-rollback",
            Self::Test => "test",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "pre-install" => Self::PreInstall,
            "post-install" => Self::PostInstall,
            "pre-delete" => Self::PreDelete,
            "post-delete" => Self::PostDelete,
            "pre-upgrade" => Self::PreUpgrade,
            "post-upgrade" => Self::PostUpgrade,
            "pre-rollback" => Self::PreRollback,
            "post-rollback" => Self::PostRollback,
            "test" | "test-success" => Self::Test,
            _ => return None,
        })
    }
}

impl DeletePolicy {
    /// Helm's name for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::BeforeHookCreation => "before-hook-creation",
            Self::HookSucceeded => "hook-succeeded",
            Self::HookFailed => "hook-failed",
            Self::Other(name) => name,
        }
    }

    fn parse(name: String) -> Self {
        match name.as_str() {
            "before-hook-creation" => Self::BeforeHookCreation,
            "hook-succeeded" => Self::HookSucceeded,
            "hook-failed" => Self::HookFailed,
            _ => Self::Other(name),
        }
    }
}

impl OutputLogPolicy {
    /// Helm's name for it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::HookSucceeded => "hook-succeeded",
            Self::HookFailed => "hook-failed",
            Self::Other(name) => name,
        }
    }

    fn parse(name: String) -> Self {
        match name.as_str() {
            "hook-succeeded" => Self::HookSucceeded,
            "hook-failed" => Self::HookFailed,
            _ => Self::Other(name),
        }
    }
}

impl Hook {
    /// Whether the hook is deleted under this policy. A hook without policies is deleted before it runs again. A CRD is
    /// never deleted, because that would delete every object of its kind.
    #[must_use]
    pub fn is_deleted(&self, policy: &DeletePolicy) -> bool {
        if self.kind == "CustomResourceDefinition" {
            return false;
        }
        if self.delete_policies.is_empty() {
            return *policy == DeletePolicy::BeforeHookCreation;
        }
        self.delete_policies.contains(policy)
    }
}

/// The role of a document in a release.
pub(super) enum Role {
    /// A manifest of the release.
    Part(Manifest),
    /// A hook.
    Hook(Hook),
    /// None: it names an event that Helm does not know.
    Dropped,
}

/// Determines the role of a document from its annotations.
pub(super) fn role(manifest: Manifest, annotations: &BTreeMap<String, String>) -> Role {
    let Some(events) = annotations.get(HOOK) else { return Role::Part(manifest) };
    let events: Option<Vec<HookEvent>> = words(events).map(|word| HookEvent::parse(&word)).collect();
    let Some(events) = events else { return Role::Dropped };
    let policies = |name: &str| annotations.get(name).map(|list| words(list)).into_iter().flatten();
    Role::Hook(Hook {
        name: manifest.name,
        kind: manifest.kind,
        path: manifest.source,
        events,
        weight: annotations.get(WEIGHT).and_then(|weight| weight.parse().ok()).unwrap_or(0),
        delete_policies: policies(DELETE_POLICY).map(DeletePolicy::parse).collect(),
        output_log_policies: policies(OUTPUT_LOG_POLICY).map(OutputLogPolicy::parse).collect(),
        manifest: manifest.content,
    })
}

fn words(list: &str) -> impl Iterator<Item = String> + '_ {
    list.split(',').map(|word| word.trim().to_lowercase())
}

//! The resource name of a kind, for rules.
//!
//! Kubernetes' own kinds follow the rule by which `kubectl` guesses, with one exception. The CRDs of charts state it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::objects::{group, text};

/// The API groups of Kubernetes' own kinds.
const BUILT_IN: [&str; 21] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Whether an API group is Kubernetes' own.
pub(crate) fn is_built_in(group: &str) -> bool {
    BUILT_IN.contains(&group)
}

/// The resource of a kind without a CRD in the chart.
pub(crate) fn resource_of(group: &str, kind: &str) -> Option<String> {
    plural(group, kind, &Defined::new())
}

/// Plurals by group and kind, from the CRDs in the chart.
pub(super) type Defined = BTreeMap<(String, String), String>;

/// The plurals in CRDs. CRDs for Kubernetes' own groups are ignored.
pub(super) fn defined(objects: &[&Value]) -> Defined {
    let definitions = objects.iter().filter(|object| {
        group(object) == "apiextensions.k8s.io"
            && text(object, "/kind") == "CustomResourceDefinition"
            && !is_built_in(text(object, "/spec/group"))
    });
    definitions
        .map(|definition| {
            let key = (text(definition, "/spec/group"), text(definition, "/spec/names/kind"));
            ((key.0.to_owned(), key.1.to_owned()), text(definition, "/spec/names/plural").to_owned())
        })
        .filter(|(_, plural)| !plural.is_empty())
        .collect()
}

/// The resource of a kind; `None` if it cannot be determined.
pub(super) fn plural(group: &str, kind: &str, defined: &Defined) -> Option<String> {
    if let Some(plural) = defined.get(&(group.to_owned(), kind.to_owned())) {
        return Some(plural.clone());
    }
    let lower = kind.to_ascii_lowercase();
    let plain = lower.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if lower.is_empty() || !plain {
        return None;
    }
    // `UnsafeGuessKindToResource` of apimachinery.
    Some(match (lower.as_str(), lower.chars().last()) {
        ("endpoints", _) => lower,
        (_, Some('s')) => format!("{lower}es"),
        (_, Some('y')) if !lower.ends_with("ay") && !lower.ends_with("ey") => {
            format!("{}ies", lower.trim_end_matches('y'))
        }
        _ => format!("{lower}s"),
    })
}

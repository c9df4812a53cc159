//! The differences between new and granted permissions: one line for each kind of object and namespace.

use std::collections::{BTreeMap, BTreeSet};

use installer::rights::Derived;
use k8s_openapi::api::rbac::v1::PolicyRule;

use super::grant::Granted;

/// The namespace, resource and name for which a verb is allowed.
type RuleTarget = (String, String, String);

/// Lines such as `+ in shop: deployments.apps web: create, get`; none if nothing changes.
pub(super) fn lines(before: &Granted, derived: &Derived) -> Vec<String> {
    let old = permissions(before.0.iter().map(|(namespace, rules)| (namespace.as_str(), rules)));
    let inside = derived.namespaces.iter().map(|(namespace, rules)| (namespace.as_str(), rules));
    let new = permissions(std::iter::once(("", &derived.rules)).chain(inside));
    let mut lines = Vec::new();
    for (sign, these, others) in [('-', &old, &new), ('+', &new, &old)] {
        let mut verbs: BTreeMap<&RuleTarget, Vec<&str>> = BTreeMap::new();
        for (scope, verb) in these.difference(others) {
            verbs.entry(scope).or_default().push(verb);
        }
        lines.extend(verbs.into_iter().map(|((namespace, resource, name), verbs)| {
            let scope = if namespace.is_empty() {
                "in the whole cluster".to_owned()
            } else {
                format!("in {namespace}")
            };
            let name = if name.is_empty() { "of any name" } else { name };
            format!("{sign} {scope}: {resource} {name}: {}", verbs.join(", "))
        }));
    }
    lines
}

/// Every single permission of the rules.
fn permissions<'a>(
    rules: impl Iterator<Item = (&'a str, &'a Vec<PolicyRule>)>,
) -> BTreeSet<(RuleTarget, String)> {
    let mut found = BTreeSet::new();
    for (namespace, rules) in rules {
        for rule in rules {
            let names = rule.resource_names.clone().filter(|names| !names.is_empty());
            for resource in resources(rule) {
                for name in names.clone().unwrap_or_else(|| vec![String::new()]) {
                    for verb in &rule.verbs {
                        let scope = (namespace.to_owned(), resource.clone(), name.clone());
                        found.insert((scope, verb.clone()));
                    }
                }
            }
        }
    }
    found
}

/// The resources of a rule, as `deployments.apps`.
fn resources(rule: &PolicyRule) -> Vec<String> {
    let mut found = rule.non_resource_urls.clone().unwrap_or_default();
    for group in rule.api_groups.iter().flatten() {
        let dot = if group.is_empty() { "" } else { "." };
        found.extend(rule.resources.iter().flatten().map(|resource| format!("{resource}{dot}{group}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(resource: &str, name: Option<&str>, verbs: &[&str]) -> PolicyRule {
        PolicyRule {
            api_groups: Some(vec!["apps".to_owned()]),
            resources: Some(vec![resource.to_owned()]),
            resource_names: name.map(|name| vec![name.to_owned()]),
            verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
            non_resource_urls: None,
        }
    }

    #[test]
    fn o2_a_change_of_permissions_is_listed_by_namespace_object_and_verb() {
        let before = Granted([(String::new(), vec![rule("deployments", None, &["get"])])].into());
        let web = rule("deployments", Some("web"), &["get", "patch"]);
        let derived = Derived { namespaces: [("shop".to_owned(), vec![web])].into(), ..Derived::default() };
        assert_eq!(
            lines(&before, &derived),
            [
                "- in the whole cluster: deployments.apps of any name: get",
                "+ in shop: deployments.apps web: get, patch"
            ]
        );
        let same = Granted(derived.namespaces.clone());
        assert!(lines(&same, &derived).is_empty());
    }
}

//! The permissions that the controller and the webhooks always need.

use std::collections::BTreeSet;

use super::*;

#[test]
fn the_fixed_rules_have_no_wildcards_and_no_access_to_secrets() {
    for rule in fixed() {
        let all = [&rule.verbs, rule.api_groups.as_ref().unwrap(), rule.resources.as_ref().unwrap()];
        assert!(
            !all.iter().any(|texts| texts.iter().any(|text| text == "*" || text == "secrets")),
            "{rule:?}"
        );
    }
}

#[test]
fn existing_namespaces_cannot_be_changed() {
    let of_namespaces = |rule: &PolicyRule| rule.resources.iter().flatten().any(|name| name == "namespaces");
    let all = [fixed(), fixed_in_own_namespace(), fixed_for_webhooks()].concat();
    let verbs: BTreeSet<_> =
        all.iter().filter(|rule| of_namespaces(rule)).flat_map(|rule| &rule.verbs).collect();
    assert!(
        verbs.iter().all(|verb| ["create", "get", "list", "watch"].contains(&verb.as_str())),
        "{verbs:?}"
    );
}

#[test]
fn a19_rules_for_webhook_configurations_are_restricted_by_name() {
    for rule in fixed_for_webhooks().iter().filter(|rule| {
        rule.resources.iter().flatten().any(|resource| resource.ends_with("webhookconfigurations"))
    }) {
        assert_eq!(rule.resource_names.as_deref(), Some(&[admission::webhook::NAME.to_owned()][..]));
    }
}

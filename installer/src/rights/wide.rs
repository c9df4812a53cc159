//! Far-reaching rules of charts, which are reported before they are granted.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// The reasons for which a rule is far-reaching, if it is. An empty namespace is the whole cluster.
pub(super) fn reasons(rule: &PolicyRule, namespace: &str) -> Vec<String> {
    let has = |list: &Option<Vec<String>>, wanted: &[&str]| {
        list.iter().flatten().any(|text| text == "*" || wanted.contains(&text.as_str()))
    };
    let verb = |wanted: &[&str]| rule.verbs.iter().any(|text| text == "*" || wanted.contains(&text.as_str()));
    let named = rule.resource_names.as_ref().is_some_and(|names| !names.is_empty());
    let scope =
        if namespace.is_empty() { "in the whole cluster".to_owned() } else { format!("in `{namespace}`") };
    let in_core = has(&rule.api_groups, &[""]);
    let mut found = Vec::new();
    let mut check = |applies: bool, access: &str| {
        if applies {
            found.push(format!("it can {access} {scope}"));
        }
    };
    let reads = verb(&["get", "list", "watch"]);
    let writes = verb(&["create", "update", "patch", "delete", "deletecollection"]);
    check(in_core && !named && reads && has(&rule.resources, &["secrets"]), "read every Secret");
    check(in_core && !named && writes && has(&rule.resources, &["secrets"]), "write every Secret");
    let enters = has(&rule.resources, &["pods/exec", "pods/attach", "pods/ephemeralcontainers"]);
    check(in_core && verb(&["create", "get", "patch", "update"]) && enters, "run commands in pods");
    check(in_core && has(&rule.resources, &["nodes/proxy"]), "access nodes");
    let tokens = has(&rule.resources, &["serviceaccounts/token"]);
    check(in_core && verb(&["create"]) && tokens, "create tokens of service accounts");
    let makes_pods = in_core && has(&rule.resources, &["pods", "replicationcontrollers"])
        || has(&rule.api_groups, &["apps"])
            && has(&rule.resources, &["deployments", "daemonsets", "statefulsets", "replicasets"])
        || has(&rule.api_groups, &["batch"]) && has(&rule.resources, &["jobs", "cronjobs"]);
    check(makes_pods && !named && verb(&["create", "update", "patch"]), "run pods");
    let admits = has(&rule.api_groups, &["admissionregistration.k8s.io"]);
    check(admits && !named && writes, "change every webhook configuration");
    let roles = has(&rule.api_groups, &["rbac.authorization.k8s.io"]);
    check(roles && !named && writes, "write roles and bindings");
    let all = rule.resources.iter().flatten().any(|text| text == "*");
    check(all, "use every resource of its API groups");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined_reasons(group: &str, resource: &str, verb: &str, name: Option<&str>) -> String {
        let list = |text: &str| Some(vec![text.to_owned()]);
        let rule = PolicyRule {
            api_groups: list(group),
            resources: list(resource),
            resource_names: name.and_then(list),
            verbs: vec![verb.to_owned()],
            non_resource_urls: None,
        };
        reasons(&rule, "").join("; ")
    }

    #[test]
    fn o2_far_reaching_rules_are_reported() {
        assert_eq!(
            joined_reasons("", "secrets", "list", None),
            "it can read every Secret in the whole cluster"
        );
        assert_eq!(joined_reasons("", "secrets", "list", Some("own")), "");
        assert!(joined_reasons("", "pods/exec", "create", None).contains("run commands in pods"));
        assert!(joined_reasons("batch", "jobs", "create", None).contains("run pods"));
        assert!(joined_reasons("x.example", "*", "get", None).contains("every resource of its API groups"));
        assert!(joined_reasons("*", "secrets", "*", None).contains("write every Secret"));
        assert_eq!(joined_reasons("", "configmaps", "list", None), "");
    }
}

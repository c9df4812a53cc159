//! What of a chart's own rules reaches far, told before it is granted.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// Why a rule reaches far, if it does; an empty namespace is the whole cluster.
pub(super) fn reasons(rule: &PolicyRule, namespace: &str) -> Vec<String> {
    let has = |list: &Option<Vec<String>>, wanted: &[&str]| {
        list.iter().flatten().any(|text| text == "*" || wanted.contains(&text.as_str()))
    };
    let verb = |wanted: &[&str]| rule.verbs.iter().any(|text| text == "*" || wanted.contains(&text.as_str()));
    let named = rule.resource_names.as_ref().is_some_and(|names| !names.is_empty());
    let place =
        if namespace.is_empty() { "in the whole cluster".to_owned() } else { format!("in `{namespace}`") };
    let in_core = has(&rule.api_groups, &[""]);
    let mut found = Vec::new();
    let mut tell = |is_so: bool, what: &str| {
        if is_so {
            found.push(format!("it may {what} {place}"));
        }
    };
    let reads = verb(&["get", "list", "watch"]);
    let writes = verb(&["create", "update", "patch", "delete", "deletecollection"]);
    tell(in_core && !named && reads && has(&rule.resources, &["secrets"]), "read every Secret");
    tell(in_core && !named && writes && has(&rule.resources, &["secrets"]), "write every Secret");
    let enters = has(&rule.resources, &["pods/exec", "pods/attach", "pods/ephemeralcontainers"]);
    tell(in_core && verb(&["create", "get", "patch", "update"]) && enters, "run commands in pods");
    tell(in_core && has(&rule.resources, &["nodes/proxy"]), "reach into nodes");
    let tokens = has(&rule.resources, &["serviceaccounts/token"]);
    tell(in_core && verb(&["create"]) && tokens, "make tokens of service accounts");
    let makes_pods = in_core && has(&rule.resources, &["pods", "replicationcontrollers"])
        || has(&rule.api_groups, &["apps"])
            && has(&rule.resources, &["deployments", "daemonsets", "statefulsets", "replicasets"])
        || has(&rule.api_groups, &["batch"]) && has(&rule.resources, &["jobs", "cronjobs"]);
    tell(makes_pods && !named && verb(&["create", "update", "patch"]), "run pods");
    let admits = has(&rule.api_groups, &["admissionregistration.k8s.io"]);
    tell(admits && !named && writes, "change every webhook configuration");
    let roles = has(&rule.api_groups, &["rbac.authorization.k8s.io"]);
    tell(roles && !named && writes, "write roles and bindings");
    let all = rule.resources.iter().flatten().any(|text| text == "*");
    tell(all, "use every resource of its API groups");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(group: &str, resource: &str, verb: &str, name: Option<&str>) -> String {
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
    fn o2_what_reaches_far_is_named() {
        assert_eq!(told("", "secrets", "list", None), "it may read every Secret in the whole cluster");
        assert_eq!(told("", "secrets", "list", Some("own")), "");
        assert!(told("", "pods/exec", "create", None).contains("run commands in pods"));
        assert!(told("batch", "jobs", "create", None).contains("run pods"));
        assert!(told("x.example", "*", "get", None).contains("every resource of its API groups"));
        assert!(told("*", "secrets", "*", None).contains("write every Secret"));
        assert_eq!(told("", "configmaps", "list", None), "");
    }
}

//! Pods, and what makes them: access to the host beyond the profile "baseline" of the Pod Security Standards, and service
//! accounts. Where a kind is not Kubernetes' own, every map in it may become a pod's specification.

use serde_json::Value;
use workload_images::pod_spec;

use super::{Package, Power, is_true, list};
use crate::guard::Brought;
use crate::objects::{group, text};

/// What the profile lets a container have.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// The system calls' settings that it lets a pod have.
const SYSCTLS: [&str; 9] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];
/// Where a container may have the node ask a host.
const PROBES: [&str; 5] =
    ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];

pub(super) fn powers(brought: &Brought, package: &Package<'_>, powers: &mut Vec<Power>) {
    let object = &brought.value;
    let (group, kind) = (group(object), text(object, "/kind"));
    if let Some(pod) = pod_spec(group, kind, object) {
        annotations(pod_annotations(group, kind, object), powers);
        one(pod, brought, package, powers);
    } else if kind != "CustomResourceDefinition" {
        let mut rest = vec![object];
        while let Some(next) = rest.pop() {
            match next {
                Value::Object(table) => {
                    one(next, brought, package, powers);
                    rest.extend(table.values());
                }
                Value::Array(items) => rest.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }
}

/// The annotations of the pods that an object makes.
fn pod_annotations<'a>(group: &str, kind: &str, object: &'a Value) -> Option<&'a Value> {
    let at = match (group, kind) {
        ("", "Pod") => "/metadata/annotations",
        ("", "PodTemplate") => "/template/metadata/annotations",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/metadata/annotations",
        _ => "/spec/template/metadata/annotations",
    };
    object.pointer(at)
}

fn annotations(annotations: Option<&Value>, powers: &mut Vec<Power>) {
    for (name, profile) in annotations.and_then(Value::as_object).into_iter().flatten() {
        if name.starts_with("container.apparmor.security.beta.kubernetes.io/") && *profile == "unconfined" {
            powers.push(Power::Host("AppArmor unconfined".to_owned()));
        }
    }
}

/// What a specification of pods, or a map that may become one, asks for.
fn one(pod: &Value, brought: &Brought, package: &Package<'_>, powers: &mut Vec<Power>) {
    let namespace = text(&brought.value, "/metadata/namespace");
    for name in ["/serviceAccountName", "/serviceAccount"].map(|at| text(pod, at)) {
        let is_own = || package.has_account(namespace, name, brought.hook.as_ref());
        if !["", "default"].contains(&name) && !is_own() {
            powers.push(Power::ServiceAccount(name.to_owned()));
        }
    }
    let mut host = |what: String| powers.push(Power::Host(what));
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if is_true(pod, &format!("/{field}")) {
            host(field.to_owned());
        }
    }
    for volume in list(pod, "volumes") {
        if let Some(path) = volume.get("hostPath").filter(|path| !path.is_null()) {
            host(format!("hostPath {}", text(path, "/path")));
        }
    }
    for sysctl in pod.get("securityContext").into_iter().flat_map(|context| list(context, "sysctls")) {
        let name = text(sysctl, "/name");
        if !SYSCTLS.contains(&name) {
            host(format!("sysctl {name}"));
        }
    }
    context(pod.get("securityContext"), &mut host);
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        for each in list(pod, containers) {
            container(each, &mut host);
        }
    }
}

fn container(container: &Value, host: &mut impl FnMut(String)) {
    context(container.get("securityContext"), host);
    for port in list(container, "ports").filter_map(|port| port.get("hostPort")?.as_u64()) {
        if port != 0 {
            host(format!("hostPort {port}"));
        }
    }
    for probe in PROBES {
        for action in ["httpGet", "tcpSocket"] {
            let asked = text(container, &format!("{probe}/{action}/host"));
            if !asked.is_empty() {
                host(format!("{probe} asks the host {asked}", probe = probe.trim_start_matches('/')));
            }
        }
    }
}

/// What a security context of a pod or a container asks for.
fn context(context: Option<&Value>, host: &mut impl FnMut(String)) {
    let Some(context) = context else { return };
    if is_true(context, "/privileged") {
        host("privileged".to_owned());
    }
    if is_true(context, "/windowsOptions/hostProcess") {
        host("hostProcess".to_owned());
    }
    for capability in context.get("capabilities").into_iter().flat_map(|all| list(all, "add")) {
        let name = capability.as_str().unwrap_or_default();
        if !CAPABILITIES.contains(&name) {
            host(format!("capability {name}"));
        }
    }
    for (at, fine) in [("/procMount", "Default"), ("/seLinuxOptions/user", ""), ("/seLinuxOptions/role", "")]
    {
        let value = text(context, at);
        if !value.is_empty() && value != fine {
            host(format!("{} {value}", at.trim_start_matches('/')));
        }
    }
    for profile in ["seccompProfile", "appArmorProfile"] {
        if text(context, &format!("/{profile}/type")) == "Unconfined" {
            host(format!("{profile} Unconfined"));
        }
    }
    let kind = text(context, "/seLinuxOptions/type");
    if !["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"].contains(&kind) {
        host(format!("seLinuxOptions/type {kind}"));
    }
}

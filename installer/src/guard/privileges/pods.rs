//! Pods and workloads: access to the host beyond the profile "baseline" of the Pod Security Standards, and service
//! accounts. In a custom resource, every map may become a pod specification.

use serde_json::Value;
use workload_images::pod_spec;

use super::{Package, Privilege, is_true, list};
use crate::guard::ChartObject;
use crate::objects::{group, text};

/// The capabilities that the profile allows.
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
/// The sysctls that the profile allows.
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
/// The fields of a container that can make the node connect to a host.
const PROBES: [&str; 5] =
    ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"];

pub(super) fn privileges(chart_object: &ChartObject, package: &Package<'_>, privileges: &mut Vec<Privilege>) {
    let object = &chart_object.value;
    let (group, kind) = (group(object), text(object, "/kind"));
    if let Some(pod) = pod_spec(group, kind, object) {
        annotations(pod_annotations(group, kind, object), privileges);
        pod_spec_privileges(pod, chart_object, package, privileges);
    } else if kind != "CustomResourceDefinition" {
        let mut rest = vec![object];
        while let Some(next) = rest.pop() {
            match next {
                Value::Object(table) => {
                    pod_spec_privileges(next, chart_object, package, privileges);
                    rest.extend(table.values());
                }
                Value::Array(items) => rest.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }
}

/// The annotations of the pods that an object creates.
fn pod_annotations<'a>(group: &str, kind: &str, object: &'a Value) -> Option<&'a Value> {
    let at = match (group, kind) {
        ("", "Pod") => "/metadata/annotations",
        ("", "PodTemplate") => "/template/metadata/annotations",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/metadata/annotations",
        _ => "/spec/template/metadata/annotations",
    };
    object.pointer(at)
}

fn annotations(annotations: Option<&Value>, privileges: &mut Vec<Privilege>) {
    for (name, profile) in annotations.and_then(Value::as_object).into_iter().flatten() {
        if name.starts_with("container.apparmor.security.beta.kubernetes.io/") && *profile == "unconfined" {
            privileges.push(Privilege::Host("AppArmor unconfined".to_owned()));
        }
    }
}

/// The privileges of a pod specification, or of a map that may become one.
fn pod_spec_privileges(
    pod: &Value,
    chart_object: &ChartObject,
    package: &Package<'_>,
    privileges: &mut Vec<Privilege>,
) {
    let namespace = text(&chart_object.value, "/metadata/namespace");
    for name in ["/serviceAccountName", "/serviceAccount"].map(|at| text(pod, at)) {
        let is_own = || package.has_account(namespace, name, chart_object.hook.as_ref());
        if !["", "default"].contains(&name) && !is_own() {
            privileges.push(Privilege::ServiceAccount(name.to_owned()));
        }
    }
    let mut host = |what: String| privileges.push(Privilege::Host(what));
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
            let target = text(container, &format!("{probe}/{action}/host"));
            if !target.is_empty() {
                host(format!("{probe} connects to the host {target}", probe = probe.trim_start_matches('/')));
            }
        }
    }
}

/// The privileges of a security context of a pod or a container.
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
    for (at, allowed) in
        [("/procMount", "Default"), ("/seLinuxOptions/user", ""), ("/seLinuxOptions/role", "")]
    {
        let value = text(context, at);
        if !value.is_empty() && value != allowed {
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

//! What objects reach for beyond their package: the host of their pods, other service accounts, other subjects, and
//! requests of the API server. A chart that does so by its own defaults was signed as such.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::shown;
use crate::images::pod_spec;
use crate::objects::{group, text};

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
/// What the profile "baseline" of the Pod Security Standards lets a container have.
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
/// The system calls' settings that the same profile lets a pod have.
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

/// One thing that an object reaches for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Power {
    /// The host of a pod, beyond the profile "baseline".
    Host(String),
    /// A service account that is not among the package's objects.
    ServiceAccount(String),
    /// A subject of a binding that is not among the package's objects.
    Subject(String),
    /// Requests of the API server that a webhook sees, or where it sends them.
    Webhook(String),
}

impl Power {
    /// As an administrator writes it who allows it.
    pub(super) fn entry(&self) -> String {
        match self {
            Self::Host(_) => "host".to_owned(),
            Self::ServiceAccount(name) => format!("serviceaccount/{name}"),
            Self::Subject(subject) => format!("subject/{subject}"),
            Self::Webhook(what) => format!("webhook/{what}"),
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(what) => write!(f, "use the host ({what})"),
            Self::ServiceAccount(name) => {
                write!(f, "use the service account `{name}`, which is not the package's")
            }
            Self::Subject(subject) => write!(f, "grant permissions to {subject}, which is not the package's"),
            Self::Webhook(what) => write!(f, "see requests of the API server ({what})"),
        }
    }
}

/// What objects reach for, each with the first object that does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Powers(BTreeMap<Power, String>);

impl Powers {
    /// What the objects of a package reach for; `inside` tells the namespaces that are the package's.
    pub(super) fn of(objects: &[Value], inside: &impl Fn(&str) -> bool) -> Self {
        let accounts = objects
            .iter()
            .filter(|object| group(object).is_empty() && text(object, "/kind") == "ServiceAccount");
        let accounts: Vec<_> = accounts
            .map(|object| (text(object, "/metadata/namespace"), text(object, "/metadata/name")))
            .collect();
        let mut found = Self::default();
        for object in objects {
            let mut powers = Vec::new();
            match (group(object), text(object, "/kind")) {
                (RBAC, "RoleBinding" | "ClusterRoleBinding") => subjects(object, &accounts, &mut powers),
                (ADMISSION, "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
                    webhooks(object, inside, &mut powers);
                }
                ("", "PersistentVolume") => volume(&object["spec"], &mut powers),
                ("", "Secret") => token(object, &accounts, &mut powers),
                (group, kind) => {
                    if let Some(pod) = pod_spec(group, kind, object) {
                        let namespace = text(object, "/metadata/namespace");
                        let template = pod_annotations(group, kind, object);
                        pods(pod, template, (namespace, &accounts), &mut powers);
                    }
                }
            }
            for power in powers {
                found.0.entry(power).or_insert_with(|| shown(object));
            }
        }
        found
    }

    /// Whether nothing is reached for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of it others do not have.
    pub(super) fn beyond<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = (&'a Power, &'a str)> {
        self.0
            .iter()
            .filter(|(power, _)| !others.0.contains_key(*power))
            .map(|(power, object)| (power, object.as_str()))
    }
}

type Accounts<'a> = [(&'a str, &'a str)];

fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn is_true(of: &Value, at: &str) -> bool {
    of.pointer(at) == Some(&Value::Bool(true))
}

fn subjects(binding: &Value, accounts: &Accounts<'_>, powers: &mut Vec<Power>) {
    for subject in list(binding, "subjects") {
        let (kind, name, namespace) =
            (text(subject, "/kind"), text(subject, "/name"), text(subject, "/namespace"));
        if kind == "ServiceAccount" && accounts.contains(&(namespace, name)) {
            continue;
        }
        let name = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        powers.push(Power::Subject(format!("{kind}/{name}")));
    }
}

fn webhooks(object: &Value, inside: &impl Fn(&str) -> bool, powers: &mut Vec<Power>) {
    for webhook in list(object, "webhooks") {
        if let Some(url) = webhook.pointer("/clientConfig/url").and_then(Value::as_str) {
            powers.push(Power::Webhook(url.to_owned()));
        }
        let namespace = text(webhook, "/clientConfig/service/namespace");
        if !namespace.is_empty() && !inside(namespace) {
            powers
                .push(Power::Webhook(format!("{namespace}/{}", text(webhook, "/clientConfig/service/name"))));
        }
        for rule in list(webhook, "rules") {
            for group in list(rule, "apiGroups").filter_map(Value::as_str) {
                for resource in list(rule, "resources").filter_map(Value::as_str) {
                    powers.push(Power::Webhook(format!("{group}/{resource}")));
                }
            }
        }
    }
}

fn volume(volume: &Value, powers: &mut Vec<Power>) {
    for kind in ["hostPath", "local"] {
        if let Some(path) = volume.get(kind).filter(|kind| !kind.is_null()) {
            powers.push(Power::Host(format!("{kind} {}", text(path, "/path"))));
        }
    }
}

/// A Secret that Kubernetes fills in with the token of a service account.
fn token(secret: &Value, accounts: &Accounts<'_>, powers: &mut Vec<Power>) {
    if text(secret, "/type") != "kubernetes.io/service-account-token" {
        return;
    }
    let name = text(secret, "/metadata/annotations/kubernetes.io~1service-account.name");
    if !accounts.contains(&(text(secret, "/metadata/namespace"), name)) {
        powers.push(Power::ServiceAccount(name.to_owned()));
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

fn pods(pod: &Value, annotations: Option<&Value>, accounts: (&str, &Accounts<'_>), powers: &mut Vec<Power>) {
    let (namespace, accounts) = accounts;
    for name in ["/serviceAccountName", "/serviceAccount"].map(|at| text(pod, at)) {
        if !["", "default"].contains(&name) && !accounts.contains(&(namespace, name)) {
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
    for (name, profile) in annotations.and_then(Value::as_object).into_iter().flatten() {
        if name.starts_with("container.apparmor.security.beta.kubernetes.io/") && *profile == "unconfined" {
            host("AppArmor unconfined".to_owned());
        }
    }
    context(pod.get("securityContext"), &mut host);
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list(pod, containers) {
            context(container.get("securityContext"), &mut host);
            for port in list(container, "ports").filter_map(|port| port.get("hostPort")?.as_u64()) {
                if port != 0 {
                    host(format!("hostPort {port}"));
                }
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

//! The access of objects beyond their package: to the host, to other service accounts, subjects and roles, to permissions
//! in the whole cluster, to requests of the API server, and to labels by which admission selects namespaces. If a chart
//! does so by default, it was signed like that.
//!
//! - `pods`: pods of any kind that creates them, including those of operators
//! - `cluster`: objects that affect more than their own namespace

mod cluster;
mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::{ChartObject, shown};
use crate::objects::{group, text};

/// One access beyond the package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Privilege {
    /// Access to the host, beyond the profile "baseline".
    Host(String),
    /// A service account that is not among the package's objects.
    ServiceAccount(String),
    /// A subject of a binding that is not among the package's objects.
    Subject(String),
    /// A role that a binding grants and that is not among the package's objects.
    Role(String),
    /// A permission that a role grants outside of the package's namespace.
    Permission(Permission),
    /// Receiving or deciding requests of the API server, or changing where they are sent.
    Webhook {
        /// The resource, or the receiver of the requests.
        what: String,
        /// The selected objects of a built-in kind.
        scope: String,
    },
    /// A label or annotation that affects other objects.
    Label {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// A finalizer, with which others control when the object is deleted.
    Finalizer(String),
    /// An owner reference to another object.
    Owner(String),
    /// An image that the bundle does not list, in an object other than a pod.
    Image(String),
}

/// One permission of a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Permission {
    /// The namespace; empty for the whole cluster.
    namespace: String,
    verb: String,
    group: String,
    /// A resource, or a URL path of the API server.
    resource: String,
    name: Option<String>,
}

impl Permission {
    /// Whether this permission includes the other one.
    fn covers(&self, other: &Self) -> bool {
        let has = |own: &str, other: &str| own == "*" || own == other;
        (self.namespace.is_empty() || self.namespace == other.namespace)
            && has(&self.verb, &other.verb)
            && has(&self.group, &other.group)
            && has(&self.resource, &other.resource)
            && (self.name.is_none() || self.name == other.name)
    }
}

impl Privilege {
    /// The entry with which an administrator allows it.
    pub(super) fn entry(&self) -> String {
        match self {
            Self::Host(_) => "host".to_owned(),
            Self::ServiceAccount(name) => format!("serviceaccount/{name}"),
            Self::Subject(subject) => format!("subject/{subject}"),
            Self::Role(role) => format!("role/{role}"),
            Self::Permission(_) => "permissions".to_owned(),
            Self::Webhook { what, .. } => format!("webhook/{what}"),
            Self::Label { key, .. } => format!("label/{key}"),
            Self::Finalizer(name) => format!("finalizer/{name}"),
            Self::Owner(_) => "owner".to_owned(),
            Self::Image(image) => format!("image/{image}"),
        }
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(what) => write!(f, "use the host ({what})"),
            Self::ServiceAccount(name) => {
                write!(f, "use the service account `{name}`, which is not the package's")
            }
            Self::Subject(subject) => write!(f, "grant permissions to {subject}, which is not the package's"),
            Self::Role(role) => write!(f, "grant the role {role}, which is not the package's"),
            Self::Permission(Permission { namespace, verb, group, resource, name }) => {
                let dot = if group.is_empty() { "" } else { "." };
                write!(f, "grant the permission to {verb} {resource}{dot}{group}")?;
                if let Some(name) = name {
                    write!(f, " {name:?}")?;
                }
                if namespace.is_empty() {
                    write!(f, " in the whole cluster")
                } else {
                    write!(f, " in `{namespace}`")
                }
            }
            Self::Webhook { what, scope } if scope.is_empty() => {
                write!(f, "receive requests of the API server ({what})")
            }
            Self::Webhook { what, scope } => {
                write!(f, "receive requests of the API server ({what}, selected by {scope})")
            }
            Self::Label { key, value } => {
                write!(f, "have `{key}: {value}`, which affects other objects")
            }
            Self::Finalizer(name) => write!(f, "wait for the finalizer `{name}` when it is deleted"),
            Self::Owner(owner) => write!(f, "belong to {owner} (ownerReferences)"),
            Self::Image(image) => {
                write!(f, "refer to the image {image}, which the signed bundle does not list")
            }
        }
    }
}

/// The privileges of objects, each with the first object that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Privileges(BTreeMap<Privilege, String>);

/// The package of the objects.
pub(super) struct Package<'a> {
    /// The target namespace.
    pub(super) target: &'a str,
    /// Whether a namespace is the package's own.
    pub(super) inside: &'a dyn Fn(&str) -> bool,
    objects: &'a [ChartObject],
}

impl Package<'_> {
    /// Whether a service account is the package's own, for an object that is created at the events `hook`.
    ///
    /// The service account of a hook exists while its hooks run. At any other time, a service account with this name may
    /// belong to others. So it counts only for hooks that run at the same events.
    fn has_account(&self, namespace: &str, name: &str, hook: Option<&BTreeSet<&'static str>>) -> bool {
        self.objects.iter().any(|chart_object| {
            let object = &chart_object.value;
            let matches = group(object).is_empty()
                && text(object, "/kind") == "ServiceAccount"
                && text(object, "/metadata/name") == name
                && text(object, "/metadata/namespace") == namespace;
            let exists = match (&chart_object.hook, hook) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(own), Some(wanted)) => wanted.is_subset(own),
            };
            matches && exists
        })
    }

    fn objects(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().map(|chart_object| &chart_object.value)
    }
}

impl Privileges {
    /// The privileges of a package's objects. `inside` returns whether a namespace is the package's own.
    pub(super) fn of(objects: &[ChartObject], target: &str, inside: &dyn Fn(&str) -> bool) -> Self {
        let package = Package { target, inside, objects };
        let mut found = Self::default();
        for chart_object in objects {
            let mut privileges = Vec::new();
            cluster::privileges(chart_object, &package, &mut privileges);
            pods::privileges(chart_object, &package, &mut privileges);
            for privilege in privileges {
                found.add(privilege, shown(&chart_object.value));
            }
        }
        found
    }

    pub(super) fn add(&mut self, privilege: Privilege, object: String) {
        self.0.entry(privilege).or_insert(object);
    }

    /// Whether there are no privileges.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The privileges that `others` does not include.
    pub(super) fn beyond<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = (&'a Privilege, &'a str)> {
        let missing = self.0.iter().filter(|(privilege, _)| !others.have(privilege));
        missing.map(|(privilege, object)| (privilege, object.as_str()))
    }

    fn have(&self, privilege: &Privilege) -> bool {
        let Privilege::Permission(wanted) = privilege else { return self.0.contains_key(privilege) };
        self.0.keys().any(|own| matches!(own, Privilege::Permission(own) if own.covers(wanted)))
    }
}

/// The items of a list in an object.
fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The strings of a list in an object.
fn texts<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    list(of, name).filter_map(Value::as_str)
}

fn is_true(of: &Value, at: &str) -> bool {
    of.pointer(at) == Some(&Value::Bool(true))
}

//! What objects reach for beyond their package: the host, other service accounts, subjects and roles, permissions in the
//! whole cluster, requests of the API server, what admission selects namespaces by. A chart that does so by its own
//! defaults was signed as such.
//!
//! - `pods`: pods of whatever makes them, operators' kinds included
//! - `cluster`: objects that act on more than their own namespace

mod cluster;
mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::{Brought, shown};
use crate::objects::{group, text};

/// One thing that an object reaches for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Power {
    /// The host of a pod, beyond the profile "baseline".
    Host(String),
    /// A service account that is not among the package's objects.
    ServiceAccount(String),
    /// A subject of a binding that is not among the package's objects.
    Subject(String),
    /// A role that a binding grants and that is not among the package's objects.
    Role(String),
    /// What a role grants outside the package's namespace.
    Permission(Permission),
    /// Requests of the API server that others see or decide, or where they are sent.
    Webhook {
        /// The kind, or who is asked.
        what: String,
        /// Which objects of a built-in kind.
        scope: String,
    },
    /// A label or annotation that decides what holds for others.
    Label {
        /// Its key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Somebody else decides when the object is gone.
    Finalizer(String),
    /// The object belongs to another.
    Owner(String),
    /// An image that the bundle does not list, in whatever is no pod.
    Image(String),
}

/// One permission of a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Permission {
    /// Where it holds; empty for the whole cluster.
    place: String,
    verb: String,
    group: String,
    /// A resource, or a path of the API server.
    resource: String,
    name: Option<String>,
}

impl Permission {
    /// Whether this one grants all that the other does.
    fn covers(&self, other: &Self) -> bool {
        let has = |own: &str, other: &str| own == "*" || own == other;
        (self.place.is_empty() || self.place == other.place)
            && has(&self.verb, &other.verb)
            && has(&self.group, &other.group)
            && has(&self.resource, &other.resource)
            && (self.name.is_none() || self.name == other.name)
    }
}

impl Power {
    /// As an administrator writes it who allows it.
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

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(what) => write!(f, "use the host ({what})"),
            Self::ServiceAccount(name) => {
                write!(f, "use the service account `{name}`, which is not the package's")
            }
            Self::Subject(subject) => write!(f, "grant permissions to {subject}, which is not the package's"),
            Self::Role(role) => write!(f, "grant the role {role}, which is not the package's"),
            Self::Permission(Permission { place, verb, group, resource, name }) => {
                let dot = if group.is_empty() { "" } else { "." };
                write!(f, "grant the permission to {verb} {resource}{dot}{group}")?;
                if let Some(name) = name {
                    write!(f, " {name:?}")?;
                }
                if place.is_empty() { write!(f, " in the whole cluster") } else { write!(f, " in `{place}`") }
            }
            Self::Webhook { what, scope } if scope.is_empty() => {
                write!(f, "see requests of the API server ({what})")
            }
            Self::Webhook { what, scope } => {
                write!(f, "see requests of the API server ({what}, selected by {scope})")
            }
            Self::Label { key, value } => {
                write!(f, "carry `{key}: {value}`, which decides what holds for others")
            }
            Self::Finalizer(name) => write!(f, "wait for the finalizer `{name}` when it is deleted"),
            Self::Owner(owner) => write!(f, "belong to {owner} (ownerReferences)"),
            Self::Image(image) => write!(f, "name the image {image}, which the signed bundle does not list"),
        }
    }
}

/// What objects reach for, each with the first object that does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Powers(BTreeMap<Power, String>);

/// The package that objects are of.
pub(super) struct Package<'a> {
    /// Where it goes.
    pub(super) target: &'a str,
    /// The namespaces that are its own.
    pub(super) inside: &'a dyn Fn(&str) -> bool,
    objects: &'a [Brought],
}

impl Package<'_> {
    /// Whether a service account is the package's own, for an object that brings itself at the events `hook`.
    ///
    /// A hook's service account is there while its hooks run, and may be another's at any other time. So it counts
    /// only for hooks that run with it.
    fn has_account(&self, namespace: &str, name: &str, hook: Option<&BTreeSet<&'static str>>) -> bool {
        self.objects.iter().any(|brought| {
            let object = &brought.value;
            let is_it = group(object).is_empty()
                && text(object, "/kind") == "ServiceAccount"
                && text(object, "/metadata/name") == name
                && text(object, "/metadata/namespace") == namespace;
            let is_there = match (&brought.hook, hook) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(brought), Some(wanted)) => wanted.is_subset(brought),
            };
            is_it && is_there
        })
    }

    fn objects(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().map(|brought| &brought.value)
    }
}

impl Powers {
    /// What the objects of a package reach for; `inside` tells the namespaces that are the package's.
    pub(super) fn of(objects: &[Brought], target: &str, inside: &dyn Fn(&str) -> bool) -> Self {
        let package = Package { target, inside, objects };
        let mut found = Self::default();
        for brought in objects {
            let mut powers = Vec::new();
            cluster::powers(brought, &package, &mut powers);
            pods::powers(brought, &package, &mut powers);
            for power in powers {
                found.add(power, shown(&brought.value));
            }
        }
        found
    }

    pub(super) fn add(&mut self, power: Power, object: String) {
        self.0.entry(power).or_insert(object);
    }

    /// Whether nothing is reached for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of it others do not have.
    pub(super) fn beyond<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = (&'a Power, &'a str)> {
        self.0.iter().filter(|(power, _)| !others.have(power)).map(|(power, object)| (power, object.as_str()))
    }

    fn have(&self, power: &Power) -> bool {
        let Power::Permission(wanted) = power else { return self.0.contains_key(power) };
        self.0.keys().any(|own| matches!(own, Power::Permission(own) if own.covers(wanted)))
    }
}

/// The items of a list of an object.
fn list<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The texts of a list of an object.
fn texts<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    list(of, name).filter_map(Value::as_str)
}

fn is_true(of: &Value, at: &str) -> bool {
    of.pointer(at) == Some(&Value::Bool(true))
}

//! What all kinds have in common: the marks of version and kind, metadata, and how kube reaches them.
//!
//! The marks are types of their own, so that an object that exists is of its kind, and is written with its marks.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// A kind of the API.
pub trait Kind {
    /// The group.
    const GROUP: &'static str;
    /// The kind.
    const KIND: &'static str;
    /// Its plural, as in URLs.
    const PLURAL: &'static str;
    /// Its short names.
    const SHORT: &'static [&'static str] = &[];
    /// Whether objects belong to a namespace.
    const NAMESPACED: bool = true;
    /// What `kubectl get` prints: name, type and path of each column.
    const COLUMNS: &'static [(&'static str, &'static str, &'static str)];
    /// What the kind is for.
    const DESCRIPTION: &'static str;
}

/// The member `apiVersion` of a kind.
#[derive(Debug)]
pub struct ApiVersion<K>(PhantomData<fn() -> K>);

/// The member `kind` of a kind.
#[derive(Debug)]
pub struct KindName<K>(PhantomData<fn() -> K>);

macro_rules! mark {
    ($mark:ident) => {
        impl<K> Clone for $mark<K> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<K> Copy for $mark<K> {}
        impl<K> Default for $mark<K> {
            fn default() -> Self {
                Self(PhantomData)
            }
        }
        impl<K> PartialEq for $mark<K> {
            fn eq(&self, _: &Self) -> bool {
                true
            }
        }
    };
}

mark!(ApiVersion);
mark!(KindName);

fn api_version<K: Kind>() -> String {
    format!("{}/{}", K::GROUP, crate::VERSION)
}

impl<K: Kind> Serialize for ApiVersion<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&api_version::<K>())
    }
}

impl<'de, K: Kind> Deserialize<'de> for ApiVersion<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (found, expected) = (String::deserialize(deserializer)?, api_version::<K>());
        if found == expected {
            return Ok(Self::default());
        }
        Err(serde::de::Error::custom(Error::ApiVersion { found, expected }))
    }
}

impl<K: Kind> Serialize for KindName<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(K::KIND)
    }
}

impl<'de, K: Kind> Deserialize<'de> for KindName<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = String::deserialize(deserializer)?;
        if found == K::KIND {
            return Ok(Self::default());
        }
        Err(serde::de::Error::custom(Error::Kind { found, expected: K::KIND }))
    }
}

/// Makes the object of a kind: its marks, metadata, spec and status, and what kube asks of it.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $spec:ty, $status:ty, $scope:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// The version, always the same. A list's items may leave it out.
            #[serde(default)]
            pub api_version: $crate::object::ApiVersion<$name>,
            /// The kind, always the same. A list's items may leave it out.
            #[serde(default)]
            pub kind: $crate::object::KindName<$name>,
            /// Name, namespace, labels and the like.
            #[serde(default)]
            pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
            /// What is wanted.
            #[serde(default)]
            pub spec: $spec,
            /// What was observed.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub status: Option<$status>,
        }

        impl $name {
            /// An object with this name; the namespace is the caller's to give.
            #[must_use]
            pub fn new(name: &str, spec: $spec) -> Self {
                let metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                    name: Some(name.to_owned()),
                    ..Default::default()
                };
                Self { metadata, spec, ..Self::default() }
            }

            /// Its name; empty when the server has not given it one yet.
            #[must_use]
            pub fn name(&self) -> &str {
                self.metadata.name.as_deref().unwrap_or_default()
            }

            /// Its namespace; empty when it has none.
            #[must_use]
            pub fn namespace(&self) -> &str {
                self.metadata.namespace.as_deref().unwrap_or_default()
            }

            /// An annotation.
            #[must_use]
            pub fn annotation(&self, name: &str) -> Option<&str> {
                self.metadata.annotations.as_ref()?.get(name).map(String::as_str)
            }
        }

        impl kube::Resource for $name {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                <Self as $crate::Kind>::KIND.into()
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                <Self as $crate::Kind>::GROUP.into()
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                $crate::VERSION.into()
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                <Self as $crate::Kind>::PLURAL.into()
            }

            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

pub(crate) use object;

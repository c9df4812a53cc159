//! What all kinds share: `apiVersion` and `kind`, the metadata, and the implementation of `kube::Resource`.
//!
//! `apiVersion` and `kind` are separate types, so that every value is of its kind and is serialized with both members.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;

/// A custom resource: the constants of its CRD.
pub trait CustomResource {
    /// The API group.
    const GROUP: &'static str;
    /// The kind.
    const KIND: &'static str;
    /// The plural name, as in URLs.
    const PLURAL: &'static str;
    /// The short names.
    const SHORT: &'static [&'static str] = &[];
    /// Whether the objects are namespaced.
    const NAMESPACED: bool = true;
    /// The columns of `kubectl get`: name, type and JSON path.
    const COLUMNS: &'static [(&'static str, &'static str, &'static str)];
    /// The description of the kind.
    const DESCRIPTION: &'static str;
}

/// The member `apiVersion` of a kind.
#[derive(Debug)]
pub struct ApiVersion<K>(PhantomData<fn() -> K>);

/// The member `kind` of a kind.
#[derive(Debug)]
pub struct KindName<K>(PhantomData<fn() -> K>);

macro_rules! type_member {
    ($member:ident) => {
        impl<K> Clone for $member<K> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<K> Copy for $member<K> {}
        impl<K> Default for $member<K> {
            fn default() -> Self {
                Self(PhantomData)
            }
        }
        impl<K> PartialEq for $member<K> {
            fn eq(&self, _: &Self) -> bool {
                true
            }
        }
    };
}

type_member!(ApiVersion);
type_member!(KindName);

fn api_version<K: CustomResource>() -> String {
    format!("{}/{}", K::GROUP, crate::VERSION)
}

impl<K: CustomResource> Serialize for ApiVersion<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&api_version::<K>())
    }
}

impl<'de, K: CustomResource> Deserialize<'de> for ApiVersion<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (found, expected) = (String::deserialize(deserializer)?, api_version::<K>());
        if found == expected {
            return Ok(Self::default());
        }
        Err(serde::de::Error::custom(Error::ApiVersion { found, expected }))
    }
}

impl<K: CustomResource> Serialize for KindName<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(K::KIND)
    }
}

impl<'de, K: CustomResource> Deserialize<'de> for KindName<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = String::deserialize(deserializer)?;
        if found == K::KIND {
            return Ok(Self::default());
        }
        Err(serde::de::Error::custom(Error::Kind { found, expected: K::KIND }))
    }
}

/// Defines the object of a kind, with metadata, spec and status, and implements `kube::Resource`.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident, $spec:ty, $status:ty, $scope:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// The API version, always the same. The items of a list may omit it.
            #[serde(default)]
            pub api_version: $crate::object::ApiVersion<$name>,
            /// The kind, always the same. The items of a list may omit it.
            #[serde(default)]
            pub kind: $crate::object::KindName<$name>,
            /// The name, the namespace, labels and so on.
            #[serde(default)]
            pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
            /// The desired state.
            #[serde(default)]
            pub spec: $spec,
            /// The observed state.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub status: Option<$status>,
        }

        impl $name {
            /// An object with this name. The caller sets the namespace.
            #[must_use]
            pub fn new(name: &str, spec: $spec) -> Self {
                let metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                    name: Some(name.to_owned()),
                    ..Default::default()
                };
                Self { metadata, spec, ..Self::default() }
            }

            /// The name; empty if the server has not assigned one yet.
            #[must_use]
            pub fn name(&self) -> &str {
                self.metadata.name.as_deref().unwrap_or_default()
            }

            /// The namespace; empty if there is none.
            #[must_use]
            pub fn namespace(&self) -> &str {
                self.metadata.namespace.as_deref().unwrap_or_default()
            }

            /// The value of an annotation.
            #[must_use]
            pub fn annotation(&self, name: &str) -> Option<&str> {
                self.metadata.annotations.as_ref()?.get(name).map(String::as_str)
            }
        }

        impl kube::Resource for $name {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                <Self as $crate::CustomResource>::KIND.into()
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                <Self as $crate::CustomResource>::GROUP.into()
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                $crate::VERSION.into()
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                <Self as $crate::CustomResource>::PLURAL.into()
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

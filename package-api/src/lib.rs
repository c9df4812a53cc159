//! The types of the Kubernetes API of packages.
//!
//! `packages.eks.amazonaws.com/v1alpha1` is the API of EKS Anywhere, field by field, so that its manifests and
//! procedures work unchanged; airlock adds fields to the status only. `airlock.dev/v1alpha1` is airlock's own API. No
//! I/O: the packager creates bundles of these types, the controller reads and writes them, the command line prints them.
//!
//! - [`package`], [`bundle`], [`bundle_controller`], [`trust_policy`]: one kind each
//! - [`conditions`]: status conditions, in addition to EKS Anywhere's states
//! - [`crd`]: the CRDs, generated from the types
//! - [`name`]: bundle names and their order, namespaces and clusters; [`duration`]: Go's durations;
//!   [`version`]: Go's semantic versions
//!
//! `types -> CustomResourceDefinition`

pub mod bundle;
pub mod bundle_controller;
pub mod conditions;
pub mod crd;
pub mod duration;
mod error;
pub mod name;
mod object;
pub mod package;
pub mod trust_policy;
pub mod version;

pub use bundle::{
    BundlePackage, BundleSource, BundleState, PackageBundle, PackageBundleSpec, PackageBundleStatus,
    SourceVersion, VersionImage,
};
pub use bundle_controller::{
    ControllerState, PackageBundleController, PackageBundleControllerSpec, PackageBundleControllerStatus,
};
pub use conditions::Condition;
pub use duration::GoDuration;
pub use error::Error;
pub use name::BundleName;
pub use object::CustomResource;
pub use package::{AvailableUpgrade, Package, PackageSource, PackageSpec, PackageState, PackageStatus};
pub use trust_policy::{TrustPolicy, TrustPolicySpec, TrustPolicyStatus};

/// The API group of EKS Anywhere's curated packages.
pub const EKS_GROUP: &str = "packages.eks.amazonaws.com";
/// The API group of airlock's own kinds.
pub const AIRLOCK_GROUP: &str = "airlock.dev";
/// The only version of both groups.
pub const VERSION: &str = "v1alpha1";

//! The Kubernetes API of packages: what is asked of the cluster, and what it answers, as types.
//!
//! `packages.eks.amazonaws.com/v1alpha1` is EKS Anywhere's, field by field, so that its manifests and habits work
//! unchanged; airlock adds to their status only. `airlock.dev/v1alpha1` is our own. No I/O: the packager makes
//! bundles of these types, the controller reads and writes them, the command line prints them.
//!
//! - [`package`], [`bundle`], [`bundle_controller`], [`trust_policy`]: one kind each
//! - [`conditions`]: what a status says beyond EKS Anywhere's states
//! - [`crd`]: the definitions that a cluster is given, made from the types
//! - [`name`]: names of bundles and how they compare, namespaces and clusters; [`duration`]: Go's durations;
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
pub use object::Kind;
pub use package::{AvailableUpgrade, Package, PackageSource, PackageSpec, PackageState, PackageStatus};
pub use trust_policy::{TrustPolicy, TrustPolicySpec, TrustPolicyStatus};

/// The group of EKS Anywhere's curated packages.
pub const EKS_GROUP: &str = "packages.eks.amazonaws.com";
/// The group of what airlock adds.
pub const AIRLOCK_GROUP: &str = "airlock.dev";
/// The one version of both groups.
pub const VERSION: &str = "v1alpha1";

//! Annotations that identify the release of an object, and the run that created it.

/// The release of an object, as in Helm.
pub(crate) const RELEASE_NAME: &str = "meta.helm.sh/release-name";
/// The run of a revision's hooks that created an object.
pub(crate) const RUN: &str = "airlock.dev/run";
/// The release that created a CRD from a chart's `crds/`: `NAMESPACE/NAME` of its records.
pub(crate) const RELEASE: &str = "airlock.dev/release";
/// Annotations that only the engine may set: they identify the run of a hook, and the release of a CRD.
pub(crate) const RESERVED: [&str; 2] = [RUN, RELEASE];

/// The annotation of a package that requests [`Ownership::Take`](crate::Ownership::Take).
pub const TAKE_OWNERSHIP: &str = "airlock.dev/take-ownership";

//! Annotations by which objects are known again: whose they are, and what made them.

/// Which release an object is of, as Helm has it.
pub(crate) const RELEASE_NAME: &str = "meta.helm.sh/release-name";
/// The run of a revision that an object was made by.
pub(crate) const RUN: &str = "airlock.dev/run";
/// Which release a definition of a chart's `crds/` was made by: `NAMESPACE/NAME` of its records.
pub(crate) const RELEASE: &str = "airlock.dev/release";
/// By these the engine knows which run of a hook made an object, and which release a definition is of.
pub(crate) const MARKS: [&str; 2] = [RUN, RELEASE];

/// The annotation of a package that asks for [`Ownership::Take`](crate::Ownership::Take).
pub const TAKE_OWNERSHIP: &str = "airlock.dev/take-ownership";

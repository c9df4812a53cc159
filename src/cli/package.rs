//! Arguments of `airlock bundle` and `airlock generate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{KeyArg, StoreArg};

#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Create and sign a package bundle from charts in a store.
    #[command(
        after_help = "Example: airlock bundle create -f packages.yaml --store store --key release.key --publish"
    )]
    Create(CreateBundle),
    /// List the bundles of a store.
    List(StoreArg),
}

#[derive(Args, Debug)]
pub(crate) struct CreateBundle {
    /// The file that lists the packages; see docs/packages.md.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// Leave the charts' registries and repositories out of the signature, as AWS does.
    #[arg(long)]
    pub(crate) without_source: bool,
    /// Publish the bundle to the store, where the controller finds it.
    #[arg(long)]
    pub(crate) publish: bool,
    /// Replace a published bundle of the same name.
    #[arg(long, requires = "publish")]
    pub(crate) replace: bool,
    /// The repository to publish to.
    #[arg(
        long,
        value_name = "REPOSITORY",
        requires = "publish",
        default_value = "eks-anywhere-packages-bundles"
    )]
    pub(crate) repository: oci::RepositoryName,
    /// A lock file of `airlock mirror` to add the bundle to, so that `airlock pack` includes it.
    #[arg(long, value_name = "FILE", requires = "publish")]
    pub(crate) lock: Option<PathBuf>,
    /// The output file. Default: standard output, unless the bundle is published.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Print a Package manifest to edit and apply.
    #[command(
        visible_alias = "packages",
        after_help = "Example: airlock generate package harbor --cluster mgmt > harbor.yaml"
    )]
    Package(GeneratePackage),
}

#[derive(Debug, Args)]
pub(crate) struct GeneratePackage {
    /// The name of the package in the bundle.
    pub(crate) name: String,
    /// The cluster that the package is for.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: String,
    /// A bundle that must contain the package, YAML.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
}

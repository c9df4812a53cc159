//! What `airlock bundle` and `airlock generate` take.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{KeyArg, StoreArg};

#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Make and sign a bundle of packages from charts that are in a store.
    #[command(
        after_help = "Example: airlock bundle create -f packages.yaml --store store --key release.key --publish"
    )]
    Create(CreateBundle),
    /// List the bundles of a store.
    List(StoreArg),
}

#[derive(Args, Debug)]
pub(crate) struct CreateBundle {
    /// Which packages: see docs/packages.md.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArg,
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// Leave the charts' registries and repositories out of the signature, as AWS does.
    #[arg(long)]
    pub(crate) without_source: bool,
    /// Put it into the store, where the controller looks for it.
    #[arg(long)]
    pub(crate) publish: bool,
    /// Replace a bundle of the same name that is published already.
    #[arg(long, requires = "publish")]
    pub(crate) replace: bool,
    /// The repository to put it into.
    #[arg(
        long,
        value_name = "REPOSITORY",
        requires = "publish",
        default_value = "eks-anywhere-packages-bundles"
    )]
    pub(crate) repository: oci::RepositoryName,
    /// A lock of `airlock mirror` to add it to, so that `airlock pack` takes it along.
    #[arg(long, value_name = "FILE", requires = "publish")]
    pub(crate) lock: Option<PathBuf>,
    /// Where to write it; standard output unless given or published.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Print a package to edit and apply.
    #[command(
        visible_alias = "packages",
        after_help = "Example: airlock generate package harbor --cluster mgmt > harbor.yaml"
    )]
    Package(GeneratePackage),
}

#[derive(Debug, Args)]
pub(crate) struct GeneratePackage {
    /// The package's name in the bundle.
    pub(crate) name: String,
    /// The cluster it is for.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: String,
    /// A bundle that must have it, YAML.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
}

//! What `airlock install controller` and `airlock uninstall controller` take.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::KeyArg;
use super::cluster::{ReachArg, cluster_name, duration};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    airlock install controller --cluster mgmt --registry registry.site:5000 --registry-ca store/tls/ca.crt --bundle-key release.pub\n  \
    airlock install controller --cluster mgmt --registry registry.site:5000 --registry-ca store/tls/ca.crt --store store --bundle-key release.pub --dry-run\n\n\
    It can be repeated: what is as it should be stays, and a newer program takes the older one's place.")]
pub(crate) struct InstallController {
    /// The management cluster's name.
    #[arg(long, visible_alias = "cluster-name", value_name = "CLUSTER", value_parser = cluster_name)]
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) reach: ReachArg,
    #[command(flatten)]
    pub(crate) image: ControllerImage,
    #[command(flatten)]
    pub(crate) registry: RegistryArg,
    /// Sign the image, too.
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// The public key that bundles must be signed by, PEM; AWS's unless given.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle_key: Option<PathBuf>,
    /// How many replicas.
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) replicas: u16,
    /// Manifests to apply once everything is ready, such as a `TrustPolicy`; refused when they would lock airlock out.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Leave the cluster's own settings for packages alone: make no `PackageBundleController`.
    #[arg(long)]
    pub(crate) without_settings: bool,
    /// How long to wait for the controller to be ready.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Print the manifests that would be applied; ask no cluster, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The image that is made.
#[derive(Args, Clone, Debug)]
pub(crate) struct ControllerImage {
    /// The program to make the image of: a static build of airlock. This one unless given.
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// The repository that the image goes into.
    #[arg(long, value_name = "REPOSITORY", default_value = "airlock/airlock")]
    pub(crate) repository: oci::RepositoryName,
}

/// The registry that serves the cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct RegistryArg {
    /// The registry that nodes and the controller pull from, as HOST or HOST:PORT.
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: oci::RegistryHost,
    /// Put the image into this store, which the registry serves, instead of pushing it.
    #[arg(long = "store", id = "into_store", value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// The authority of the registry's certificate, PEM. The controller knows no other.
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_ca: PathBuf,
    /// A file whose first line is `USER:PASSWORD`, for the controller and for nodes.
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_credentials: Option<PathBuf>,
    /// What stands before repositories of charts and images in the registry, when everything is below one name.
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) registry_prefix: Option<oci::RepositoryName>,
}

#[derive(Args, Debug)]
#[command(after_help = "Definitions, bundles, packages and the namespace stay, unless --all is given.\n\
    Example: airlock uninstall controller")]
pub(crate) struct UninstallController {
    #[command(flatten)]
    pub(crate) reach: ReachArg,
    /// Take away definitions and namespace, too; only when no package is left.
    #[arg(long)]
    pub(crate) all: bool,
    /// Go although packages are there, which nothing looks after any more.
    #[arg(long, conflicts_with = "all")]
    pub(crate) leave_packages: bool,
    /// How long to wait until everything is gone.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Print what would be deleted, and delete nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

//! Arguments of `airlock install controller`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::KeyArg;
use super::cluster::{ReachArg, cluster_name, duration};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    airlock install controller --cluster mgmt --registry registry.site:5000 --registry-ca store/tls/ca.crt --bundle-key release.pub\n  \
    airlock install controller --cluster mgmt --registry registry.site:5000 --registry-ca store/tls/ca.crt --store store --bundle-key release.pub --dry-run\n\n\
    The command can be repeated. Resources that are up to date are unchanged, and a newer binary replaces an older one.")]
pub(crate) struct InstallController {
    /// The name of the management cluster.
    #[arg(long, visible_alias = "cluster-name", value_name = "CLUSTER", value_parser = cluster_name)]
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) reach: ReachArg,
    #[command(flatten)]
    pub(crate) image: ControllerImage,
    #[command(flatten)]
    pub(crate) registry: RegistryArg,
    /// Also sign the image.
    #[command(flatten)]
    pub(crate) key: KeyArg,
    /// The public key that bundles must be signed with, PEM. Default: AWS's key.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle_key: Option<PathBuf>,
    /// The number of replicas.
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) replicas: u16,
    /// Manifests to apply once everything is ready, such as a `TrustPolicy`. Manifests that would lock
    /// airlock out are refused.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Keep the cluster's package settings: do not create a `PackageBundleController`.
    #[arg(long)]
    pub(crate) without_settings: bool,
    /// The maximum time to wait for the controller to be ready.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Print the manifests that would be applied, without contacting a cluster.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The image to build.
#[derive(Args, Clone, Debug)]
pub(crate) struct ControllerImage {
    /// The binary to package as an image: a static build of airlock. Default: the running binary.
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// The repository of the image.
    #[arg(long, value_name = "REPOSITORY", default_value = "airlock/airlock")]
    pub(crate) repository: oci::RepositoryName,
}

/// The registry that serves the cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct RegistryArg {
    /// The registry that nodes and the controller pull from, as HOST or HOST:PORT.
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: oci::RegistryHost,
    /// Write the image to this store, which the registry serves, instead of pushing it.
    #[arg(long = "store", id = "into_store", value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// The CA of the registry's certificate, PEM. The controller trusts no other CA.
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_ca: PathBuf,
    /// A file whose first line is `USER:PASSWORD`, for the controller and the nodes.
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_credentials: Option<PathBuf>,
    /// The repository prefix of charts and images in the registry.
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) registry_prefix: Option<oci::RepositoryName>,
}

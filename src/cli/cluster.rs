//! Arguments of commands about packages in a cluster: EKS Anywhere's commands, and airlock's additions.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::cluster_install::{InstallController, UninstallController};

/// How to connect to the API server of the management cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReachArg {
    // No `env`: clap would show it as required in usage lines if the variable is set, and the variable can list
    // several files.
    /// The kubeconfig of the management cluster. Default: `KUBECONFIG`, then `~/.kube/config`.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The kubeconfig context. Default: the current context.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// The cluster that the packages belong to.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClusterArg {
    /// The cluster that the packages belong to.
    #[arg(long, value_name = "CLUSTER", value_parser = cluster_name)]
    pub(crate) cluster: String,
    #[command(flatten)]
    pub(crate) reach: ReachArg,
}

/// The commands that contact a cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum InCluster {
    /// List the packages in a bundle.
    #[command(subcommand)]
    List(List),
    /// Install the controller or a package.
    #[command(subcommand)]
    Install(Install),
    /// Uninstall the controller.
    #[command(subcommand)]
    Uninstall(Uninstall),
    /// Create packages in a cluster.
    #[command(subcommand)]
    Create(Create),
    /// Create or update packages in a cluster.
    #[command(subcommand)]
    Apply(Apply),
    /// Show packages, bundles and controller settings of a cluster.
    #[command(subcommand)]
    Get(Get),
    /// Show details of packages in a cluster.
    #[command(subcommand)]
    Describe(Describe),
    /// Upgrade a cluster's packages to another bundle.
    #[command(subcommand)]
    Upgrade(Upgrade),
    /// Delete packages from a cluster.
    #[command(subcommand)]
    Delete(Delete),
    /// Render, diff and roll back packages.
    #[command(subcommand)]
    Package(PackageCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Get {
    /// Show packages of a cluster.
    #[command(visible_alias = "package", after_help = "Example: airlock get packages --cluster mgmt")]
    Packages {
        /// Show only these packages.
        names: Vec<String>,
        #[command(flatten)]
        cluster: ClusterArg,
    },
    /// Show bundles in the management cluster.
    #[command(visible_alias = "packagebundle", after_help = "Example: airlock get packagebundles")]
    Packagebundles {
        /// Show only these bundles.
        names: Vec<String>,
        #[command(flatten)]
        reach: ReachArg,
    },
    /// Show clusters' package settings and active bundles.
    #[command(
        visible_aliases = ["packagebundlecontroller", "pbc"],
        after_help = "Example: airlock get packagebundlecontrollers"
    )]
    Packagebundlecontrollers {
        /// Show only these clusters.
        names: Vec<String>,
        #[command(flatten)]
        reach: ReachArg,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum List {
    /// List the names and versions of packages in a bundle.
    #[command(
        visible_alias = "package",
        after_help = "Examples:\n  airlock list packages --cluster mgmt\n  airlock list packages --bundle bundle.yaml"
    )]
    Packages(ListPackages),
}

#[derive(Args, Debug)]
#[group(id = "from", required = true, multiple = false, args = ["cluster", "bundle"])]
pub(crate) struct ListPackages {
    /// The active bundle of this cluster.
    #[arg(long, value_name = "CLUSTER", value_parser = cluster_name)]
    pub(crate) cluster: Option<String>,
    /// A bundle, YAML.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reach: ReachArg,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Describe {
    /// Show packages of a cluster and their events.
    #[command(
        visible_alias = "package",
        after_help = "Example: airlock describe packages --cluster mgmt harbor"
    )]
    Packages {
        /// Show only these packages.
        names: Vec<String>,
        #[command(flatten)]
        cluster: ClusterArg,
    },
}

/// Packages from a file.
#[derive(Args, Debug)]
pub(crate) struct FromFile {
    /// Manifests, YAML; `-` is standard input.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) reach: ReachArg,
    /// Validate with the API server, without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Create {
    /// Create packages from a file.
    #[command(visible_alias = "package", after_help = "Example: airlock create packages -f harbor.yaml")]
    Packages(FromFile),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Apply {
    /// Create or update packages from a file.
    #[command(visible_alias = "package", after_help = "Example: airlock apply packages -f harbor.yaml")]
    Packages(FromFile),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Install {
    /// Install the controller in a cluster. Packages the running binary as its image.
    #[command(visible_aliases = ["packagecontroller", "pc"])]
    Controller(Box<InstallController>),
    /// Install a package of the active bundle.
    #[command(
        visible_alias = "packages",
        after_help = "Example: airlock install package harbor --package-name my-harbor --cluster mgmt --set expose.type=nodePort"
    )]
    Package(InstallPackage),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Uninstall {
    /// Uninstall the controller from a cluster. Objects that packages installed are kept.
    Controller(UninstallController),
}

#[derive(Args, Debug)]
pub(crate) struct InstallPackage {
    /// The package's name in the bundle.
    pub(crate) package: String,
    /// The name of this installation.
    #[arg(long, short = 'n', value_name = "NAME")]
    pub(crate) package_name: String,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    /// Set a value of the chart, such as a.b=1. Can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// The namespace to install in. Default: the chart's own default.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) target_namespace: Option<String>,
    /// Validate with the API server, without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Upgrade {
    /// Activate another bundle. Packages upgrade to its versions.
    #[command(
        visible_alias = "package",
        after_help = "Example: airlock upgrade packages --bundle-version v1-35-8 --cluster mgmt"
    )]
    Packages(UpgradePackages),
}

#[derive(Args, Debug)]
pub(crate) struct UpgradePackages {
    /// The name of the bundle.
    #[arg(long, value_name = "BUNDLE")]
    pub(crate) bundle_version: package_api::BundleName,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    /// Accept a bundle that is older than the active one.
    #[arg(long)]
    pub(crate) allow_downgrade: bool,
    /// Validate with the API server, without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Delete {
    /// Delete packages and everything that they installed.
    #[command(
        visible_alias = "package",
        after_help = "Example: airlock delete packages harbor --cluster mgmt"
    )]
    Packages(DeletePackages),
}

#[derive(Args, Debug)]
pub(crate) struct DeletePackages {
    /// The packages to delete.
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    /// Do not wait for the deletion to finish.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// The maximum time to wait.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// Validate with the API server, without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A cluster's name, which is part of a namespace's name.
pub(super) fn cluster_name(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = !text.is_empty() && text.len() <= 49 && text.chars().all(inner);
    if fits && !text.starts_with('-') && !text.ends_with('-') {
        return Ok(text.to_owned());
    }
    Err("a cluster name is at most 49 lower-case letters, digits and `-`".to_owned())
}

/// A duration in Go's format: `90s`, `5m`, `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<package_api::GoDuration>().map_err(|error| error.to_string())?;
    Ok(parsed.get())
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum PackageCommand {
    /// Print the manifests that would be applied for a package, from the active bundle.
    #[command(
        after_help = "Example: airlock package render harbor --cluster mgmt --registry registry.site:5000 --registry-ca ca.crt"
    )]
    Render(OnePackage),
    /// Show the difference between the rendered manifests and the cluster. Exits with 3 if there is one.
    #[command(
        after_help = "Example: airlock package diff harbor --cluster mgmt --registry registry.site:5000 --registry-ca ca.crt"
    )]
    Diff(OnePackage),
    /// Roll a package back to the version and values of an earlier revision, or return it to the latest
    /// version.
    #[command(after_help = "Examples:\n  \
        airlock package rollback harbor --cluster mgmt --revision 3\n  \
        airlock package rollback harbor --cluster mgmt --latest")]
    Rollback(RollbackPackage),
    /// Print the RBAC permissions that the controller needs for the installed packages, and what changes;
    /// with --apply, grant them.
    #[command(
        after_help = "Example: airlock package rights --cluster mgmt --registry registry.site:5000 --registry-ca ca.crt --apply"
    )]
    Rights(PackageRights),
}

/// A package, and the registry that serves its chart.
#[derive(Args, Debug)]
pub(crate) struct OnePackage {
    /// The name of the package in the cluster.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    #[command(flatten)]
    pub(crate) charts: ChartsArg,
}

/// Where charts are pulled from.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChartsArg {
    /// The registry that serves all charts, as HOST or HOST:PORT. Default: the registries that the bundle
    /// names.
    #[arg(long, value_name = "HOST")]
    pub(crate) registry: Option<oci::RegistryHost>,
    /// The CA of the registry's certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "registry")]
    pub(crate) registry_ca: Option<PathBuf>,
    /// Use plain HTTP for the registry.
    #[arg(long, requires = "registry", conflicts_with = "registry_ca")]
    pub(crate) plain_http: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RollbackPackage {
    /// The name of the package in the cluster.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    /// The revision to return to. Default: the last revision before this one that was installed successfully.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) revision: Option<u32>,
    /// Return to the latest version in the active bundle, and follow the bundle again. The values are kept.
    #[arg(long, conflicts_with = "revision")]
    pub(crate) latest: bool,
    /// Validate with the API server, without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PackageRights {
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    #[command(flatten)]
    pub(crate) charts: ChartsArg,
    /// Grant these permissions to the controller.
    #[arg(long)]
    pub(crate) apply: bool,
}

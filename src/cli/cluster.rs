//! Arguments of commands about packages in a cluster: EKS Anywhere's commands, and airlock's additions.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

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

/// A cluster's name, which is part of a namespace's name.
pub(crate) fn cluster_name(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = !text.is_empty() && text.len() <= 49 && text.chars().all(inner);
    if fits && !text.starts_with('-') && !text.ends_with('-') {
        return Ok(text.to_owned());
    }
    Err("a cluster name is at most 49 lower-case letters, digits and `-`".to_owned())
}

/// A duration in Go's format: `90s`, `5m`, `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<package_api::GoDuration>().map_err(|error| error.to_string())?;
    Ok(parsed.get())
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

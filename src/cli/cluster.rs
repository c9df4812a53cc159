//! Arguments of commands that contact a cluster.

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

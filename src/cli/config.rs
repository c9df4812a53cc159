//! Arguments of `airlock config`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::env;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: airlock config containerd --registry https://registry.site:5000 --ca-file store/tls/ca.crt --store store"
)]
pub(crate) struct Config {
    /// The kind of configuration.
    #[arg(value_enum)]
    pub(crate) client: Client,
    /// The registry that airlock serves: `https://HOST:PORT`.
    #[arg(long, env = env::REGISTRY, value_name = "URL")]
    pub(crate) registry: String,
    /// An upstream registry whose images it serves, below a namespace. Default namespace: the name of the upstream registry;
    /// `HOST=` for none. Can be repeated.
    #[arg(long, value_name = "HOST[=NAMESPACE]")]
    pub(crate) mirror: Vec<String>,
    /// Add every registry from which this store has images or charts.
    #[arg(long, env = env::STORE, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Add every registry whose images or charts this lock file lists.
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// The CA of the registry's certificate, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Do not verify the registry's certificate.
    #[arg(long, conflicts_with = "ca_file")]
    pub(crate) insecure_skip_verify: bool,
    /// A file whose first line is `USER:PASSWORD`.
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
    /// Let nodes fall back to the internet for images that the registry does not have.
    #[arg(long)]
    pub(crate) fallback: bool,
    /// Send pulls from every other registry to this one, too, so that no node asks the internet for any image. For
    /// containerd, kind, k3s, RKE2 and Bottlerocket.
    #[arg(long, conflicts_with = "fallback")]
    pub(crate) closed_world: bool,
    /// Write the files below this folder instead of printing them.
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// containerd 2.
    Containerd,
    /// containerd 1.
    #[value(name = "containerd-v1")]
    ContainerdV1,
    /// CRI-O.
    Crio,
    /// podman, skopeo and buildah.
    Podman,
    /// Bottlerocket.
    Bottlerocket,
    /// kind.
    Kind,
    /// k3s.
    K3s,
    /// RKE2.
    Rke2,
    /// `registryMirrorConfiguration` of EKS Anywhere.
    EksA,
}

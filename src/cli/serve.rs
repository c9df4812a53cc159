//! Arguments of `airlock serve` and `airlock quickstart`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use registry::server::Cidr;

use super::address::listen;
use super::{GateArgs, StoreArg, TrustArg};

#[derive(Debug, Args)]
#[command(
    after_help = "Example: airlock serve --store store --listen 0.0.0.0:5000 --self-signed --htpasswd users"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a command-line flag")]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) store: StoreArg,
    /// Create an empty store if none exists.
    #[arg(long, conflicts_with = "read_only")]
    pub(crate) create: bool,
    /// The address and port, host and port, or `:PORT` for all addresses. Port 0 selects a free port.
    #[arg(long, default_value = "127.0.0.1:5000", value_name = "ADDRESS", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) tls: Tls,
    /// A password file (`htpasswd -B`). Without it, everyone on this machine can pull and push.
    #[arg(long, value_name = "FILE")]
    pub(crate) htpasswd: Option<PathBuf>,
    /// With a password file: allow pulls without a password.
    #[arg(long)]
    pub(crate) anonymous_pull: bool,
    /// Allow everyone who can reach the registry to push and delete without a password.
    #[arg(long, conflicts_with = "read_only")]
    pub(crate) anonymous_push: bool,
    /// Refuse pushes and deletes.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Serve plain HTTP on an address that others can reach.
    #[arg(long)]
    pub(crate) allow_plain_http: bool,
    /// Trust a proxy at this address or in this range to name the client of a request. Can be repeated.
    #[arg(long, value_name = "CIDR")]
    pub(crate) trusted_proxy: Vec<Cidr>,
    /// The maximum number of open connections per client; 0 for no limit.
    #[arg(long, value_name = "NUMBER", default_value_t = 256)]
    pub(crate) connections_per_client: usize,
    /// The maximum number of referrers of one image, and of indexes that list it, per user; 0 for no limit.
    #[arg(long, value_name = "NUMBER", default_value_t = 2000)]
    pub(crate) referrers_per_user: u64,
    /// Write the URL to this file when the server is ready.
    #[arg(long, value_name = "FILE")]
    pub(crate) address_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Tls {
    /// A certificate chain, PEM.
    #[arg(long, requires = "tls_key", conflicts_with = "self_signed", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Create a CA once, and issue a certificate from it.
    #[arg(long)]
    pub(crate) self_signed: bool,
    /// The folder of the CA. Default: `tls` in the store's folder.
    #[arg(long, value_name = "DIR", requires = "self_signed")]
    pub(crate) tls_dir: Option<PathBuf>,
    /// Names or addresses at which clients reach the registry, in addition to localhost.
    #[arg(long, value_name = "NAME", requires = "self_signed")]
    pub(crate) tls_name: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Quickstart {
    /// The folder to create everything in.
    #[arg(long, default_value = "airlock-quickstart", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The address and port. If the port is in use, the next free port is used.
    #[arg(long, default_value = "127.0.0.1:5000", value_name = "ADDRESS", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// Exit after all checks, for scripts.
    #[arg(long)]
    pub(crate) exit: bool,
    /// Write the URL to this file when the server is ready.
    #[arg(long, value_name = "FILE")]
    pub(crate) address_file: Option<PathBuf>,
}

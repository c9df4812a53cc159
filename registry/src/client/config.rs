//! How to reach registries.

use std::path::PathBuf;
use std::time::Duration;

use oci::{RegistryHost, RepositoryName};

use super::proxy::ProxySettings;

/// How to reach registries.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Hosts that are reached in another way than over HTTPS under their own name.
    pub hosts: Vec<HostRule>,
    /// Docker's `config.json`, for passwords.
    pub docker_config: Option<PathBuf>,
    /// Proxies; none unless given.
    pub proxies: ProxySettings,
    /// Requests at once to one endpoint; 4 unless changed.
    pub per_host: usize,
    /// How long an endpoint may send nothing, and the time in which it must send [`ClientConfig::least`]; 60 s.
    pub idle: Duration,
    /// The fewest bytes of a body in [`ClientConfig::idle`], unless the body ends; 16 KiB.
    pub least: u64,
    /// How often a request is made again after a fault that may pass; 5.
    pub tries: u32,
    /// The wait before the second try; it doubles with each. 500 ms.
    pub pause: Duration,
    /// Whether manifests and referrers are cached as long as the client lives: for a run that reads one state of its
    /// upstreams, never for a service.
    pub remembers: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            docker_config: None,
            proxies: ProxySettings::default(),
            per_host: 4,
            idle: Duration::from_mins(1),
            least: 16 << 10,
            tries: 5,
            pause: Duration::from_millis(500),
            remembers: false,
        }
    }
}

/// How to reach one host.
#[derive(Clone, Debug)]
pub struct HostRule {
    /// The host as it stands in references.
    pub host: RegistryHost,
    /// The host to connect to.
    pub endpoint: RegistryHost,
    /// What stands before repository names there.
    pub prefix: Option<RepositoryName>,
    /// Whether to speak plain HTTP. Never done unless asked for.
    pub plain_http: bool,
    /// PEM certificates to trust beside the system's CAs: CA certificates, or the server's own certificate.
    pub ca_pem: Option<Vec<u8>>,
}

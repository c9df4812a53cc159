//! Every environment variable that airlock reads.

/// The configuration file.
pub(crate) const CONFIG: &str = "AIRLOCK_CONFIG";
/// The store's folder.
pub(crate) const STORE: &str = "AIRLOCK_STORE";
/// The audit log's folder.
pub(crate) const AUDIT_LOG: &str = "AIRLOCK_AUDIT_LOG";
/// The trust file.
pub(crate) const TRUST: &str = "AIRLOCK_TRUST";
/// The file of robot accounts.
pub(crate) const ROBOTS: &str = "AIRLOCK_ROBOTS";
/// The URL of the registry that nodes pull from.
pub(crate) const REGISTRY: &str = "AIRLOCK_REGISTRY";
/// The private key.
pub(crate) const KEY: &str = "AIRLOCK_KEY";
/// The password of the private key. cosign's variable is read, too.
pub(crate) const KEY_PASSWORD: [&str; 2] = ["AIRLOCK_KEY_PASSWORD", "COSIGN_PASSWORD"];
/// The PKCS#11 module to load if a `pkcs11:` URI names none.
pub(crate) const PKCS11_MODULE: &str = "AIRLOCK_PKCS11_MODULE";
/// One or more kubeconfig files, as for `kubectl`.
pub(crate) const KUBECONFIG: &str = "KUBECONFIG";
/// Docker's configuration folder.
pub(crate) const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// Proxies for HTTP, for HTTPS and for all targets, and the targets without a proxy. Lower-case names are read, too.
pub(crate) const PROXIES: [&str; 4] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
/// The process that systemd passes sockets to, and the names of the sockets. `listenfd` reads their number (`LISTEN_FDS`).
pub(crate) const LISTEN_PID: &str = "LISTEN_PID";
/// See [`LISTEN_PID`].
pub(crate) const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";
/// The folder for state files. Default: `~/.local/state`.
pub(crate) const STATE_HOME: &str = "XDG_STATE_HOME";
/// The home folder.
pub(crate) const HOME: &str = "HOME";

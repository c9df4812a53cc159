//! Limits on untrusted evidence.

/// Limits on evidence from a registry or a drive. Evidence that exceeds one is neither read nor written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in a payload, an envelope or a bundle: 8 MiB, for bills of materials of megabytes.
    pub len: usize,
    /// Layers in a manifest of attached signatures that is written: 1000, as in cosign.
    pub layers: usize,
    /// Log entries in a bundle: 32, as in sigstore-go.
    pub log_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { len: 8 << 20, layers: 1000, log_entries: 32 }
    }
}

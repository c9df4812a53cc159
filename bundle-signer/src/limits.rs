//! How much is read of what anyone may have written.

/// Bounds on evidence from a registry or a drive; beyond one, evidence is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in a payload, an envelope or a bundle: 1 MiB. Large SBOM attestations need more.
    pub len: usize,
    /// Layers in a manifest of attached signatures: 50. Cosign itself stops at 1000.
    pub layers: usize,
    /// Log entries in a bundle: 32, as sigstore-go has it.
    pub log_entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { len: 1024 * 1024, layers: 50, log_entries: 32 }
    }
}

//! Every limit on the cost of a chart, with its default, in one place.

use std::time::Duration;

/// The limits of one load and one render. A chart that exceeds one is rejected with an error that names the limit.
///
/// The defaults are above what the largest public charts need (kube-prometheus-stack renders 0.7 MB) and
/// below what a machine with 256 MiB of free memory can bear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a decompressed chart archive, sub-charts included. Helm's own limit: 100 MiB.
    pub archive_bytes: u64,
    /// Bytes of one file in a chart archive. Helm's own limit: 5 MiB. In a directory only `archive_bytes` applies, as
    /// in Helm.
    pub file_bytes: u64,
    /// Files in a chart, sub-charts included.
    pub files: usize,
    /// Nesting of charts within charts.
    pub chart_depth: usize,
    /// Nesting of `include`, `template` and `tpl`. Helm's own limit: 1000.
    pub include_depth: usize,
    /// Nesting of parentheses and control structures in one template. Helm's own limit for parentheses: 10,000.
    pub syntax_depth: usize,
    /// Nodes of the syntax trees of all templates of a chart, at up to 200 bytes each. A tree can be sixty times as
    /// large as its source. Harbor has 17,000 nodes.
    pub syntax_nodes: usize,
    /// Nesting of maps and lists in YAML, JSON, TOML and values.
    pub value_depth: usize,
    /// Nodes that one YAML, JSON or TOML document may hold after its aliases are expanded.
    pub value_nodes: usize,
    /// Template nodes evaluated, loop iterations and list elements created. A 4096-bit RSA key counts for 2,000,000.
    pub steps: u64,
    /// Calls of `lookup`.
    pub lookups: usize,
    /// Bytes of text produced, including intermediate strings.
    pub output_bytes: u64,
    /// Bytes of lists and maps held at the same time, without their text.
    pub held_bytes: usize,
    /// Bytes of one regular expression's compiled program.
    pub regex_bytes: usize,
    /// Wall time of one render.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive_bytes: 100 << 20,
            file_bytes: 5 << 20,
            files: 10_000,
            chart_depth: 16,
            include_depth: 1000,
            syntax_depth: 1000,
            syntax_nodes: 500_000,
            value_depth: 1000,
            value_nodes: 1_000_000,
            steps: 100_000_000,
            lookups: 10_000,
            output_bytes: 80 << 20,
            held_bytes: 64 << 20,
            regex_bytes: 1 << 20,
            time: Duration::from_mins(2),
        }
    }
}

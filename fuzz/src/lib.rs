//! The readers of foreign bytes as targets, one module each with a `run`, and what several of them share.
//!
//! The workspace's `tests/fuzz_corpus.rs` includes this file: it runs each target over its corpus without libFuzzer.
//! `volume_head` stands apart, since it alone needs `packager`.

pub mod chart_archive;
pub mod dsse;
pub mod eksa_manifest;
pub mod manifest;
pub mod manifest_agreement;
pub mod reference;
pub mod sealed_key;
pub mod signed_note;
pub mod sigstore_bundle;
pub mod template;
pub mod tlog_consistency;
pub mod tlog_policy;
pub mod tlog_proof;
pub mod trust_file;
pub mod yaml;

use std::sync::LazyLock;
use std::time::Duration;

use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::{Expectation, Format, ImageName, LogRule, NameRule, PrivateKey, TrustFile};
use helm::{Chart, Limits, Options, render};
use oci::Digest;

/// A chart's metadata, as short as it can be.
pub const METADATA: &str = "apiVersion: v2\nname: conf\nversion: 1.0.0\n";

/// A key of this run.
pub static KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::generate().expect("the system gives random bytes"));

/// Trusts [`KEY`].
pub static TRUST: LazyLock<TrustFile> = LazyLock::new(|| {
    let public = KEY.public_key().expect("every private key has one");
    TrustFile::new(vec![("release".to_owned(), public)]).expect("one key is enough")
});

static IMAGE: LazyLock<Digest> = LazyLock::new(|| Digest::sha256(b"image"));
static NAME: LazyLock<ImageName> =
    LazyLock::new(|| "registry.example/team/app".parse().expect("the name is one"));

/// What an image's signature by [`KEY`] has to say.
#[must_use]
pub fn expectation() -> Expectation<'static> {
    Expectation {
        digest: &IMAGE,
        name: &NAME,
        name_rule: NameRule::Optional,
        predicate_type: COSIGN_SIGN,
        formats: &[Format::SimpleSigning, Format::Envelope, Format::Bundle],
        keys: &TRUST,
        role: &|_| true,
        log: LogRule::Ignored,
        limits: bundle_signer::Limits::default(),
    }
}

/// Bounds that end every run within moments, so that what goes on for longer is a finding.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        archive_bytes: 1 << 20,
        file_bytes: 1 << 18,
        files: 200,
        chart_depth: 4,
        include_depth: 100,
        syntax_depth: 50,
        syntax_nodes: 20_000,
        value_depth: 100,
        value_nodes: 10_000,
        steps: 50_000,
        output_bytes: 1 << 20,
        held_bytes: 1 << 20,
        regex_bytes: 1 << 16,
        time: Duration::from_millis(500),
        ..Limits::default()
    }
}

/// Renders within [`limits`]; whatever comes of it is right.
pub fn render_within(chart: &Chart) {
    let mut options = Options::new("rel", "space", [7; 32], Duration::from_secs(1_767_323_045));
    options.limits = limits();
    if let Ok(rendered) = render(chart, &options) {
        drop(rendered.manifest_text());
    }
}

/// The text that the bytes begin with.
#[must_use]
pub fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

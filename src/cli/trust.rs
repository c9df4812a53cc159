//! Arguments of commands about signatures and trust.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::KeyArg;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  \
        airlock sign registry.example/team/app:v1 --key release.key\n  \
        airlock sign registry.example/team/app:v1 --key release.key --store store --recursive -a sequence=12\n  \
        airlock sign --lock airlock.lock --store store --key release.key\n  \
        airlock sign bundle package-bundle.yaml --key release.key",
    mut_arg("reference", |argument| argument.required(false).required_unless_present("lock"))
)]
pub(crate) struct Sign {
    #[command(subcommand)]
    pub(crate) what: Option<SignFile>,
    #[command(flatten)]
    pub(crate) image: ImageArg,
    /// Sign everything that this lock file lists, in the store, each under its upstream name.
    #[arg(long, value_name = "FILE", requires = "in_store", conflicts_with_all = ["reference", "name"])]
    pub(crate) lock: Option<PathBuf>,
    /// With --lock: the registry name for content without an upstream registry, such as local files and
    /// charts.
    #[arg(long, value_name = "HOST[:PORT]", requires = "lock")]
    pub(crate) registry_name: Option<oci::RegistryHost>,
    #[command(flatten)]
    pub(crate) key: KeyArg,
    #[command(flatten)]
    pub(crate) how: SigningArg,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SignFile {
    /// Sign an EKS Anywhere `PackageBundle` in place, as its controller requires.
    #[command(
        after_help = "Example: airlock sign bundle package-bundle.yaml --key release.key --to signed.yaml"
    )]
    Bundle {
        /// The manifest.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        key: KeyArg,
        /// Leave the charts' registries and repositories out of the signature, as AWS does.
        #[arg(long, conflicts_with = "add")]
        without_source: bool,
        /// Add a signature to existing ones, for trust files with thresholds.
        #[arg(long)]
        add: bool,
        /// The output file. Default, and with `-`: standard output.
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    airlock attest registry.example/team/app:v1 --predicate sbom.spdx.json --type spdxjson --key release.key\n  \
    airlock attest registry.example/team/app:v1 --predicate scan.json --type https://example.com/scan/v1 --key release.key --store store\n\n\
    As with cosign, `slsaprovenance` is version 0.2 and `slsaprovenance1` version 1.0.")]
pub(crate) struct Attest {
    #[command(flatten)]
    pub(crate) image: ImageArg,
    /// The predicate, a JSON file.
    #[arg(long, value_name = "FILE")]
    pub(crate) predicate: PathBuf,
    /// The predicate type: slsaprovenance, slsaprovenance1, spdx, spdxjson, cyclonedx, vuln, vsa, openvex,
    /// custom, or a URI.
    #[arg(long = "type", value_name = "TYPE", value_parser = predicate_type)]
    pub(crate) kind: String,
    #[command(flatten)]
    pub(crate) key: KeyArg,
    #[command(flatten)]
    pub(crate) how: SigningArg,
}

/// An image and its location.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImageArg {
    /// The image's reference, by tag or digest.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) reference: Option<String>,
    /// Use this store instead of the image's registry.
    #[arg(long = "store", id = "in_store", value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// The signed name, `HOST/REPOSITORY`. Default: the name in the reference.
    #[arg(long, alias = "sign-container-identity", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Use plain HTTP for the registry.
    #[arg(long, alias = "allow-http-registry")]
    pub(crate) plain_http: bool,
    /// A CA to trust for the registry, PEM.
    #[arg(long, alias = "registry-cacert", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// How gates of the trust file evaluate images.
#[derive(Clone, Debug, Args)]
pub(crate) struct GateArgs {
    /// With a trust file: accept signatures without an image name, as `cosign sign` 3 creates them.
    #[arg(long)]
    pub(crate) allow_unnamed: bool,
    /// With a trust file: this registry's name, `HOST[:PORT]`, in signatures of images that have no upstream registry.
    #[arg(long, value_name = "HOST")]
    pub(crate) registry_name: Option<oci::RegistryHost>,
}

/// How to sign.
#[derive(Clone, Debug, Args)]
pub(crate) struct SigningArg {
    /// The cosign format.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "legacy,bundle")]
    pub(crate) format: Vec<SignFormat>,
    /// For an index: also sign its images.
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// An annotation to sign along with the digest and name. airlock interprets `sequence` and `class`.
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = annotation)]
    pub(crate) annotation: Vec<(String, String)>,
    /// Print what would be signed, without signing it.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignFormat {
    /// Tags `.sig` and `.att`, which cosign 1 and 2 read.
    Legacy,
    /// A sigstore bundle v0.3 as a referrer, which cosign 3 reads.
    Bundle,
}

pub(crate) fn predicate_type(text: &str) -> Result<String, String> {
    let known = bundle_signer::statement::predicate_type(text).map(str::to_owned);
    known.ok_or_else(|| {
        let names: Vec<_> = bundle_signer::statement::TYPE_NAMES.iter().map(|(name, _)| *name).collect();
        format!("expected a URI or one of {}", names.join(", "))
    })
}

fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("name", _)) => Err("set the name with `--name`".to_owned()),
        Some(("sequence", value)) if value.parse::<u64>().map(|n| n.to_string()).as_deref() != Ok(value) => {
            Err("the sequence must be a whole number".to_owned())
        }
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

//! Arguments about images, their statements, and the gates that evaluate them.

use std::path::PathBuf;

use clap::Args;

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

pub(crate) fn predicate_type(text: &str) -> Result<String, String> {
    let known = bundle_signer::statement::predicate_type(text).map(str::to_owned);
    known.ok_or_else(|| {
        let names: Vec<_> = bundle_signer::statement::TYPE_NAMES.iter().map(|(name, _)| *name).collect();
        format!("expected a URI or one of {}", names.join(", "))
    })
}

//! The mirror file as written; its JSON Schema is generated from these types.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

/// The mirror file as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "MirrorConfig")]
pub(super) struct Document {
    /// Always `airlock.dev/v1alpha1`.
    pub(super) api_version: String,
    /// Always `MirrorConfig`.
    pub(super) kind: String,
    pub(super) metadata: Metadata,
    /// Platforms to mirror from multi-platform images, as `os/architecture[/variant]`; all if empty.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) platforms: Vec<Spanned<String>>,
    /// Registries that are not reached over HTTPS under their own name.
    #[serde(default)]
    #[schemars(with = "Vec<RegistryText>")]
    pub(super) registries: Vec<Spanned<RegistryText>>,
    /// URLs to fetch from another location.
    #[serde(default)]
    pub(super) urls: Vec<UrlText>,
    /// What to mirror.
    #[schemars(with = "Vec<SourceText>", length(min = 1))]
    pub(super) sources: Vec<Spanned<SourceText>>,
    #[serde(default)]
    pub(super) signatures: Signatures,
    /// Layers that a registry may lack: layers with `urls`, and layers of non-distributable types.
    #[serde(default)]
    pub(super) foreign_layers: ForeignText,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ForeignText {
    /// Prefixes of the layer URLs that may be fetched; each ends in `/`.
    pub(super) urls: Vec<String>,
    /// Layers that are not mirrored.
    pub(super) absent: Vec<AbsentText>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AbsentText {
    /// The image, as written in the mirror file or in a chart.
    pub(super) image: String,
    /// The layer's digest.
    pub(super) layer: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    /// The set's name; the volumes' file names begin with it.
    pub(super) name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RegistryText {
    /// The host as written in references, for example `public.ecr.aws`.
    pub(super) host: String,
    /// Where to connect instead: `host[:port][/prefix]`. Default: the host itself.
    pub(super) mirror: Option<String>,
    /// Use plain HTTP.
    #[serde(default, rename = "plainHTTP")]
    pub(super) plain_http: bool,
    /// A PEM file with CA certificates to trust.
    pub(super) ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UrlText {
    /// The prefix to replace.
    pub(super) prefix: String,
    /// The replacement.
    pub(super) mirror: String,
}

/// A source to mirror, of exactly one kind.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct SourceText {
    /// An EKS Distro `Release` manifest: all its images and archives.
    pub(super) eksd_release: Option<ReleaseText>,
    /// An EKS Anywhere `PackageBundle`: its charts and images.
    pub(super) package_bundle: Option<BundleText>,
    /// Image references.
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) images: Option<Vec<Spanned<String>>>,
    /// Helm charts, each with the images in its rendered objects.
    #[schemars(with = "Option<Vec<ChartText>>")]
    pub(super) charts: Option<Vec<Spanned<ChartText>>>,
    /// Plain files.
    #[schemars(with = "Option<Vec<FileText>>")]
    pub(super) files: Option<Vec<Spanned<FileText>>>,
    /// A folder that is an OCI image layout.
    pub(super) oci_layout: Option<ArchiveText>,
    /// A tar file that holds an OCI image layout.
    pub(super) oci_archive: Option<ArchiveText>,
    /// A tar file written by `docker save`.
    pub(super) docker_archive: Option<ArchiveText>,
    /// The required upstream signer of these images or chart artifacts: `key` or `identity`. With `eksdRelease` or
    /// `packageBundle`: the `key` that signed the manifest, instead of AWS's key.
    pub(super) verify: Option<VerifyText>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyText {
    /// A public key, PEM, relative to the mirror file.
    pub(super) key: Option<PathBuf>,
    /// The identity of a keyless signer.
    pub(super) identity: Option<IdentityText>,
    /// The name that upstream signs, `HOST/REPOSITORY`, if it differs from the reference's name.
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IdentityText {
    /// The certificate's subject: an email address or the URI of a workflow.
    pub(super) subject: Option<String>,
    /// A regular expression that matches the whole subject.
    pub(super) subject_regexp: Option<String>,
    /// The identity provider that authenticated the subject.
    pub(super) issuer: String,
    /// A `trusted_root.json`, relative to the mirror file. Default: the root of sigstore's public instance.
    pub(super) trusted_root: Option<PathBuf>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchiveText {
    /// A path, relative to the mirror file.
    pub(super) path: PathBuf,
    /// Selects one of several images: by its containerd name, its `org.opencontainers.image.ref.name`, its tag for
    /// `docker save`, or its digest.
    pub(super) image: Option<String>,
    /// The name to give it, as if it had been mirrored from there. Without it, all images are mirrored, each under
    /// its own name.
    pub(super) reference: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LocationText {
    /// A path, relative to the mirror file.
    pub(super) file: Option<PathBuf>,
    /// A URL.
    pub(super) url: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BundleText {
    /// A path, relative to the mirror file.
    pub(super) file: Option<PathBuf>,
    /// The bundle's artifact, for example `public.ecr.aws/eks-anywhere/eks-anywhere-packages-bundles:v1-35-latest`.
    pub(super) reference: Option<String>,
    /// The registry of charts and images without a registry: `host[/prefix]`. Default: `public.ecr.aws/eks-anywhere`.
    pub(super) registry: Option<String>,
    /// Accept the bundle without verifying its signature.
    #[serde(default)]
    pub(super) unverified: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseText {
    /// A path, relative to the mirror file.
    pub(super) file: Option<PathBuf>,
    /// A URL.
    pub(super) url: Option<String>,
    /// The `Bundles` manifest of EKS Anywhere, which contains the release's signature.
    pub(super) bundles: Option<LocationText>,
    /// Accept the release without verifying its signature.
    #[serde(default)]
    pub(super) unverified: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChartText {
    /// A chart in a registry.
    pub(super) reference: Option<String>,
    /// A packaged chart, relative to the mirror file.
    pub(super) file: Option<PathBuf>,
    /// Whether to mirror the images in the chart's rendered objects.
    #[serde(default = "yes")]
    pub(super) images: bool,
    /// Values files for rendering, relative to the mirror file; later files override earlier ones.
    #[serde(default)]
    pub(super) values: Vec<PathBuf>,
    /// `--set` expressions; they override the files.
    #[serde(default)]
    pub(super) set: Vec<String>,
    /// The Kubernetes version to render the chart for.
    pub(super) kube_version: Option<String>,
    /// API versions that are available to the chart, in addition to the built-in ones.
    #[serde(default)]
    pub(super) api_versions: Vec<String>,
    /// Do not validate the values against the chart's schema, like Helm's `--skip-schema-validation`.
    #[serde(default)]
    pub(super) skip_schema_validation: bool,
    /// Regular expressions that find more images in any string of the rendered objects: the first group, or the whole
    /// match.
    #[serde(default)]
    pub(super) image_patterns: Vec<String>,
    /// OpenPGP public keys, relative to the mirror file; one of them must have signed the chart's provenance, as for
    /// `helm verify --keyring`.
    pub(super) keyring: Option<PathBuf>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileText {
    /// A path, relative to the mirror file.
    pub(super) path: Option<PathBuf>,
    /// A URL; requires a checksum.
    pub(super) url: Option<String>,
    /// SHA-256, 64 hex digits.
    pub(super) sha256: Option<String>,
    /// SHA-512, 128 hex digits.
    pub(super) sha512: Option<String>,
    /// Its name in the store.
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Signatures {
    /// Whether to mirror signatures, attestations and SBOMs with their images. With `available`, those that a registry
    /// lists but does not have are left out and reported.
    pub(super) follow: FollowText,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum FollowText {
    /// All or none of them.
    Flag(bool),
    /// Those that the registry has.
    Word(AvailableText),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum AvailableText {
    /// Leave out those that are listed but missing.
    Available,
}

impl Default for Signatures {
    fn default() -> Self {
        Self { follow: FollowText::Flag(true) }
    }
}

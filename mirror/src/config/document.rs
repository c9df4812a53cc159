//! The mirror file as it is written; its JSON Schema comes from these types.

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
    /// Platforms to take of multi-platform images, as `os/architecture[/variant]`; all when empty.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(super) platforms: Vec<Spanned<String>>,
    /// Registries that are reached in another way than over HTTPS under their own name.
    #[serde(default)]
    #[schemars(with = "Vec<RegistryText>")]
    pub(super) registries: Vec<Spanned<RegistryText>>,
    /// URLs that are fetched from elsewhere.
    #[serde(default)]
    pub(super) urls: Vec<UrlText>,
    /// What to mirror.
    #[schemars(with = "Vec<SourceText>", length(min = 1))]
    pub(super) sources: Vec<Spanned<SourceText>>,
    #[serde(default)]
    pub(super) signatures: Signatures,
    /// Layers that a registry need not have: those with `urls`, and those of types that may not be distributed.
    #[serde(default)]
    pub(super) foreign_layers: ForeignText,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ForeignText {
    /// What a layer's own URL may begin with to be fetched from there; each ends in `/`.
    pub(super) urls: Vec<String>,
    /// Layers that are left behind.
    pub(super) absent: Vec<AbsentText>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AbsentText {
    /// The image, as the mirror file or a chart names it.
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
    /// The host as it stands in references, for example `public.ecr.aws`.
    pub(super) host: String,
    /// Where to connect instead: `host[:port][/prefix]`; the host itself when absent.
    pub(super) mirror: Option<String>,
    /// Speak plain HTTP.
    #[serde(default, rename = "plainHTTP")]
    pub(super) plain_http: bool,
    /// A PEM file with a certificate authority to trust.
    pub(super) ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UrlText {
    /// What the URL begins with.
    pub(super) prefix: String,
    /// What stands there instead.
    pub(super) mirror: String,
}

/// What to mirror; one kind each.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct SourceText {
    /// An EKS Distro `Release` manifest: every image and archive of it.
    pub(super) eksd_release: Option<ReleaseText>,
    /// An EKS Anywhere `PackageBundle`: its charts and images.
    pub(super) package_bundle: Option<BundleText>,
    /// Image references.
    #[schemars(with = "Option<Vec<String>>")]
    pub(super) images: Option<Vec<Spanned<String>>>,
    /// Helm charts, each with the images that it renders to.
    #[schemars(with = "Option<Vec<ChartText>>")]
    pub(super) charts: Option<Vec<Spanned<ChartText>>>,
    /// Plain files.
    #[schemars(with = "Option<Vec<FileText>>")]
    pub(super) files: Option<Vec<Spanned<FileText>>>,
    /// A folder that is an OCI image layout.
    pub(super) oci_layout: Option<ArchiveText>,
    /// A tar file that holds an OCI image layout.
    pub(super) oci_archive: Option<ArchiveText>,
    /// A tar file of `docker save`.
    pub(super) docker_archive: Option<ArchiveText>,
    /// Who must have signed these images, or these charts' artifacts, upstream: `key` or `identity`. Beside
    /// `eksdRelease` and `packageBundle`: whose `key` signed the manifest, instead of AWS's.
    pub(super) verify: Option<VerifyText>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyText {
    /// A public key, PEM, relative to the mirror file.
    pub(super) key: Option<PathBuf>,
    /// Who signed without a key of their own.
    pub(super) identity: Option<IdentityText>,
    /// The name under which upstream signs, `HOST/REPOSITORY`, where that is not the reference's.
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IdentityText {
    /// The certificate's subject: an email address or the URI of a workflow.
    pub(super) subject: Option<String>,
    /// A regular expression that matches the whole subject.
    pub(super) subject_regexp: Option<String>,
    /// Who vouched for the subject.
    pub(super) issuer: String,
    /// A `trusted_root.json`, relative to the mirror file; that of sigstore's public instance when absent.
    pub(super) trusted_root: Option<PathBuf>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ArchiveText {
    /// A path, relative to the mirror file.
    pub(super) path: PathBuf,
    /// Which image, where several are: its containerd name, its `org.opencontainers.image.ref.name`, its tag for
    /// `docker save`, or its digest.
    pub(super) image: Option<String>,
    /// The name to give it, as if it had been mirrored from there. Without it, all images are taken, each under its
    /// own name.
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
    /// The registry of charts and images that name none: `host[/prefix]`; `public.ecr.aws/eks-anywhere` when absent.
    pub(super) registry: Option<String>,
    /// Take the bundle without a check of its signature.
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
    /// The `Bundles` manifest of EKS Anywhere, which holds the release's signature.
    pub(super) bundles: Option<LocationText>,
    /// Take the release without a check of its signature.
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
    /// Whether the images that the chart renders to come along.
    #[serde(default = "yes")]
    pub(super) images: bool,
    /// Values files for that rendering, relative to the mirror file, the later over the earlier.
    #[serde(default)]
    pub(super) values: Vec<PathBuf>,
    /// `--set` expressions, over the files.
    #[serde(default)]
    pub(super) set: Vec<String>,
    /// The Kubernetes version that the chart is told.
    pub(super) kube_version: Option<String>,
    /// API versions that the chart finds in the cluster, beside the built-in ones.
    #[serde(default)]
    pub(super) api_versions: Vec<String>,
    /// Do not hold values to the chart's schema, as by Helm's `--skip-schema-validation`.
    #[serde(default)]
    pub(super) skip_schema_validation: bool,
    /// Regular expressions that find more images in any text of the rendered objects: the first group, or all.
    #[serde(default)]
    pub(super) image_patterns: Vec<String>,
    /// OpenPGP public keys, relative to the mirror file: one of them must have signed the chart's provenance, as for
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
    /// A URL; needs a checksum.
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
    /// Whether signatures, attestations and SBOMs follow what they are about. With `available`, those that are listed
    /// but that the registry does not have are left out, and each is reported.
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
    /// What is listed and missing is left out.
    Available,
}

impl Default for Signatures {
    fn default() -> Self {
        Self { follow: FollowText::Flag(true) }
    }
}

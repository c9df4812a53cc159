//! `airlock.yaml`: what to mirror, and how to reach it. A value of [`MirrorConfig`] is valid.

use std::path::{Path, PathBuf};

use oci::{Digest, Platform, Reference, RegistryHost, RepositoryName};
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::bundle::manifest::is_name;
use crate::evidence::upstream::{By, Demand};
use crate::source::ChartImages;
use crate::source::archive::Format;

const API_VERSION: &str = "airlock.dev/v1alpha1";
const KIND: &str = "MirrorConfig";

/// Why a mirror file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not YAML of the expected shape.
    #[error("`{path}` is not a mirror file")]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// The file is of another kind or version.
    #[error("`{field}` is `{found}`, expected `{expected}`")]
    Kind {
        /// Which member.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// The name cannot become part of file names.
    #[error("`{0}` is not a name: lower-case letters, digits, `-` and `.`, at most 64")]
    Name(String),
    /// A reference, host, platform or checksum is malformed.
    #[error("`{field}` is not valid")]
    Value {
        /// Which member.
        field: &'static str,
        /// Why.
        #[source]
        source: oci::Error,
    },
    /// What should find images is no regular expression.
    #[error("`{pattern}` is not a regular expression")]
    Pattern {
        /// As written.
        pattern: String,
        /// Why.
        #[source]
        source: Box<regex::Error>,
    },
    /// Two rules for one registry.
    #[error("`registries` has `{0}` twice")]
    RegistryTwice(RegistryHost),
    /// A source says two things, or too little.
    #[error("{0}")]
    Source(&'static str),
}

/// A valid mirror file.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    /// The set's name.
    pub name: String,
    /// The platforms to take of an index; empty for all.
    pub platforms: Vec<Platform>,
    /// How registries are reached.
    pub registries: Vec<RegistryRule>,
    /// Which URLs are fetched from elsewhere: prefix and replacement.
    pub urls: Vec<(String, String)>,
    /// What to mirror.
    pub sources: Vec<Source>,
    /// Whether signatures, attestations and SBOMs come along.
    pub follow: bool,
    /// What must be signed upstream, and by whom.
    pub demands: Vec<(Reference, Demand)>,
    /// The folder of the mirror file, for relative paths.
    pub base: PathBuf,
}

/// How a registry is reached.
#[derive(Clone, Debug)]
pub struct RegistryRule {
    /// The host as it stands in references.
    pub host: RegistryHost,
    /// Where to connect.
    pub mirror: RegistryHost,
    /// What stands before repository names there.
    pub prefix: Option<RepositoryName>,
    /// Whether to speak plain HTTP.
    pub plain_http: bool,
    /// A file with a certificate authority.
    pub ca_file: Option<PathBuf>,
}

/// Something to mirror.
#[derive(Clone, Debug)]
pub enum Source {
    /// An EKS Distro release manifest.
    EksdRelease(Location),
    /// An EKS Anywhere package bundle: its file, or its artifact; and the registry of its images.
    PackageBundle(BundleLocation, RegistryHost, Option<RepositoryName>),
    /// An image.
    Image(Reference),
    /// A Helm chart, and how its images are found; `None` leaves them out.
    Chart(ChartLocation, Option<ChartImages>),
    /// A file.
    File(FileSource),
    /// An image on disk: its format, where it is, which of several, and the name to give it.
    Archive(Format, PathBuf, Option<String>, Reference),
}

/// Where a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A local file.
    Path(PathBuf),
    /// A URL.
    Url(String),
}

/// Where a package bundle is.
#[derive(Clone, Debug)]
pub enum BundleLocation {
    /// A local file.
    Path(PathBuf),
    /// An artifact in a registry.
    Reference(Reference),
}

/// Where a chart is.
#[derive(Clone, Debug)]
pub enum ChartLocation {
    /// A packaged chart.
    Path(PathBuf),
    /// An artifact in a registry.
    Reference(Reference),
}

/// A file and its checksums.
#[derive(Clone, Debug)]
pub struct FileSource {
    /// Where it is.
    pub location: Location,
    /// What it must hash to; at least one for a URL.
    pub checksums: Vec<Digest>,
    /// Its name in the store, instead of its own.
    pub name: Option<String>,
}

/// The mirror file as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "MirrorConfig")]
struct Document {
    /// Always `airlock.dev/v1alpha1`.
    api_version: String,
    /// Always `MirrorConfig`.
    kind: String,
    metadata: Metadata,
    /// Platforms to take of multi-platform images, as `os/architecture[/variant]`; all when empty.
    #[serde(default)]
    platforms: Vec<String>,
    /// Registries that are reached in another way than over HTTPS under their own name.
    #[serde(default)]
    registries: Vec<RegistryText>,
    /// URLs that are fetched from elsewhere.
    #[serde(default)]
    urls: Vec<UrlText>,
    /// What to mirror.
    sources: Vec<SourceText>,
    #[serde(default)]
    signatures: Signatures,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Metadata {
    /// The set's name; the volumes' file names begin with it.
    name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RegistryText {
    /// The host as it stands in references, for example `public.ecr.aws`.
    host: String,
    /// Where to connect instead: `host[:port][/prefix]`; the host itself when absent.
    mirror: Option<String>,
    /// Speak plain HTTP.
    #[serde(default, rename = "plainHTTP")]
    plain_http: bool,
    /// A PEM file with a certificate authority to trust.
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UrlText {
    /// What the URL begins with.
    prefix: String,
    /// What stands there instead.
    mirror: String,
}

/// What to mirror; one kind each.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SourceText {
    /// An EKS Distro `Release` manifest: every image and archive of it.
    eksd_release: Option<LocationText>,
    /// An EKS Anywhere `PackageBundle`: its charts and images.
    package_bundle: Option<BundleText>,
    /// Image references.
    images: Option<Vec<String>>,
    /// Helm charts, each with the images that it renders to.
    charts: Option<Vec<ChartText>>,
    /// Plain files.
    files: Option<Vec<FileText>>,
    /// A folder that is an OCI image layout.
    oci_layout: Option<ArchiveText>,
    /// A tar file that holds an OCI image layout.
    oci_archive: Option<ArchiveText>,
    /// A tar file of `docker save`.
    docker_archive: Option<ArchiveText>,
    /// Who must have signed these images, or these charts' artifacts, upstream: `key` or `identity`.
    verify: Option<VerifyText>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerifyText {
    /// A public key, PEM, relative to the mirror file.
    key: Option<PathBuf>,
    /// Who signed without a key of their own.
    identity: Option<IdentityText>,
    /// The name under which upstream signs, `HOST/REPOSITORY`, where that is not the reference's.
    name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IdentityText {
    /// The certificate's subject: an email address or the URI of a workflow.
    subject: Option<String>,
    /// A regular expression that matches the whole subject.
    subject_regexp: Option<String>,
    /// Who vouched for the subject.
    issuer: String,
    /// A `trusted_root.json`, relative to the mirror file; that of sigstore's public instance when absent.
    trusted_root: Option<PathBuf>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ArchiveText {
    /// A path, relative to the mirror file.
    path: PathBuf,
    /// Which image, where several are: its `org.opencontainers.image.ref.name`, or its tag for `docker save`.
    image: Option<String>,
    /// The name to give it, as if it had been mirrored from there.
    reference: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LocationText {
    /// A path, relative to the mirror file.
    file: Option<PathBuf>,
    /// A URL.
    url: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BundleText {
    /// A path, relative to the mirror file.
    file: Option<PathBuf>,
    /// The bundle's artifact, for example `public.ecr.aws/eks-anywhere/eks-anywhere-packages-bundles:v1-35-latest`.
    reference: Option<String>,
    /// The registry of charts and images that name none: `host[/prefix]`; `public.ecr.aws/eks-anywhere` when absent.
    registry: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChartText {
    /// A chart in a registry.
    reference: Option<String>,
    /// A packaged chart, relative to the mirror file.
    file: Option<PathBuf>,
    /// Whether the images that the chart renders to come along.
    #[serde(default = "yes")]
    images: bool,
    /// Values files for that rendering, relative to the mirror file, the later over the earlier.
    #[serde(default)]
    values: Vec<PathBuf>,
    /// `--set` expressions, over the files.
    #[serde(default)]
    set: Vec<String>,
    /// The Kubernetes version that the chart is told.
    kube_version: Option<String>,
    /// API versions that the chart finds in the cluster, beside the built-in ones.
    #[serde(default)]
    api_versions: Vec<String>,
    /// Regular expressions that find more images in any text of the rendered objects: the first group, or all.
    #[serde(default)]
    image_patterns: Vec<String>,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileText {
    /// A path, relative to the mirror file.
    path: Option<PathBuf>,
    /// A URL; needs a checksum.
    url: Option<String>,
    /// SHA-256, 64 hex digits.
    sha256: Option<String>,
    /// SHA-512, 128 hex digits.
    sha512: Option<String>,
    /// Its name in the store.
    name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Signatures {
    /// Whether signatures, attestations and SBOMs follow what they are about.
    follow: bool,
}

impl Default for Signatures {
    fn default() -> Self {
        Self { follow: true }
    }
}

/// The mirror file's JSON Schema.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}

impl MirrorConfig {
    /// Reads a mirror file.
    ///
    /// # Errors
    /// When it is missing, malformed or contradicts itself.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let base = path.parent().filter(|base| !base.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::parse(&text, path, base)
    }

    fn parse(text: &str, path: &Path, base: &Path) -> Result<Self, Error> {
        let document: Document = serde_saphyr::from_str(text)
            .map_err(|source| Error::Yaml { path: path.to_owned(), source: Box::new(source) })?;
        for (field, found, expected) in
            [("apiVersion", &document.api_version, API_VERSION), ("kind", &document.kind, KIND)]
        {
            if found != expected {
                return Err(Error::Kind { field, found: found.clone(), expected });
            }
        }
        if !is_name(&document.metadata.name) {
            return Err(Error::Name(document.metadata.name));
        }
        let registries: Vec<RegistryRule> =
            document.registries.iter().map(|rule| rule.validate(base)).collect::<Result<_, _>>()?;
        for (place, rule) in registries.iter().enumerate() {
            if registries[..place].iter().any(|earlier| earlier.host == rule.host) {
                return Err(Error::RegistryTwice(rule.host.clone()));
            }
        }
        let platforms = document.platforms.iter().map(|text| value("platforms", text));
        let (mut sources, mut demands) = (Vec::new(), Vec::new());
        for source in document.sources {
            let before = sources.len();
            let Some(demand) = source.validate(base, &mut sources)? else { continue };
            let named = sources[before..].iter().filter_map(|source| match source {
                Source::Image(reference) | Source::Chart(ChartLocation::Reference(reference), _) => {
                    Some(reference)
                }
                _ => None,
            });
            demands.extend(named.map(|reference| (reference.clone(), demand.clone())));
        }
        Ok(Self {
            name: document.metadata.name,
            platforms: platforms.collect::<Result<_, _>>()?,
            registries,
            urls: document.urls.into_iter().map(|rule| (rule.prefix, rule.mirror)).collect(),
            sources,
            follow: document.signatures.follow,
            demands,
            base: base.to_owned(),
        })
    }

    /// The URL to fetch instead.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        let rule =
            self.urls.iter().find_map(|(prefix, mirror)| Some((url.strip_prefix(prefix.as_str())?, mirror)));
        rule.map_or_else(|| url.to_owned(), |(rest, mirror)| format!("{mirror}{rest}"))
    }
}

impl RegistryText {
    fn validate(&self, base: &Path) -> Result<RegistryRule, Error> {
        let host: RegistryHost = value("registries.host", &self.host)?;
        let (mirror, prefix) = match &self.mirror {
            Some(text) => host_and_prefix("registries.mirror", text)?,
            None => (host.clone(), None),
        };
        let ca_file = self.ca_file.as_ref().map(|path| base.join(path));
        Ok(RegistryRule { host, mirror, prefix, plain_http: self.plain_http, ca_file })
    }
}

impl SourceText {
    fn validate(self, base: &Path, sources: &mut Vec<Source>) -> Result<Option<Demand>, Error> {
        let demand = self.verify.map(|text| text.validate(base)).transpose()?;
        if demand.is_some() && self.images.is_none() && self.charts.is_none() {
            return Err(Error::Source("`verify` stands beside `images` or `charts`"));
        }
        let before = sources.len();
        let mut kinds = 0;
        if let Some(text) = self.eksd_release {
            kinds += 1;
            sources.push(Source::EksdRelease(text.validate(base)?));
        }
        if let Some(text) = self.package_bundle {
            kinds += 1;
            sources.push(text.validate(base)?);
        }
        if let Some(references) = self.images {
            kinds += 1;
            for reference in references {
                sources.push(Source::Image(value("images", &reference)?));
            }
        }
        if let Some(charts) = self.charts {
            kinds += 1;
            for chart in charts {
                sources.push(chart.validate(base)?);
            }
        }
        for (text, format) in [
            (self.oci_layout, Format::OciLayout),
            (self.oci_archive, Format::OciArchive),
            (self.docker_archive, Format::DockerArchive),
        ] {
            if let Some(text) = text {
                kinds += 1;
                sources.push(text.validate(format, base)?);
            }
        }
        if let Some(files) = self.files {
            kinds += 1;
            for file in files {
                sources.push(Source::File(file.validate(base)?));
            }
        }
        let on_disk = |source: &Source| matches!(source, Source::Chart(ChartLocation::Path(_), _));
        if demand.is_some() && sources[before..].iter().any(on_disk) {
            return Err(Error::Source(
                "`verify` needs charts by `reference`: a file has no signatures beside it",
            ));
        }
        if kinds == 1 { Ok(demand) } else { Err(Error::Source("each of `sources` names one kind of source")) }
    }
}

impl VerifyText {
    fn validate(self, base: &Path) -> Result<Demand, Error> {
        let name = self.name.map(|name| {
            name.parse().map_err(|_| Error::Source("`verify.name` is HOST/REPOSITORY without tag and digest"))
        });
        let by = match (self.key, self.identity) {
            (Some(path), None) => By::Key(base.join(path)),
            (None, Some(identity)) => {
                let (subject, pattern) = match (identity.subject, identity.subject_regexp) {
                    (Some(subject), None) => (subject, false),
                    (None, Some(pattern)) => (pattern, true),
                    _ => return Err(Error::Source("an identity needs either `subject` or `subjectRegexp`")),
                };
                let root = identity.trusted_root.map(|path| base.join(path));
                By::Identity { subject, pattern, issuer: identity.issuer, root }
            }
            _ => return Err(Error::Source("`verify` needs either `key` or `identity`")),
        };
        Ok(Demand { by, name: name.transpose()? })
    }
}

impl BundleText {
    fn validate(self, base: &Path) -> Result<Source, Error> {
        let location = match (self.file, self.reference) {
            (Some(path), None) => BundleLocation::Path(base.join(path)),
            (None, Some(reference)) => {
                BundleLocation::Reference(value("packageBundle.reference", &reference)?)
            }
            _ => return Err(Error::Source("a packageBundle needs either `file` or `reference`")),
        };
        let registry = self.registry.as_deref().unwrap_or("public.ecr.aws/eks-anywhere");
        let (host, prefix) = host_and_prefix("packageBundle.registry", registry)?;
        Ok(Source::PackageBundle(location, host, prefix))
    }
}

impl ChartText {
    fn validate(self, base: &Path) -> Result<Source, Error> {
        let location = match (&self.reference, &self.file) {
            (Some(reference), None) => ChartLocation::Reference(value("charts.reference", reference)?),
            (None, Some(path)) => ChartLocation::Path(base.join(path)),
            _ => return Err(Error::Source("a chart needs either `reference` or `file`")),
        };
        if !self.images {
            return Ok(Source::Chart(location, None));
        }
        let patterns = self.image_patterns.iter().map(|text| {
            Regex::new(text)
                .map_err(|source| Error::Pattern { pattern: text.clone(), source: Box::new(source) })
        });
        let images = ChartImages {
            patterns: patterns.collect::<Result<_, _>>()?,
            values: self.values.iter().map(|path| base.join(path)).collect(),
            set: self.set,
            kube_version: self.kube_version,
            api_versions: self.api_versions,
        };
        Ok(Source::Chart(location, Some(images)))
    }
}

impl ArchiveText {
    fn validate(self, format: Format, base: &Path) -> Result<Source, Error> {
        let reference = value("reference", &self.reference)?;
        Ok(Source::Archive(format, base.join(self.path), self.image, reference))
    }
}

impl LocationText {
    fn validate(self, base: &Path) -> Result<Location, Error> {
        match (self.file, self.url) {
            (Some(path), None) => Ok(Location::Path(base.join(path))),
            (None, Some(url)) => Ok(Location::Url(url)),
            _ => Err(Error::Source("an eksdRelease needs either `file` or `url`")),
        }
    }
}

impl FileText {
    fn validate(self, base: &Path) -> Result<FileSource, Error> {
        let checksums = [("sha256", self.sha256), ("sha512", self.sha512)]
            .into_iter()
            .filter_map(|(name, hex)| hex.map(|hex| value("files checksum", &format!("{name}:{hex}"))))
            .collect::<Result<Vec<_>, _>>()?;
        let location = match (self.path, self.url) {
            (Some(path), None) => Location::Path(base.join(path)),
            (None, Some(_)) if checksums.is_empty() => {
                return Err(Error::Source("a file from a URL needs `sha256` or `sha512`"));
            }
            (None, Some(url)) => Location::Url(url),
            _ => return Err(Error::Source("a file needs either `path` or `url`")),
        };
        Ok(FileSource { location, checksums, name: self.name })
    }
}

fn host_and_prefix(field: &'static str, text: &str) -> Result<(RegistryHost, Option<RepositoryName>), Error> {
    match text.split_once('/') {
        Some((host, prefix)) => Ok((value(field, host)?, Some(value(field, prefix)?))),
        None => Ok((value(field, text)?, None)),
    }
}

fn value<T: std::str::FromStr<Err = oci::Error>>(field: &'static str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|source| Error::Value { field, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: airlock.dev/v1alpha1\nkind: MirrorConfig\nmetadata: {name: a}\n";

    fn parse(rest: &str) -> Result<MirrorConfig, Error> {
        MirrorConfig::parse(&format!("{HEAD}{rest}"), Path::new("airlock.yaml"), Path::new("/base"))
    }

    #[test]
    fn every_kind_of_source_is_read() {
        let config = parse(
            "platforms: [linux/amd64]
registries: [{host: public.ecr.aws, mirror: '127.0.0.1:5000/copy', plainHTTP: true}]
urls: [{prefix: 'https://a.io/', mirror: 'http://127.0.0.1:1/'}]
sources:
  - eksdRelease: {file: release.yaml}
  - packageBundle: {reference: 'r.io/bundles:v1'}
  - images: [nginx, 'r.io/a:b']
  - ociLayout: {path: layout, reference: 'r.io/layout:1'}
  - ociArchive: {path: a.tar, image: 'x:y', reference: 'r.io/archive:1'}
  - dockerArchive: {path: b.tar, reference: 'r.io/saved:1'}
  - charts: [{file: chart.tgz}, {reference: 'r.io/chart:1'}]
  - files: [{path: x}, {url: 'https://a.io/x', sha512: 'cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e'}]
",
        )
        .unwrap();
        assert_eq!(config.sources.len(), 11);
        assert_eq!(config.url("https://a.io/x"), "http://127.0.0.1:1/x");
        assert!(config.follow && config.registries[0].prefix.is_some());
    }

    #[test]
    fn each_defect_has_its_error() {
        assert!(matches!(parse("sources: []\nextra: 1\n"), Err(Error::Yaml { .. })));
        assert!(matches!(parse("sources: [{images: ['UPPER/x y']}]\n"), Err(Error::Value { .. })));
        assert!(matches!(parse("sources: [{files: [{url: 'https://a.io/x'}]}]\n"), Err(Error::Source(_))));
        assert!(matches!(parse("sources: [{charts: [{}]}]\n"), Err(Error::Source(_))));
        for source in [
            "{}",
            "{images: [a], files: [{path: x}]}",
            "{files: [{path: x}], verify: {key: a.pub}}",
            "{charts: [{file: a.tgz}], verify: {key: a.pub}}",
            "{images: [a], verify: {}}",
            "{images: [a], verify: {key: a.pub, identity: {subject: a, issuer: b}}}",
            "{images: [a], verify: {identity: {issuer: b}}}",
            "{images: [a], verify: {key: a.pub, name: 'a:b'}}",
        ] {
            assert!(matches!(parse(&format!("sources: [{source}]\n")), Err(Error::Source(_))), "{source}");
        }
        let identity = "{images: [a], verify: {identity: {subject: a, issuer: b}, name: r.io/a}}";
        let config = parse(&format!("sources: [{identity}]\n")).unwrap();
        assert!(config.demands.len() == 1 && config.demands[0].1.name.is_some());
        assert!(matches!(parse("platforms: [linux]\nsources: []\n"), Err(Error::Value { .. })));
        let twice = "registries: [{host: a.io}, {host: b.io}, {host: a.io, plainHTTP: true}]\nsources: []\n";
        assert!(matches!(parse(twice), Err(Error::RegistryTwice(host)) if host.to_string() == "a.io"));
        let other = HEAD.replace("MirrorConfig", "Other");
        let other = MirrorConfig::parse(&format!("{other}sources: []\n"), Path::new("x"), Path::new("."));
        assert!(matches!(other, Err(Error::Kind { .. })));
        let name = HEAD.replace("name: a", "name: ../a");
        let name = MirrorConfig::parse(&format!("{name}sources: []\n"), Path::new("x"), Path::new("."));
        assert!(matches!(name, Err(Error::Name(_))));
    }
}

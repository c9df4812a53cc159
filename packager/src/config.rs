//! `airlock.yaml`: what to mirror, and how to reach it. A value of [`MirrorConfig`] is valid.

mod document;
mod validate;

use std::path::{Path, PathBuf};

use oci::{Digest, Platform, Reference, RegistryHost, RepositoryName};

use self::document::{AvailableText, Document, FollowText};
use self::validate::value;
use crate::bundle::manifest::is_name;
use crate::evidence::upstream::Demand;
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
    /// What to do about signatures, attestations and SBOMs that are listed and missing.
    pub missing: Missing,
    /// What must be signed upstream, and by whom.
    pub demands: Vec<(Reference, Demand)>,
    /// The folder of the mirror file, for relative paths.
    pub base: PathBuf,
    /// Whether a failure leaves the rest to be done; all failures are told then. Not the file's, but the command's.
    pub keep_going: bool,
}

/// What to do about signatures, attestations and SBOMs that a registry lists and does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// The run fails.
    #[default]
    Refused,
    /// They are left out, and each is reported.
    LeftOut,
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
            follow: document.signatures.follow != FollowText::Flag(false),
            missing: match document.signatures.follow {
                FollowText::Flag(_) => Missing::Refused,
                FollowText::Word(AvailableText::Available) => Missing::LeftOut,
            },
            demands,
            base: base.to_owned(),
            keep_going: false,
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

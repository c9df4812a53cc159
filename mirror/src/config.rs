//! The mirror file, `airlock.yaml`: what to mirror, and how to reach it. A value of [`MirrorConfig`] is valid.

mod document;
mod error;
mod schema;
mod validate;
pub mod yaml_error;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci::{Descriptor, Digest, Platform, Reference, RegistryHost, RepositoryName};

use self::document::{AvailableText, Document, FollowText};
pub use self::error::Error;
use evidence::upstream::SignatureRequirement;

use self::validate::value;
use crate::lock::is_name;
use crate::source::ChartImages;
use crate::source::archive::Format;
use crate::source::url::{self, FileUrl};

const API_VERSION: &str = "airlock.dev/v1alpha1";
const KIND: &str = "MirrorConfig";

/// A valid mirror file.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    /// The set's name.
    pub name: String,
    /// The platforms to mirror from an index; all if empty.
    pub platforms: Vec<Platform>,
    /// How to reach registries.
    pub registries: Vec<RegistryRule>,
    /// URLs to fetch from another location: prefix and replacement.
    pub urls: Vec<(String, String)>,
    /// What to mirror.
    pub sources: Vec<Source>,
    /// Whether to mirror signatures, attestations and SBOMs.
    pub follow: bool,
    /// How to handle signatures, attestations and SBOMs that are listed but missing.
    pub missing: Missing,
    /// Images and charts that must be signed upstream, each with the required signer.
    pub demands: Vec<(Reference, SignatureRequirement)>,
    /// How to handle layers that a registry may lack.
    pub foreign: ForeignLayers,
    /// The folder of the mirror file; relative paths start there.
    pub base: PathBuf,
    /// Whether to continue after a failure, and to report all failures at the end. The command sets it, not the file.
    pub keep_going: bool,
}

/// How to handle signatures, attestations and SBOMs that a registry lists but does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// The run fails.
    #[default]
    Refused,
    /// They are left out and reported.
    LeftOut,
}

/// Layers that a registry may lack: layers with `urls`, and layers of non-distributable types.
#[derive(Clone, Debug, Default)]
pub struct ForeignLayers {
    /// Prefixes of the layer URLs that may be fetched; each ends in `/`.
    pub urls: Vec<String>,
    /// Layers that are not mirrored, each with its image.
    pub absent: Vec<(Reference, Digest)>,
}

/// How to reach a registry.
#[derive(Clone, Debug)]
pub struct RegistryRule {
    /// The host as written in references.
    pub host: RegistryHost,
    /// Where to connect.
    pub mirror: RegistryHost,
    /// The repository prefix there.
    pub prefix: Option<RepositoryName>,
    /// Whether to use plain HTTP.
    pub plain_http: bool,
    /// A file with CA certificates.
    pub ca_file: Option<PathBuf>,
}

/// A source to mirror.
#[derive(Clone, Debug)]
pub enum Source {
    /// An EKS Distro release manifest, the `Bundles` manifest with its signature, and the required signer.
    EksdRelease(Location, Option<Location>, Signed),
    /// An EKS Anywhere package bundle.
    PackageBundle(BundleSource),
    /// An image.
    Image(Reference),
    /// A Helm chart.
    Chart(ChartSource),
    /// A file.
    File(FileSource),
    /// An image on disk: its format, its path, which of several images, and its new name. Without a name, all images
    /// are mirrored under their own names.
    Archive(Format, PathBuf, Option<String>, Option<Reference>),
}

/// An EKS Anywhere package bundle.
#[derive(Clone, Debug)]
pub struct BundleSource {
    /// Its file or artifact.
    pub location: BundleLocation,
    /// The registry of charts and images without a registry.
    pub registry: RegistryHost,
    /// The repository prefix there.
    pub prefix: Option<RepositoryName>,
    /// The required signer.
    pub signed: Signed,
}

/// The required signer of an EKS manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// AWS.
    ByAws,
    /// The owner of a key, given as a public key file.
    ByKey(PathBuf),
    /// None: the mirror file declares that the manifest is accepted without verification.
    Unverified,
}

/// The location of a manifest or file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A local file.
    Path(PathBuf),
    /// A URL.
    Url(FileUrl),
}

impl Location {
    /// The location as shown to users.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Url(url) => url.to_string(),
        }
    }
}

/// The location of a package bundle.
#[derive(Clone, Debug)]
pub enum BundleLocation {
    /// A local file.
    Path(PathBuf),
    /// An artifact in a registry.
    Reference(Reference),
}

/// A Helm chart.
#[derive(Clone, Debug)]
pub struct ChartSource {
    /// Its location.
    pub location: ChartLocation,
    /// How to find its images; `None` leaves them out.
    pub images: Option<ChartImages>,
    /// OpenPGP public keys; one of them must have signed the chart.
    pub keyring: Option<PathBuf>,
}

impl ChartSource {
    /// Its name in a lock.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.location {
            ChartLocation::Path(path) => path.display().to_string(),
            ChartLocation::Reference(reference) => reference.to_string(),
        }
    }
}

/// The location of a chart.
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
    /// Its location.
    pub location: Location,
    /// The expected digests; at least one for a URL.
    pub checksums: Vec<Digest>,
    /// Its name in the store, instead of its file name.
    pub name: Option<String>,
}
/// The mirror file's JSON Schema.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schema::complete(schemars::schema_for!(Document).to_value())
}

/// Adds the location to an error.
type Locate = Box<dyn FnOnce(Error) -> Error>;

fn line_of<T>(spanned: &serde_saphyr::Spanned<T>) -> Option<u64> {
    Some(spanned.referenced.line()).filter(|line| *line > 0)
}

impl MirrorConfig {
    /// Reads a mirror file.
    ///
    /// # Errors
    /// When the file is missing, malformed or contradictory.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = input::read_text(path, input::MAX_SIZE)
            .map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, input::folder_of(path))
    }

    fn parse(text: &str, path: &Path, base: &Path) -> Result<Self, Error> {
        let at = |line: Option<u64>| move |error: Error| error.in_file(path, line);
        // YAML has more words for `true`; for the schema and for users, they are strings.
        let options = serde_saphyr::options! { strict_booleans: true };
        let document: Document = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let (line, message) = yaml_error::describe(&error);
            at(line)(Error::Yaml(message))
        })?;
        Self::of(document, base, &|line| {
            let path = path.to_owned();
            Box::new(move |error| error.in_file(&path, line))
        })
    }

    fn of(document: Document, base: &Path, at: &dyn Fn(Option<u64>) -> Locate) -> Result<Self, Error> {
        for (field, found, expected) in
            [("apiVersion", &document.api_version, API_VERSION), ("kind", &document.kind, KIND)]
        {
            if found != expected {
                return Err(at(None)(Error::Kind { field, found: found.clone(), expected }));
            }
        }
        if !is_name(&document.metadata.name) {
            return Err(at(None)(Error::Name(document.metadata.name)));
        }
        let mut registries: Vec<RegistryRule> = Vec::new();
        for rule in &document.registries {
            let line = line_of(rule);
            let rule = rule.value.validate(base).map_err(at(line))?;
            if registries.iter().any(|earlier| earlier.host == rule.host) {
                return Err(at(line)(Error::RegistryTwice(rule.host)));
            }
            registries.push(rule);
        }
        let platforms =
            document.platforms.iter().map(|text| value("platforms", &text.value).map_err(at(line_of(text))));
        if document.sources.is_empty() {
            return Err(at(None)(Error::Empty));
        }
        let (mut sources, mut demands) = (Vec::new(), Vec::new());
        for source in document.sources {
            let (before, line) = (sources.len(), line_of(&source));
            let demand = source.value.validate(base, &mut sources);
            let Some(demand) = demand.map_err(at(line))? else { continue };
            let named = sources[before..].iter().filter_map(|source| match source {
                Source::Image(reference)
                | Source::Chart(ChartSource { location: ChartLocation::Reference(reference), .. }) => {
                    Some(reference)
                }
                _ => None,
            });
            demands.extend(named.map(|reference| (reference.clone(), demand.clone())));
        }
        if let Some(chart) = keyrings_differ(&sources) {
            return Err(at(None)(Error::Keyrings(chart)));
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
            foreign: document.foreign_layers.validate().map_err(at(None))?,
            base: base.to_owned(),
            keep_going: false,
        })
    }

    /// The URL to fetch instead.
    ///
    /// # Errors
    /// When the result of the rule is not a URL.
    pub fn url(&self, url: &FileUrl) -> Result<FileUrl, url::Unusable> {
        let whole = url.secret();
        let rule = self
            .urls
            .iter()
            .find_map(|(prefix, mirror)| Some((whole.strip_prefix(prefix.as_str())?, mirror)));
        rule.map_or_else(|| Ok(url.clone()), |(rest, mirror)| FileUrl::parse(&format!("{mirror}{rest}")))
    }

    /// The keyrings of charts that must be signed, by the charts' names in a lock.
    #[must_use]
    pub fn keyrings(&self) -> BTreeMap<String, PathBuf> {
        let keyring = |source: &Source| match source {
            Source::Chart(chart) => Some((chart.name(), chart.keyring.clone()?)),
            _ => None,
        };
        self.sources.iter().filter_map(keyring).collect()
    }

    /// The names of the EKS manifests that are accepted without verification.
    #[must_use]
    pub fn unverified(&self) -> Vec<String> {
        let name = |source: &Source| match source {
            Source::EksdRelease(location, _, Signed::Unverified) => Some(location.name()),
            Source::PackageBundle(bundle) if bundle.signed == Signed::Unverified => {
                Some(match &bundle.location {
                    BundleLocation::Path(path) => path.display().to_string(),
                    BundleLocation::Reference(reference) => reference.to_string(),
                })
            }
            _ => None,
        };
        self.sources.iter().filter_map(name).collect()
    }

    /// The allowed URLs of a layer, for when its registry does not have it.
    #[must_use]
    pub fn layer_urls(&self, layer: &Descriptor) -> Vec<FileUrl> {
        let allowed = layer
            .urls
            .iter()
            .filter(|url| self.foreign.urls.iter().any(|prefix| url.starts_with(prefix.as_str())));
        allowed.filter_map(|url| self.url(&FileUrl::parse(url).ok()?).ok()).collect()
    }

    /// Whether the mirror file declares a layer absent.
    #[must_use]
    pub fn is_declared_absent(&self, image: &Reference, layer: &Digest) -> bool {
        self.foreign.absent.iter().any(|(of, absent)| of == image && absent == layer)
    }
}

/// A chart for which two sources require different keyrings.
fn keyrings_differ(sources: &[Source]) -> Option<String> {
    let mut known: BTreeMap<String, Option<&PathBuf>> = BTreeMap::new();
    sources.iter().find_map(|source| {
        let Source::Chart(chart) = source else { return None };
        let (name, keyring) = (chart.name(), chart.keyring.as_ref());
        let differs = known.get(&name).is_some_and(|before| *before != keyring);
        known.insert(name.clone(), keyring);
        differs.then_some(name)
    })
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
  - eksdRelease: {file: release.yaml, unverified: true}
  - packageBundle: {reference: 'r.io/bundles:v1'}
    verify: {key: own.pub}
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
        let url = config.url(&FileUrl::parse("https://a.io/x").unwrap()).unwrap();
        assert_eq!(url.secret(), "http://127.0.0.1:1/x");
        assert!(config.follow && config.registries[0].prefix.is_some());
    }

    fn defect(rest: &str) -> Error {
        match parse(rest) {
            Err(Error::At { error, .. }) => *error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn d23_an_error_states_file_line_expectation_and_fix() {
        for (rest, line, words) in [
            ("sources:\n- images: [docker://nginx:1]\n", 5, "write `nginx:1`"),
            ("sources:\n- files:\n  - {path: a}\n- images: ['MyOrg/App:1']\n", 7, "write `myorg/app:1`"),
            ("sources:\n- images: ['r.io/My App']\n", 5, "expected an image reference"),
            ("sources:\n- image: [a]\n", 5, "unknown field `image`, expected one of `eksdRelease`"),
            ("sources: [{images: [a]}]\nsources: [{images: [a]}]\n", 5, "`sources` is given twice"),
            ("sources: [{images: [a]}]\nplatforms: [linux/amd64,\n  linux]\n", 6, "OS/ARCHITECTURE"),
            ("sources: [{images: a}]\n", 4, "expected a list"),
            ("sources: [{images: [a}]\n", 4, "malformed"),
            ("sources: [{charts: [{file: a.tgz, images: perhaps}]}]\n", 4, "`true` or `false`"),
            ("registries:\n- {host: a.io}\n- {host: a.io}\nsources: [{images: [a]}]\n", 6, "twice"),
            ("platforms: []\n", 1, "`sources` is missing"),
        ] {
            let error = parse(rest).unwrap_err();
            let shown = error.to_string();
            assert!(shown.contains(words), "{rest}: {shown}");
            assert!(shown.starts_with("the mirror file `airlock.yaml`"), "{shown}");
            for library in ["<input>", "Policy", "struct", "serde", "Options"] {
                assert!(!shown.contains(library), "{shown}");
            }
            assert!(line == 1 || error.line_and_error().0 == Some(line), "{rest}: {shown}");
            assert!(std::error::Error::source(&error).is_none(), "reported once: {shown}");
        }
    }

    #[test]
    fn each_defect_has_its_error() {
        assert!(matches!(defect("sources: []\nextra: 1\n"), Error::Yaml(_)));
        assert!(matches!(defect("sources: []\n"), Error::Empty));
        assert!(matches!(defect("sources: [{images: ['UPPER/x y']}]\n"), Error::Value { .. }));
        assert!(matches!(defect("sources: [{files: [{url: 'https://a.io/x'}]}]\n"), Error::Source(_)));
        assert!(matches!(defect("sources: [{charts: [{}]}]\n"), Error::Source(_)));
        for source in [
            "{}",
            "{images: [a], files: [{path: x}]}",
            "{files: [{path: x}], verify: {key: a.pub}}",
            "{charts: [{file: a.tgz}], verify: {key: a.pub}}",
            "{images: [a], verify: {}}",
            "{images: [a], verify: {key: a.pub, identity: {subject: a, issuer: b}}}",
            "{images: [a], verify: {identity: {issuer: b}}}",
            "{images: [a], verify: {key: a.pub, name: 'a:b'}}",
            "{eksdRelease: {file: a.yaml}}",
            "{eksdRelease: {file: a.yaml, bundles: {file: b.yaml}, unverified: true}}",
            "{eksdRelease: {file: a.yaml, unverified: true}, verify: {key: a.pub}}",
            "{packageBundle: {file: a.yaml}, verify: {identity: {subject: a, issuer: b}}}",
            "{ociArchive: {path: a.tar, image: a}}",
        ] {
            assert!(matches!(defect(&format!("sources: [{source}]\n")), Error::Source(_)), "{source}");
        }
        let identity = "{images: [a], verify: {identity: {subject: a, issuer: b}, name: r.io/a}}";
        let config = parse(&format!("sources: [{identity}]\n")).unwrap();
        assert!(config.demands.len() == 1 && config.demands[0].1.name.is_some());
        assert!(matches!(defect("platforms: [linux]\nsources: [{images: [a]}]\n"), Error::Value { .. }));
        let twice = "registries: [{host: a.io}, {host: b.io}, {host: a.io, plainHTTP: true}]\nsources: []\n";
        assert!(matches!(defect(twice), Error::RegistryTwice(host) if host.to_string() == "a.io"));
        let charts =
            "sources:\n- charts: [{file: a.tgz, keyring: a.gpg}]\n- charts: [{file: a.tgz}, {file: b.tgz}]\n";
        assert!(matches!(defect(charts), Error::Keyrings(chart) if chart.ends_with("a.tgz")));
        let other = HEAD.replace("MirrorConfig", "Other");
        let other = MirrorConfig::parse(&format!("{other}sources: []\n"), Path::new("x"), Path::new("."));
        assert!(matches!(other.unwrap_err().line_and_error().1, Error::Kind { .. }));
        let name = HEAD.replace("name: a", "name: ../a");
        let name = MirrorConfig::parse(&format!("{name}sources: []\n"), Path::new("x"), Path::new("."));
        assert!(matches!(name.unwrap_err().line_and_error().1, Error::Name(_)));
    }
}

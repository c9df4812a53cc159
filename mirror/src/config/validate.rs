//! Converts the parts of a written mirror file into valid values, and rejects contradictions.

use std::path::{Path, PathBuf};

use evidence::upstream::{RequiredSigner, SignatureRequirement};
use oci::{Digest, Platform, Reference, RegistryHost, RepositoryName};
use regex::Regex;

use super::document::{
    ArchiveText, BundleText, ChartText, FileText, ForeignText, LocationText, RegistryText, ReleaseText,
    SourceText, VerifyText,
};
use super::{
    BundleLocation, BundleSource, ChartLocation, ChartSource, Error, FileSource, ForeignLayers, Location,
    RegistryRule, Signed, Source, line_of,
};
use crate::source::archive::Format;
use crate::source::url::without_secrets;
use crate::source::{ChartImages, FileUrl};

impl RegistryText {
    pub(super) fn validate(&self, base: &Path) -> Result<RegistryRule, Error> {
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
    pub(super) fn validate(
        self,
        base: &Path,
        sources: &mut Vec<Source>,
    ) -> Result<Option<SignatureRequirement>, Error> {
        let demand = self.verify.map(|text| text.validate(base)).transpose()?;
        let is_eks = self.eksd_release.is_some() || self.package_bundle.is_some();
        if demand.is_some() && self.images.is_none() && self.charts.is_none() && !is_eks {
            return Err(Error::Source(
                "`verify` is only allowed with `images`, `charts`, `packageBundle` or `eksdRelease`",
            ));
        }
        let key = if is_eks { own_key(demand.as_ref())? } else { None };
        let before = sources.len();
        let mut kinds = 0;
        if let Some(text) = self.eksd_release {
            kinds += 1;
            sources.push(text.validate(base, key.clone())?);
        }
        if let Some(text) = self.package_bundle {
            kinds += 1;
            sources.push(text.validate(base, key)?);
        }
        if let Some(references) = self.images {
            kinds += 1;
            for reference in references {
                let line = line_of(&reference);
                let reference = image("images", &reference.value).map_err(|error| error.at(line))?;
                sources.push(Source::Image(reference));
            }
        }
        if let Some(charts) = self.charts {
            kinds += 1;
            for chart in charts {
                let line = line_of(&chart);
                sources.push(chart.value.validate(base).map_err(|error| error.at(line))?);
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
                let line = line_of(&file);
                let file = file.value.validate(base).map_err(|error| error.at(line))?;
                sources.push(Source::File(file));
            }
        }
        if kinds != 1 {
            return Err(Error::Source("each entry of `sources` must have exactly one kind of source"));
        }
        check_added(&sources[before..], demand.is_some())?;
        Ok(demand.filter(|_| !is_eks))
    }
}

/// Checks that a source is not empty, and that sources that must be signed can have signatures.
fn check_added(added: &[Source], must_be_signed: bool) -> Result<(), Error> {
    let on_disk = |source: &Source| {
        matches!(source, Source::Chart(ChartSource { location: ChartLocation::Path(_), .. }))
    };
    if added.is_empty() {
        return Err(Error::Source("a list in `sources` is empty, expected at least one entry"));
    }
    if must_be_signed && added.iter().any(on_disk) {
        return Err(Error::Source("`verify` requires charts by `reference`: a local file has no signatures"));
    }
    Ok(())
}

impl VerifyText {
    pub(super) fn validate(self, base: &Path) -> Result<SignatureRequirement, Error> {
        let name = self.name.map(|name| {
            name.parse()
                .map_err(|_| Error::Source("`verify.name` must be HOST/REPOSITORY, without a tag or digest"))
        });
        let by = match (self.key, self.identity) {
            (Some(path), None) => RequiredSigner::Key(base.join(path)),
            (None, Some(identity)) => {
                let (subject, pattern) = match (identity.subject, identity.subject_regexp) {
                    (Some(subject), None) => (subject, false),
                    (None, Some(pattern)) => (pattern, true),
                    _ => return Err(Error::Source("an identity needs either `subject` or `subjectRegexp`")),
                };
                let root = identity.trusted_root.map(|path| base.join(path));
                RequiredSigner::Identity { subject, pattern, issuer: identity.issuer, root }
            }
            _ => return Err(Error::Source("`verify` needs either `key` or `identity`")),
        };
        Ok(SignatureRequirement { by, name: name.transpose()? })
    }
}

/// The key that must have signed an EKS manifest, if it is not AWS's.
fn own_key(demand: Option<&SignatureRequirement>) -> Result<Option<PathBuf>, Error> {
    match demand {
        None => Ok(None),
        Some(SignatureRequirement { by: RequiredSigner::Key(path), name: None }) => Ok(Some(path.clone())),
        Some(_) => Err(Error::Source("with `packageBundle` or `eksdRelease`, `verify` accepts only a `key`")),
    }
}

/// The required signer of an EKS manifest.
fn signed(unverified: bool, key: Option<PathBuf>) -> Result<Signed, Error> {
    match (unverified, key) {
        (true, None) => Ok(Signed::Unverified),
        (true, Some(_)) => Err(Error::Source("`unverified` and `verify` contradict each other: give one")),
        (false, Some(path)) => Ok(Signed::ByKey(path)),
        (false, None) => Ok(Signed::ByAws),
    }
}

impl ReleaseText {
    fn validate(self, base: &Path, key: Option<PathBuf>) -> Result<Source, Error> {
        let location = LocationText { file: self.file, url: self.url }.validate(base)?;
        let bundles = self.bundles.map(|bundles| bundles.validate(base)).transpose()?;
        match (&bundles, self.unverified) {
            (None, false) => Err(Error::Source(
                "an eksdRelease does not contain its signature: give `bundles`, the Bundles manifest of EKS Anywhere \
                 that contains it, or declare `unverified: true`",
            )),
            (Some(_), true) => {
                Err(Error::Source("`unverified` and `bundles` contradict each other: give one"))
            }
            _ => Ok(Source::EksdRelease(location, bundles, signed(self.unverified, key)?)),
        }
    }
}

impl BundleText {
    fn validate(self, base: &Path, key: Option<PathBuf>) -> Result<Source, Error> {
        let location = match (self.file, self.reference) {
            (Some(path), None) => BundleLocation::Path(base.join(path)),
            (None, Some(reference)) => {
                BundleLocation::Reference(image("packageBundle.reference", &reference)?)
            }
            _ => return Err(Error::Source("a packageBundle needs either `file` or `reference`")),
        };
        let registry = self.registry.as_deref().unwrap_or("public.ecr.aws/eks-anywhere");
        let (registry, prefix) = host_and_prefix("packageBundle.registry", registry)?;
        Ok(Source::PackageBundle(BundleSource {
            location,
            registry,
            prefix,
            signed: signed(self.unverified, key)?,
        }))
    }
}

impl ChartText {
    pub(super) fn validate(self, base: &Path) -> Result<Source, Error> {
        let location = match (&self.reference, &self.file) {
            (Some(reference), None) => ChartLocation::Reference(chart(reference)?),
            (None, Some(path)) => ChartLocation::Path(base.join(path)),
            _ => return Err(Error::Source("a chart needs either `reference` or `file`")),
        };
        let keyring = self.keyring.map(|path| base.join(path));
        if !self.images {
            return Ok(Source::Chart(ChartSource { location, images: None, keyring }));
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
            skip_schema: self.skip_schema_validation,
        };
        Ok(Source::Chart(ChartSource { location, images: Some(images), keyring }))
    }
}

impl ArchiveText {
    pub(super) fn validate(self, format: Format, base: &Path) -> Result<Source, Error> {
        let reference = self.reference.map(|reference| image("reference", &reference)).transpose()?;
        if self.image.is_some() && reference.is_none() {
            return Err(Error::Source("`image` requires `reference`, the name to give the image"));
        }
        Ok(Source::Archive(format, base.join(self.path), self.image, reference))
    }
}

impl ForeignText {
    pub(super) fn validate(self) -> Result<ForeignLayers, Error> {
        for prefix in &self.urls {
            file_url("foreignLayers.urls", prefix)?;
            if !prefix.ends_with('/') {
                return Err(Error::Source(
                    "each entry of `foreignLayers.urls` must end in `/`, so that it matches a whole host or folder",
                ));
            }
        }
        let absent = self.absent.iter().map(|absent| {
            Ok((
                image("foreignLayers.absent.image", &absent.image)?,
                value("foreignLayers.absent.layer", &absent.layer)?,
            ))
        });
        Ok(ForeignLayers { absent: absent.collect::<Result<_, Error>>()?, urls: self.urls })
    }
}

impl LocationText {
    pub(super) fn validate(self, base: &Path) -> Result<Location, Error> {
        match (self.file, self.url) {
            (Some(path), None) => Ok(Location::Path(base.join(path))),
            (None, Some(url)) => Ok(Location::Url(file_url("eksdRelease.url", &url)?)),
            _ => Err(Error::Source("an eksdRelease needs either `file` or `url`")),
        }
    }
}

impl FileText {
    pub(super) fn validate(self, base: &Path) -> Result<FileSource, Error> {
        let checksums = [("sha256", self.sha256), ("sha512", self.sha512)]
            .into_iter()
            .filter_map(|(name, hex)| hex.map(|hex| value("files checksum", &format!("{name}:{hex}"))))
            .collect::<Result<Vec<_>, _>>()?;
        let location = match (self.path, self.url) {
            (Some(path), None) => Location::Path(base.join(path)),
            (None, Some(_)) if checksums.is_empty() => {
                return Err(Error::Source("a file from a URL needs `sha256` or `sha512`"));
            }
            (None, Some(url)) => Location::Url(file_url("files.url", &url)?),
            _ => return Err(Error::Source("a file needs either `path` or `url`")),
        };
        Ok(FileSource { location, checksums, name: self.name })
    }
}

fn file_url(field: &'static str, text: &str) -> Result<FileUrl, Error> {
    FileUrl::parse(text).map_err(|unusable| Error::Url { field, expected: unusable.expected() })
}

fn host_and_prefix(field: &'static str, text: &str) -> Result<(RegistryHost, Option<RepositoryName>), Error> {
    match text.split_once('/') {
        Some((host, prefix)) => Ok((value(field, host)?, Some(value(field, prefix)?))),
        None => Ok((value(field, text)?, None)),
    }
}

/// A field of a mirror file that is parsed from a string.
pub(super) trait ParsedField: std::str::FromStr<Err = oci::Error> {
    /// A description of the expected value.
    const EXPECTED: &'static str;
}

impl ParsedField for Reference {
    const EXPECTED: &'static str = "an image reference, REGISTRY/REPOSITORY[:TAG][@DIGEST]";
}

impl ParsedField for RegistryHost {
    const EXPECTED: &'static str = "a registry host, HOST[:PORT]";
}

impl ParsedField for RepositoryName {
    const EXPECTED: &'static str =
        "a repository: lower-case letters and digits, separated by `.`, `_`, `__`, `-` or `/`";
}

impl ParsedField for Platform {
    const EXPECTED: &'static str = "a platform, OS/ARCHITECTURE[/VARIANT]";
}

impl ParsedField for Digest {
    const EXPECTED: &'static str = "`sha256:` and 64, or `sha512:` and 128, lower-case hex digits";
}

/// Parses a value. The error shows the value without its password.
pub(super) fn value<T: ParsedField>(field: &'static str, text: &str) -> Result<T, Error> {
    let fix = || fixed(text).filter(|fixed| fixed.parse::<T>().is_ok());
    text.parse().map_err(|_| Error::Value {
        field,
        found: without_secrets(text),
        expected: T::EXPECTED,
        fix: fix().map(|fixed| format!("write `{fixed}`")),
    })
}

/// An image reference. A first segment with an upper-case letter would parse as a host, but is rarely meant as one.
fn image(field: &'static str, text: &str) -> Result<Reference, Error> {
    let first = text.split(['/', '@']).next().unwrap_or_default();
    let upper = first.contains(|c: char| c.is_ascii_uppercase()) && !first.contains(['.', ':']);
    if !upper {
        return value(field, text);
    }
    Err(Error::Value {
        field,
        found: without_secrets(text),
        expected: Reference::EXPECTED,
        fix: Some(format!(
            "write `{}`, or add the full registry host in front",
            lower(&without_secrets(text))
        )),
    })
}

/// A chart reference. Helm pushes version `1.0.0+build` under the tag `1.0.0_build`.
fn chart(text: &str) -> Result<Reference, Error> {
    match text.rsplit_once(':') {
        Some((path, tag)) if tag.contains('+') && !tag.contains(['/', '@']) => {
            image("charts.reference", &format!("{path}:{}", tag.replace('+', "_")))
        }
        _ => image("charts.reference", text),
    }
}

/// The value that was probably meant: without a scheme, and in lower case where only that is allowed.
fn fixed(text: &str) -> Option<String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let fixed = lower(bare);
    (fixed != text && without_secrets(text) == text).then_some(fixed)
}

/// A reference in lower case except for its tag, and with `+` in the tag replaced as Helm does for versions.
fn lower(text: &str) -> String {
    match text.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => {
            format!("{}:{}", path.to_ascii_lowercase(), tag.replace('+', "_"))
        }
        _ => text.to_ascii_lowercase(),
    }
}

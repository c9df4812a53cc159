//! What the parts of a written mirror file mean; contradictions end here.

use std::path::Path;

use oci::{RegistryHost, RepositoryName};
use regex::Regex;

use super::document::{
    ArchiveText, BundleText, ChartText, FileText, LocationText, RegistryText, SourceText, VerifyText,
};
use super::{BundleLocation, ChartLocation, Error, FileSource, Location, RegistryRule, Source};
use crate::evidence::upstream::{By, Demand};
use crate::source::ChartImages;
use crate::source::archive::Format;

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
    pub(super) fn validate(self, base: &Path, sources: &mut Vec<Source>) -> Result<Option<Demand>, Error> {
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
    pub(super) fn validate(self, base: &Path) -> Result<Demand, Error> {
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
    pub(super) fn validate(self, base: &Path) -> Result<Source, Error> {
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
    pub(super) fn validate(self, base: &Path) -> Result<Source, Error> {
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
    pub(super) fn validate(self, format: Format, base: &Path) -> Result<Source, Error> {
        let reference = value("reference", &self.reference)?;
        Ok(Source::Archive(format, base.join(self.path), self.image, reference))
    }
}

impl LocationText {
    pub(super) fn validate(self, base: &Path) -> Result<Location, Error> {
        match (self.file, self.url) {
            (Some(path), None) => Ok(Location::Path(base.join(path))),
            (None, Some(url)) => Ok(Location::Url(url)),
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

pub(super) fn value<T: std::str::FromStr<Err = oci::Error>>(
    field: &'static str,
    text: &str,
) -> Result<T, Error> {
    text.parse().map_err(|source| Error::Value { field, source })
}

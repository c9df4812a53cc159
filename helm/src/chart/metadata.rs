//! `Chart.yaml`: the metadata of a chart.
//!
//! Source: `pkg/chart/v2/metadata.go` and `dependency.go`; the checks and their order are Helm's.

mod scope;

use std::collections::{BTreeMap, BTreeSet};

use error_class::{Class, Classified};
use gostd::fmt::is_print;
use serde_json::Value as Json;

use super::document::{DocumentError, Fields};
use super::values::to_json;
use crate::semver::Version;

/// The content of `Chart.yaml`. A missing field is empty.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Metadata {
    /// The chart's name.
    pub name: String,
    /// The project's home page.
    pub home: String,
    /// The URLs of the source code.
    pub sources: Vec<String>,
    /// The chart's version.
    pub version: String,
    /// A one-sentence description.
    pub description: String,
    /// Search keywords.
    pub keywords: Vec<String>,
    /// The maintainers.
    pub maintainers: Vec<Maintainer>,
    /// The URL of an icon.
    pub icon: String,
    /// `v1` or `v2`.
    pub api_version: String,
    /// Unused by Helm.
    pub condition: String,
    /// Unused by Helm.
    pub tags: String,
    /// The version of the application that the chart installs.
    pub app_version: String,
    /// Whether the chart is deprecated.
    pub deprecated: bool,
    /// Additional metadata.
    pub annotations: BTreeMap<String, String>,
    /// Whether the file has the field `annotations`, even if it is empty.
    pub(super) has_annotations: bool,
    /// A constraint on the version of Kubernetes.
    pub kube_version: String,
    /// The charts that it depends on; an empty list is not the same as none.
    pub dependencies: Option<Vec<Dependency>>,
    /// Its type: `application`, `library` or empty.
    pub kind: String,
}

/// A maintainer of a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maintainer {
    /// A person or an organisation.
    pub name: String,
    /// The email address.
    pub email: String,
    /// A URL.
    pub url: String,
}

/// A dependency of a chart.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Dependency {
    /// The name of the chart; its alias once dependencies are resolved.
    pub name: String,
    /// The range of accepted versions.
    pub version: String,
    /// The URL of the repository.
    pub repository: String,
    /// Paths in the values; the first one with a boolean value decides whether the dependency is enabled.
    pub condition: String,
    /// Names under `tags` in the values that enable or disable the dependency.
    pub tags: Vec<String>,
    /// Whether it is enabled.
    pub enabled: bool,
    /// The values that its parent imports.
    pub import_values: Vec<Json>,
    /// Its name in the parent.
    pub alias: String,
}

/// A `Chart.yaml` that Helm does not accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMetadata {
    /// A field must not be empty.
    #[error("chart.metadata.{0} is required")]
    Missing(&'static str),
    /// The name is `.` or `..`.
    #[error("chart.metadata.name {0:?} is not allowed")]
    ForbiddenName(String),
    /// The name has a slash.
    #[error("chart.metadata.name {0:?} is invalid")]
    Name(String),
    /// The version is not a semantic version.
    #[error("chart.metadata.version {0:?} is invalid")]
    Version(String),
    /// The type is unknown.
    #[error("chart.metadata.type must be application or library")]
    Kind,
    /// An element of a list is null.
    #[error("{0} must not contain empty or null nodes")]
    EmptyNode(&'static str),
    /// An alias contains other characters than letters, digits, `_` and `-`.
    #[error("dependency {0:?} has disallowed characters in the alias")]
    Alias(String),
    /// Two dependencies have the same name or alias.
    #[error("more than one dependency with name or alias {0:?}")]
    Duplicate(String),
}

impl Classified for InvalidMetadata {
    fn class(&self) -> Class {
        Class::Other
    }
}

impl Metadata {
    /// Reads the fields of a `Chart.yaml` or `requirements.yaml`.
    pub(super) fn read(&mut self, fields: &Fields) -> Result<(), DocumentError> {
        for (name, field) in [
            ("name", &mut self.name),
            ("home", &mut self.home),
            ("version", &mut self.version),
            ("description", &mut self.description),
            ("icon", &mut self.icon),
            ("apiVersion", &mut self.api_version),
            ("condition", &mut self.condition),
            ("tags", &mut self.tags),
            ("appVersion", &mut self.app_version),
            ("kubeVersion", &mut self.kube_version),
            ("type", &mut self.kind),
        ] {
            fields.text(name, field)?;
        }
        fields.texts("sources", &mut self.sources)?;
        fields.texts("keywords", &mut self.keywords)?;
        fields.flag("deprecated", &mut self.deprecated)?;
        self.has_annotations |= fields.text_map("annotations", &mut self.annotations)?;
        if let Some(maintainers) = fields.structures("maintainers", "v2.Maintainer")? {
            self.maintainers = maintainers
                .iter()
                .map(|maintainer| {
                    maintainer.as_ref().map_or(
                        Err(DocumentError::Metadata(InvalidMetadata::EmptyNode("maintainers"))),
                        Maintainer::read,
                    )
                })
                .collect::<Result<_, _>>()?;
        }
        if let Some(dependencies) = fields.structures("dependencies", "v2.Dependency")? {
            self.dependencies = Some(
                dependencies
                    .iter()
                    .map(|dependency| {
                        dependency.as_ref().map_or(
                            Err(DocumentError::Metadata(InvalidMetadata::EmptyNode("dependencies"))),
                            Dependency::read,
                        )
                    })
                    .collect::<Result<_, _>>()?,
            );
        }
        Ok(())
    }

    /// Makes all text printable, and then validates the metadata.
    pub(super) fn validate(&mut self) -> Result<(), InvalidMetadata> {
        self.clean();
        if self.api_version.is_empty() {
            return Err(InvalidMetadata::Missing("apiVersion"));
        }
        if self.name.is_empty() {
            return Err(InvalidMetadata::Missing("name"));
        }
        if self.name == "." || self.name == ".." {
            return Err(InvalidMetadata::ForbiddenName(self.name.clone()));
        }
        if self.name.contains('/') {
            return Err(InvalidMetadata::Name(self.name.clone()));
        }
        if self.version.is_empty() {
            return Err(InvalidMetadata::Missing("version"));
        }
        if Version::parse(&self.version).is_err() {
            return Err(InvalidMetadata::Version(self.version.clone()));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return Err(InvalidMetadata::Kind);
        }
        let mut names = BTreeSet::new();
        for dependency in self.dependencies.iter().flatten() {
            dependency.validate()?;
            let name = if dependency.alias.is_empty() { &dependency.name } else { &dependency.alias };
            if !names.insert(name) {
                return Err(InvalidMetadata::Duplicate(name.clone()));
            }
        }
        Ok(())
    }

    /// Whether it is a library chart, which only provides templates to other charts.
    #[must_use]
    pub fn is_library(&self) -> bool {
        self.kind.eq_ignore_ascii_case("library")
    }

    fn clean(&mut self) {
        let texts = [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ];
        texts.into_iter().chain(&mut self.sources).chain(&mut self.keywords).for_each(printable);
        for maintainer in &mut self.maintainers {
            [&mut maintainer.name, &mut maintainer.email, &mut maintainer.url]
                .into_iter()
                .for_each(printable);
        }
        for dependency in self.dependencies.iter_mut().flatten() {
            let texts = [
                &mut dependency.name,
                &mut dependency.version,
                &mut dependency.repository,
                &mut dependency.condition,
            ];
            texts.into_iter().chain(&mut dependency.tags).for_each(printable);
        }
    }
}

impl Maintainer {
    fn read(fields: &Fields) -> Result<Self, DocumentError> {
        let mut this = Self::default();
        fields.text("name", &mut this.name)?;
        fields.text("email", &mut this.email)?;
        fields.text("url", &mut this.url)?;
        Ok(this)
    }
}

impl Dependency {
    fn read(fields: &Fields) -> Result<Self, DocumentError> {
        let mut this = Self::default();
        for (name, field) in [
            ("name", &mut this.name),
            ("version", &mut this.version),
            ("repository", &mut this.repository),
            ("condition", &mut this.condition),
            ("alias", &mut this.alias),
        ] {
            fields.text(name, field)?;
        }
        fields.texts("tags", &mut this.tags)?;
        fields.flag("enabled", &mut this.enabled)?;
        if let Some(values) = fields.list("import-values", "interface {}")? {
            this.import_values = values.iter().map(to_json).collect();
        }
        Ok(this)
    }

    fn validate(&self) -> Result<(), InvalidMetadata> {
        let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
        if self.alias.chars().all(is_plain) { Ok(()) } else { Err(InvalidMetadata::Alias(self.name.clone())) }
    }
}

/// Helm's `sanitizeString`: every whitespace character becomes a space, and unprintable characters are removed.
fn printable(text: &mut String) {
    *text = text
        .chars()
        .map(|character| if character.is_whitespace() { ' ' } else { character })
        .filter(|character| is_print(*character))
        .collect();
}

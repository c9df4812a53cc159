//! `Chart.yaml`: what a chart says of itself.
//!
//! Source: `pkg/chart/v2/metadata.go` and `dependency.go`; the checks and their order are Helm's.

mod scope;

use std::collections::{BTreeMap, BTreeSet};

use error_class::{Class, Classified};
use gostd::fmt::is_print;
use serde_json::Value as Json;

use super::document::{Fault, Fields};
use super::values::to_json;
use crate::semver::Version;

/// What `Chart.yaml` says. A field it does not have is empty.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Metadata {
    /// The chart's name.
    pub name: String,
    /// The project's page.
    pub home: String,
    /// Where the source is.
    pub sources: Vec<String>,
    /// The chart's version.
    pub version: String,
    /// One sentence.
    pub description: String,
    /// Words to find it by.
    pub keywords: Vec<String>,
    /// Who looks after it.
    pub maintainers: Vec<Maintainer>,
    /// The URL of a picture.
    pub icon: String,
    /// `v1` or `v2`.
    pub api_version: String,
    /// Unused by Helm.
    pub condition: String,
    /// Unused by Helm.
    pub tags: String,
    /// The version of what the chart installs.
    pub app_version: String,
    /// Whether it should no longer be used.
    pub deprecated: bool,
    /// Anything else.
    pub annotations: BTreeMap<String, String>,
    /// Whether there are annotations, be it none at all.
    pub(super) has_annotations: bool,
    /// The versions of Kubernetes it is for.
    pub kube_version: String,
    /// The charts it needs; none is not the same as no list.
    pub dependencies: Option<Vec<Dependency>>,
    /// `application`, `library` or nothing.
    pub kind: String,
}

/// Who looks after a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Maintainer {
    /// A person or an organisation.
    pub name: String,
    /// Where to write to.
    pub email: String,
    /// Where to look.
    pub url: String,
}

/// A chart that another needs.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Dependency {
    /// The needed chart's name; its alias once dependencies are resolved.
    pub name: String,
    /// The range of versions that will do.
    pub version: String,
    /// Where it is published.
    pub repository: String,
    /// Paths in the values; the first that is a boolean says whether it is used.
    pub condition: String,
    /// Names under `tags` in the values that say whether it is used.
    pub tags: Vec<String>,
    /// Whether it is used.
    pub enabled: bool,
    /// What of its values its parent takes over.
    pub import_values: Vec<Json>,
    /// The name it goes by in its parent.
    pub alias: String,
}

/// What Helm does not accept in a `Chart.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// A field must not be empty.
    #[error("chart.metadata.{0} is required")]
    Missing(&'static str),
    /// The name is `.` or `..`.
    #[error("chart.metadata.name {0:?} is not allowed")]
    ForbiddenName(String),
    /// The name has a slash.
    #[error("chart.metadata.name {0:?} is invalid")]
    Name(String),
    /// The version is no semantic version.
    #[error("chart.metadata.version {0:?} is invalid")]
    Version(String),
    /// The type is unknown.
    #[error("chart.metadata.type must be application or library")]
    Kind,
    /// An element of a list is null.
    #[error("{0} must not contain empty or null nodes")]
    EmptyNode(&'static str),
    /// An alias has more than letters, digits, `_` and `-`.
    #[error("dependency {0:?} has disallowed characters in the alias")]
    Alias(String),
    /// Two dependencies go by one name.
    #[error("more than one dependency with name or alias {0:?}")]
    Duplicate(String),
}

impl Classified for Unfit {
    fn class(&self) -> Class {
        Class::Other
    }
}

impl Metadata {
    /// Takes over what `fields`, a `Chart.yaml` or `requirements.yaml`, says.
    pub(super) fn read(&mut self, fields: &Fields) -> Result<(), Fault> {
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
                    maintainer
                        .as_ref()
                        .map_or(Err(Fault::Unfit(Unfit::EmptyNode("maintainers"))), Maintainer::read)
                })
                .collect::<Result<_, _>>()?;
        }
        if let Some(dependencies) = fields.structures("dependencies", "v2.Dependency")? {
            self.dependencies = Some(
                dependencies
                    .iter()
                    .map(|dependency| {
                        dependency
                            .as_ref()
                            .map_or(Err(Fault::Unfit(Unfit::EmptyNode("dependencies"))), Dependency::read)
                    })
                    .collect::<Result<_, _>>()?,
            );
        }
        Ok(())
    }

    /// Makes text printable, then checks what must hold.
    pub(super) fn validate(&mut self) -> Result<(), Unfit> {
        self.clean();
        if self.api_version.is_empty() {
            return Err(Unfit::Missing("apiVersion"));
        }
        if self.name.is_empty() {
            return Err(Unfit::Missing("name"));
        }
        if self.name == "." || self.name == ".." {
            return Err(Unfit::ForbiddenName(self.name.clone()));
        }
        if self.name.contains('/') {
            return Err(Unfit::Name(self.name.clone()));
        }
        if self.version.is_empty() {
            return Err(Unfit::Missing("version"));
        }
        if Version::parse(&self.version).is_err() {
            return Err(Unfit::Version(self.version.clone()));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return Err(Unfit::Kind);
        }
        let mut names = BTreeSet::new();
        for dependency in self.dependencies.iter().flatten() {
            dependency.validate()?;
            let name = if dependency.alias.is_empty() { &dependency.name } else { &dependency.alias };
            if !names.insert(name) {
                return Err(Unfit::Duplicate(name.clone()));
            }
        }
        Ok(())
    }

    /// Whether it only lends its templates to others.
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
    fn read(fields: &Fields) -> Result<Self, Fault> {
        let mut this = Self::default();
        fields.text("name", &mut this.name)?;
        fields.text("email", &mut this.email)?;
        fields.text("url", &mut this.url)?;
        Ok(this)
    }
}

impl Dependency {
    fn read(fields: &Fields) -> Result<Self, Fault> {
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

    fn validate(&self) -> Result<(), Unfit> {
        let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
        if self.alias.chars().all(is_plain) { Ok(()) } else { Err(Unfit::Alias(self.name.clone())) }
    }
}

/// Helm's `sanitizeString`: every space a plain one, nothing that cannot be seen.
fn printable(text: &mut String) {
    *text = text
        .chars()
        .map(|character| if character.is_whitespace() { ' ' } else { character })
        .filter(|character| is_print(*character))
        .collect();
}

//! A chart that the mirror file names, rendered to learn its images.

use std::path::PathBuf;
use std::time::Duration;

use helm::{Capabilities, Chart, KubeVersion, Limits, Options, Rendered, Values};
use regex::Regex;

use crate::discover::{Discovery, discover};
use crate::mirror::Error;

/// How a chart is rendered to learn its images.
#[derive(Clone, Debug, Default)]
pub struct ChartImages {
    /// Values files, the later over the earlier.
    pub values: Vec<PathBuf>,
    /// `--set` expressions, over the files.
    pub set: Vec<String>,
    /// The Kubernetes version that templates are told; Helm's default when absent.
    pub kube_version: Option<String>,
    /// API versions that templates find beside the built-in ones.
    pub api_versions: Vec<String>,
    /// What finds images in any text of the rendered objects.
    pub patterns: Vec<Regex>,
}

impl ChartImages {
    /// The images that `chart`, named `name` in messages, comes to.
    ///
    /// # Errors
    /// When values cannot be read, or the chart does not render with them.
    pub fn find(&self, chart: &Chart, name: &str) -> Result<Discovery, Error> {
        let failed = |source| Error::Render { chart: name.to_owned(), source: Box::new(source) };
        let rendered = self.render(chart).map_err(failed)?;
        discover(&rendered, &self.patterns)
            .map_err(|source| Error::RenderedYaml { chart: name.to_owned(), source: Box::new(source) })
    }

    /// Time and randomness are fixed, so that a mirror file comes to the same images whenever it is read.
    fn render(&self, chart: &Chart) -> Result<Rendered, helm::Error> {
        let mut options = Options::new("release", "default", [0; 32], Duration::ZERO);
        options.values = self.user_values(&options.limits)?;
        let mut capabilities = Capabilities::default();
        if let Some(version) = &self.kube_version {
            capabilities.kube_version = KubeVersion::parse(version)?;
        }
        capabilities.api_versions.extend(self.api_versions.iter().cloned());
        options.capabilities = capabilities;
        helm::render(chart, &options)
    }

    fn user_values(&self, limits: &Limits) -> Result<Values, helm::Error> {
        let mut values = Values::default();
        for path in &self.values {
            let text =
                std::fs::read(path).map_err(|source| helm::Error::Read { path: path.clone(), source })?;
            values.merge(Values::from_yaml(&text, limits)?);
        }
        for expression in &self.set {
            values.set(expression)?;
        }
        Ok(values)
    }
}

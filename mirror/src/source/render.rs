//! Renders a chart of the mirror file to find its images.

use std::path::PathBuf;
use std::time::Duration;

use chart_images::{CHART_FILE, Discovery, discover};
use helm::{Capabilities, Chart, KubeVersion, Limits, Options, Rendered, SchemaCheck, Values};
use regex::Regex;

use crate::Error;
use crate::source::url::without_secrets;

/// How to render a chart to find its images.
#[derive(Clone, Debug, Default)]
pub struct ChartImages {
    /// Values files; later files override earlier ones.
    pub values: Vec<PathBuf>,
    /// `--set` expressions; they override the files.
    pub set: Vec<String>,
    /// The Kubernetes version to render for. Default: Helm's default.
    pub kube_version: Option<String>,
    /// API versions that are available to templates, in addition to the built-in ones.
    pub api_versions: Vec<String>,
    /// Whether to skip validation of the values against the chart's schema, like Helm's `--skip-schema-validation`.
    pub skip_schema: bool,
    /// Patterns that find images in any string of the rendered objects.
    pub patterns: Vec<Regex>,
}

impl ChartImages {
    /// The images in the rendered objects of `chart`, and the images that it declares. `name` is for messages.
    ///
    /// # Errors
    /// When the values cannot be read, the chart does not render with them, or a dependency of the chart is missing.
    pub fn find(&self, chart: &Chart, name: &str) -> Result<(Discovery, Vec<String>), Error> {
        if !self.skip_schema
            && let Some(url) = remote_schema(chart)
        {
            return Err(Error::RemoteSchema { chart: name.to_owned(), url });
        }
        let failed = |source| Error::Render { chart: name.to_owned(), source: Box::new(source) };
        chart.check_dependencies().map_err(failed)?;
        let rendered = self.render(chart).map_err(failed)?;
        let mut found = discover(chart, &rendered, &self.patterns)
            .map_err(|source| Error::RenderedYaml { chart: name.to_owned(), source: Box::new(source) })?;
        // Images that a chart declares but does not render with these values are reported, not mirrored.
        found.images.retain(|image| image.places.iter().any(|place| place.template != CHART_FILE));
        Ok((found, declared_images(chart)))
    }

    /// Renders with fixed time and randomness, so that a mirror file always gives the same images.
    fn render(&self, chart: &Chart) -> Result<Rendered, helm::Error> {
        let mut options = Options::new("release", "default", [0; 32], Duration::ZERO);
        options.values = self.user_values(&options.limits)?;
        let mut capabilities = Capabilities::default();
        if let Some(version) = &self.kube_version {
            capabilities.kube_version = KubeVersion::parse(version)?;
        }
        capabilities.api_versions.extend(self.api_versions.iter().cloned());
        options.capabilities = capabilities;
        if self.skip_schema {
            options.schema = SchemaCheck::Skip;
        }
        helm::render(chart, &options)
    }

    fn user_values(&self, limits: &Limits) -> Result<Values, helm::Error> {
        let mut values = Values::default();
        for path in &self.values {
            let failed = |source| helm::Error::Read { path: path.clone(), source };
            let text = input::read(path, limits.file_bytes).map_err(failed)?;
            values.merge(Values::from_yaml(&text, limits)?);
        }
        for expression in &self.set {
            values.set(expression)?;
        }
        Ok(values)
    }
}

/// A URL that a schema of the chart refers to; remote schemas are not fetched.
fn remote_schema(chart: &Chart) -> Option<String> {
    let schema = chart.schema().and_then(|text| serde_json::from_slice(text).ok());
    let own = schema.and_then(|schema: serde_json::Value| remote(&schema));
    own.or_else(|| chart.charts().iter().find_map(remote_schema))
}

// The JSON parser limits the depth of this recursion.
fn remote(schema: &serde_json::Value) -> Option<String> {
    let is_remote = |text: &&str| text.starts_with("http://") || text.starts_with("https://");
    match schema {
        serde_json::Value::Object(members) => members
            .get("$ref")
            .and_then(serde_json::Value::as_str)
            .filter(is_remote)
            .filter(|url| !url.contains("json-schema.org/"))
            .map(without_secrets)
            .or_else(|| members.values().find_map(remote)),
        serde_json::Value::Array(items) => items.iter().find_map(remote),
        _ => None,
    }
}

/// The images in a chart's annotation `artifacthub.io/images`, as far as it can be parsed.
fn declared_images(chart: &Chart) -> Vec<String> {
    let Some(text) = chart.metadata().annotations.get("artifacthub.io/images") else { return Vec::new() };
    let list = gostd::yaml::parse(text, &Limits::default()).unwrap_or_default();
    let images = list.as_array().into_iter().flatten().filter_map(|entry| entry["image"].as_str());
    images.map(str::to_owned).collect()
}

//! `airlock chart explain`: describes a chart by rendering it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use chart_images::discover;
use helm::{Chart, Lookup, Rendered};
use serde::Serialize;

use super::documents;
use super::load::{ChartRender, chart, options};
use crate::failure::Status;
use crate::printer::Printer;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    name: String,
    version: String,
    app_version: String,
    kube_version: String,
    description: String,
    charts: Vec<String>,
    missing: Vec<String>,
    objects: BTreeMap<String, usize>,
    hooks: Vec<Hook>,
    crds: Vec<String>,
    images: Vec<String>,
    /// The chart's lookups in the cluster, which found nothing here.
    lookups: Vec<String>,
    /// Objects that differ in another render: passwords, certificates, times.
    changing: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    object: String,
    template: String,
    events: Vec<&'static str>,
    weight: i64,
}

/// Records lookups, and finds nothing.
#[derive(Default)]
struct LookupRecorder(Mutex<BTreeSet<String>>);

impl Lookup for LookupRecorder {
    fn lookup(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<serde_json::Value>, String> {
        let scope = if namespace.is_empty() { String::new() } else { format!(" in {namespace}") };
        let what = if name.is_empty() { "all".to_owned() } else { name.to_owned() };
        let line = format!("{api_version} {kind} {what}{scope}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(line);
        Ok(None)
    }
}

pub(super) fn run(settings: &ChartRender, printer: &Printer) -> anyhow::Result<Status> {
    let loaded = chart(&settings.chart)?;
    let recorder = LookupRecorder::default();
    let mut options = options(settings)?;
    options.lookup = &recorder;
    let rendered = helm::render(&loaded, &options)?;
    // Another seed and another day: whatever differs depends on them.
    options.seed = options.seed.map(|byte| !byte);
    options.now += std::time::Duration::from_hours(24);
    let again = helm::render(&loaded, &options)?;
    let lookups = recorder.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
    let explanation = explain(&loaded, &rendered, &again, lookups)?;
    printer.result(&explanation, text)?;
    Ok(Status::Done)
}

fn explain(
    chart: &Chart,
    rendered: &Rendered,
    again: &Rendered,
    lookups: Vec<String>,
) -> anyhow::Result<Explanation> {
    let about = chart.metadata();
    let mut objects = BTreeMap::new();
    for manifest in &rendered.manifests {
        *objects.entry(manifest.kind.clone()).or_insert(0) += 1;
    }
    let hook = |hook: &helm::Hook| Hook {
        object: format!("{}/{}", hook.kind, hook.name),
        template: hook.path.clone(),
        events: hook.events.iter().map(|event| event.as_str()).collect(),
        weight: hook.weight,
    };
    let (before, after) = (documents(rendered, false), documents(again, false));
    let changing = before.iter().filter(|document| {
        !after.iter().any(|other| other.source == document.source && other.content == document.content)
    });
    Ok(Explanation {
        name: chart.name().to_owned(),
        version: chart.version().to_owned(),
        app_version: about.app_version.clone(),
        kube_version: about.kube_version.clone(),
        description: about.description.clone(),
        charts: chart.charts().iter().map(|child| format!("{} {}", child.name(), child.version())).collect(),
        missing: chart.missing_dependencies().into_iter().map(str::to_owned).collect(),
        objects,
        hooks: rendered.hooks.iter().map(hook).collect(),
        crds: rendered.crds.iter().map(|crd| crd.source.clone()).collect(),
        images: discover(chart, rendered, &[])?.images.into_iter().map(|image| image.reference).collect(),
        lookups,
        changing: changing.map(|document| format!("{}/{}", document.kind, document.name)).collect(),
    })
}

fn text(explanation: &Explanation) -> String {
    let mut text = format!("{} {}", explanation.name, explanation.version);
    if !explanation.app_version.is_empty() {
        text += &format!(" (installs {})", explanation.app_version);
    }
    text += &format!("\n{}\n", explanation.description);
    if !explanation.kube_version.is_empty() {
        text += &format!("for Kubernetes {}\n", explanation.kube_version);
    }
    let objects: Vec<String> =
        explanation.objects.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let hooks: Vec<String> = explanation
        .hooks
        .iter()
        .map(|hook| format!("{} at {} (weight {})", hook.object, hook.events.join(", "), hook.weight))
        .collect();
    let lists = [
        ("subcharts", &explanation.charts),
        ("dependencies that are not in the chart", &explanation.missing),
        ("objects", &objects),
        ("hooks", &hooks),
        ("custom resource definitions", &explanation.crds),
        ("images", &explanation.images),
        ("lookups in the cluster", &explanation.lookups),
        ("different in every render", &explanation.changing),
    ];
    for (title, lines) in lists.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        text += &format!("\n{title}:\n");
        text += &lines.iter().map(|line| format!("  {line}\n")).collect::<String>();
    }
    text
}

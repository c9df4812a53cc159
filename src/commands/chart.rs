//! `airlock chart`: renders and inspects charts, without a cluster.

mod dependency;
mod explain;
mod lint;
mod load;
mod template;

use std::path::{Path, PathBuf};

use chart_images::{Discovery, discover};
use clap::{Subcommand, ValueEnum};
use helm::{Chart as Loaded, HookEvent, Rendered, render};
use regex::Regex;
use serde_json::json;

use self::dependency::ChartDependency;
use self::load::{ChartArg, ChartRender, chart, options, whole};
use self::template::ChartPrinted;
use crate::failure::{Status, Usage};
use crate::printer::{Printer, row};

#[derive(Debug, Subcommand)]
pub(crate) enum Chart {
    /// Print the manifests that Helm would install.
    #[command(after_help = "Example: airlock chart template harbor-1.4.0.tgz --set expose.type=loadBalancer")]
    Template {
        #[command(flatten)]
        render: ChartRender,
        #[command(flatten)]
        printed: ChartPrinted,
    },
    /// Manage a chart's dependencies.
    #[command(subcommand)]
    Dependency(ChartDependency),
    /// Examine a chart for possible issues.
    Lint {
        #[command(flatten)]
        render: ChartRender,
        /// Also fail on warnings.
        #[arg(long)]
        strict: bool,
    },
    /// List the images that a chart renders to, and where each is referenced.
    #[command(after_help = "docs/charts.md describes what counts as an image.")]
    Images {
        #[command(flatten)]
        render: ChartRender,
        /// A regular expression that finds more images in any text. The image is its first group, or the
        /// whole match.
        #[arg(long, value_name = "REGEX")]
        pattern: Vec<String>,
    },
    /// Print a file of a chart unchanged.
    Show {
        /// The part to print.
        #[arg(value_enum)]
        part: ChartPart,
        #[command(flatten)]
        chart: ChartArg,
    },
    /// Verify that a packaged chart is signed by a key of a keyring and unchanged, as `helm verify` does.
    #[command(after_help = "Example: airlock chart verify hello-0.1.0.tgz --keyring keyring.gpg\n\n\
        The provenance file is CHART.prov next to the chart or, with --store, the one in the store.")]
    Verify {
        /// A chart's archive, or with `--store` its reference.
        #[arg(value_name = "CHART")]
        chart: String,
        /// OpenPGP public keys, as `gpg --export` writes them.
        #[arg(long, value_name = "FILE")]
        keyring: PathBuf,
        /// Read the chart from this store.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
    },
    /// Describe a chart: subcharts, objects, hooks, lookups, and values that change with each render.
    Explain {
        #[command(flatten)]
        render: ChartRender,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChartPart {
    /// `Chart.yaml`.
    Chart,
    /// `values.yaml`.
    Values,
    /// `values.schema.json`.
    Schema,
    /// The files of `crds/`.
    Crds,
    /// `README.md`.
    Readme,
}

pub(crate) fn run(settings: &Chart, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Chart::Template { render, printed } => template::run(render, printed, printer),
        Chart::Dependency(command) => dependency::run(command, printer),
        Chart::Lint { render, strict } => lint::run(render, *strict, printer),
        Chart::Images { render, pattern } => images(render, pattern, printer),
        Chart::Show { part, chart } => show(*part, &self::chart(chart)?, printer),
        Chart::Verify { chart, keyring, store } => verify(chart, keyring, store.as_deref(), printer),
        Chart::Explain { render } => explain::run(render, printer),
    }
}

/// Prints the signer of a chart, as `helm verify` does.
fn verify(chart: &str, keyring: &Path, store: Option<&Path>, printer: &Printer) -> anyhow::Result<Status> {
    let (signed_by, digest) = load::signed(chart, &load::packed(chart, store)?, keyring)?;
    let value = json!({ "signedBy": signed_by.user, "key": signed_by.fingerprint, "digest": digest });
    printer.result(&value, |_| {
        row(&format!("signed by {}", signed_by.user))
            + &row(&format!("using key with fingerprint {}", signed_by.fingerprint))
            + &format!("chart hash verified: {digest}\n")
    })?;
    Ok(Status::Done)
}

/// A rendered document, with its template.
struct Document<'a> {
    source: &'a str,
    kind: &'a str,
    name: &'a str,
    hook: bool,
    test: bool,
    content: &'a str,
}

fn documents(rendered: &Rendered, no_hooks: bool) -> Vec<Document<'_>> {
    let manifests = rendered.manifests.iter().map(|manifest| Document {
        source: &manifest.source,
        kind: &manifest.kind,
        name: &manifest.name,
        hook: false,
        test: false,
        content: &manifest.content,
    });
    let hooks = rendered.hooks.iter().filter(|_| !no_hooks).map(|hook| Document {
        source: &hook.path,
        kind: &hook.kind,
        name: &hook.name,
        hook: true,
        test: hook.events.contains(&HookEvent::Test),
        content: &hook.manifest,
    });
    manifests.chain(hooks).collect()
}

fn images(settings: &ChartRender, patterns: &[String], printer: &Printer) -> anyhow::Result<Status> {
    let patterns = patterns.iter().map(|pattern| {
        let hint = "use the syntax of Rust's crate `regex`";
        Regex::new(pattern).map_err(|error| Usage { message: error.to_string(), hint })
    });
    let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
    let chart = whole(&settings.chart)?;
    let rendered = render(&chart, &options(settings)?)?;
    let found = discover(&chart, &rendered, &patterns)?;
    for (place, text) in &found.unusable {
        printer.say(&format!("{} {}: `{text}` is not an image reference", place.object, place.field));
    }
    for (place, reference) in &found.untaken {
        printer.say(&format!(
            "note: {} {}: `{reference}` looks like an image but is not counted as one; to count it, use --pattern",
            place.object, place.field
        ));
    }
    printer.result(&found, image_text)?;
    Ok(Status::Done)
}

fn image_text(found: &Discovery) -> String {
    let lines = found.images.iter().map(|image| {
        let places = image
            .places
            .iter()
            .map(|place| format!("    {}  {}  {}\n", place.template, place.object, place.field));
        format!("{}\n{}", image.reference, places.collect::<String>())
    });
    lines.collect()
}

fn show(part: ChartPart, chart: &Loaded, printer: &Printer) -> anyhow::Result<Status> {
    let under = |folder: &'static str| chart.files().filter(move |(name, _)| name.starts_with(folder));
    let named = |wanted: &str| chart.files().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let text = match part {
        ChartPart::Chart => lossy(chart.metadata_text()),
        ChartPart::Values => lossy(chart.values_text()),
        ChartPart::Schema => lossy(chart.schema().unwrap_or_default()),
        ChartPart::Readme => named("README.md").map(|(_, text)| lossy(text)).unwrap_or_default(),
        ChartPart::Crds => {
            under("crds/").map(|(name, text)| format!("---\n# Source: {name}\n{}\n", lossy(text))).collect()
        }
    };
    if text.is_empty() {
        printer.say("the chart does not contain this part");
    }
    printer.rendered(&json!({ "text": text }), &text)?;
    Ok(Status::Done)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

//! Arguments of `airlock chart`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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

/// The part of a rendered chart to print, and the output.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a command-line flag")]
pub(crate) struct ChartPrinted {
    /// Print only the output of these templates, such as `templates/service.yaml` or `templates/*.yaml`, in this order. Can be
    /// repeated.
    #[arg(long, short, value_name = "TEMPLATE", value_delimiter = ',')]
    pub(crate) show_only: Vec<String>,
    /// Include the files of `crds/` first.
    #[arg(long)]
    pub(crate) include_crds: bool,
    /// Exclude hooks.
    #[arg(long)]
    pub(crate) no_hooks: bool,
    /// Exclude test hooks.
    #[arg(long)]
    pub(crate) skip_tests: bool,
    /// Render as for an upgrade.
    #[arg(long)]
    pub(crate) is_upgrade: bool,
    /// Write each template's output to a file below this folder instead of printing it.
    #[arg(long, value_name = "DIR", conflicts_with = "show_only")]
    pub(crate) output_dir: Option<PathBuf>,
    /// A program that reads the manifests on standard input and prints the manifests to use instead.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "output_dir")]
    pub(crate) post_renderer: Option<PathBuf>,
    /// An argument of the post-renderer. Can be repeated.
    #[arg(long, value_name = "ARGUMENT", requires = "post_renderer", allow_hyphen_values = true)]
    pub(crate) post_renderer_args: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChartDependency {
    /// List the dependencies that `Chart.yaml` declares, and whether each is in `charts/`.
    List {
        #[command(flatten)]
        chart: ChartArg,
    },
    /// Copy declared dependencies into `charts/`: those with a `file://` repository and, with `--store`,
    /// those in the store.
    #[command(after_help = "Example: airlock chart dependency build ./shop --store store")]
    Build {
        /// The chart's folder.
        #[arg(value_name = "CHART")]
        chart: PathBuf,
        /// Read charts from this store.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
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

#[derive(Debug, Args)]
pub(crate) struct ChartArg {
    /// The folder or archive of a chart or, with `--store`, its reference.
    #[arg(value_name = "CHART")]
    pub(crate) chart: String,
    /// Read the chart from this store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Use the chart only if a key of the keyring signed its provenance file.
    #[arg(long, requires = "keyring")]
    pub(crate) verify: bool,
    /// OpenPGP public keys, as `gpg --export` writes them.
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub(crate) keyring: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ChartRender {
    #[command(flatten)]
    pub(crate) chart: ChartArg,
    /// The release's name.
    #[arg(long, default_value = "release-name", value_name = "NAME")]
    pub(crate) name: String,
    /// The release's namespace.
    #[arg(long, short, default_value = "default")]
    pub(crate) namespace: String,
    /// Values files. Each overrides the chart's values and earlier files. `-` reads standard input.
    #[arg(long, short = 'f', value_name = "FILE", value_delimiter = ',')]
    pub(crate) values: Vec<PathBuf>,
    /// Set values on the command line, such as `a.b=1,c[0]=x`. They override files.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Set string values.
    #[arg(long, value_name = "KEY=TEXT")]
    pub(crate) set_string: Vec<String>,
    /// Set JSON values.
    #[arg(long, value_name = "KEY=JSON")]
    pub(crate) set_json: Vec<String>,
    /// Set values from the content of files.
    #[arg(long, value_name = "KEY=FILE")]
    pub(crate) set_file: Vec<String>,
    /// Set one literal string value.
    #[arg(long, value_name = "KEY=TEXT")]
    pub(crate) set_literal: Vec<String>,
    /// The Kubernetes version for `.Capabilities.KubeVersion`.
    #[arg(long, value_name = "VERSION")]
    pub(crate) kube_version: Option<String>,
    /// API versions for `.Capabilities.APIVersions`, such as `monitoring.coreos.com/v1`.
    #[arg(long, short, value_name = "VERSION", value_delimiter = ',')]
    pub(crate) api_versions: Vec<String>,
    /// Do not validate values against the chart's schema.
    #[arg(long)]
    pub(crate) skip_schema_validation: bool,
    /// 64 hex digits from which all passwords and certificates are generated, for reproducible output. Default: random.
    #[arg(long, value_name = "HEX")]
    pub(crate) seed: Option<String>,
}

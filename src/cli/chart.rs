//! What is typed about charts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum Chart {
    /// Print what Helm would install.
    #[command(after_help = "Example: airlock chart template harbor-1.4.0.tgz --set expose.type=loadBalancer")]
    Template {
        #[command(flatten)]
        render: ChartRender,
        #[command(flatten)]
        printed: ChartPrinted,
    },
    /// Manage the charts that a chart depends on.
    #[command(subcommand)]
    Dependency(ChartDependency),
    /// Find what is wrong with a chart.
    Lint {
        #[command(flatten)]
        render: ChartRender,
        /// Fail on warnings, too.
        #[arg(long)]
        strict: bool,
    },
    /// List the images that a chart comes to, and where each is named.
    #[command(after_help = "What counts as an image is told in docs/charts.md.")]
    Images {
        #[command(flatten)]
        render: ChartRender,
        /// A regular expression that finds more images in any text: its first group, or all of it.
        #[arg(long, value_name = "REGEX")]
        pattern: Vec<String>,
    },
    /// Print a part of a chart as it was written.
    Show {
        /// Which part.
        #[arg(value_enum)]
        part: ChartPart,
        #[command(flatten)]
        chart: ChartArg,
    },
    /// Check that a packaged chart is signed by a key of a keyring, and was not changed since, as `helm verify` does.
    #[command(after_help = "Example: airlock chart verify hello-0.1.0.tgz --keyring keyring.gpg\n\n\
        The provenance file, CHART.prov, lies beside the chart; with --store it is the one that the store has.")]
    Verify {
        /// A chart's archive, or with `--store` its reference.
        #[arg(value_name = "CHART")]
        chart: String,
        /// OpenPGP public keys, as `gpg --export` writes them.
        #[arg(long, value_name = "FILE")]
        keyring: PathBuf,
        /// Take the chart out of this store.
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
    },
    /// Tell what a chart does: sub-charts, objects, hooks, look-ups, and what changes with each render.
    Explain {
        #[command(flatten)]
        render: ChartRender,
    },
}

/// What of a rendered chart is printed, and where.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is typed or not")]
pub(crate) struct ChartPrinted {
    /// Print only what these templates make, for example `templates/service.yaml` or `templates/*.yaml`; may be given
    /// several times, and is printed in that order.
    #[arg(long, short, value_name = "TEMPLATE", value_delimiter = ',')]
    pub(crate) show_only: Vec<String>,
    /// Begin with the files of `crds/`.
    #[arg(long)]
    pub(crate) include_crds: bool,
    /// Leave hooks out.
    #[arg(long)]
    pub(crate) no_hooks: bool,
    /// Leave out hooks that are tests.
    #[arg(long)]
    pub(crate) skip_tests: bool,
    /// Render as for an upgrade.
    #[arg(long)]
    pub(crate) is_upgrade: bool,
    /// Write each template's output to a file below this folder instead of printing it.
    #[arg(long, value_name = "DIR", conflicts_with = "show_only")]
    pub(crate) output_dir: Option<PathBuf>,
    /// A program that gets the manifests on its standard input and prints those to use instead.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "output_dir")]
    pub(crate) post_renderer: Option<PathBuf>,
    /// An argument of that program; may be given several times.
    #[arg(long, value_name = "ARGUMENT", requires = "post_renderer", allow_hyphen_values = true)]
    pub(crate) post_renderer_args: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChartDependency {
    /// List what `Chart.yaml` declares, and whether it is in `charts/`.
    List {
        #[command(flatten)]
        chart: ChartArg,
    },
    /// Put declared charts into `charts/`: those with a `file://` repository, and with `--store` those that it has.
    #[command(after_help = "Example: airlock chart dependency build ./shop --store store")]
    Build {
        /// The chart's folder.
        #[arg(value_name = "CHART")]
        chart: PathBuf,
        /// Take charts out of this store.
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
    /// A chart's folder or archive, or with `--store` its reference.
    #[arg(value_name = "CHART")]
    pub(crate) chart: String,
    /// Take the chart out of this store.
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
    /// Files of values, over the chart's own, the later over the earlier; `-` reads standard input.
    #[arg(long, short = 'f', value_name = "FILE", value_delimiter = ',')]
    pub(crate) values: Vec<PathBuf>,
    /// Values, over those of files: `a.b=1,c[0]=x`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Values that are text.
    #[arg(long, value_name = "KEY=TEXT")]
    pub(crate) set_string: Vec<String>,
    /// Values in JSON.
    #[arg(long, value_name = "KEY=JSON")]
    pub(crate) set_json: Vec<String>,
    /// Values that are the content of files.
    #[arg(long, value_name = "KEY=FILE")]
    pub(crate) set_file: Vec<String>,
    /// One value whose text is taken as it is.
    #[arg(long, value_name = "KEY=TEXT")]
    pub(crate) set_literal: Vec<String>,
    /// The Kubernetes version that templates are told.
    #[arg(long, value_name = "VERSION")]
    pub(crate) kube_version: Option<String>,
    /// API versions that templates find in the cluster, for example `monitoring.coreos.com/v1`.
    #[arg(long, short, value_name = "VERSION", value_delimiter = ',')]
    pub(crate) api_versions: Vec<String>,
    /// Do not check the values by the chart's schema.
    #[arg(long)]
    pub(crate) skip_schema_validation: bool,
    /// 64 hex digits from which all passwords and certificates are made: the same give the same. Random unless given.
    #[arg(long, value_name = "HEX")]
    pub(crate) seed: Option<String>,
}

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
        /// Print only what these templates make; may be given several times.
        #[arg(long, short, value_name = "TEMPLATE")]
        show_only: Vec<String>,
        /// Begin with the files of `crds/`.
        #[arg(long)]
        include_crds: bool,
        /// Leave hooks out.
        #[arg(long)]
        no_hooks: bool,
        /// Render as for an upgrade.
        #[arg(long)]
        is_upgrade: bool,
    },
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
    /// Tell what a chart does: sub-charts, objects, hooks, look-ups, and what changes with each render.
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

#[derive(Debug, Args)]
pub(crate) struct ChartArg {
    /// A chart's folder or archive, or with `--store` its reference.
    #[arg(value_name = "CHART")]
    pub(crate) chart: String,
    /// Take the chart out of this store.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
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
    /// A file of values, over the chart's own; may be given several times, the later over the earlier.
    #[arg(long, short = 'f', value_name = "FILE")]
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
    /// An API version that templates find in the cluster, for example `monitoring.coreos.com/v1`.
    #[arg(long, short, value_name = "VERSION")]
    pub(crate) api_versions: Vec<String>,
    /// Do not check the values by the chart's schema.
    #[arg(long)]
    pub(crate) skip_schema_validation: bool,
    /// 64 hex digits from which all passwords and certificates are made: the same give the same. Random unless given.
    #[arg(long, value_name = "HEX")]
    pub(crate) seed: Option<String>,
}

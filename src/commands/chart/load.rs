//! A chart and its render options, from the arguments.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use bundle_signer::openpgp::SignedBy;
use clap::Args;
use helm::{Capabilities, Chart, Keys, KubeVersion, Limits, Options, SchemaCheck, Values};
use mirror::{MOST_PROVENANCE, StoredChart, stored_chart, verify_chart};
use oci::Digest;
use store::Store;

use crate::failure::{Missing, Usage, unusable};

/// The maximum size of an archive, as in Helm.
const MAX_ARCHIVE: u64 = 64 << 20;

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

/// Loads a folder, an archive, or a chart of a store. If it must be signed, exactly the signed bytes are loaded.
pub(super) fn chart(argument: &ChartArg) -> anyhow::Result<Chart> {
    let limits = Limits::default();
    let name = &argument.chart;
    let message = format!("`{name}` is not a usable chart");
    let packed = if let Some(keyring) = argument.keyring.as_ref().filter(|_| argument.verify) {
        let packed = packed(name, argument.store.as_deref())?;
        signed(name, &packed, keyring)?;
        packed
    } else if argument.store.is_some() {
        packed(name, argument.store.as_deref())?
    } else {
        let path = Path::new(name);
        if path.is_dir() {
            return Chart::from_directory(path, &limits).map_err(unusable(message));
        }
        let file = input::open(path).with_context(|| format!("cannot open chart `{name}`"))?;
        return Chart::from_archive(file, &limits).map_err(unusable(message));
    };
    Chart::from_archive(packed.archive.as_slice(), &limits).map_err(unusable(message))
}

/// A packaged chart with its provenance, from a store or a file.
pub(super) fn packed(name: &str, store: Option<&Path>) -> anyhow::Result<StoredChart> {
    if let Some(store) = store {
        let store = Store::open_existing(store)?;
        let chart = stored_chart(&store, name)?.ok_or_else(|| Missing {
            message: format!("chart `{name}` is not in the store"),
            hint: Some("`airlock store list` lists the charts: give the host, repository and tag"),
        })?;
        return Ok(chart);
    }
    if Path::new(name).is_dir() {
        let message = format!("`{name}` is a folder, and only packaged charts are signed");
        let hint = "package and sign it: helm package --sign";
        return Err(Usage { message, hint }.into());
    }
    let archive = input::read(Path::new(name), MAX_ARCHIVE);
    let archive = archive.with_context(|| format!("cannot open chart `{name}`"))?;
    let provenance = read_limited(Path::new(&format!("{name}.prov")), MOST_PROVENANCE)?;
    Ok(StoredChart { archive, provenance })
}

/// Verifies the signature of a chart. Returns its signer and its digest.
pub(super) fn signed(name: &str, chart: &StoredChart, keyring: &Path) -> anyhow::Result<(SignedBy, Digest)> {
    let missing = || mirror::Error::NoProvenance(name.to_owned());
    let provenance = chart.provenance.as_deref().ok_or_else(missing)?;
    let digest = Digest::sha256(&chart.archive);
    Ok((verify_chart(name, provenance, keyring, chart.archive.as_slice(), &digest)?, digest))
}

/// Reads a file of a limited size, if it exists.
fn read_limited(path: &Path, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
    let failed = || format!("cannot read `{}`", path.display());
    match input::read(path, limit) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).with_context(failed),
    }
}

/// Loads a chart that is not a library, with all its declared dependencies, as Helm requires before it renders a chart.
pub(super) fn whole(argument: &ChartArg) -> anyhow::Result<Chart> {
    let chart = chart(argument)?;
    chart.check_installable()?;
    chart.check_dependencies()?;
    Ok(chart)
}

/// The render options. The time is the current time, and random values are random unless a seed is given.
pub(super) fn options(settings: &ChartRender) -> anyhow::Result<Options<'static>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut options = Options::new(&settings.name, &settings.namespace, seed(settings)?, now);
    if settings.seed.is_some() {
        options.keys = Keys::Named;
    }
    options.values = values(settings, &options.limits)?;
    let mut capabilities = Capabilities::default();
    if let Some(version) = &settings.kube_version {
        capabilities.kube_version = KubeVersion::parse(version)?;
    }
    capabilities.api_versions.extend(settings.api_versions.iter().cloned());
    options.capabilities = capabilities;
    if settings.skip_schema_validation {
        options.schema = SchemaCheck::Skip;
    }
    Ok(options)
}

/// Files first, then the flags, in Helm's order of kinds.
fn values(settings: &ChartRender, limits: &Limits) -> anyhow::Result<Values> {
    let mut values = Values::default();
    for path in &settings.values {
        let text = read(path, limits.file_bytes)?;
        let read = Values::from_yaml(&text, limits);
        values.merge(read.map_err(unusable(format!("`{}` cannot be used", path.display())))?);
    }
    for expression in &settings.set_json {
        values.set_json(expression)?;
    }
    for expression in &settings.set {
        values.set(expression)?;
    }
    for expression in &settings.set_string {
        values.set_string(expression)?;
    }
    for expression in &settings.set_file {
        let mut absent = false;
        let set = values.set_file(expression, &mut |path| {
            let read = input::read_text(Path::new(path), limits.file_bytes);
            absent |= read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            read
        });
        // Helm's text of the error has no cause.
        if let Err(error) = set {
            let message = error.to_string();
            return Err(if absent { Missing { message, hint: None }.into() } else { error.into() });
        }
    }
    for expression in &settings.set_literal {
        values.set_literal(expression)?;
    }
    Ok(values)
}

/// Reads a values file, or standard input for `-`.
fn read(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let read = input::read_from(std::io::stdin().lock(), limit);
        return read.context("cannot read the values from standard input");
    }
    input::read(path, limit).with_context(|| format!("cannot read `{}`", path.display()))
}

fn seed(settings: &ChartRender) -> anyhow::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let Some(text) = &settings.seed else {
        getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("cannot get random bytes: {error}"))?;
        return Ok(seed);
    };
    let digits: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    let digits = digits.filter(|digits| digits.len() == 64);
    let wrong = || Usage { message: format!("`{text}` is not a seed"), hint: "a seed is 64 hex digits" };
    for (byte, pair) in seed.iter_mut().zip(digits.ok_or_else(wrong)?.chunks(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
    }
    Ok(seed)
}

//! A chart and its render options, from the arguments.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use bundle_signer::openpgp::SignedBy;
use error_class::{Class, Classified};
use helm::{Capabilities, Chart, Keys, KubeVersion, Limits, Options, SchemaCheck, Values};
use mirror::{MOST_PROVENANCE, StoredChart, stored_chart, verify_chart};
use oci::Digest;
use store::Store;

use crate::cli::{ChartArg, ChartRender};
use crate::failure::Usage;

/// The maximum size of an archive, as in Helm.
const MAX_ARCHIVE: u64 = 64 << 20;

/// Loads a folder, an archive, or a chart of a store. If it must be signed, exactly the signed bytes are loaded.
pub(super) fn chart(argument: &ChartArg) -> anyhow::Result<Chart> {
    let limits = Limits::default();
    let name = &argument.chart;
    let context = || format!("`{name}` is not a usable chart");
    let packed = if let Some(keyring) = argument.keyring.as_ref().filter(|_| argument.verify) {
        let packed = packed(name, argument.store.as_deref())?;
        signed(name, &packed, keyring)?;
        packed
    } else if argument.store.is_some() {
        packed(name, argument.store.as_deref())?
    } else {
        let path = Path::new(name);
        if path.is_dir() {
            return Chart::from_directory(path, &limits).with_context(context);
        }
        let file = input::open(path).with_context(|| format!("cannot open chart `{name}`"))?;
        return Chart::from_archive(file, &limits).with_context(context);
    };
    Chart::from_archive(packed.archive.as_slice(), &limits).with_context(context)
}

/// A packaged chart with its provenance, from a store or a file.
pub(super) fn packed(name: &str, store: Option<&Path>) -> anyhow::Result<StoredChart> {
    if let Some(store) = store {
        let store = Store::open_existing(store)?;
        return Ok(stored_chart(&store, name)?.ok_or_else(|| NoChart(name.to_owned()))?);
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

/// The store has no chart of this name.
#[derive(Debug, thiserror::Error)]
#[error("chart `{0}` is not in the store")]
pub(crate) struct NoChart(String);

impl NoChart {
    /// The hint about this error.
    pub(crate) fn hint(&self) -> &'static str {
        "`airlock store list` lists the charts: give the host, repository and tag"
    }
}

impl Classified for NoChart {
    fn class(&self) -> Class {
        Class::Missing
    }
}

/// Verifies the signature of a chart. Returns its signer and its digest.
pub(super) fn signed(name: &str, chart: &StoredChart, keyring: &Path) -> anyhow::Result<(SignedBy, Digest)> {
    let missing = || mirror::Error::NoProvenance(name.to_owned());
    let provenance = chart.provenance.as_deref().ok_or_else(missing)?;
    let digest = Digest::sha256(&chart.archive);
    Ok((verify_chart(name, provenance, keyring, (chart.archive.as_slice(), &digest))?, digest))
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
        values.merge(read.with_context(|| format!("`{}` cannot be used", path.display()))?);
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
        values.set_file(expression, &mut |path| input::read_text(Path::new(path), limits.file_bytes))?;
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

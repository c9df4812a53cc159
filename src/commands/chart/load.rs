//! A chart and its render options from what was typed.

use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use helm::{Capabilities, Chart, Keys, KubeVersion, Limits, Options, SchemaCheck, Values};
use store::Store;

use crate::cli::{ChartArg, ChartRender};
use crate::failure::Usage;

/// Loads a folder, an archive, or a chart of a store.
pub(super) fn chart(argument: &ChartArg) -> anyhow::Result<Chart> {
    let limits = Limits::default();
    let name = &argument.chart;
    let context = || format!("`{name}` is not a chart that can be used");
    if let Some(store) = &argument.store {
        let store = Store::open_existing(store)?;
        let archive = packager::mirror::stored_chart(&store, name)?;
        let message = format!("chart `{name}` is not in the store");
        let missing =
            Usage { message, hint: "`airlock store list` shows what is; name host, repository and tag" };
        return Chart::from_archive(archive.ok_or(missing)?.as_slice(), &limits).with_context(context);
    }
    let path = Path::new(name);
    if path.is_dir() {
        return Chart::from_directory(path, &limits).with_context(context);
    }
    let file = std::fs::File::open(path).with_context(|| format!("cannot open chart `{name}`"))?;
    Chart::from_archive(file, &limits).with_context(context)
}

/// Loads a chart that is no library, with all that it declares to depend on, as Helm demands before it renders one.
pub(super) fn whole(argument: &ChartArg) -> anyhow::Result<Chart> {
    let chart = chart(argument)?;
    chart.check_installable()?;
    chart.check_dependencies()?;
    Ok(chart)
}

/// What the chart is rendered with; time is now, and randomness is random unless a seed is given.
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

/// Files first, then the flags, kind by kind in the order in which Helm takes them.
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
        values.set_file(expression, &mut |path| std::fs::read_to_string(path))?;
    }
    for expression in &settings.set_literal {
        values.set_literal(expression)?;
    }
    Ok(values)
}

/// A file of values, or with `-` standard input.
fn read(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("cannot read `{}`", path.display());
    if path != Path::new("-") {
        return std::fs::read(path).with_context(failed);
    }
    let mut text = Vec::new();
    std::io::stdin().lock().take(most + 1).read_to_end(&mut text).with_context(failed)?;
    if text.len() as u64 > most {
        anyhow::bail!("the values on standard input are larger than {most} bytes");
    }
    Ok(text)
}

fn seed(settings: &ChartRender) -> anyhow::Result<[u8; 32]> {
    let mut seed = [0; 32];
    let Some(text) = &settings.seed else {
        getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no random bytes to be had: {error}"))?;
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

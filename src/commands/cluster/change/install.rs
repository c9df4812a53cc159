//! `airlock install package`: creates a package of the active bundle.

use clap::Args;
use package_api::name::cluster_namespace;
use package_api::{Package, PackageSpec};
use serde_json::{Map, Value, json};

use super::{Line, begin, created, done, end, printed};
use crate::cli::ClusterArg;
use crate::commands::cluster::reach::{ApplyResult, Change, ClusterError, connect, object_name};
use crate::commands::cluster::show::active_bundle;
use crate::failure::{Status, Usage};
use crate::logged::{Logs, Work};
use crate::printer::Printer;

#[derive(Args, Debug)]
pub(crate) struct InstallPackage {
    /// The package's name in the bundle.
    pub(crate) package: String,
    /// The name of this installation.
    #[arg(long, short = 'n', value_name = "NAME")]
    pub(crate) package_name: String,
    #[command(flatten)]
    pub(crate) cluster: ClusterArg,
    /// Set a value of the chart, such as a.b=1. Can be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// The namespace to install in. Default: the chart's own default.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) target_namespace: Option<String>,
    /// Validate with the API server, without changing anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

pub(crate) async fn install(
    settings: &InstallPackage,
    logs: &Logs,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let mut work = begin("install", &settings.package_name, settings.dry_run, logs, printer)?;
    let result = install_package(settings, &mut work, printer).await;
    end(work, result)
}

async fn install_package(
    settings: &InstallPackage,
    work: &mut Option<Work<'_>>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let client = connect(&settings.cluster.reach).await?;
    let bundle = active_bundle(&client, &settings.cluster.cluster).await?;
    let Some(offered) = bundle.spec.package(&settings.package) else {
        let names: Vec<_> = bundle.spec.packages.iter().map(|package| package.name.as_str()).collect();
        let message =
            format!("`{}` has no package `{}`, only {}", bundle.name(), settings.package, names.join(", "));
        return Err(ClusterError::missing(message, None));
    };
    let spec = PackageSpec {
        package_name: offered.name.clone(),
        package_version: None,
        config: config(&settings.set)?,
        target_namespace: settings.target_namespace.clone(),
    };
    let mut package = Package::new(&settings.package_name, spec);
    package.metadata.namespace = Some(cluster_namespace(&settings.cluster.cluster));
    let change = Change::of(settings.dry_run);
    let after = created(&client, &serde_json::to_value(&package)?, change).await?;
    if let Some(work) = work {
        work.evidence("cluster", &settings.cluster.cluster);
        work.evidence("package", &offered.name);
        work.evidence("bundle", bundle.name());
    }
    done(work)?;
    let line = Line {
        object: object_name(&after),
        namespace: after.metadata.namespace.clone(),
        did: ApplyResult::Created,
    };
    printed(&vec![line], change, printer)
}

/// The values of `--set` as a YAML document: dots separate nested maps; `true` and `false` are booleans, all other
/// values are strings, as with `eksctl anywhere`.
fn config(settings: &[(String, String)]) -> anyhow::Result<Option<String>> {
    let mut all = Map::new();
    for (key, value) in settings {
        let value = match value.as_str() {
            "true" => json!(true),
            "false" => json!(false),
            text => json!(text),
        };
        let clash = || Usage {
            message: format!("`{key}` is set twice, or together with a key below it"),
            hint: "set each key once; dots separate nested maps",
        };
        let (path, last) =
            key.rsplit_once('.').map_or((None, key.as_str()), |(path, last)| (Some(path), last));
        let mut table = &mut all;
        for part in path.into_iter().flat_map(|path| path.split('.')) {
            let below = table.entry(part).or_insert_with(|| json!({}));
            table = below.as_object_mut().ok_or_else(clash)?;
        }
        if table.insert(last.to_owned(), value).is_some() {
            return Err(clash().into());
        }
    }
    Ok((!all.is_empty()).then(|| gostd::yaml::write(&Value::Object(all))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_a_document() {
        let set = |pairs: &[(&str, &str)]| {
            config(
                &pairs
                    .iter()
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(set(&[]).unwrap(), None);
        let text = set(&[("a.b", "true"), ("a.c", "1"), ("d", "x")]).unwrap().unwrap();
        assert_eq!(text, "a:\n  b: true\n  c: \"1\"\nd: x\n");
        assert!(set(&[("a", "1"), ("a.b", "2")]).is_err() && set(&[("a", "1"), ("a", "2")]).is_err());
    }
}

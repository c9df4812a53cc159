//! `airlock generate`: starter manifests.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gostd::{Limits, yaml};
use package_api::{Package, PackageBundle, PackageSpec, name};

use crate::failure::{Missing, Status, Usage, unusable};
use crate::files::read;
use crate::printer::Printer;

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// Print a Package manifest to edit and apply.
    #[command(
        visible_alias = "packages",
        after_help = "Example: airlock generate package harbor --cluster mgmt > harbor.yaml"
    )]
    Package(GeneratePackage),
}

#[derive(Debug, Args)]
pub(crate) struct GeneratePackage {
    /// The name of the package in the bundle.
    pub(crate) name: String,
    /// The cluster that the package is for.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: String,
    /// A bundle that must contain the package, YAML.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
}

pub(crate) fn run(settings: &Generate, printer: &Printer) -> anyhow::Result<Status> {
    let Generate::Package(settings) = settings;
    let package = package(settings)?;
    printer.result(&package, |package| {
        serde_json::to_value(package).map(|value| yaml::write(&value)).unwrap_or_default()
    })?;
    Ok(Status::Done)
}

/// Reads a package bundle, YAML.
pub(super) fn read_bundle(path: &Path) -> anyhow::Result<PackageBundle> {
    let text = read(path)?;
    let message = format!("`{}` is not a package bundle", path.display());
    let parse =
        || -> anyhow::Result<_> { Ok(serde_json::from_value(yaml::parse(&text, &Limits::default())?)?) };
    parse().map_err(unusable(message))
}

/// Without defaults, as `eksctl anywhere` prints it.
fn package(settings: &GeneratePackage) -> anyhow::Result<Package> {
    let mut wanted = settings.name.clone();
    if let Some(path) = &settings.bundle {
        let bundle = read_bundle(path)?;
        let found = bundle.spec.package(&wanted).ok_or_else(|| Missing {
            message: format!("`{}` has no package `{wanted}`", path.display()),
            hint: Some("`airlock list packages --bundle FILE` lists the packages"),
        })?;
        wanted.clone_from(&found.name);
    }
    let label = |text: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
    };
    for (what, text) in [("package", wanted.to_lowercase()), ("cluster", settings.cluster.clone())] {
        if !label(&text) || text.len() > 50 {
            let message = format!("`{text}` is not the name of a {what}");
            let hint = "a name is at most 50 lower-case letters, digits and `-`";
            return Err(Usage { message, hint }.into());
        }
    }
    let spec = PackageSpec { package_name: wanted.clone(), ..PackageSpec::default() };
    let mut package = Package::new(&format!("generated-{}", wanted.to_lowercase()), spec);
    package.metadata.namespace = Some(name::cluster_namespace(&settings.cluster));
    Ok(package)
}

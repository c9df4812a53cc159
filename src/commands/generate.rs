//! `airlock generate`: starter manifests.

use gostd::{Limits, yaml};
use package_api::{Package, PackageBundle, PackageSpec, name};

use crate::cli::{Generate, GeneratePackage};
use crate::commands::read;
use crate::failure::{Status, Usage};
use crate::printer::Printer;

pub(crate) fn run(settings: &Generate, printer: &Printer) -> anyhow::Result<Status> {
    let Generate::Package(settings) = settings;
    let package = package(settings)?;
    printer.result(&package, |package| {
        serde_json::to_value(package).map(|value| yaml::write(&value)).unwrap_or_default()
    })?;
    Ok(Status::Done)
}

/// Without defaults, as `eksctl anywhere` prints it.
fn package(settings: &GeneratePackage) -> anyhow::Result<Package> {
    let mut wanted = settings.name.clone();
    if let Some(path) = &settings.bundle {
        let value = yaml::parse(&read(path)?, &Limits::default())?;
        let bundle: PackageBundle = serde_json::from_value(value)?;
        let found = bundle.spec.package(&wanted).ok_or_else(|| Usage {
            message: format!("`{}` has no package `{wanted}`", path.display()),
            hint: "`airlock list packages --bundle FILE` lists the packages",
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

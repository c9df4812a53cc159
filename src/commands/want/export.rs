//! `airlock want export`: a mirror file with what is missing.

use std::path::Path;

use oci::RegistryHost;
use serde::Serialize;
use serde_json::json;
use store::{Store, Wanted, WantedName};

use super::{full_name, is_present};
use crate::failure::{Missing, Status};
use crate::files::Output;
use crate::printer::{Printer, count, row};

const HEAD: &str = "# Manifests that clients asked for and that the registry does not have. Clients choose these names:\n\
                    # review them before you run `airlock mirror -f` with this file.\n";

/// What was written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    file: String,
    images: Vec<WantedName>,
    /// Without an upstream registry, so that no mirror file can name them.
    without_registry: Vec<WantedName>,
}

pub(super) fn export(
    store: &Store,
    to: &Path,
    (name, registries): (&str, &[RegistryHost]),
    printer: &Printer,
) -> anyhow::Result<Status> {
    let output = Output::of(to)?;
    let mut exported =
        Exported { file: to.display().to_string(), images: Vec::new(), without_registry: Vec::new() };
    for Wanted { name, .. } in store.wanted()? {
        let is_chosen =
            registries.is_empty() || name.host.as_ref().is_some_and(|host| registries.contains(host));
        if is_chosen && !is_present(store, &name)? {
            let list =
                if name.host.is_some() { &mut exported.images } else { &mut exported.without_registry };
            list.push(name);
        }
    }
    if exported.images.is_empty() {
        let message = "no missing manifest of an upstream registry is recorded".to_owned();
        let hint = Some("`airlock want list` lists what clients asked for");
        return Err(Missing { message, hint }.into());
    }
    let text = mirror_file(name, &exported);
    output.create(&text)?;
    printer.written(output, &text, &exported, |exported| {
        let skipped = exported.without_registry.iter();
        let skipped =
            skipped.map(|name| row(&format!("left out, because the client named no registry: {name}")));
        skipped.collect::<String>()
            + &format!("wrote {} to {}\n", count(exported.images.len(), "reference"), exported.file)
    })?;
    Ok(Status::Done)
}

/// The mirror file. All names match the grammar of references, so that comments stay comments.
fn mirror_file(name: &str, exported: &Exported) -> String {
    let left_out = exported.without_registry.iter();
    let left_out = left_out.map(|name| format!("# Left out, because the client named no registry: {name}\n"));
    let images = exported.images.iter().filter_map(full_name).map(|image| image.to_string());
    let file = json!({
        "apiVersion": "airlock.dev/v1alpha1",
        "kind": "MirrorConfig",
        "metadata": { "name": name },
        "sources": [{ "images": images.collect::<Vec<_>>() }],
    });
    HEAD.to_owned() + &left_out.collect::<String>() + &gostd::yaml::write(&file)
}

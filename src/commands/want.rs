//! `airlock want`: what clients of the registry asked for and did not get, as the next mirror file.

mod export;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Subcommand;
use oci::{Reference, RegistryHost, Selector};
use serde::Serialize;
use store::{Change, Store, Wanted, WantedName};

use crate::cli::StoreArg;
use crate::clock::rfc3339;
use crate::failure::{Missing, Status};
use crate::printer::{Printer, count, row};

#[derive(Debug, Subcommand)]
pub(crate) enum Want {
    /// List the manifests that clients asked for and that the registry did not have.
    List(StoreArg),
    /// Write a mirror file with the missing manifests, for `airlock mirror` on the connected side.
    #[command(
        after_help = "Review the file: its names come from clients.\nExample: airlock want export --store store --to want.yaml"
    )]
    Export {
        #[command(flatten)]
        store: StoreArg,
        /// The file to write, or `-` for standard output. An existing file is not overwritten.
        #[arg(long, default_value = "-", value_name = "FILE")]
        to: PathBuf,
        /// The name in the mirror file.
        #[arg(long, default_value = "want", value_parser = set_name)]
        name: String,
        /// Only manifests of this registry. Can be repeated.
        #[arg(long, value_name = "HOST")]
        registry: Vec<RegistryHost>,
    },
    /// Clear the list, or only some references.
    #[command(after_help = "Example: airlock want clear --present --store store")]
    Clear {
        #[command(flatten)]
        store: StoreArg,
        /// The references to clear, as `want list` prints them. Default: all.
        #[arg(value_name = "REFERENCE")]
        references: Vec<String>,
        /// Clear only what the store has by now.
        #[arg(long)]
        present: bool,
        /// Print what would be cleared, without clearing it.
        #[arg(long)]
        dry_run: bool,
    },
}

fn set_name(text: &str) -> Result<String, String> {
    let expected = "expected 1 to 64 lower-case letters, digits, `-` and `.`";
    if mirror::lock::is_name(text) { Ok(text.to_owned()) } else { Err(expected.to_owned()) }
}

pub(crate) fn run(settings: &Want, printer: &Printer) -> anyhow::Result<Status> {
    match settings {
        Want::List(arg) => list(&Store::open_to_read(&arg.store)?, printer),
        Want::Export { store, to, name, registry } => {
            export::export(&Store::open_to_read(&store.store)?, to, (name, registry), printer)
        }
        Want::Clear { store, references, present, dry_run } => {
            let open = if *dry_run { Store::open_to_read } else { Store::open_existing };
            let store = open(&store.store)?;
            clear(&store, references, (*present, *dry_run), printer)
        }
    }
}

/// A missing manifest as it is printed.
#[derive(Debug, Serialize)]
struct Line {
    reference: String,
    first: String,
    last: String,
    count: u64,
    clients: Vec<String>,
    /// Whether the store has it by now.
    present: bool,
}

impl Line {
    fn text(&self) -> String {
        let Self { reference, last, count, clients, present, .. } = self;
        let state = if *present { "present" } else { "missing" };
        row(&format!("{state}  {count:>6}  {last}  {reference}  {}", clients.join(", ")))
    }
}

fn list(store: &Store, printer: &Printer) -> anyhow::Result<Status> {
    let line = |Wanted { name, first, last, count, clients }: Wanted| {
        let present = is_present(store, &name)?;
        Ok(Line {
            reference: name.to_string(),
            first: rfc3339(first),
            last: rfc3339(last),
            count,
            clients,
            present,
        })
    };
    let lines = store.wanted()?.into_iter().map(line).collect::<store::Result<Vec<_>>>()?;
    printer.result(&lines, |lines| {
        if lines.is_empty() {
            return "no missing manifests are recorded\n".to_owned();
        }
        lines.iter().map(Line::text).collect()
    })?;
    Ok(Status::Done)
}

/// Whether the store has the manifest by now, where `mirror` and `import` put it.
fn is_present(store: &Store, name: &WantedName) -> store::Result<bool> {
    let repository = match &name.host {
        None => Some(name.repository.clone()),
        Some(host) => host.as_repository().and_then(|prefix| name.repository.below(&prefix)).ok(),
    };
    let Some(repository) = repository else { return Ok(false) };
    Ok(store.resolve(&repository, &name.selector)?.is_some())
}

fn clear(
    store: &Store,
    references: &[String],
    (present, dry_run): (bool, bool),
    printer: &Printer,
) -> anyhow::Result<Status> {
    let recorded: Vec<WantedName> = store.wanted()?.into_iter().map(|wanted| wanted.name).collect();
    let mut chosen = BTreeSet::new();
    for reference in references {
        chosen.insert(find(&recorded, reference)?);
    }
    let mut names = Vec::new();
    for name in recorded.iter().filter(|name| references.is_empty() || chosen.contains(name)) {
        if !present || is_present(store, name)? {
            names.push(name.clone());
        }
    }
    if !dry_run {
        store.commit(names.iter().cloned().map(Change::ForgetWanted).collect())?;
    }
    let verb = if dry_run { "would clear" } else { "cleared" };
    printer.report(&names, |names| {
        let lines: String = names.iter().map(|name| row(&format!("{verb} {name}"))).collect();
        lines + &format!("{verb} {}\n", count(names.len(), "reference"))
    })?;
    Ok(Status::Done)
}

/// The recorded name that a user means: as `want list` prints it, or in another form of the same reference.
fn find<'a>(recorded: &'a [WantedName], text: &str) -> Result<&'a WantedName, Missing> {
    let exact = recorded.iter().find(|name| name.to_string() == text);
    let same = || {
        let reference: Reference = text.parse().ok()?;
        recorded.iter().find(|name| full_name(name).as_ref() == Some(&reference))
    };
    exact.or_else(same).ok_or_else(|| Missing {
        message: format!("no request for `{text}` is recorded"),
        hint: Some("`airlock want list` lists the references"),
    })
}

/// The reference in a registry; none for a manifest of the store's own repositories.
fn full_name(name: &WantedName) -> Option<Reference> {
    let WantedName { host, repository, selector } = name;
    Some(Reference::new(host.clone()?, repository.clone(), Selector::clone(selector)))
}

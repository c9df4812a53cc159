//! `airlock store protect`, `unprotect` and `protections`: names that nothing removes.

use clap::Args;
use serde::Serialize;
use store::{Change, Protection, Store};

use crate::cli::{StoreArg, StoredName, stored_name};
use crate::clock::rfc3339;
use crate::failure::{Missing, Status};
use crate::logged::{Work, acting};
use crate::printer::{Printer, row};

/// Who protects a name if --by does not say.
const OPERATOR: &str = "operator";

#[derive(Debug, Args)]
#[command(
    after_help = "Retention and `store gc --untagged` keep a protected name, and it cannot be deleted through the \
                        registry. A tag protects the manifest that it points to, and everything that the manifest lists.\n\
                        Example: airlock store protect team/app:v1 --reason cluster-one --store store"
)]
pub(crate) struct Protect {
    /// A tag, a manifest, or a whole repository.
    #[arg(value_name = "REPOSITORY[:TAG|@DIGEST]", value_parser = stored_name, required = true)]
    pub(super) names: Vec<StoredName>,
    /// Why the name is still needed.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who needs it, such as the name of a cluster. Each has its own list.
    #[arg(long, value_name = "NAME", default_value = OPERATOR)]
    by: String,
    /// Replace everything that --by protected before.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    pub(super) store: StoreArg,
    /// Print what would be protected, without protecting it.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock store unprotect team/app:v1 --store store")]
pub(crate) struct Unprotect {
    /// The tag, manifest or repository, as it was protected.
    #[arg(value_name = "REPOSITORY[:TAG|@DIGEST]", value_parser = stored_name)]
    pub(super) name: StoredName,
    /// Who protected it.
    #[arg(long, value_name = "NAME", default_value = OPERATOR)]
    by: String,
    #[command(flatten)]
    pub(super) store: StoreArg,
    /// Print the protection that would end, without ending it.
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// A change of what is protected.
#[derive(Serialize)]
struct Protected {
    protections: Vec<Protection>,
}

impl Protect {
    fn protections(&self, store: &Store) -> anyhow::Result<Protected> {
        let mut protections = Vec::new();
        for name in &self.names {
            let exists = match &name.selector {
                None => store.repository_exists(&name.repository)?,
                Some(selector) => store.resolve(&name.repository, selector)?.is_some(),
            };
            if !exists {
                let message = format!("the store has nothing named `{name}`");
                return Err(Missing { message, hint: Some("`airlock store list` shows the names") }.into());
            }
            let new = Protection::new(name.repository.clone(), name.selector.clone(), self.reason.clone());
            protections.push(new.by(self.by.clone()));
        }
        Ok(Protected { protections })
    }
}

pub(super) fn preview(settings: &Protect, printer: &Printer) -> anyhow::Result<Status> {
    let planned = settings.protections(&Store::open_to_read(&settings.store.store)?)?;
    printer.result(&planned, |planned| text(&planned.protections))?;
    Ok(Status::Done)
}

pub(super) fn protect(settings: &Protect, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    acting(&store, "store protect");
    let new = settings.protections(&store)?;
    let names: Vec<_> = new.protections.iter().map(ToString::to_string).collect();
    work.name(&names.join(" "));
    work.evidence("reason", &settings.reason);
    work.evidence("by", &settings.by);
    let changes = if settings.replace {
        work.evidence("replaced", "true");
        let (source, protections) = (settings.by.clone(), new.protections.clone());
        vec![Change::ReplaceProtected { source, protections }]
    } else {
        new.protections.iter().cloned().map(Change::Protect).collect()
    };
    store.commit(changes)?;
    work.done()?;
    printer.report(&new, |new| text(&new.protections))?;
    Ok(Status::Done)
}

/// The protection that `settings` name.
fn existing(settings: &Unprotect, store: &Store) -> anyhow::Result<Protected> {
    let Unprotect { name, by, .. } = settings;
    let mut found = store.protections()?;
    found.retain(|known| {
        known.repository == name.repository && known.selector == name.selector && known.source == *by
    });
    if found.is_empty() {
        let message = format!("`{name}` is not protected by `{by}`");
        return Err(
            Missing { message, hint: Some("`airlock store protections` lists the protected names") }.into()
        );
    }
    Ok(Protected { protections: found })
}

pub(super) fn preview_end(settings: &Unprotect, printer: &Printer) -> anyhow::Result<Status> {
    let found = existing(settings, &Store::open_to_read(&settings.store.store)?)?;
    printer.result(&found, |found| text(&found.protections))?;
    Ok(Status::Done)
}

pub(super) fn unprotect(
    settings: &Unprotect,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    acting(&store, "store unprotect");
    work.name(&settings.name.to_string());
    let found = existing(settings, &store)?;
    work.evidence("by", &settings.by);
    work.evidence("ended", "true");
    let (repository, selector) = (settings.name.repository.clone(), settings.name.selector.clone());
    store.commit(vec![Change::Unprotect { repository, selector, source: settings.by.clone() }])?;
    work.done()?;
    printer.report(&found, |found| format!("no longer protected:\n{}", text(&found.protections)))?;
    Ok(Status::Done)
}

pub(super) fn list(store: &Store, printer: &Printer) -> anyhow::Result<Status> {
    printer.result(&store.protections()?, |found| match &found[..] {
        [] => "nothing is protected\n".to_owned(),
        found => text(found),
    })?;
    Ok(Status::Done)
}

fn text(protections: &[Protection]) -> String {
    protections.iter().map(line).collect()
}

/// A protection in one line.
pub(super) fn line(protection: &Protection) -> String {
    let Protection { source, reason, since, .. } = protection;
    row(&format!("{protection}  protected by {source} since {}: {reason}", rfc3339(*since)))
}

//! `airlock store gc`: removes what nothing needs.

use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use serde::Serialize;
use store::{Collected, GarbagePlan, Store, Untagged, UpkeepKind};

use crate::cli::{StoreArg, duration};
use crate::failure::Status;
use crate::logged::{Work, acting};
use crate::printer::{Printer, count, size};
use crate::retention::{brought, record};

#[derive(Debug, Args)]
#[command(
    after_help = "Without --untagged, manifests are never removed: packages and drives can name one by its digest \
                        alone.\n\
                        Example: airlock store gc --untagged --older-than 168h --dry-run --store store"
)]
pub(crate) struct Collect {
    #[command(flatten)]
    pub(super) store: StoreArg,
    /// Also delete manifests that no tag, index, subject, drive or protection keeps, with their signatures.
    #[arg(long)]
    untagged: bool,
    /// With --untagged, keep manifests that were pushed or lost their last tag within this time, such as 90m or 168h.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "24h", requires = "untagged")]
    older_than: Duration,
    /// Print what would be deleted, without deleting it.
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl Collect {
    /// The manifests to remove.
    fn manifests(&self, store: &Store) -> anyhow::Result<Untagged> {
        Ok(if self.untagged { store.untagged(self.before(), &brought(store)?)? } else { Untagged::new() })
    }

    fn before(&self) -> SystemTime {
        SystemTime::now().checked_sub(self.older_than).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// What would be removed.
#[derive(Serialize)]
struct Preview {
    manifests: Untagged,
    #[serde(flatten)]
    garbage: GarbagePlan,
}

pub(super) fn preview(settings: &Collect, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_to_read(&settings.store.store)?;
    let manifests = settings.manifests(&store)?;
    let preview = Preview { garbage: store.garbage_without(&manifests)?, manifests };
    printer.result(&preview, |Preview { manifests, garbage }| {
        let named = manifests.iter().flat_map(|(repository, digests)| {
            digests.iter().map(move |digest| format!("untagged    {repository}@{digest}\n"))
        });
        let blobs = garbage.blobs.iter().map(|(digest, bytes)| format!("{:>10}  {digest}\n", size(*bytes)));
        let (number, bytes) = (garbage.blobs.len(), garbage.bytes());
        let names = number_of(manifests).map_or_else(String::new, |names| format!("{names}, "));
        named.chain(blobs).collect::<String>()
            + &format!("would remove {names}{}, {}\n", count(number, "blob"), size(bytes))
    })?;
    Ok(Status::Done)
}

/// The number of manifests in words, if there are any.
fn number_of(manifests: &Untagged) -> Option<String> {
    let number: usize = manifests.values().map(std::collections::BTreeSet::len).sum();
    (number > 0).then(|| count(number, "untagged manifest"))
}

#[derive(Serialize)]
struct Done {
    manifests: Untagged,
    #[serde(flatten)]
    collected: Collected,
}

pub(super) fn collect(settings: &Collect, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    acting(&store, "store gc");
    let begun = Instant::now();
    let result = remove(settings, &store, work);
    let done = result.as_ref().ok().map(|done| (done.collected.blobs, done.collected.bytes));
    record(&store, UpkeepKind::Gc, begun, done);
    let done = result?;
    work.done()?;
    printer.report(&done, |Done { manifests, collected }| {
        let names = number_of(manifests).map_or_else(String::new, |names| format!("{names}, "));
        let recent = match collected.recent {
            0 => String::new(),
            recent => format!(
                "kept {}, less than a day old, because other processes use the store\n",
                count(recent, "blob")
            ),
        };
        format!("removed {names}{}, {}\n{recent}", count(collected.blobs, "blob"), size(collected.bytes))
    })?;
    Ok(Status::Done)
}

fn remove(settings: &Collect, store: &Store, work: &mut Work<'_>) -> anyhow::Result<Done> {
    let planned = settings.manifests(store)?;
    let manifests = store.delete_untagged(&planned, settings.before(), &brought(store)?)?;
    if let Some(names) = number_of(&manifests) {
        work.evidence("manifests", &names);
    }
    let plan = store.garbage()?;
    let removed = manifests.values().flatten().chain(plan.blobs.iter().map(|(digest, _)| digest));
    work.digests(removed.map(ToString::to_string).collect::<Vec<_>>());
    let collected = store.collect(&plan)?;
    Ok(Done { manifests, collected })
}

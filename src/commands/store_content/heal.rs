//! `airlock store heal`: replaces damaged and missing blobs with those of a drive.

use audit::EventType;
use clap::Args;
use packager::heal::{HealReport, heal, plan};
use serde::Serialize;
use store::Store;

use super::log;
use super::scrub::faults;
use crate::cli::{MediaArg, StoreArg, TrustArg};
use crate::commands::change::verified;
use crate::failure::Status;
use crate::logged::Work;
use crate::printer::{Printer, count, size};
use crate::progress::Progress;
use crate::trust_input::trust;

#[derive(Debug, Args)]
#[command(after_help = "No tag changes, so the drive can be older than others that were imported since.\n\
                  Example: airlock store heal /media/usb --trust trust.yaml --store store")]
pub(crate) struct HealArgs {
    #[command(flatten)]
    media: MediaArg,
    #[command(flatten)]
    trust: TrustArg,
    #[command(flatten)]
    pub(super) store: StoreArg,
    /// Verify the signature, and print what would be replaced, without replacing it.
    #[arg(long)]
    dry_run: bool,
}

impl HealArgs {
    /// A dry run changes nothing, but it verifies a signature.
    pub(super) fn event(&self) -> EventType {
        if self.dry_run { EventType::Verify } else { EventType::StoreHeal }
    }
}

/// What was healed, and how much damage is left.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Healed {
    #[serde(flatten)]
    report: HealReport,
    still_damaged: usize,
}

pub(super) fn heal_store(
    settings: &HealArgs,
    work: &mut Work<'_>,
    printer: &Printer,
) -> anyhow::Result<Status> {
    let trust = trust(&settings.trust, work)?;
    let (media, manifest) = verified(&settings.media.paths, None, trust.as_ref(), work)?;
    work.evidence("signer", manifest.signer().name());
    work.evidence("key", manifest.signer().hint());
    work.evidence("set", media.set());
    let store = Store::open_existing(&settings.store.store)?;
    let report = if settings.dry_run {
        plan(&manifest, &media, &store)?
    } else if store.is_read_only() {
        return Err(store::Error::ReadOnly(settings.store.store.clone()).into());
    } else {
        heal(&media, &manifest, &store, &Progress::new(printer))?
    };
    work.digests(report.digests.iter().map(ToString::to_string));
    let mut health = store.health()?;
    health.damaged.retain(|blob| !report.digests.contains(&blob.damage.digest));
    let still_damaged = health.damaged.len();
    log(work, still_damaged == 0, &faults(&health))?;
    printer.report(&Healed { report, still_damaged }, |Healed { report, still_damaged }| {
        let verb = if settings.dry_run { "would replace" } else { "replaced" };
        let digests = report.digests.iter().map(|digest| format!("{verb} {digest}\n")).collect::<String>();
        let left = match still_damaged {
            0 => String::new(),
            number => format!("{} not on this drive\n", count(*number, "damaged blob")),
        };
        let (blobs, bytes) = (count(report.healed.blobs, "blob"), size(report.healed.bytes));
        format!(
            "{digests}{verb} {blobs}, {bytes}, from {} (signed by {})\n{left}",
            report.name, report.signer
        )
    })?;
    Ok(if still_damaged == 0 { Status::Done } else { Status::Faults })
}

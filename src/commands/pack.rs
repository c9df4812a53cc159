//! `airlock pack`.

use audit::Journal;
use packager::drive_log::SenderLog;
use packager::lock::Lock;
use packager::pack::{WriteOptions, plan, write};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::carried::Carried;
use crate::cli::Pack;
use crate::commands::{keys, station};
use crate::failure::{Status, Usage};
use crate::printer::{Printer, size};
use crate::progress::Progress;

pub(crate) fn run(settings: &Pack, printer: &Printer) -> anyhow::Result<Status> {
    let lock = Lock::read(&settings.lock)?;
    let store = store::Store::open_existing(&settings.store.store)?;
    let progress = Progress::new(printer);
    if settings.dry_run {
        let plan = plan(&lock, &store, settings.volume_size, None, &progress)?;
        printer.result(&plan.volumes, |volumes| {
            volumes.iter().map(|volume| format!("{:>10}  {}\n", size(volume.size), volume.name)).collect()
        })?;
        return Ok(Status::Done);
    }
    let key = settings.key.key.as_ref().ok_or_else(|| Usage {
        message: "no private key was given, and a drive must be signed".to_owned(),
        hint: "give --key FILE; make one with `airlock keys generate`",
    })?;
    // The password first: nobody should be asked for it after an hour of work.
    let key = keys::load(key, settings.key.password_file.as_deref(), printer)?;
    let log = log(&store, printer)?;
    let origin = log.as_ref().map(|log| log.verifier().name().to_owned());
    let plan = plan(&lock, &store, settings.volume_size, origin.as_deref(), &progress)?;
    let options = WriteOptions {
        target: settings.to.clone(),
        read_back: !settings.no_read_back,
        now: OffsetDateTime::now_utc().format(&Rfc3339)?,
    };
    let report =
        write(&plan, &store, &key, &options, log.as_ref().map(|log| log as &dyn SenderLog), &progress)?;
    printer.result(&report, |report| {
        let volumes =
            report.volumes.iter().map(|volume| format!("{:>10}  {}\n", size(volume.size), volume.name));
        let proof = if report.read_back { "read back and complete" } else { "complete, not read back" };
        volumes.collect::<String>()
            + &report.log.as_ref().map_or_else(String::new, |log| {
                let sites =
                    log.acknowledged.iter().map(|(site, size)| format!(", {site} acknowledged {size}"));
                format!("log {}, {} entries{}\n", log.origin, log.size, sites.collect::<String>())
            })
            + &format!("set {}\n{proof}: safe to unplug after unmounting\n", report.set)
    })?;
    Ok(Status::Done)
}

/// The store's log, which goes with the volumes. A store that cannot be written cannot log, and its drive has none.
fn log(store: &store::Store, printer: &Printer) -> anyhow::Result<Option<Carried>> {
    if store.is_read_only() {
        printer.say("warning: the store is read-only, so the drive carries no log");
        return Ok(None);
    }
    let journal = Journal::open(&Journal::folder(store.root()), station())?;
    Ok(Some(Carried { journal }))
}

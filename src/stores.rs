//! Stores that commands open for writing, or plan for.

use store::{Error, Store};
use tempfile::TempDir;

use crate::cli::StoreArg;
use crate::files::temporary_folder;
use crate::printer::Printer;

/// Opens a store for writing. If none exists, creates one and reports that, because the path may be mistyped.
pub(crate) fn open_or_make(arg: &StoreArg, printer: &Printer) -> anyhow::Result<Store> {
    match Store::open_existing(&arg.store) {
        Err(Error::Absent(_)) => {
            let store = Store::open(&arg.store)?;
            printer.say(&format!("created a new store at `{}`", arg.store.display()));
            Ok(store)
        }
        Ok(store) if store.is_read_only() => Err(Error::ReadOnly(arg.store.clone()).into()),
        opened => Ok(opened?),
    }
}

/// A store to plan against. If none exists, a temporary empty store and its folder: a dry run creates nothing, and
/// the first one comes before the store.
pub(crate) fn open_or_temporary(
    arg: &StoreArg,
    printer: &Printer,
) -> anyhow::Result<(Store, Option<TempDir>)> {
    match Store::open_existing(&arg.store) {
        Err(Error::Absent(_)) => {
            let folder = temporary_folder("an empty store")?;
            let store = Store::open(&folder.path().join("store"))?;
            printer.say(&format!("no store at `{}`: planned for an empty store", arg.store.display()));
            Ok((store, Some(folder)))
        }
        opened => Ok((opened?, None)),
    }
}

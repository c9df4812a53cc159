//! Stores that commands open for writing, or plan for.

use std::path::Path;

use store::{Error, Store};
use tempfile::TempDir;

use crate::cli::StoreArg;
use crate::files::temporary_folder;
use crate::printer::Printer;

/// Opens a store for writing. If none exists, creates one and reports that, because the path may be mistyped.
pub(crate) fn open_or_make(path: &Path, printer: &Printer) -> anyhow::Result<Store> {
    match Store::open_existing(path) {
        Err(Error::Absent(_)) => {
            let store = Store::open(path)?;
            printer.say(&format!("created a new store at `{}`", path.display()));
            Ok(store)
        }
        Ok(store) if store.is_read_only() => Err(Error::ReadOnly(path.to_owned()).into()),
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

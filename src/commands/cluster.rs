//! Packages in a cluster, from the command line: EKS Anywhere's commands.
//!
//! - `reach`: the API server; `table`, `describe`: how things are printed
//! - `show`: commands that look; `change`: commands that change something, each of which is an event

mod change;
mod describe;
pub(super) mod reach;
mod show;
mod table;

pub(super) use self::change::{apply, create, delete, install, upgrade};
pub(super) use self::show::{describe, get, list};
use crate::cli::Command;

/// Whether a command shows something that YAML is the way to write.
pub(super) fn prints_yaml(command: &Command) -> bool {
    matches!(command, Command::Get(_) | Command::List(_) | Command::Describe(_))
}

//! Files that appear whole or not at all, folders and files that only their owner can access, and locks with a timeout.
//! Stores, logs and keys are built on these.
//!
//! Invariants:
//! - Files and folders have mode 0700 or 0600 from the moment they are created, whatever the process's umask is.
//!   [`Readers::All`] is the only exception, for output that a user requests: lists, locks of mirror files, public keys.
//! - On this machine, files get their names only through [`mod@publish`]; `tests/architecture.rs` checks the sources.
//! - Every wait for a lock has a timeout; the error then names the process that holds the lock.
//!
//! - [`files`]: creates folders and files, and removes the permissions of other users; [`locks`]: file locks;
//!   [`mod@publish`]: writes whole files

pub mod files;
pub mod locks;
pub mod publish;

pub use files::{create, create_folder, create_folders, folder_of, open, restrict, tighten};
pub use locks::{Error, Hold, Holders, Locked, PATIENCE, hold, try_hold};
pub use publish::{
    Existing, Readers, Temporary, check, publish, rename, rename_new, sync_folder, sync_open_folder,
};

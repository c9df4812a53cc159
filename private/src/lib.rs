//! Files that appear whole or not at all, folders and files that only their owner can use, and locks with a limit. Stores,
//! logs and keys are made of these.
//!
//! Invariants:
//! - What is made here has mode 0700 or 0600 from its first moment on, whatever the process's umask is. [`Readers::All`] is
//!   the one exception, for what a user asks for: lists, locks of mirror files, public keys.
//! - Nothing of this machine gets its name in another way than by [`mod@publish`]; `tests/architecture.rs` reads the sources.
//! - Whoever waits for a lock waits within a limit, and is then told which process holds it.
//!
//! - [`files`]: making folders and files, and taking the rights of others away; [`locks`]: taking turns;
//!   [`mod@publish`]: writing whole files

pub mod files;
pub mod locks;
pub mod publish;

pub use files::{create, create_folder, create_folders, folder_of, open, restrict, tighten};
pub use locks::{Error, Hold, Holders, Locked, PATIENCE, hold, try_hold};
pub use publish::{Existing, Readers, Temporary, check, publish, rename, sync_folder, sync_open_folder};

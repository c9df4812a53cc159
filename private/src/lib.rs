//! Folders and files that only their owner can use, and locks with a limit. Stores, logs and keys are made of these.
//!
//! Invariants:
//! - What is made here has mode 0700 or 0600 from its first moment on, whatever the process's umask is.
//! - Whoever waits for a lock waits within a limit, and is then told which process holds it.
//!
//! - [`files`]: making folders and files, and taking the rights of others away; [`locks`]: taking turns

pub mod files;
pub mod locks;

pub use files::{create, create_folder, create_folders, open, restrict, tighten};
pub use locks::{Error, Hold, Holders, Locked, PATIENCE, hold, try_hold};

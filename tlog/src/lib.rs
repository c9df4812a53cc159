//! A transparency log that is a folder of files, so that it can travel on a medium and be checked by anyone.
//!
//! Entries go in, signed checkpoints and proofs come out. All formats are those of the C2SP specifications, so
//! that other programs read them: [signed-note](https://c2sp.org/signed-note),
//! [tlog-checkpoint](https://c2sp.org/tlog-checkpoint), [tlog-tiles](https://c2sp.org/tlog-tiles),
//! [tlog-cosignature](https://c2sp.org/tlog-cosignature), [tlog-witness](https://c2sp.org/tlog-witness),
//! [tlog-proof](https://c2sp.org/tlog-proof) and [tlog-policy](https://c2sp.org/tlog-policy). The tree is RFC 6962's, over SHA-256.
//!
//! Invariants:
//! - An entry whose append returned survives a crash; a checkpoint never covers an entry that does not.
//! - A signature is checked before anything in the text that it signs is believed.
//! - What is read from files is checked against a checkpoint's root; a folder is never its own proof.
//!
//! - [`hash`] and [`merkle`]: the tree, its proofs and their checks; [`tile`]: the tree cut into files
//! - [`note`]: text with signatures, and keys; [`checkpoint`]: what such a text says of a tree; [`cosignature`]
//! - [`folder`]: reading a log; [`log`]: appending to one; [`check`]: proving that one is whole
//! - [`proof`]: one entry's proof as a file; [`consistency`]: that of a log's growth; [`policy`]: which logs and
//!   witnesses are believed
//! - [`text`]: names and other text of strangers, made safe to show
//!
//! `entry* -> Log -> Checkpoint -> Proof`

pub mod check;
pub mod checkpoint;
pub mod consistency;
pub mod cosignature;
mod error;
pub mod folder;
pub mod hash;
pub mod log;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod text;
pub mod tile;

pub use checkpoint::Checkpoint;
pub use consistency::Consistency;
pub use error::Error;
pub use folder::Folder;
pub use hash::Hash;
pub use log::Log;
pub use note::{Note, SigningKey, VerifierKey};
pub use policy::Policy;
pub use proof::Proof;

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

//! A transparency log stored as a folder of files: it can be copied to a medium and verified by anyone.
//!
//! Entries go in, signed checkpoints and proofs come out. All formats are those of the C2SP specifications, so
//! that other programs can read them: [signed-note](https://c2sp.org/signed-note),
//! [tlog-checkpoint](https://c2sp.org/tlog-checkpoint), [tlog-tiles](https://c2sp.org/tlog-tiles),
//! [tlog-cosignature](https://c2sp.org/tlog-cosignature), [tlog-witness](https://c2sp.org/tlog-witness),
//! [tlog-proof](https://c2sp.org/tlog-proof) and [tlog-policy](https://c2sp.org/tlog-policy). The tree is RFC 6962's, over SHA-256.
//!
//! Invariants:
//! - An entry survives a crash once its append has returned; a checkpoint covers only such entries.
//! - A signature is verified before anything in the signed text is trusted.
//! - Data read from files is checked against a checkpoint's root; a folder alone proves nothing.
//!
//! - [`hash`] and [`merkle`]: the tree, its proofs and their checks; [`tile`]: the tree cut into files
//! - [`note`]: signed text, and keys; [`checkpoint`]: a note that states a tree's size and root; [`cosignature`]: the
//!   signature of a witness
//! - [`folder`]: reading a log; [`log`]: appending to one; [`check`]: verifying a whole log
//! - [`proof`]: an inclusion proof as a file; [`consistency`]: a consistency proof as a file; [`policy`]: which logs and
//!   witnesses are trusted
//! - [`text`]: untrusted text, made safe to display
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

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

//! Keys, signatures and trust: bytes, a signature and a trust file in, [`Verified`] bytes out.
//!
//! Formats are those of cosign and sigstore, so that stock `cosign` makes keys for airlock and checks what
//! airlock signed. The crypto is `ring`'s. This crate sees bytes and keys; what the bytes mean it does not know.
//!
//! Invariants:
//! - [`Verified`] is made in [`verify`] alone, after the signature was checked.
//! - Key material comes from the trust file, never from what is being checked.
//! - Private keys are wiped from memory when dropped.
//!
//! - [`key`]: ECDSA P-256 keys; [`sealed`]: cosign's encrypted PEM
//! - [`bundle`]: sigstore bundle v0.3 with a message signature
//! - [`trust`]: the file that names accepted keys; [`verify`]: the check
//!
//! `bytes + bundle + TrustFile -> Verified<bytes>`

pub mod bundle;
mod error;
pub mod key;
mod pem_text;
pub mod sealed;
pub mod trust;
pub mod verify;

pub use bundle::sign_blob;
pub use error::Error;
pub use key::{PrivateKey, PublicKey};
pub use trust::{TrustFile, TrustedKey};
pub use verify::{Signer, Verified, verify_blob};

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

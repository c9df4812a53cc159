//! Keys, signatures and trust: bytes, a signature and a trust file in, [`Verified`] bytes out.
//!
//! Formats are those of cosign and sigstore, so that stock `cosign` generates keys for airlock and verifies airlock's
//! signatures. The crypto is `ring`'s. This crate handles bytes and keys, never a registry.
//!
//! Invariants:
//! - [`Verified`] is created in [`verify`] alone, after the signature was verified.
//! - Key material comes from the trust file, never from the data that is verified.
//! - Private keys are wiped from memory when dropped.
//!
//! - [`key`]: ECDSA P-256 keys, and the Ed25519 keys of logs; [`sealed`]: cosign's encrypted PEM
//! - [`Pkcs11Uri`]: keys in tokens, which `hsm` uses if the feature of that name is enabled
//! - [`statement`]: statements about images, in [`dsse`] envelopes, in [`bundle`]s, under [`referrer`] manifests
//! - [`simple_signing`]: cosign's first format; [`attached`]: the manifests under its tags; [`image_name`]
//! - [`log_entry`]: entries of transparency logs about signatures; [`trusted_root`]: our logs for stock verifiers
//! - [`trust`]: the file of accepted keys and identities, and the decision by its rules
//! - [`verify`]: verification of a file, and of an image in [`verify::image`]
//! - [`keyless`]: signatures by certificate, as upstream projects create them
//! - [`eksa`]: manifests of EKS Anywhere, with embedded signatures
//! - [`provenance`]: provenance files of Helm charts, signed with [`openpgp`]
//!
//! `bytes + bundle + TrustFile -> Verified<bytes>`; `Evidence + Expectation -> Verified<Attested>`

pub mod attached;
pub mod bundle;
pub mod dsse;
pub mod eksa;
mod error;
#[cfg(feature = "hsm")]
mod hsm;
pub mod image_name;
mod json;
pub mod key;
pub mod keyless;
mod limits;
pub mod log_entry;
pub mod openpgp;
mod pem_text;
mod pkcs11_uri;
pub mod provenance;
pub mod referrer;
pub mod sealed;
mod secretbox;
pub mod simple_signing;
pub mod statement;
pub mod trust;
pub mod trusted_root;
pub mod verify;

pub use bundle::sign_blob;
pub use dsse::Envelope;
pub use error::Error;
pub use image_name::ImageName;
pub use key::{Ed25519Key, Ed25519PublicKey, KeyFile, PrivateKey, PublicKey, PublicKeyFile};
pub use limits::Limits;
pub use log_entry::{LogEntry, Logged};
pub use pkcs11_uri::Pkcs11Uri;
pub use statement::{Statement, Subject};
pub use trust::{Claims, Decision, Gate, Mode, TrustFile, TrustedIdentity, TrustedKey};
pub use verify::image::{Attested, Claim, Evidence, Expectation, Format, LogRule, NameRule, verify_image};
pub use verify::{Signer, Verified, verify_blob};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

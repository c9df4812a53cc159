//! Keys, signatures and trust: bytes, a signature and a trust file in, [`Verified`] bytes out.
//!
//! Formats are those of cosign and sigstore, so that stock `cosign` makes keys for airlock and checks what
//! airlock signed. The crypto is `ring`'s. This crate sees bytes and keys, never a registry.
//!
//! Invariants:
//! - [`Verified`] is made in [`verify`] alone, after the signature was checked.
//! - Key material comes from the trust file, never from what is being checked.
//! - Private keys are wiped from memory when dropped.
//!
//! - [`key`]: ECDSA P-256 keys, and the Ed25519 keys of logs; [`sealed`]: cosign's encrypted PEM
//! - [`Pkcs11Uri`]: keys in tokens, which `hsm` asks where the feature of that name is on
//! - [`statement`]: what is said of an image, in [`dsse`] envelopes, in [`bundle`]s, under [`referrer`] manifests
//! - [`simple_signing`]: cosign's first format; [`attached`]: the manifests under its tags; [`image_name`]
//! - [`log_entry`]: what a transparency log says of a signature; [`trusted_root`]: our logs for stock verifiers
//! - [`trust`]: the file that names accepted keys and identities, and the decision by its rules; [`verify`]: the check of a file, [`verify::image`] of an image
//! - [`keyless`]: signatures by certificate, as upstream makes them
//! - [`eksa`]: manifests of EKS Anywhere, signed within themselves
//! - [`provenance`]: of Helm charts, signed by [`openpgp`]
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

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

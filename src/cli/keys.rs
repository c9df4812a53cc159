//! Arguments of `airlock keys`, and signing keys.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::TrustArg;
use crate::env;

/// The signing key.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyArg {
    /// The private key: a file, or a `pkcs11:` URI.
    #[arg(long, env = env::KEY, value_name = "FILE|URI")]
    pub(crate) key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) password: PasswordArg,
}

/// The source of a key's password or of a token's PIN. Default: `AIRLOCK_KEY_PASSWORD`, then the terminal. There is
/// no flag for the password itself: every user of the machine could read it.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PasswordArg {
    /// A file whose first line is the password or the PIN of the token.
    #[arg(long, value_name = "FILE", conflicts_with = "password_fd")]
    pub(crate) password_file: Option<PathBuf>,
    /// An open file descriptor to read the password or PIN from.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) password_fd: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyType {
    /// For images, drives and package bundles.
    EcdsaP256,
    /// For transparency logs and witnesses.
    Ed25519,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Create a key pair: NAME.key, encrypted as by cosign, and NAME.pub.
    Generate {
        /// The name of the key.
        #[arg(default_value = "airlock")]
        name: PathBuf,
        /// The kind of key.
        #[arg(long = "type", value_enum, default_value_t = KeyType::EcdsaP256)]
        kind: KeyType,
        #[command(flatten)]
        password: PasswordArg,
    },
    /// Import a private key of another program as NAME.key and NAME.pub.
    Import(Import),
    /// Show the public key, its hint and its fingerprint.
    Show(Show),
    /// Create a key pair that replaces a key of a trust file. The old key stays accepted.
    Rotate(Rotate),
    /// Revoke a key in a trust file.
    Revoke(Revoke),
    /// Add keys, an identity, logs or witnesses to a trust file.
    Add(Add),
    /// Write a trust file that accepts these public keys, each named after its file.
    Trust(TrustKeys),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    airlock keys trust release.pub --to trust.yaml\n  \
    airlock keys trust release.pub --sign signature,driveManifest,packageBundle --to trust.yaml\n  \
    airlock keys trust --certificate-identity ci@example.com --certificate-oidc-issuer https://accounts.example.com \
    --trusted-root trusted_root.json --to trust.yaml")]
pub(crate) struct TrustKeys {
    /// Public key files, PEM.
    #[arg(required_unless_present = "subject", value_name = "PUBLIC_KEY")]
    pub(crate) keys: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) added: AddedArg,
    /// The trust file.
    #[arg(long, default_value = "trust.yaml", value_name = "FILE")]
    pub(crate) to: PathBuf,
}

/// Entries of a trust file besides keys, and the kinds that the keys may sign.
#[derive(Debug, Args)]
pub(crate) struct AddedArg {
    /// A sender's log that drives must include: its key, or the file `log/key.pub` of the sender's store.
    #[arg(long, value_name = "KEY")]
    pub(crate) log: Vec<String>,
    /// A site whose cosignatures are accepted: its key, or the file `key.pub` of a return medium.
    #[arg(long, value_name = "KEY")]
    pub(crate) witness: Vec<String>,
    /// The kinds that the keys, or the identity, may sign: `signature`, `driveManifest`, `packageBundle`, ...
    /// Default: images and drives (`signature,driveManifest`) for keys, images for an identity.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(crate) sign: Vec<String>,
    #[command(flatten)]
    pub(crate) identity: IdentityArg,
}

/// A signer with certificates instead of a key.
#[derive(Debug, Args)]
pub(crate) struct IdentityArg {
    /// A signer with certificates instead of a key: the subject of its certificates, an email address or the URI of a
    /// workflow.
    #[arg(long, value_name = "SUBJECT", group = "subject", requires = "issuer")]
    pub(crate) certificate_identity: Option<String>,
    /// A regular expression that must match the whole subject, instead of an exact subject.
    #[arg(long, value_name = "PATTERN", group = "subject", requires = "issuer")]
    pub(crate) certificate_identity_regexp: Option<String>,
    /// The OIDC issuer in its certificates.
    #[arg(long, value_name = "URL", group = "issuer", requires = "subject")]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// A regular expression that must match the whole issuer, instead of an exact issuer.
    #[arg(long, value_name = "PATTERN", group = "issuer", requires = "subject")]
    pub(crate) certificate_oidc_issuer_regexp: Option<String>,
    /// The accepted CAs, logs and timestamp authorities, a `trusted_root.json`, which is copied into the trust file. Default:
    /// sigstore's public instance.
    #[arg(long, value_name = "FILE", requires = "subject")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// The name of the identity in the trust file. Default: the subject.
    #[arg(long, value_name = "NAME", requires = "subject")]
    pub(crate) identity_name: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock keys import cosign.key release")]
pub(crate) struct Import {
    /// An encrypted cosign key, or an unencrypted PKCS#8 or SEC1 key.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The name of the new files.
    #[arg(default_value = "airlock")]
    pub(crate) name: PathBuf,
    #[command(flatten)]
    pub(crate) password: PasswordArg,
    /// A file whose first line is the password of FILE. Default: the new password.
    #[arg(long, value_name = "FILE")]
    pub(crate) source_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    airlock keys show release.pub\n  \
    airlock keys show 'pkcs11:token=release;object=2026' --pem > release.pub\n  \
    airlock keys show log.pub --note-name log.example")]
pub(crate) struct Show {
    /// A public key, a private key, or a `pkcs11:` URI.
    #[arg(value_name = "FILE|URI")]
    pub(crate) shown: PathBuf,
    #[command(flatten)]
    pub(crate) password: PasswordArg,
    /// Print only the public key.
    #[arg(long)]
    pub(crate) pem: bool,
    /// For an Ed25519 key: also print it as log and witness keys with this name (signed-note).
    #[arg(long, value_name = "NAME")]
    pub(crate) note_name: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Both keys are accepted until the old one is revoked, and count as one signer.\n\
    Example: airlock keys rotate release-2027 --old release-2026 --trust trust.yaml")]
pub(crate) struct Rotate {
    /// The name of the new key and its files.
    #[arg(value_name = "NAME")]
    pub(crate) name: PathBuf,
    /// The name of the old key in the trust file. Default: the only key.
    #[arg(long, value_name = "NAME")]
    pub(crate) old: Option<String>,
    /// Use this existing public key, such as a key in a token, instead of creating a pair.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) change: ChangeArg,
    #[command(flatten)]
    pub(crate) password: PasswordArg,
}

#[derive(Debug, Args)]
#[command(after_help = "All of the key's signatures are refused, old ones too.\n\
    Example: airlock keys revoke release-2026 --reason 'laptop stolen' --trust trust.yaml")]
pub(crate) struct Revoke {
    /// The key or identity: its name in the trust file, its hint, or its public key file.
    #[arg(value_name = "KEY")]
    pub(crate) revoked: String,
    /// The reason, which errors show.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// The date, for information. Default: today (UTC).
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) date: Option<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArg,
}

#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "The file's sequence grows by one, and the old file is kept.\n\
    Examples:\n  \
    airlock keys add --log /media/usb/key.pub --trust trust.yaml\n  \
    airlock keys add second.pub --witness site-0123456789abcdef.airlock.local+5e6f7a8b+BL... --trust trust.yaml"
)]
pub(crate) struct Add {
    /// Public keys, PEM, each named after its file.
    #[arg(value_name = "PUBLIC_KEY")]
    pub(crate) keys: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) added: AddedArg,
    #[command(flatten)]
    pub(crate) change: ChangeArg,
}

/// The trust file to change.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChangeArg {
    #[command(flatten)]
    pub(crate) trust: TrustArg,
    /// Write the changed trust file here, instead of replacing it.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

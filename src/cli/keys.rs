//! Arguments about signing keys.

use std::path::PathBuf;

use clap::Args;

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

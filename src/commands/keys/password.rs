//! Passwords of keys and PINs of tokens: from a file, a descriptor, the environment or the terminal; never from the
//! command line, which every user of the machine can read.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cli::PasswordArg;
use crate::env;
use crate::failure::Usage;

/// The maximum length of a password, so that a wrong file is not read whole.
const MAX_LEN: u64 = 64 * 1024;

/// The kind of secret to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secret {
    /// The password of an existing key.
    Password,
    /// A new password.
    NewPassword,
    /// The PIN of a token, which locks itself after wrong PINs.
    Pin,
}

/// Gets the secret.
pub(super) fn ask(from: &PasswordArg, secret: Secret) -> anyhow::Result<Vec<u8>> {
    if let Some(path) = &from.password_file {
        return first_line(path);
    }
    if let Some(number) = from.password_fd {
        return first_line(&PathBuf::from(format!("/dev/fd/{number}")));
    }
    if let Some(password) = variables(secret).iter().find_map(std::env::var_os) {
        return Ok(password.into_encoded_bytes());
    }
    let (needed, prompt) = match secret {
        Secret::Pin => ("the token needs a PIN", "PIN of the token: "),
        Secret::Password | Secret::NewPassword => {
            ("the private key needs a password", "Password for the private key: ")
        }
    };
    if !std::io::stdin().is_terminal() {
        let hint = "set AIRLOCK_KEY_PASSWORD, or use --password-file or --password-fd";
        return Err(Usage { message: needed.to_owned(), hint }.into());
    }
    let password = rpassword::prompt_password(prompt)?;
    if secret == Secret::NewPassword && rpassword::prompt_password("Again: ")? != password {
        let hint = "run the command again";
        return Err(Usage { message: "the two passwords differ".to_owned(), hint }.into());
    }
    Ok(password.into_bytes())
}

/// cosign's variable has a password for key files. For a token, it would use up one of the attempts.
fn variables(secret: Secret) -> &'static [&'static str] {
    match secret {
        Secret::Pin => &env::KEY_PASSWORD[..1],
        Secret::Password | Secret::NewPassword => &env::KEY_PASSWORD,
    }
}

/// The first line of a file, without its end.
pub(super) fn first_line(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("cannot read `{}`", path.display());
    let file = input::open(path).with_context(failed)?;
    let mut line = Vec::new();
    BufReader::new(file.take(MAX_LEN)).read_until(b'\n', &mut line).with_context(failed)?;
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    Ok(line)
}

/// The hint about a wrong password, by its source.
pub(super) fn tried(from: &PasswordArg) -> &'static str {
    if from.password_file.is_some() {
        return "the password was the first line of --password-file";
    }
    if from.password_fd.is_some() {
        return "the password was the first line of --password-fd";
    }
    match env::KEY_PASSWORD.iter().position(|name| std::env::var_os(name).is_some()) {
        Some(0) => "the password came from AIRLOCK_KEY_PASSWORD: correct or unset it, or use --password-file",
        Some(_) => "the password came from COSIGN_PASSWORD: correct it, or set AIRLOCK_KEY_PASSWORD",
        None => "try again, set AIRLOCK_KEY_PASSWORD, or use --password-file",
    }
}

//! The user and password of a registry, from a file that the user names.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::RegistryHost;
use serde_json::{Value, json};

use crate::failure::Usage;
use crate::files::read;

#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl Credentials {
    /// Reads a file whose first line is `USER:PASSWORD`.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let usage = || Usage {
            message: format!("the first line of `{}` is not USER:PASSWORD", path.display()),
            hint: "write the user and the password to the first line, such as `puller:secret`",
        };
        Ok(Self::parse(&read(path)?).ok_or_else(usage)?)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (user, password) = text.lines().next()?.split_once(':')?;
        let sound = !user.is_empty() && !password.is_empty();
        sound.then(|| Self { user: user.to_owned(), password: password.to_owned() })
    }

    /// The value for HTTP's Basic scheme.
    pub(super) fn basic(&self) -> String {
        STANDARD.encode(format!("{}:{}", self.user, self.password))
    }

    /// The auth file of docker and podman for this registry.
    pub(super) fn auth_file(&self, host: &RegistryHost) -> Value {
        json!({ "auths": { host.as_str(): { "auth": self.basic() } } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_one_line() {
        assert_eq!(Credentials::parse("username:password\n").unwrap().basic(), "dXNlcm5hbWU6cGFzc3dvcmQ=");
        assert_eq!(Credentials::parse("u:a:b").unwrap().password, "a:b");
        for bad in ["", "\nu:p", "user", ":p", "u:"] {
            assert!(Credentials::parse(bad).is_none(), "{bad}");
        }
    }
}

//! Who may pull and push.

use std::path::{Path, PathBuf};

use registry::server::{Auth, Htpasswd};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::document::below;
use super::plan::Form;
use super::sources::Sources;
use crate::failure::{Usage, unusable};

/// Who may pull and push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Access {
    /// A password file (`htpasswd -B`), relative to this file. Its users may pull and push.
    pub(super) htpasswd: Option<PathBuf>,
    /// What everyone may do without a password. Default: `none` with a password file, otherwise `push`; `push` must be
    /// given if other machines can reach the registry.
    pub(super) anonymous: Option<Anonymous>,
}

/// What everyone may do without a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Anonymous {
    /// Nothing.
    None,
    /// Pull.
    Pull,
    /// Pull, push and delete.
    Push,
}

impl Access {
    /// With paths relative to a folder.
    pub(super) fn below(mut self, folder: &Path) -> Self {
        self.htpasswd = self.htpasswd.map(|path| below(folder, path));
        self
    }

    /// Checks that the settings do not contradict each other.
    pub(super) fn check(&self, form: Form) -> Result<(), Usage> {
        let (message, hint) = match (self.htpasswd.is_some(), self.anonymous) {
            (true, Some(Anonymous::Push)) => (
                form.hint(
                    "--anonymous-push contradicts --htpasswd",
                    "`access.anonymous: push` contradicts `access.htpasswd`",
                ),
                "omit one of them",
            ),
            (false, Some(Anonymous::Pull)) => (
                form.hint(
                    "--anonymous-pull has no effect without a password file",
                    "`access.anonymous: pull` has no effect without a password file",
                ),
                form.hint(
                    "give --htpasswd FILE, or omit --anonymous-pull",
                    "set `access.htpasswd`, or omit `access.anonymous`",
                ),
            ),
            (false, Some(Anonymous::None)) => (
                "with `access.anonymous: none` and without a password file, no one could use the registry",
                "set `access.htpasswd`, or omit `access.anonymous`",
            ),
            _ => return Ok(()),
        };
        Err(Usage { message: message.to_owned(), hint })
    }

    /// Reads the password file.
    pub(super) fn load(&self, sources: &mut Sources) -> anyhow::Result<Auth> {
        let Some(path) = &self.htpasswd else { return Ok(Auth::Anonymous) };
        let text = sources.read(path)?;
        if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
            let message = format!("`{}` lists no user, so no one could log in", path.display());
            return Err(Usage { message, hint: "add one with `htpasswd -B FILE USER`" }.into());
        }
        let failed = format!("the password file `{}` cannot be used", path.display());
        let users = Htpasswd::parse(&text).map_err(unusable(failed))?;
        Ok(Auth::Htpasswd { users, anonymous_pull: self.anonymous == Some(Anonymous::Pull) })
    }

    /// Whether both, with these files, give the same users the same permissions.
    pub(super) fn is_same(&self, sources: &Sources, (other, others): (&Self, &Sources)) -> bool {
        self == other && sources.has_same(others, self.htpasswd.as_deref())
    }

    /// As `--check` prints it.
    pub(super) fn described(&self) -> Value {
        let anonymous = match (self.htpasswd.is_some(), self.anonymous) {
            (true, None) | (_, Some(Anonymous::None)) => "none",
            (_, Some(Anonymous::Pull)) => "pull",
            (false, None) | (_, Some(Anonymous::Push)) => "push",
        };
        json!({ "htpasswd": self.htpasswd, "anonymous": anonymous })
    }
}

#[cfg(test)]
mod tests {
    use Anonymous as A;

    use super::*;

    #[test]
    fn contradictions_are_refused() {
        let check = |htpasswd: bool, anonymous| {
            let access = Access { htpasswd: htpasswd.then(|| "users".into()), anonymous };
            access.check(Form::File).is_ok()
        };
        assert!(check(true, None) && check(true, Some(A::None)) && check(true, Some(A::Pull)));
        assert!(check(false, None) && check(false, Some(A::Push)));
        assert!(!check(true, Some(A::Push)) && !check(false, Some(A::Pull)) && !check(false, Some(A::None)));
    }
}

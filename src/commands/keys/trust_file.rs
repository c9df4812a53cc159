//! The trust file that a command changes: locked, and either replaced or written to another path.

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context as _;
use bundle_signer::TrustFile;
use private::Readers;

use super::change::ChangeArg;
use crate::failure::Usage;
use crate::files::{NewFiles, Output, lock_folder_of, read, write_new};
use crate::logged::Work;
use crate::trust_input::trust;

/// A trust file that is changed.
pub(super) struct Change<'a> {
    pub(super) path: PathBuf,
    /// The file to write instead, if one is given.
    to: Option<Output<'a>>,
    /// The lock on the file's folder, so that no other process changes the file before this change is written.
    _lock: File,
}

impl<'a> Change<'a> {
    pub(super) fn open(arg: &'a ChangeArg, work: &mut Work<'_>) -> anyhow::Result<(Self, TrustFile)> {
        let Some(path) = arg.trust.trust.clone() else {
            let message = "no trust file was given".to_owned();
            return Err(Usage { message, hint: "give --trust FILE; `airlock keys trust` creates one" }.into());
        };
        let to = arg.to.as_deref().map(Output::of).transpose()?;
        let lock = lock_folder_of(&path)?;
        let file = trust(&arg.trust, work)?.with_context(|| format!("cannot read `{}`", path.display()))?;
        Ok((Self { path, to, _lock: lock }, file))
    }

    /// Writes the changed file: to another path, or over the old file, which is kept. On failure, the `new` files of this
    /// change are removed.
    pub(super) fn write(
        self,
        old: &TrustFile,
        new: &TrustFile,
        files: Option<NewFiles>,
    ) -> anyhow::Result<Written> {
        let (mut files, text) = (files.unwrap_or_default(), new.to_yaml());
        let Some(to) = self.to else {
            let kept = self.keep(old, &mut files)?;
            let replaced = crate::files::write(&self.path, text.as_bytes(), Readers::All);
            // Only flushing its name may have failed: then the file is in use, and needs the new key.
            if replaced.is_ok() || read(&self.path).is_ok_and(|now| now == text) {
                files.keep();
            }
            replaced?;
            return Ok(Written { text, to: self.path, is_stdout: false, kept: Some(kept) });
        };
        to.create(&text)?;
        files.keep();
        Ok(Written { text, to: to.path().to_owned(), is_stdout: to == Output::Stdout, kept: None })
    }

    /// Copies the old file, with comments, to a name with its sequence number.
    fn keep(&self, old: &TrustFile, files: &mut NewFiles) -> anyhow::Result<PathBuf> {
        let mut kept = self.path.file_name().unwrap_or_default().to_owned();
        kept.push(format!(".{}", old.sequence()));
        let kept = self.path.with_file_name(kept);
        let before = read(&self.path)?;
        if input::read_text(&kept, input::MAX_SIZE).ok().as_deref() != Some(before.as_str()) {
            write_new(&kept, before.as_bytes(), Readers::All)?;
            files.add(&kept);
        }
        Ok(kept)
    }
}

/// The written files.
pub(super) struct Written {
    pub(super) text: String,
    pub(super) to: PathBuf,
    is_stdout: bool,
    /// The copy of the old file.
    pub(super) kept: Option<PathBuf>,
}

impl Written {
    pub(super) fn output(&self) -> Output<'_> {
        if self.is_stdout { Output::Stdout } else { Output::File(&self.to) }
    }
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "wrote {}", self.to.display())?;
        match &self.kept {
            None => Ok(()),
            Some(kept) => write!(f, " (the old file is kept as {})", kept.display()),
        }
    }
}

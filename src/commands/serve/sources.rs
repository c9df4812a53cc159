//! The files that a registry's configuration consists of, and when a change of them is complete.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use oci::Digest;

/// The digests of files; `None` for a file that cannot be read.
pub(super) type Digests = BTreeMap<PathBuf, Option<Digest>>;

/// The files that were read.
#[derive(Clone, Default)]
pub(super) struct Sources {
    digests: Digests,
    /// The text of pipes, which can be read only once.
    pipes: BTreeMap<PathBuf, String>,
}

impl Sources {
    /// For reading the files again.
    pub(super) fn again(&self) -> Self {
        Self { digests: Digests::new(), pipes: self.pipes.clone() }
    }

    /// Reads a text file.
    pub(super) fn read(&mut self, path: &Path) -> anyhow::Result<String> {
        let text = match self.pipes.get(path) {
            Some(text) => Ok(text.clone()),
            None => input::read_text(path, input::MAX_SIZE),
        };
        let digest = text.as_ref().ok().map(|text| Digest::sha256(text.as_bytes()));
        self.digests.insert(path.to_owned(), digest);
        let text = text.with_context(|| format!("cannot read `{}`", path.display()))?;
        if !path.is_file() {
            self.pipes.insert(path.to_owned(), text.clone());
        }
        Ok(text)
    }

    /// The digest of a file that was read.
    pub(super) fn digest(&self, path: &Path) -> Option<&Digest> {
        self.digests.get(path)?.as_ref()
    }

    /// Whether a file has the same content in both.
    pub(super) fn has_same(&self, other: &Self, path: Option<&Path>) -> bool {
        path.is_none_or(|path| self.digest(path).is_some() && self.digest(path) == other.digest(path))
    }
}

/// Decides when to load the files again: when their content has changed, and has not changed further between two looks.
#[derive(Default)]
pub(super) struct Watch {
    /// The content that was loaded, or that could not be used.
    known: Digests,
    seen: Digests,
}

impl Watch {
    /// Notes the files that were loaded, and forgets all others.
    pub(super) fn loaded(&mut self, sources: &Sources) {
        self.known.clear();
        self.add(sources);
    }

    /// Notes that the files as they were at a look, and those that were read after it, could not be used.
    pub(super) fn refused(&mut self, now: Digests, sources: &Sources) {
        self.known = now;
        self.add(sources);
    }

    fn add(&mut self, sources: &Sources) {
        let files = sources.digests.iter().filter(|(path, _)| !sources.pipes.contains_key(*path));
        self.known.extend(files.map(|(path, digest)| (path.clone(), digest.clone())));
        self.seen = self.known.clone();
    }

    /// The current content of the files.
    pub(super) fn look(&self) -> Digests {
        let look = |path: &PathBuf| {
            let bytes = input::read(path, input::MAX_SIZE).ok();
            (path.clone(), bytes.map(|bytes| Digest::sha256(&bytes)))
        };
        self.known.keys().map(look).collect()
    }

    /// Whether the files, as they are now, must be loaded.
    pub(super) fn is_due(&mut self, now: &Digests) -> bool {
        let due = *now != self.known && *now == self.seen;
        self.seen.clone_from(now);
        due
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn write(path: &Path, text: &str) {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_change_is_due_once_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        write(&path, "a");
        let (mut sources, mut watch) = (Sources::default(), Watch::default());
        sources.read(&path).unwrap();
        watch.loaded(&sources);
        let mut look = |text: Option<&str>| {
            match text {
                Some(text) => write(&path, text),
                None => drop(std::fs::remove_file(&path)),
            }
            let now = watch.look();
            let due = watch.is_due(&now);
            if due {
                let mut again = sources.again();
                match again.read(&path) {
                    Ok(_) => watch.loaded(&again),
                    Err(_) => watch.refused(now, &again),
                }
            }
            due
        };
        assert!(!look(Some("a")));
        // A writer that writes in pieces.
        assert!(!look(Some("b")) && !look(Some("bc")) && look(Some("bc")));
        assert!(!look(Some("bc")));
        // A change that is undone before the next look.
        assert!(!look(Some("d")) && !look(Some("bc")) && !look(Some("bc")));
        assert!(!look(None) && look(None) && !look(None));
        assert!(!look(Some("bc")) && look(Some("bc")));
    }

    #[test]
    fn a_refused_change_is_due_again_only_when_a_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        write(&path("config"), "1");
        write(&path("users"), "1");
        let (mut sources, mut watch) = (Sources::default(), Watch::default());
        sources.read(&path("config")).unwrap();
        sources.read(&path("users")).unwrap();
        watch.loaded(&sources);
        write(&path("config"), "2");
        write(&path("users"), "2");
        let mut look = || {
            let now = watch.look();
            let due = watch.is_due(&now);
            if due {
                // The configuration names a file that does not exist, so that the users are not read.
                let mut again = Sources::default();
                again.read(&path("config")).unwrap();
                match again.read(&path("missing")) {
                    Ok(_) => watch.loaded(&again),
                    Err(_) => watch.refused(now, &again),
                }
            }
            due
        };
        assert!(!look() && look() && !look() && !look());
        write(&path("missing"), "1");
        assert!(!look() && look() && !look());
    }

    #[test]
    fn the_text_of_a_pipe_is_kept_and_its_file_is_not_read_again() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"text").unwrap();
        drop(writer);
        let path = PathBuf::from(format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader)));
        let mut sources = Sources::default();
        assert_eq!(sources.read(&path).unwrap(), "text");
        let mut again = sources.again();
        assert_eq!(again.read(&path).unwrap(), "text");
        assert!(again.has_same(&sources, Some(&path)));
        let mut watch = Watch::default();
        watch.loaded(&again);
        assert!(watch.look().is_empty());
    }
}

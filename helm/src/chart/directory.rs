//! Reads a chart from a directory, without the files that `.helmignore` excludes.
//!
//! Helm follows symbolic links. Here they are rejected, because a chart may come from an untrusted source.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::archive::{Budget, File, without_mark};
use super::ignore::Rules;
use crate::error::Error;

/// The files below `root`, in the order of their names.
pub(super) fn read(root: &Path, budget: &Budget<'_>) -> Result<Vec<File>, Error> {
    let rules = match load(&root.join(".helmignore"), ".helmignore", budget) {
        Ok(data) => Rules::parse(&String::from_utf8_lossy(&data))?,
        Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Rules::parse("")?,
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        let path = root.join(&directory);
        let unreadable = |source| Error::Read { path: path.clone(), source };
        for entry in fs::read_dir(&path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let kind = entry.file_type().map_err(unreadable)?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| Error::UnreadableName { path: name.to_string_lossy().into_owned() })?;
            let name = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if rules.ignores(&name, kind.is_dir()) {
                continue;
            }
            budget.file()?;
            if kind.is_dir() {
                directories.push(name);
            } else if kind.is_symlink() {
                return Err(Error::SymbolicLink { path: name });
            } else if kind.is_file() {
                files.push(File { data: load(&entry.path(), &name, budget)?, name });
            } else {
                return Err(Error::Irregular { path: name });
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// Reads the file `name`. As in Helm, the limit for a file in a directory is that of the whole chart.
fn load(path: &Path, name: &str, budget: &Budget<'_>) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let (bound, mut data) = (budget.limits.archive_bytes, Vec::new());
    input::open(path)
        .and_then(|file| file.take(bound.saturating_add(1)).read_to_end(&mut data))
        .map_err(unreadable)?;
    if data.len() as u64 > bound {
        return Err(Error::LargeFile { path: name.to_owned(), bound });
    }
    budget.take(data.len() as u64)?;
    Ok(without_mark(data))
}

#[cfg(test)]
mod tests {
    use gostd::limits::Limits;

    use super::*;

    fn write(root: &Path, name: &str, data: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }

    #[test]
    fn ignored_files_and_directories_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        for name in ["Chart.yaml", "ci/a", "templates/.hidden", "templates/a.yaml", "notes.bak"] {
            write(root.path(), name, "x");
        }
        write(root.path(), ".helmignore", "\u{feff}ci/\n*.bak\n");
        let limits = Limits::default();
        let files = read(root.path(), &Budget::new(&limits)).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, [".helmignore", "Chart.yaml", "templates/a.yaml"]);
    }

    #[test]
    #[cfg(unix)]
    fn a_symbolic_link_is_rejected_unless_ignored() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "Chart.yaml", "x");
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("secret")).unwrap();
        let limits = Limits::default();
        let refused = read(root.path(), &Budget::new(&limits));
        assert!(matches!(refused, Err(Error::SymbolicLink { path }) if path == "secret"));
        write(root.path(), ".helmignore", "secret");
        assert!(read(root.path(), &Budget::new(&limits)).is_ok());
    }

    #[test]
    fn a_large_file_exceeds_its_limit() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "Chart.yaml", "four");
        let limits = Limits { archive_bytes: 3, ..Limits::default() };
        let refused = read(root.path(), &Budget::new(&limits));
        assert!(matches!(refused, Err(Error::LargeFile { path, bound: 3 }) if path == "Chart.yaml"));
    }

    #[test]
    fn h10_a_file_over_5_mib_in_a_folder_is_read_as_in_helm() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n");
        write(root.path(), "big", &"x".repeat((5 << 20) + 1));
        let limits = Limits::default();
        let chart = crate::chart::Chart::from_directory(root.path(), &limits).unwrap();
        assert_eq!(chart.files().map(|(_, data)| data.len()).max(), Some((5 << 20) + 1));
        // Helm packages such a chart, but does not load the package.
        let packed = crate::chart::Chart::package(root.path(), &limits).unwrap();
        let refused = crate::chart::Chart::from_archive(packed.as_slice(), &limits).unwrap_err();
        assert_eq!(refused.to_string(), "chart file \"big\" is larger than the maximum file size 5242880");
    }
}

//! File names in a chart: the checks of a name, and Go's `path.Clean`.
//!
//! The checks are those of Helm's `pkg/chart/loader/archive`, in its order.

use crate::error::Error;

/// The name of a file in an archive, relative to the chart.
///
/// # Errors
/// The name is absolute, leads out of the chart, or is not inside the archive's base directory.
pub(super) fn in_archive(name: &[u8]) -> Result<String, Error> {
    let name = text(name)?;
    // An archive that was created on Windows may contain backslashes.
    let delimiter = if name.contains('\\') { '\\' } else { '/' };
    let (base, rest) = name.split_once(delimiter).unwrap_or((name, ""));
    let relative = rest.replace(delimiter, "/");
    // Helm drops an empty first element like any other; no chart needs one.
    if relative.starts_with('/') || base.is_empty() {
        return Err(Error::AbsolutePath { path: name.to_owned() });
    }
    let relative = clean(&relative);
    if relative == "." {
        return Err(Error::NoDirectory { path: name.to_owned() });
    }
    check(&relative, name)?;
    if base == "Chart.yaml" {
        return Err(Error::OutsideBase);
    }
    Ok(relative)
}

/// Checks a name from the caller, relative to the chart.
///
/// # Errors
/// The name is absolute, leads out of the chart, or is empty.
pub(super) fn in_chart(name: &str) -> Result<String, Error> {
    let plain = text(name.as_bytes())?.replace('\\', "/");
    if plain.starts_with('/') {
        return Err(Error::AbsolutePath { path: name.to_owned() });
    }
    let relative = clean(&plain);
    if relative == "." {
        return Err(Error::NoDirectory { path: name.to_owned() });
    }
    check(&relative, name)?;
    Ok(relative)
}

fn text(name: &[u8]) -> Result<&str, Error> {
    let unreadable = || Error::UnreadableName { path: String::from_utf8_lossy(name).into_owned() };
    let text = std::str::from_utf8(name).map_err(|_| unreadable())?;
    if text.contains('\0') { Err(unreadable()) } else { Ok(text) }
}

fn check(relative: &str, name: &str) -> Result<(), Error> {
    if relative.starts_with("..") {
        return Err(Error::ParentPath { path: name.to_owned() });
    }
    if let [drive, b':', b'/', ..] = relative.as_bytes()
        && drive.is_ascii_alphabetic()
    {
        return Err(Error::DrivePath { path: name.to_owned() });
    }
    Ok(())
}

/// Go's `path.Clean` of a relative path.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// Go's `path.Base` for a name that is not empty.
pub(crate) fn base(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// Go's `path.Ext`: from the last dot of the last element on.
pub(crate) fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').and_then(|dot| name.get(dot..)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_of_an_archived_name_is_dropped() {
        assert_eq!(in_archive(b"chart/templates/a.yaml").unwrap(), "templates/a.yaml");
        assert_eq!(in_archive(b"chart\\templates\\a.yaml").unwrap(), "templates/a.yaml");
        assert_eq!(in_archive(b"./chart/../a.yaml").unwrap(), "a.yaml");
    }

    #[test]
    fn each_hostile_name_has_its_own_error() {
        assert!(matches!(in_archive(b"chart//etc/passwd"), Err(Error::AbsolutePath { .. })));
        assert!(matches!(in_archive(b"/etc/passwd"), Err(Error::AbsolutePath { .. })));
        assert!(matches!(in_archive(b"chart/../../x"), Err(Error::ParentPath { .. })));
        assert!(matches!(in_archive(b"chart/C:/x"), Err(Error::DrivePath { .. })));
        assert!(matches!(in_archive(b"chart\\c:\\x"), Err(Error::DrivePath { .. })));
        assert!(matches!(in_archive(b"file"), Err(Error::NoDirectory { .. })));
        assert!(matches!(in_archive(b"Chart.yaml/x"), Err(Error::OutsideBase)));
        assert!(matches!(in_archive(b"chart/\xff"), Err(Error::UnreadableName { .. })));
        assert!(matches!(in_chart("/etc/passwd"), Err(Error::AbsolutePath { .. })));
        assert!(matches!(in_chart("a/../../x"), Err(Error::ParentPath { .. })));
        assert!(matches!(in_chart("."), Err(Error::NoDirectory { .. })));
    }

    #[test]
    fn parts_of_a_name_are_those_of_go() {
        assert_eq!(base("a/b.txt"), "b.txt");
        assert_eq!(extension("a.b/c"), "");
        assert_eq!(extension("charts/x-1.0.tgz"), ".tgz");
        assert_eq!(clean("a/./b//../c"), "a/c");
    }
}

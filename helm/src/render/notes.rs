//! `NOTES.txt`: rendered like any template and shown to the user, but never applied.

use std::collections::BTreeMap;

/// Removes the notes from the rendered files and returns them; those of sub-charts only if `with_charts` is set.
pub(super) fn take(files: &mut BTreeMap<String, String>, chart: &str, with_charts: bool) -> Option<String> {
    let own = format!("{chart}/templates/NOTES.txt");
    let mut notes = String::new();
    files.retain(|path, text| {
        if !path.ends_with("NOTES.txt") {
            return true;
        }
        if with_charts || *path == own {
            if !notes.is_empty() {
                notes.push('\n');
            }
            notes.push_str(text);
        }
        false
    });
    (!notes.is_empty()).then_some(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_not_manifests_and_those_of_sub_charts_are_dropped() {
        let all = || {
            BTreeMap::from([
                ("c/charts/s/templates/NOTES.txt".to_owned(), "inner".to_owned()),
                ("c/templates/NOTES.txt".to_owned(), "outer\n".to_owned()),
                ("c/templates/a.yaml".to_owned(), "a: b".to_owned()),
            ])
        };
        let mut files = all();
        assert_eq!(take(&mut files, "c", false).as_deref(), Some("outer\n"));
        assert_eq!(files.len(), 1);
        assert_eq!(take(&mut all(), "c", true).as_deref(), Some("inner\nouter\n"));
        assert_eq!(take(&mut files, "c", true), None);
    }
}

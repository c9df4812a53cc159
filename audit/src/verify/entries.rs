//! Entries as they are on disk, however damaged, and how they differ from those that were logged.

use tlog::{Folder, Hash};

use crate::Result;

/// The entries of a bundle; fewer or none where the file is cut, malformed or missing.
pub(super) fn read(folder: &Folder, bundle: u64) -> Result<Vec<Vec<u8>>> {
    match folder.bundle(bundle) {
        Ok(entries) => Ok(entries),
        Err(tlog::Error::Damaged { .. }) => Ok(folder.remains(bundle)?),
        Err(error) => Err(error.into()),
    }
}

/// What happened to a bundle whose entries should have the hashes `logged`: each fault with the entry that it begins
/// at, counted within the bundle.
pub(super) fn differences(found: &[Hash], logged: &[Hash]) -> Vec<(usize, String)> {
    let same = found.iter().zip(logged).take_while(|(found, logged)| found == logged).count();
    if same == logged.len() {
        return Vec::new();
    }
    if same == found.len() {
        let missing = logged.len() - same;
        return vec![(
            same,
            format!("it and the rest of its bundle, {}, are cut off", super::counted(missing as u64)),
        )];
    }
    if same + 1 < logged.len() && begins(&logged[same + 1..], &found[same..]) {
        return vec![(same, "it was deleted, and those after it moved up".to_owned())];
    }
    if begins(&found[same + 1..], &logged[same..]) {
        return vec![(same, "it was put in, and those after it moved down".to_owned())];
    }
    let mut faults = Vec::new();
    for (place, logged_there) in logged.iter().enumerate().skip(same) {
        match found.get(place) {
            Some(hash) if hash == logged_there => {}
            Some(hash) => {
                let origin = logged.iter().position(|known| known == hash);
                faults.push((place, origin.map_or_else(edited, |origin| moved(place, origin))));
            }
            None => {
                let missing = logged.len() - place;
                faults.push((
                    place,
                    format!("it and the rest of its bundle, {}, are cut off", super::counted(missing as u64)),
                ));
                break;
            }
        }
    }
    faults
}

/// Whether the shorter is how the longer begins; both must have something.
fn begins(one: &[Hash], other: &[Hash]) -> bool {
    let common = one.len().min(other.len());
    common > 0 && one[..common] == other[..common]
}

fn edited() -> String {
    "it is not what was logged: it was edited".to_owned()
}

fn moved(place: usize, origin: usize) -> String {
    let (by, where_to) = if origin > place { (origin - place, "later") } else { (place - origin, "earlier") };
    format!("it was reordered: what stands here was logged {by} {where_to}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(text: &str) -> Vec<Hash> {
        text.bytes().map(|byte| Hash::leaf(&[byte])).collect()
    }

    #[test]
    fn what_happened_to_a_bundle_is_told_from_its_hashes() {
        let told = |found, logged| differences(&hashes(found), &hashes(logged));
        assert!(told("abcdef", "abcdef").is_empty());
        for (found, place, word) in [
            ("abc", 3, "cut off"),
            ("", 0, "cut off"),
            ("abdef", 2, "deleted"),
            ("abdefg", 2, "deleted"),
            ("abxcde", 2, "put in"),
            ("abXdef", 2, "edited"),
            ("abcdeX", 5, "edited"),
            ("abcedf", 3, "reordered"),
            ("fbcdea", 0, "reordered"),
        ] {
            let faults = told(found, "abcdef");
            assert_eq!(faults[0].0, place, "{found}: {faults:?}");
            assert!(faults[0].1.contains(word), "{found}: {faults:?}");
        }
        assert_eq!(told("abcedf", "abcdef").len(), 2, "both places are named");
    }
}

//! The entries on disk, which may be damaged, and their differences from the logged entries.

use tlog::{Folder, Hash};

use crate::Result;

/// The entries of a bundle; fewer or none if the file is truncated, malformed or missing.
pub(super) fn read(folder: &Folder, bundle: u64) -> Result<Vec<Vec<u8>>> {
    match folder.bundle(bundle) {
        Ok(entries) => Ok(entries),
        Err(tlog::Error::Damaged { .. }) => Ok(folder.salvage(bundle)?),
        Err(error) => Err(error.into()),
    }
}

/// The faults of a bundle whose entries should have the hashes `logged`, each with the position in the bundle at which it
/// begins.
pub(super) fn differences(found: &[Hash], logged: &[Hash]) -> Vec<(usize, String)> {
    let same = found.iter().zip(logged).take_while(|(found, logged)| found == logged).count();
    if same == logged.len() {
        return Vec::new();
    }
    if same == found.len() {
        let missing = logged.len() - same;
        return vec![(
            same,
            format!("it is cut off, with the rest of its bundle ({})", super::entry_count(missing as u64)),
        )];
    }
    if same + 1 < logged.len() && has_common_start(&logged[same + 1..], &found[same..]) {
        return vec![(same, "it was deleted, and the entries after it moved up".to_owned())];
    }
    if has_common_start(&found[same + 1..], &logged[same..]) {
        return vec![(same, "it was inserted, and the entries after it moved down".to_owned())];
    }
    let mut faults = Vec::new();
    for (position, expected) in logged.iter().enumerate().skip(same) {
        match found.get(position) {
            Some(hash) if hash == expected => {}
            Some(hash) => {
                let origin = logged.iter().position(|known| known == hash);
                faults.push((position, origin.map_or_else(edited, |origin| moved(position, origin))));
            }
            None => {
                let missing = logged.len() - position;
                faults.push((
                    position,
                    format!(
                        "it is cut off, with the rest of its bundle ({})",
                        super::entry_count(missing as u64)
                    ),
                ));
                break;
            }
        }
    }
    faults
}

/// Whether the longer list begins with the shorter one, which must not be empty.
fn has_common_start(one: &[Hash], other: &[Hash]) -> bool {
    let common = one.len().min(other.len());
    common > 0 && one[..common] == other[..common]
}

fn edited() -> String {
    "it was edited after it was logged".to_owned()
}

fn moved(position: usize, origin: usize) -> String {
    let (distance, direction) =
        if origin > position { (origin - position, "later") } else { (position - origin, "earlier") };
    let positions = if distance == 1 { "position" } else { "positions" };
    format!("it was reordered: the entry in its position was logged {distance} {positions} {direction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(text: &str) -> Vec<Hash> {
        text.bytes().map(|byte| Hash::leaf(&[byte])).collect()
    }

    #[test]
    fn the_faults_of_a_bundle_follow_from_its_hashes() {
        let faults = |found, logged| differences(&hashes(found), &hashes(logged));
        assert!(faults("abcdef", "abcdef").is_empty());
        for (found, position, word) in [
            ("abc", 3, "cut off"),
            ("", 0, "cut off"),
            ("abdef", 2, "deleted"),
            ("abdefg", 2, "deleted"),
            ("abxcde", 2, "inserted"),
            ("abXdef", 2, "edited"),
            ("abcdeX", 5, "edited"),
            ("abcedf", 3, "reordered"),
            ("fbcdea", 0, "reordered"),
        ] {
            let faults = faults(found, "abcdef");
            assert_eq!(faults[0].0, position, "{found}: {faults:?}");
            assert!(faults[0].1.contains(word), "{found}: {faults:?}");
        }
        assert_eq!(faults("abcedf", "abcdef").len(), 2, "both positions are named");
    }
}

//! Parses every template of real charts.

use std::io::Read;
use std::path::PathBuf;

use super::*;

/// The directory of shared fixtures, if it exists.
fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("AIRLOCK_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let charts = root.join("fixtures/charts");
    charts.is_dir().then_some(charts)
}

/// The files under `templates/` of the charts in one archive, with their paths.
fn templates(archive: PathBuf) -> Vec<(String, String)> {
    let file = std::fs::File::open(archive).unwrap();
    let mut templates = Vec::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(file)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if path.contains("/templates/") && entry.header().entry_type().is_file() {
            let mut source = String::new();
            entry.read_to_string(&mut source).unwrap();
            templates.push((path, source));
        }
    }
    templates
}

#[test]
fn every_template_of_the_charts_survives_a_round_trip() {
    let Some(charts) = shared() else {
        println!("skipped: no shared fixtures");
        return;
    };
    let limits = Limits::default();
    let parse = |path: &str, source: &str| {
        parse(path, source, &|_| true, &limits).unwrap_or_else(|error| panic!("{error}"))
    };
    let (mut archives, mut files, mut compared, mut nodes) = (0, 0, 0, 0);
    for archive in std::fs::read_dir(charts).unwrap() {
        archives += 1;
        for (path, source) in templates(archive.unwrap().path()) {
            files += 1;
            for tree in parse(&path, &source) {
                nodes += tree.nodes;
                let printed: String = tree.body.iter().map(ToString::to_string).collect();
                // If trimming puts a brace of the text next to an action, the printed text is not a valid source, in Go
                // too.
                if !printed.contains("{{{") {
                    compared += 1;
                    let again: String =
                        parse(&path, &printed)[0].body.iter().map(ToString::to_string).collect();
                    assert_eq!(printed, again, "{path}: {}", tree.name);
                }
            }
        }
    }
    let counts = [archives, files, compared, nodes];
    assert!(counts.iter().zip([7, 100, 300, 10_000]).all(|(count, floor)| *count >= floor), "{counts:?}");
}

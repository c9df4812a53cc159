//! Any text as YAML; what is written of what was read reads as the same, and is written the same again.

use gostd::{Limits, yaml};

/// One run.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let tight = super::limits();
    let _ = yaml::parse_strict(text, &tight);
    if let Ok(all) = yaml::documents(text, &tight) {
        for value in &all {
            stable(value);
        }
    }
    if let Ok(value) = yaml::parse(text, &tight) {
        stable(&value);
    }
}

fn stable(value: &serde_json::Value) {
    // What go-yaml's own form cannot give back.
    let text = value.to_string();
    if text.contains("\"<<\":") || text.contains(['\u{2028}', '\u{2029}', '\u{feff}']) {
        return;
    }
    let written = yaml::write(value);
    let again = yaml::parse_strict(&written, &Limits::default());
    match again {
        Ok(again) => {
            // Marshal's whole numbers have no sign for zero.
            assert!(&again == value || text.contains("-0.0"), "reads otherwise: {written:?} of {value:?}");
            assert_eq!(yaml::write(&again), written, "is written otherwise");
        }
        Err(error) => panic!("{error}: {written:?} of {value:?}"),
    }
}

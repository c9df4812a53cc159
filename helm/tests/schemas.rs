//! Schemas of values, each with what Helm 4.3.0 said of some values (`schemas.json`): circles, references, identifiers.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails its test")]

use std::time::Duration;

use helm::{Chart, Error, Limits, Options, render};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Row {
    name: String,
    schema: Value,
    values: Value,
    /// Why Helm refused.
    error: Option<String>,
}

/// What is said of the values.
fn refusal(row: &Row) -> Option<String> {
    let files = [
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n".to_owned()),
        ("values.yaml", row.values.to_string()),
        ("values.schema.json", row.schema.to_string()),
        ("inchart.json", "{\"type\": \"number\"}".to_owned()),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.into_bytes()));
    let chart = Chart::from_files(files, &Limits::default()).unwrap();
    match render(&chart, &Options::new("r", "default", [0; 32], Duration::ZERO)) {
        Ok(_) => None,
        Err(Error::Schema { violations }) => {
            Some(violations.strip_prefix("c:\n").unwrap_or(&violations).trim_end().to_owned())
        }
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn h10_schemas_take_and_refuse_what_they_do_in_helm() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("data/schemas.json")).unwrap();
    let (mut wrong, mut same) = (Vec::new(), 0);
    for row in &rows {
        let found = refusal(row);
        if found.is_some() != row.error.is_some() {
            wrong.push(format!("{}: {found:?}, Helm: {:?}", row.name, row.error));
        }
        let is_same = found == row.error;
        same += usize::from(is_same);
        if !is_same {
            println!("{}\n  {found:?}\n  {:?}", row.name, row.error);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Where a schema cannot be used at all the words are our own.
    assert!(rows.len() >= 75 && same >= 48, "{same} of {}", rows.len());
}

//! Schemas of values, each with the result of Helm 4.3.0 for some values (`schemas.json`): cycles, references,
//! identifiers.

#![expect(clippy::unwrap_used, reason = "a file that cannot be read fails its test")]

use std::time::Duration;

use helm::{Chart, Error, Limits, Options, render};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Row {
    name: String,
    schema: Value,
    values: Value,
    /// Helm's error.
    error: Option<String>,
}

/// The error for the values.
fn schema_error(row: &Row) -> Option<String> {
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
fn h10_schemas_accept_and_reject_the_same_values_as_in_helm() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("data/schemas.json")).unwrap();
    let (mut wrong, mut same) = (Vec::new(), 0);
    for row in &rows {
        let found = schema_error(row);
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
    // The error text for an unusable schema differs from Helm's.
    assert!(rows.len() >= 75 && same >= 48, "{same} of {}", rows.len());
}

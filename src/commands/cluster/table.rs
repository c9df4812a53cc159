//! Tables: as `kubectl get` prints them, and as `eksctl anywhere list packages` does.

use kube::Client;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;

use super::reach::api_error;

/// `meta.k8s.io/v1 Table`: the API server's own columns.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    column_definitions: Vec<Column>,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Debug, Deserialize)]
struct Row {
    cells: Vec<Value>,
    object: Value,
}

impl Table {
    /// Lists the objects of a kind in a namespace, in the API server's columns.
    pub(super) async fn of(client: &Client, resource: &ApiResource, namespace: &str) -> anyhow::Result<Self> {
        let doing = format!("listing {}", resource.plural);
        let path = <DynamicObject as kube::Resource>::url_path(resource, Some(namespace));
        let mut request = Request::new(path)
            .list(&ListParams::default())
            .map_err(|error| api_error(&doing, &kube::Error::BuildRequest(error)))?;
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io".parse()?;
        request.headers_mut().insert("accept", accept);
        client.request(request).await.map_err(|error| api_error(&doing, &error))
    }

    /// Keeps rows by the objects' names, in the order of the names.
    pub(super) fn only(&mut self, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let position = |row: &Row| {
            let name = row.object["metadata"]["name"].as_str();
            names.iter().position(|wanted| Some(wanted.as_str()) == name)
        };
        self.rows.retain(|row| position(row).is_some());
        self.rows.sort_by_key(position);
    }

    /// As kubectl prints it.
    pub(super) fn text(&self) -> String {
        let shown: Vec<usize> = (0..self.column_definitions.len())
            .filter(|&column| self.column_definitions[column].priority == 0)
            .collect();
        let head = shown.iter().map(|&column| self.column_definitions[column].name.to_uppercase()).collect();
        let cell = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.replace('\n', " "),
            None | Some(Value::Null) => String::new(),
            Some(value) => value.to_string(),
        };
        let rows = self.rows.iter();
        let rows = rows.map(|row| shown.iter().map(|&column| cell(row.cells.get(column))).collect());
        columns(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}

/// Columns three spaces apart; the last one ends with its text.
fn columns(lines: &[Vec<String>]) -> String {
    let last = lines.iter().map(Vec::len).max().unwrap_or(0).saturating_sub(1);
    let widest = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..last).map(|column| widest(column) + 3).chain([0]).collect();
    let line = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<String>() + "\n"
    };
    lines.iter().map(line).collect()
}

/// `eksctl anywhere`'s tables: Go's tabwriter with cells of at least 16, padded with tabs of 8.
pub(super) fn tabbed(lines: &[[String; 2]]) -> String {
    const LEAST: usize = 16;
    const TAB: usize = 8;
    let width = |column: usize| {
        let widest = lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        widest.max(LEAST).div_ceil(TAB) * TAB
    };
    let widths = [width(0), width(1)];
    let cell = |(text, width): (&String, &usize)| {
        let tabs = (width - text.chars().count()).div_ceil(TAB);
        format!("{text}{}", "\t".repeat(tabs))
    };
    lines.iter().map(|line| line.iter().zip(&widths).map(cell).collect::<String>() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_listed_byte_for_byte_as_eksctl_lists_them() {
        let lines = [
            ["Package", "Version(s)"],
            ["-------", "----------"],
            ["harbor", "2.5.1-4324383d8c5383bded5f7378efb98b4d50af827b"],
        ];
        let lines = lines.map(|line| line.map(str::to_owned));
        let expected = "Package\t\tVersion(s)\t\t\t\t\t\n-------\t\t----------\t\t\t\t\t\nharbor\t\t2.5.1-4324383d8c5383bded5f7378efb98b4d50af827b\t\n";
        assert_eq!(tabbed(&lines), expected);
    }

    #[test]
    fn a_table_has_the_servers_columns_without_those_for_wide_output() {
        let table = serde_json::json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Wide", "priority": 1}, {"name": "State"}],
            "rows": [
                {"cells": ["a", "x", "installed"], "object": {"metadata": {"name": "a"}}},
                {"cells": ["longer", "x", null], "object": {"metadata": {"name": "longer"}}},
            ],
        });
        let mut table: Table = serde_json::from_value(table).unwrap();
        assert_eq!(table.text(), "NAME     STATE\na        installed\nlonger   \n");
        table.only(&["longer".to_owned()]);
        assert_eq!(table.text(), "NAME     STATE\nlonger   \n");
    }
}

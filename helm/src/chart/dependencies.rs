//! Resolves the enabled sub-charts, their names, and the values that their parents import from them.
//!
//! Source: `pkg/chart/v2/util/dependencies.go`, in the same order: names and version ranges, aliases, tags, conditions,
//! the same for the sub-charts, then imported values from the bottom up.

use std::rc::Rc;

use gostd::limits::Limits;
use gostd::value::{Map, Value};
use serde_json::{Value as Json, json};

use super::coalesce::{self, Meter, Mode};
use super::values::to_map;
use super::{Chart, Dependency, File, Metadata};
use crate::error::Error;
use crate::semver::{Constraint, Version};

/// A chart that is prepared for one render.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    /// The loaded chart.
    pub(super) chart: &'a Chart,
    /// Its metadata, with its alias as the name.
    pub(crate) metadata: Metadata,
    /// Its values, which never change in place.
    pub(crate) values: Option<Map>,
    /// Its sub-charts; after resolution, only the enabled ones.
    pub(crate) charts: Vec<Node<'a>>,
}

/// Resolves the chart's sub-charts with the user's values.
pub(crate) fn resolve<'a>(
    chart: &'a Chart,
    user: &Map,
    meter: &Meter<'_>,
    limits: &Limits,
) -> Result<Node<'a>, Error> {
    let mut root = Node::new(chart);
    let mut budget = ChartBudget { left: limits.files, depth: limits.chart_depth };
    enable(&mut root, user, "", meter, &mut budget)?;
    import(&mut root, meter)?;
    Ok(root)
}

impl<'a> Node<'a> {
    fn new(chart: &'a Chart) -> Self {
        Self {
            chart,
            metadata: chart.metadata.clone(),
            values: chart.values.as_ref().map(to_map),
            charts: chart.charts.iter().map(Node::new).collect(),
        }
    }

    /// The files of the chart that are neither templates nor metadata.
    pub(crate) fn files(&self) -> &'a [File] {
        &self.chart.files
    }

    /// The files in the chart's `templates/`.
    pub(crate) fn templates(&self) -> &'a [File] {
        &self.chart.templates
    }

    /// The number of charts and files, including this chart and its own files.
    fn size(&self) -> usize {
        let own = 1 + self.chart.templates.len() + self.chart.files.len();
        self.charts.iter().map(Node::size).sum::<usize>().saturating_add(own)
    }
}

/// The values that templates see: the user's values on top of those of the resolved charts.
pub(crate) fn join(root: &Node<'_>, user: &Map, meter: &Meter<'_>) -> Result<Map, Error> {
    coalesce::values(root, user, Mode::Coalesce, meter)
}

/// The charts and files that aliases may still multiply, and the remaining nesting.
struct ChartBudget {
    left: usize,
    depth: usize,
}

/// Removes the disabled charts. `path` is the path of the chart's values, with a trailing dot.
fn enable(
    chart: &mut Node<'_>,
    user: &Map,
    path: &str,
    meter: &Meter<'_>,
    budget: &mut ChartBudget,
) -> Result<(), Error> {
    if chart.metadata.dependencies.is_none() {
        return Ok(());
    }
    budget.depth = budget.depth.checked_sub(1).ok_or(Error::Limit { name: "chart_depth" })?;
    rename(chart, budget)?;
    let values = coalesce::values(chart, user, Mode::Coalesce, meter)?;
    let dependencies = chart.metadata.dependencies.take().unwrap_or_default();
    let (kept, dropped): (Vec<_>, Vec<_>) = dependencies
        .into_iter()
        .map(|mut dependency| {
            dependency.enabled = is_enabled(&dependency, &values, path);
            dependency
        })
        .partition(|dependency| dependency.enabled);
    chart.charts.retain(|child| !dropped.iter().any(|dependency| dependency.name == child.metadata.name));
    let is_dropped = |name: &str| dropped.iter().any(|dependency| dependency.name == name);
    let kept: Vec<Dependency> = kept.into_iter().filter(|dependency| !is_dropped(&dependency.name)).collect();
    for child in &mut chart.charts {
        let path = format!("{path}{}.", child.metadata.name);
        enable(child, &values, &path, meter, budget)?;
    }
    chart.metadata.dependencies = (!kept.is_empty()).then_some(kept);
    budget.depth += 1;
    Ok(())
}

/// Moves the charts that dependencies refer to after the other charts, each under its alias.
fn rename(chart: &mut Node<'_>, budget: &mut ChartBudget) -> Result<(), Error> {
    let dependencies = chart.metadata.dependencies.as_deref_mut().unwrap_or_default();
    let fits = |child: &Node<'_>, dependency: &Dependency| {
        child.metadata.name == dependency.name && is_compatible(&dependency.version, &child.metadata.version)
    };
    let is_declared = |child: &Node<'_>| dependencies.iter().any(|dependency| fits(child, dependency));
    let mut charts: Vec<_> = chart.charts.iter().filter(|child| !is_declared(child)).cloned().collect();
    for dependency in dependencies {
        if let Some(child) = chart.charts.iter().find(|child| fits(child, dependency)) {
            budget.left = budget.left.checked_sub(child.size()).ok_or(Error::Limit { name: "files" })?;
            let mut child = child.clone();
            if !dependency.alias.is_empty() {
                child.metadata.name.clone_from(&dependency.alias);
            }
            charts.push(child);
        }
        if !dependency.alias.is_empty() {
            dependency.name.clone_from(&dependency.alias);
        }
    }
    chart.charts = charts;
    Ok(())
}

/// Whether a version is in a range; false if either cannot be parsed.
pub(crate) fn is_compatible(range: &str, version: &str) -> bool {
    match (Constraint::parse(range), Version::parse(version)) {
        (Ok(range), Ok(version)) => range.accepts(&version),
        _ => false,
    }
}

/// The first condition with a boolean value decides. Otherwise tags do: a true tag enables, and without one a false tag
/// disables.
fn is_enabled(dependency: &Dependency, values: &Map, path: &str) -> bool {
    let values = Value::Map(values.clone());
    for condition in dependency.condition.trim().split(',').filter(|condition| !condition.is_empty()) {
        if let Some(Value::Bool(enabled)) = at(&values, &format!("{path}{condition}")) {
            return enabled;
        }
    }
    let tags = values.entry("tags").filter(|tags| matches!(tags, Value::Map(_)));
    let has_tag = |wanted: bool| {
        let has_value = |tag: &String| matches!(tags.as_ref().and_then(|tags| tags.entry(tag)), Some(Value::Bool(value)) if value == wanted);
        dependency.tags.iter().any(has_value)
    };
    has_tag(true) || !has_tag(false)
}

/// The value at a dotted path.
pub(crate) fn at(values: &Value, path: &str) -> Option<Value> {
    path.split('.').try_fold(values.clone(), |value, name| value.entry(name))
}

/// Imports values from sub-charts into every chart, from the bottom up.
fn import(chart: &mut Node<'_>, meter: &Meter<'_>) -> Result<(), Error> {
    for child in &mut chart.charts {
        import(child, meter)?;
    }
    if chart.metadata.dependencies.is_none() {
        return Ok(());
    }
    let empty = Map::new::<&str>([]);
    let values = coalesce::values(chart, &empty, Mode::Merge, meter)?;
    let imported = Map::new::<&str>([]);
    for dependency in chart.metadata.dependencies.iter_mut().flatten() {
        let mut paths = Vec::new();
        for wanted in &dependency.import_values {
            let (child, parent) = match wanted {
                Json::Object(table) => (printed(table.get("child")), printed(table.get("parent"))),
                Json::String(name) => (format!("exports.{name}"), ".".to_owned()),
                _ => continue,
            };
            let table = at(&Value::Map(values.clone()), &format!("{}.{child}", dependency.name));
            if let Some(Value::Map(table)) = table {
                coalesce::tables(&imported, &below(&parent, table, meter)?, Mode::Merge, meter)?;
            }
            paths.push(json!({"child": child, "parent": parent}));
        }
        dependency.import_values = paths;
    }
    // A copy, because the imported maps may be parts of the values themselves.
    let values = meter.copy(&values)?;
    coalesce::tables(&values, &imported, Mode::Merge, meter)?;
    chart.values = Some(values);
    Ok(())
}

/// Nests `table` in maps so that `path` leads to it.
fn below(path: &str, table: Map, meter: &Meter<'_>) -> Result<Map, Error> {
    if path == "." {
        return Ok(table);
    }
    let mut map = table;
    for (depth, name) in path.rsplit('.').enumerate() {
        meter.count(depth)?;
        map = Map::new([(Rc::<str>::from(name), Value::Map(map))]);
    }
    Ok(map)
}

/// What Go's `%v` prints for one end of an import.
fn printed(value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => "<nil>".to_owned(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

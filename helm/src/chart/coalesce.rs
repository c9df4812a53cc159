//! Coalesces the values of charts: the values of a parent chart take precedence over those of its sub-charts.
//!
//! Source: `pkg/chart/common/util/coalesce.go`. Maps are shared where Go shares them, because templates that change a
//! value in place see the difference. Null removes a default, except in a merge, which only prepares values for a later
//! coalescing.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use gostd::limits::Limits;
use gostd::value::{List, Map, Value};

use super::dependencies::Node;
use super::values::to_json;
use crate::error::Error;

/// Whether null removes a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Null removes the default.
    Coalesce,
    /// Null is kept for a later coalescing.
    Merge,
}

/// Counts the values copied and compared, because nested charts can repeat the values of one chart many times.
pub(crate) struct Meter<'a> {
    limits: &'a Limits,
    left: Cell<usize>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        // Each level of charts copies the values once for its conditions and once for its imports.
        Self { limits, left: Cell::new(limits.value_nodes.saturating_mul(4)) }
    }

    pub(super) fn count(&self, depth: usize) -> Result<(), Error> {
        let left = self.left.get().checked_sub(1).ok_or(Error::Limit { name: "value_nodes" })?;
        self.left.set(left);
        if depth > self.limits.value_depth { Err(Error::Limit { name: "value_depth" }) } else { Ok(()) }
    }

    /// A copy that shares nothing.
    pub(super) fn copy(&self, map: &Map) -> Result<Map, Error> {
        self.copy_map(map, 0)
    }

    fn copy_map(&self, map: &Map, depth: usize) -> Result<Map, Error> {
        self.count(depth)?;
        let copied = map
            .entries
            .borrow()
            .iter()
            .map(|(key, value)| Ok((key.clone(), self.copy_value(value, depth + 1)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Map::of(map.element, copied))
    }

    fn copy_value(&self, value: &Value, depth: usize) -> Result<Value, Error> {
        match value {
            Value::Map(map) => self.copy_map(map, depth).map(Value::Map),
            Value::List(list) => {
                self.count(depth)?;
                let items = list
                    .items
                    .iter()
                    .map(|item| self.copy_value(item, depth + 1))
                    .collect::<Result<_, _>>()?;
                Ok(Value::List(List::of(list.element, items)))
            }
            other => {
                self.count(depth)?;
                Ok(other.clone())
            }
        }
    }
}

/// The values of a chart and all its sub-charts, with the user's values on top.
pub(super) fn values(chart: &Node<'_>, user: &Map, mode: Mode, meter: &Meter<'_>) -> Result<Map, Error> {
    let values = meter.copy(user)?;
    coalesce(chart, &values, mode, meter)?;
    Ok(values)
}

fn coalesce(chart: &Node<'_>, target: &Map, mode: Mode, meter: &Meter<'_>) -> Result<(), Error> {
    own(chart, target, mode, meter)?;
    for child in &chart.charts {
        let name: Rc<str> = child.metadata.name.as_str().into();
        let existing = target.entries.borrow().get(&name).cloned();
        let values = match existing {
            Some(Value::Map(values)) => values,
            Some(other) => {
                return Err(Error::NotATable {
                    chart: child.metadata.name.clone(),
                    value: misprinted(&other),
                });
            }
            None => {
                let values = Map::new::<&str>([]);
                target.entries.borrow_mut().insert(name, Value::Map(values.clone()));
                values
            }
        };
        globals(&values, target, meter)?;
        coalesce(child, &values, mode, meter)?;
    }
    Ok(())
}

/// Adds a chart's own values below the given ones.
fn own(chart: &Node<'_>, target: &Map, mode: Mode, meter: &Meter<'_>) -> Result<(), Error> {
    let Some(defaults) = &chart.values else { return Ok(()) };
    for (key, default) in snapshot(&meter.copy(defaults)?) {
        let existing = target.entries.borrow().get(&key).cloned();
        match (existing, default) {
            (Some(Value::Nil), _) if mode == Mode::Coalesce => {
                target.entries.borrow_mut().remove(&key);
            }
            (Some(Value::Map(existing)), Value::Map(default)) => {
                // The values for a sub-chart keep their nulls for the coalescing of that sub-chart.
                let is_child = chart.charts.iter().any(|child| *child.metadata.name == *key);
                let mode = if is_child { Mode::Merge } else { mode };
                if mode == Mode::Coalesce {
                    drop_nulls(&default);
                }
                tables(&existing, &default, mode, meter)?;
            }
            (Some(_), _) => {}
            (None, Value::Nil) if mode == Mode::Coalesce => {}
            (None, default) => {
                if let (Mode::Coalesce, Value::Map(default)) = (mode, &default) {
                    drop_nulls(default);
                }
                target.entries.borrow_mut().insert(key, default);
            }
        }
    }
    Ok(())
}

/// Passes the parent's globals to a sub-chart. They take precedence over its own globals.
fn globals(child: &Map, parent: &Map, meter: &Meter<'_>) -> Result<(), Error> {
    let key: Rc<str> = "global".into();
    let table = |map: &Map| match map.entries.borrow().get(&key) {
        None => Some(Map::new::<&str>([])),
        Some(Value::Map(map)) => Some(map.clone()),
        Some(_) => None,
    };
    let (Some(own), Some(given)) = (table(child), table(parent)) else { return Ok(()) };
    for (name, value) in snapshot(&given) {
        meter.count(0)?;
        let existing = own.entries.borrow().get(&name).cloned();
        let value = match (value, existing) {
            (Value::Map(value), None) => Value::Map(shallow(&value, meter)?),
            (Value::Map(value), Some(Value::Map(existing))) => {
                let value = shallow(&value, meter)?;
                tables(&value, &existing, Mode::Merge, meter)?;
                Value::Map(value)
            }
            (Value::Map(_), Some(_)) | (_, Some(Value::Map(_))) => continue,
            (value, _) => value,
        };
        own.entries.borrow_mut().insert(name, value);
    }
    child.entries.borrow_mut().insert(key, Value::Map(own));
    Ok(())
}

fn shallow(map: &Map, meter: &Meter<'_>) -> Result<Map, Error> {
    let entries = snapshot(map);
    entries.iter().try_for_each(|_| meter.count(0))?;
    Ok(Map::of(map.element, entries))
}

/// Adds the entries of `source` below those of `target`, map by map.
pub(super) fn tables(target: &Map, source: &Map, mode: Mode, meter: &Meter<'_>) -> Result<(), Error> {
    tables_at(target, source, mode, meter, 0)
}

fn tables_at(target: &Map, source: &Map, mode: Mode, meter: &Meter<'_>, depth: usize) -> Result<(), Error> {
    let given: BTreeSet<Rc<str>> = snapshot(source)
        .into_iter()
        .filter(|(_, value)| !matches!(value, Value::Nil))
        .map(|(key, _)| key)
        .collect();
    // As in Helm, a null in the target is also set in the source, where other holders of that map see it.
    for (key, value) in snapshot(target) {
        meter.count(depth)?;
        if matches!(value, Value::Nil) {
            source.entries.borrow_mut().insert(key, Value::Nil);
        }
    }
    for (key, value) in snapshot(source) {
        meter.count(depth)?;
        let existing = target.entries.borrow().get(&key).cloned();
        match (existing, value) {
            (Some(Value::Nil), _) if mode == Mode::Coalesce && given.contains(&key) => {
                target.entries.borrow_mut().remove(&key);
            }
            (None, value) => {
                target.entries.borrow_mut().insert(key, value);
            }
            (Some(Value::Map(existing)), Value::Map(value)) => {
                tables_at(&existing, &value, mode, meter, depth + 1)?;
            }
            (Some(_), _) => {}
        }
    }
    Ok(())
}

/// Removes every null, at any depth.
fn drop_nulls(map: &Map) {
    map.entries.borrow_mut().retain(|_, value| !matches!(value, Value::Nil));
    for value in map.entries.borrow().values() {
        if let Value::Map(inner) = value {
            drop_nulls(inner);
        }
    }
}

/// A copy of the current entries, so that the map, or an alias of it, may change during a loop over them.
fn snapshot(map: &Map) -> Vec<(Rc<str>, Value)> {
    map.entries.borrow().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What Go's `%t` prints for a value that is not a boolean.
fn misprinted(value: &Value) -> String {
    let printed = match value {
        Value::Str(text) => text.to_string(),
        Value::Nil => return "%!t(<nil>)".to_owned(),
        Value::Bool(value) => return value.to_string(),
        other => to_json(other).to_string(),
    };
    format!("%!t({}={printed})", value.type_name())
}

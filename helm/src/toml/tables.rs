//! Which key of a TOML document may be said where: tables made by their heads, by dots, or in passing.
//!
//! Source: BurntSushi/toml 1.6 `parse.go` (`addContext`, `setValue`). Paths are kept as hashes, since a document may
//! spell far more bytes of paths than it has bytes.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use gostd::value::{Element, List, Map, Value};

use super::{dotted, quoted};
use crate::function::{Failure, Scope};

/// Why a key may not stand where it does.
pub(super) enum Refused {
    Said(String),
    Failed(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(super) struct Tables {
    /// The document.
    pub(super) root: Map,
    /// The table that is being filled.
    pub(super) context: Vec<Rc<str>>,
    /// Tables that were only implied, and so may be said once more.
    implicit: HashSet<u64>,
    /// Keys whose value is a plain array.
    arrays: HashSet<u64>,
}

fn hash(path: &[Rc<str>], key: Option<&Rc<str>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in path.iter().chain(key) {
        part.hash(&mut hasher);
    }
    hasher.finish()
}

fn joined(path: &[Rc<str>], key: &Rc<str>) -> String {
    let parts: Vec<&Rc<str>> = path.iter().chain(std::iter::once(key)).collect();
    let parts: Vec<&str> = parts.into_iter().map(|part| &**part).collect();
    dotted(&parts)
}

/// The table that `value` is, or the last one of its array of tables.
fn inner(value: &Value) -> Option<Map> {
    match value {
        Value::Map(map) => Some(map.clone()),
        Value::List(List { element: Element::Map, items }) => match items.last() {
            Some(Value::Map(map)) => Some(map.clone()),
            _ => None,
        },
        _ => None,
    }
}

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            root: Map::new::<&str>([]),
            context: Vec::new(),
            implicit: HashSet::new(),
            arrays: HashSet::new(),
        }
    }

    pub(super) fn imply_context(&mut self) {
        self.implicit.insert(hash(&self.context, None));
    }

    pub(super) fn mark_array(&mut self, key: &Rc<str>) {
        self.arrays.insert(hash(&self.context, Some(key)));
    }

    pub(super) fn unmark_array(&mut self, key: &Rc<str>) {
        self.arrays.remove(&hash(&self.context, Some(key)));
    }

    /// Makes the table at `path` the context.
    pub(super) fn enter(&mut self, scope: &Scope<'_>, path: &[Rc<str>], array: bool) -> Result<(), Refused> {
        scope.step(path.len() as u64)?;
        let Some((last, parents)) = path.split_last() else { return Ok(()) };
        let mut table = self.root.clone();
        // The hash of each beginning of the path grows with it: hashing each from its start would be quadratic.
        let mut hasher = DefaultHasher::new();
        for (index, part) in parents.iter().enumerate() {
            part.hash(&mut hasher);
            let found = table.entries.borrow().get(part).cloned();
            let found = found.unwrap_or_else(|| {
                self.implicit.insert(hasher.finish());
                let made = Value::map::<&str>([]);
                table.entries.borrow_mut().insert(part.clone(), made.clone());
                made
            });
            table = inner(&found).ok_or_else(|| {
                let path = dotted(parents.get(..=index).unwrap_or_default());
                Refused::Said(format!("Key '{path}' was already created as a hash."))
            })?;
        }
        self.context = parents.to_vec();
        if array {
            add_table(&table, last).map_err(|()| {
                let path = dotted(path);
                Refused::Said(format!("Key '{path}' was already created and cannot be used as an array."))
            })?;
        } else {
            self.set(scope, last, Value::map::<&str>([]))?;
        }
        self.context.push(last.clone());
        Ok(())
    }

    /// Gives `key` of the context its value. A table that was only implied stays what it is.
    pub(super) fn set(&mut self, scope: &Scope<'_>, key: &Rc<str>, value: Value) -> Result<(), Refused> {
        scope.step(self.context.len() as u64)?;
        let mut table = self.root.clone();
        for (index, part) in self.context.iter().enumerate() {
            let found = table.entries.borrow().get(part).and_then(inner);
            table = found.ok_or_else(|| {
                let path = dotted(self.context.get(..=index).unwrap_or_default());
                Refused::Said(format!("Key '{path}' has already been defined."))
            })?;
        }
        let place = hash(&self.context, Some(key));
        let mut entries = table.entries.borrow_mut();
        if entries.contains_key(key) {
            if !self.implicit.remove(&place) {
                let path = joined(&self.context, key);
                return Err(Refused::Said(format!("Key '{path}' has already been defined.")));
            }
            if !self.arrays.contains(&place) {
                return Ok(());
            }
        }
        entries.insert(key.clone(), value);
        Ok(())
    }

    /// Puts a value at a path of an inline table.
    pub(super) fn put(
        &self,
        scope: &Scope<'_>,
        table: &Map,
        path: &[Rc<str>],
        value: Value,
    ) -> Result<(), Refused> {
        let Some((last, parents)) = path.split_last() else { return Ok(()) };
        scope.step(path.len() as u64)?;
        let mut table = table.clone();
        for parent in parents {
            let mut entries = table.entries.borrow_mut();
            let found = entries.entry(parent.clone()).or_insert_with(|| Value::map::<&str>([])).clone();
            drop(entries);
            let Value::Map(found) = found else {
                return Err(Refused::Said(format!("{} is not a table", quoted(&dotted(&self.context)))));
            };
            table = found;
        }
        table.entries.borrow_mut().insert(last.clone(), value);
        Ok(())
    }
}

/// A new table at the end of the array of tables `key`, which may be new.
fn add_table(table: &Map, key: &Rc<str>) -> Result<(), ()> {
    let mut entries = table.entries.borrow_mut();
    let new = || Value::List(List::of(Element::Map, Vec::new()));
    let Value::List(List { element: Element::Map, items }) = entries.entry(key.clone()).or_insert_with(new)
    else {
        return Err(());
    };
    // Nobody else holds a list of a table that is being read.
    Rc::get_mut(items).ok_or(())?.push(Value::map::<&str>([]));
    Ok(())
}

//! Where each key of a TOML document may be defined: tables come from headers, from dotted keys, or are implied.
//!
//! Source: BurntSushi/toml 1.6 `parse.go` (`addContext`, `setValue`). Paths are kept as hashes: the paths of a document
//! may be far longer in total than the document itself.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use gostd::value::{Element, List, Map, Value};

use super::{dotted, quoted};
use crate::function::{Failure, Scope};

/// Why a key may not be defined at its path.
pub(super) enum KeyError {
    Message(String),
    Failed(Failure),
}

impl From<Failure> for KeyError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(super) struct Tables {
    /// The document.
    pub(super) root: Map,
    /// The path of the table that is being filled.
    pub(super) context: Vec<Rc<str>>,
    /// Tables that are only implied, so the document may still define them once.
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

/// `value` as a table: itself, or the last table of an array of tables.
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

    /// Makes the table at `path` the context, and creates it if necessary.
    pub(super) fn enter(&mut self, scope: &Scope<'_>, path: &[Rc<str>], array: bool) -> Result<(), KeyError> {
        scope.step(path.len() as u64)?;
        let Some((last, parents)) = path.split_last() else { return Ok(()) };
        let mut table = self.root.clone();
        // One hasher for all prefixes of the path: hashing each prefix from its start would take quadratic time.
        let mut hasher = DefaultHasher::new();
        for (index, part) in parents.iter().enumerate() {
            part.hash(&mut hasher);
            let found = table.entries.borrow().get(part).cloned();
            let found = found.unwrap_or_else(|| {
                self.implicit.insert(hasher.finish());
                let created = Value::map::<&str>([]);
                table.entries.borrow_mut().insert(part.clone(), created.clone());
                created
            });
            table = inner(&found).ok_or_else(|| {
                let path = dotted(parents.get(..=index).unwrap_or_default());
                KeyError::Message(format!("Key '{path}' was already created as a hash."))
            })?;
        }
        self.context = parents.to_vec();
        if array {
            add_table(&table, last).map_err(|()| {
                let path = dotted(path);
                KeyError::Message(format!("Key '{path}' was already created and cannot be used as an array."))
            })?;
        } else {
            self.set(scope, last, Value::map::<&str>([]))?;
        }
        self.context.push(last.clone());
        Ok(())
    }

    /// Sets `key` of the context to `value`. A table that was only implied keeps its content.
    pub(super) fn set(&mut self, scope: &Scope<'_>, key: &Rc<str>, value: Value) -> Result<(), KeyError> {
        scope.step(self.context.len() as u64)?;
        let mut table = self.root.clone();
        for (index, part) in self.context.iter().enumerate() {
            let found = table.entries.borrow().get(part).and_then(inner);
            table = found.ok_or_else(|| {
                let path = dotted(self.context.get(..=index).unwrap_or_default());
                KeyError::Message(format!("Key '{path}' has already been defined."))
            })?;
        }
        let path_hash = hash(&self.context, Some(key));
        let mut entries = table.entries.borrow_mut();
        if entries.contains_key(key) {
            if !self.implicit.remove(&path_hash) {
                let path = joined(&self.context, key);
                return Err(KeyError::Message(format!("Key '{path}' has already been defined.")));
            }
            if !self.arrays.contains(&path_hash) {
                return Ok(());
            }
        }
        entries.insert(key.clone(), value);
        Ok(())
    }

    /// Sets the value at a path of an inline table.
    pub(super) fn put(
        &self,
        scope: &Scope<'_>,
        table: &Map,
        path: &[Rc<str>],
        value: Value,
    ) -> Result<(), KeyError> {
        let Some((last, parents)) = path.split_last() else { return Ok(()) };
        scope.step(path.len() as u64)?;
        let mut table = table.clone();
        for parent in parents {
            let mut entries = table.entries.borrow_mut();
            let found = entries.entry(parent.clone()).or_insert_with(|| Value::map::<&str>([])).clone();
            drop(entries);
            let Value::Map(found) = found else {
                return Err(KeyError::Message(format!("{} is not a table", quoted(&dotted(&self.context)))));
            };
            table = found;
        }
        table.entries.borrow_mut().insert(last.clone(), value);
        Ok(())
    }
}

/// Appends a new table to the array of tables `key`, and creates the array if necessary.
fn add_table(table: &Map, key: &Rc<str>) -> Result<(), ()> {
    let mut entries = table.entries.borrow_mut();
    let new = || Value::List(List::of(Element::Map, Vec::new()));
    let Value::List(List { element: Element::Map, items }) = entries.entry(key.clone()).or_insert_with(new)
    else {
        return Err(());
    };
    // The list of a table that is still being read has no other owner.
    Rc::get_mut(items).ok_or(())?.push(Value::map::<&str>([]));
    Ok(())
}

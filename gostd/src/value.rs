//! Go's values as templates see them.
//!
//! Go has two nils: an interface that holds nothing ([`Value::Nil`], a list or map element that is null or absent),
//! and no value at all, which exists only in the evaluator and is `None` there.

mod storage;

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::object::Object;
pub use storage::{ELEMENT, Entries, Items, held};

/// A value of Go's `any`.
#[derive(Clone)]
pub enum Value {
    /// An interface that holds nothing.
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`: literals, lengths, indexes.
    Int(i64),
    /// `int64`: Sprig's arithmetic, `--set`.
    Int64(i64),
    /// `uint64`: parts of a semantic version.
    Uint64(u64),
    /// `float64`: every number that came from YAML or JSON.
    Float64(f64),
    /// `string`
    Str(Rc<str>),
    /// A `string` that is not UTF-8; [`Value::string`] is its only constructor.
    Binary(Rc<[u8]>),
    /// `[]byte`
    Bytes(Rc<[u8]>),
    /// A slice.
    List(List),
    /// A map with string keys. It is shared: every holder sees changes.
    Map(Map),
    /// A value of a named type with fields or methods.
    Object(Rc<dyn Object>),
}

/// The element type of a slice or map. `typeOf` returns it, and some parameters require it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// `interface {}`
    Any,
    /// `string`
    Str,
    /// `int`
    Int,
    /// `map[string]interface {}`
    Map,
    /// `[]interface {}`
    List,
    /// `interface {}`, in a map of Helm's type `common.Values`.
    Values,
}

/// A slice. Elements never change in place, so sharing is invisible, and `append` shares the elements.
#[derive(Clone)]
pub struct List {
    /// The element type.
    pub element: Element,
    /// The elements.
    pub items: Rc<Items>,
}

/// A `map[string]...`, by reference as in Go.
#[derive(Clone)]
pub struct Map {
    /// The element type.
    pub element: Element,
    /// The entries, in the order in which Go's templates iterate over them.
    pub entries: Rc<Entries>,
}

impl Value {
    /// Go text from bytes, UTF-8 or not.
    #[must_use]
    pub fn string(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Str(text.into()),
            Err(error) => Self::Binary(error.into_bytes().into()),
        }
    }

    /// A `[]interface {}`.
    #[must_use]
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(List::of(Element::Any, items))
    }

    /// A `[]string`.
    pub fn strings<S: Into<Rc<str>>>(items: impl IntoIterator<Item = S>) -> Self {
        let items = items.into_iter().map(|item| Self::Str(item.into())).collect();
        Self::List(List::of(Element::Str, items))
    }

    /// A new `map[string]interface {}`.
    pub fn map<K: Into<Rc<str>>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(Map::new(entries))
    }

    /// Whether `if` treats it as true: it is not the zero value of its type, as in Go's `template.IsTrue`.
    #[must_use]
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Int64(value) => *value != 0,
            Self::Uint64(value) => *value != 0,
            Self::Float64(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::Binary(bytes) | Self::Bytes(bytes) => !bytes.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.borrow().is_empty(),
            Self::Object(object) => object.truth(),
        }
    }

    /// Go's `reflect.Kind` by name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Uint64(_) => "uint64",
            Self::Float64(_) => "float64",
            Self::Str(_) | Self::Binary(_) => "string",
            Self::Bytes(_) | Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Object(object) => object.kind(),
        }
    }

    /// Go's type as `%T` prints it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bytes(_) => "[]uint8",
            Self::List(list) => match list.element {
                Element::Any | Element::Values => "[]interface {}",
                Element::Str => "[]string",
                Element::Int => "[]int",
                Element::Map => "[]map[string]interface {}",
                Element::List => "[][]interface {}",
            },
            Self::Map(map) => match map.element {
                Element::Any => "map[string]interface {}",
                Element::Values => "common.Values",
                Element::Str => "map[string]string",
                Element::Int => "map[string]int",
                Element::Map => "map[string]map[string]interface {}",
                Element::List => "map[string][]interface {}",
            },
            Self::Object(object) => object.type_name(),
            other => other.kind(),
        }
    }

    /// The element for `key`, if this is a map that has the key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<Value> {
        if let Self::Map(map) = self { map.entries.borrow().get(key).cloned() } else { None }
    }

    fn is_nested(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_))
    }

    /// The bytes of a `string` or `[]byte`.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Str(text) => Some(text.as_bytes()),
            Self::Binary(bytes) | Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

thread_local! {
    /// The storage of every nil slice, and only of those.
    static NO_STORAGE: Rc<Items> = Rc::new(Items::new(Vec::new()));
    /// The storage of every nil map, and only of those.
    static NO_ENTRIES: Rc<Entries> = Rc::new(Entries::new(BTreeMap::new()));
}

impl List {
    /// A new slice with this element type.
    #[must_use]
    pub fn of(element: Element, items: Vec<Value>) -> Self {
        Self { element, items: Rc::new(Items::new(items)) }
    }

    /// A new `[]interface {}`: this slice and one more element. It copies nothing.
    #[must_use]
    pub fn appended(&self, last: Value) -> Self {
        Self { element: Element::Any, items: Rc::new(Items::appended(Rc::clone(&self.items), last)) }
    }

    /// Go's nil slice: as empty as `[]`, but `null` in JSON and YAML.
    pub fn nil(element: Element) -> Self {
        Self { element, items: NO_STORAGE.with(Rc::clone) }
    }

    /// Whether this is Go's nil slice.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        NO_STORAGE.with(|storage| Rc::ptr_eq(storage, &self.items))
    }
}

impl Map {
    /// Go's nil `map[string]string`: as empty as `{}`, but `null` in JSON and YAML. No function changes such a map.
    pub fn nil() -> Self {
        Self { element: Element::Str, entries: NO_ENTRIES.with(Rc::clone) }
    }

    /// Whether this is Go's nil map.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        NO_ENTRIES.with(|entries| Rc::ptr_eq(entries, &self.entries))
    }

    /// This map as Helm's `common.Values`.
    #[must_use]
    pub fn named(&self) -> Self {
        Self { element: Element::Values, entries: self.entries.clone() }
    }

    /// This map as a parameter of type `map[string]interface {}` receives it.
    #[must_use]
    pub fn unnamed(&self) -> Self {
        let element = if self.element == Element::Values { Element::Any } else { self.element };
        Self { element, entries: self.entries.clone() }
    }

    /// A new `map[string]interface {}`.
    pub fn new<K: Into<Rc<str>>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::of(Element::Any, entries)
    }

    /// A new map with this element type.
    pub fn of<K: Into<Rc<str>>>(element: Element, entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Self { element, entries: Rc::new(Entries::new(entries)) }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_values_are_dropped_without_recursion() {
        let mut value = Value::Nil;
        for depth in 0..2_000_000 {
            value = if depth % 2 == 0 { Value::list(vec![value]) } else { Value::map([("a", value)]) };
        }
        let shared = value.clone();
        drop(value);
        drop(shared);
    }
}

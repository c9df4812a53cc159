//! What slices and maps keep their elements in: it counts what is held, and goes away without recursion.
//!
//! A chart can nest lists in lists as deep as `steps` lets it, which no stack would bear, so that what is nested
//! is dropped in a loop. And it can hold far more in elements than it ever writes as text: a render asks [`held`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::Value;

/// Bytes of one element in a list.
pub(crate) const ELEMENT: usize = size_of::<Value>();
/// Bytes of a map with an entry or a few: the standard library's nodes have room for eleven.
const MAP: usize = 11 * (size_of::<Rc<str>>() + ELEMENT) + 64;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// About how many bytes the lists and maps of this thread hold, texts aside.
pub(crate) fn held() -> usize {
    HELD.get()
}

/// Its share of [`held`], from its making to its end.
struct Count(usize);

impl Count {
    fn new(bytes: usize) -> Self {
        HELD.set(HELD.get() + bytes);
        Self(bytes)
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        HELD.set(HELD.get() - self.0);
    }
}

/// The elements of a slice.
pub(crate) struct Items {
    list: Vec<Value>,
    _count: Count,
}

/// The entries of a map.
pub(crate) struct Entries {
    map: RefCell<BTreeMap<Rc<str>, Value>>,
    _count: Count,
}

impl Items {
    pub(super) fn new(list: Vec<Value>) -> Self {
        let count = Count::new(list.capacity() * ELEMENT);
        Self { list, _count: count }
    }
}

impl Entries {
    pub(super) fn new(map: BTreeMap<Rc<str>, Value>) -> Self {
        let count = Count::new(MAP + map.len() * ELEMENT * 2);
        Self { map: RefCell::new(map), _count: count }
    }
}

impl Deref for Items {
    type Target = Vec<Value>;

    fn deref(&self) -> &Vec<Value> {
        &self.list
    }
}

impl DerefMut for Items {
    fn deref_mut(&mut self) -> &mut Vec<Value> {
        &mut self.list
    }
}

impl Deref for Entries {
    type Target = RefCell<BTreeMap<Rc<str>, Value>>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        if self.list.iter().any(Value::is_nested) {
            flatten(std::mem::take(&mut self.list));
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        if self.map.get_mut().values().any(Value::is_nested) {
            flatten(std::mem::take(self.map.get_mut()).into_values().collect());
        }
    }
}

/// Drops `pending` and all that nobody else holds in it.
fn flatten(mut pending: Vec<Value>) {
    while let Some(mut value) = pending.pop() {
        match &mut value {
            Value::List(list) => {
                if let Some(items) = Rc::get_mut(&mut list.items) {
                    pending.append(&mut items.list);
                }
            }
            Value::Map(map) => {
                if let Some(entries) = Rc::get_mut(&mut map.entries) {
                    pending.extend(std::mem::take(entries.map.get_mut()).into_values());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_until_it_goes() {
        let before = held();
        let list = Value::list(vec![Value::map([("a", Value::Int(1))]); 1000]);
        assert!(held() >= before + 1000 * ELEMENT + MAP);
        drop(list);
        assert_eq!(held(), before);
    }
}

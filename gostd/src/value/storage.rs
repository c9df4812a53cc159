//! The storage of slices and maps. It counts the bytes held, and it is dropped without recursion.
//!
//! A chart can nest lists as deeply as `steps` allows, which would overflow any stack, so nested values are dropped in
//! a loop. A chart can also hold far more in elements than it ever writes as text; [`held`] measures that for a render.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use super::Value;

/// Bytes of one element in a list.
pub const ELEMENT: usize = size_of::<Value>();
/// Bytes of a map with few entries: the nodes of the standard library have room for eleven.
const MAP: usize = 11 * (size_of::<Rc<str>>() + ELEMENT) + 64;

/// Bytes of an appended slice that has not been read yet.
const LINK: usize = size_of::<Items>() + 2 * size_of::<usize>();

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// The approximate number of bytes that the lists and maps of this thread hold, without their text.
#[must_use]
pub fn held() -> usize {
    HELD.get()
}

/// The share of one list or map in [`held`], for as long as it lives.
struct Count(Cell<usize>);

impl Count {
    fn new(bytes: usize) -> Self {
        HELD.set(HELD.get() + bytes);
        Self(Cell::new(bytes))
    }

    fn set(&self, bytes: usize) {
        HELD.set(HELD.get() - self.0.replace(bytes) + bytes);
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        HELD.set(HELD.get() - self.0.get());
    }
}

/// The elements of a slice. A slice that `append` created is a link to the slice before it until it is read, so a loop
/// that appends copies nothing. The first read moves the elements out of all links that have no other holder.
pub struct Items {
    list: OnceCell<Vec<Value>>,
    /// The slice before the last element, and that element; `None` once `list` is set.
    link: RefCell<Option<(Rc<Items>, Value)>>,
    length: usize,
    count: Count,
}

/// The entries of a map.
pub struct Entries {
    map: RefCell<BTreeMap<Rc<str>, Value>>,
    _count: Count,
}

impl Items {
    pub(super) fn new(list: Vec<Value>) -> Self {
        let (length, count) = (list.len(), Count::new(list.capacity() * ELEMENT));
        Self { list: OnceCell::from(list), link: RefCell::default(), length, count }
    }

    /// `before` and one more element.
    pub(super) fn appended(before: Rc<Self>, last: Value) -> Self {
        let (length, count) = (before.length + 1, Count::new(LINK));
        Self { list: OnceCell::new(), link: RefCell::new(Some((before, last))), length, count }
    }

    /// Appends an element in place.
    pub fn push(&mut self, last: Value) {
        let mut list = self.list.take().unwrap_or_else(|| self.read());
        list.push(last);
        self.length = list.len();
        self.count.set(list.capacity() * ELEMENT);
        self.list = OnceCell::from(list);
    }

    /// Whether the slice has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The number of elements, without reading them.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Collects the elements of all links into one list.
    fn read(&self) -> Vec<Value> {
        let mut tail = Vec::new();
        let mut link = self.link.take();
        let mut list = loop {
            let Some((before, last)) = link else { break Vec::new() };
            tail.push(last);
            match Rc::try_unwrap(before) {
                Ok(mut owned) => match owned.list.take() {
                    Some(list) => break list,
                    None => link = owned.link.take(),
                },
                Err(shared) => break copied(shared, &mut tail),
            }
        };
        list.extend(tail.into_iter().rev());
        self.count.set(list.capacity() * ELEMENT);
        list
    }

    /// Moves out the elements that have no other holder.
    fn take(&mut self, pending: &mut Vec<Value>) {
        pending.append(&mut self.list.take().unwrap_or_default());
        let mut link = self.link.take();
        while let Some((before, last)) = link {
            pending.push(last);
            link = Rc::into_inner(before).and_then(|mut items| {
                pending.append(&mut items.list.take().unwrap_or_default());
                items.link.take()
            });
        }
    }
}

/// Copies the nearest slice that is one list. The elements after it go to `tail`, the last one first.
fn copied(mut shared: Rc<Items>, tail: &mut Vec<Value>) -> Vec<Value> {
    loop {
        if let Some(list) = shared.list.get() {
            return list.clone();
        }
        let Some((before, last)) = shared.link.borrow().clone() else { return Vec::new() };
        tail.push(last);
        shared = before;
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
        self.list.get_or_init(|| self.read())
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
        let is_link = self.link.get_mut().is_some();
        if is_link || self.list.get().is_some_and(|list| list.iter().any(Value::is_nested)) {
            let mut pending = Vec::new();
            self.take(&mut pending);
            flatten(pending);
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

/// Drops `pending` and everything in it that has no other holder.
fn flatten(mut pending: Vec<Value>) {
    while let Some(mut value) = pending.pop() {
        match &mut value {
            Value::List(list) => {
                if let Some(items) = Rc::get_mut(&mut list.items) {
                    items.take(&mut pending);
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
    fn held_bytes_are_counted_until_they_are_dropped() {
        let before = held();
        let list = Value::list(vec![Value::map([("a", Value::Int(1))]); 1000]);
        assert!(held() >= before + 1000 * ELEMENT + MAP);
        drop(list);
        assert_eq!(held(), before);
    }

    #[test]
    fn appended_slices_equal_copied_ones_for_every_holder() {
        let numbers = |list: &Rc<Items>| -> Vec<i64> {
            list.iter().map(|value| if let Value::Int(number) = value { *number } else { -1 }).collect()
        };
        let before = held();
        let base = Rc::new(Items::new(vec![Value::Int(0)]));
        let one = Rc::new(Items::appended(Rc::clone(&base), Value::Int(1)));
        let two = Rc::new(Items::appended(Rc::clone(&one), Value::Int(2)));
        let other = Rc::new(Items::appended(Rc::clone(&one), Value::Int(3)));
        drop(one);
        assert_eq!((two.len(), other.len()), (3, 3));
        assert_eq!(numbers(&other), [0, 1, 3]);
        assert_eq!(numbers(&two), [0, 1, 2]);
        assert_eq!(numbers(&base), [0]);
        drop((base, two, other));
        assert_eq!(held(), before);
    }

    #[test]
    fn a_long_chain_of_appended_slices_is_read_and_dropped_without_recursion() {
        let mut kept = Vec::new();
        let mut list = Rc::new(Items::new(Vec::new()));
        for number in 0..300_000 {
            if number % 100_000 == 0 {
                kept.push(Rc::clone(&list));
            }
            list = Rc::new(Items::appended(list, Value::Int(number)));
        }
        assert_eq!(kept[2].len(), 200_000);
        drop(kept.pop());
        let unread = Rc::new(Items::appended(Rc::clone(&list), Value::Nil));
        assert_eq!(list.iter().count(), 300_000);
        drop((list, unread, kept));
    }
}

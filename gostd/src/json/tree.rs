//! Walks and builds trees of values without recursion. The same walk serves every writer, and the same target every
//! reader, for template values and for `serde_json` values.

use std::borrow::Cow;
use std::rc::Rc;

use crate::budget::Failure;
use crate::value::{Map, Value};

/// A number in YAML or JSON text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer that fits Go's `int`.
    Int(i64),
    /// An integer that fits only `uint64`.
    Uint(u64),
    /// Any other.
    Float(f64),
}

/// A leaf of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'a> {
    /// `nil`
    Null,
    /// `bool`
    Bool(bool),
    /// Any number type.
    Number(Number),
    /// `string`
    Text(&'a str),
    /// A `string` that is not UTF-8.
    Binary(&'a [u8]),
    /// `[]byte`
    Bytes(&'a [u8]),
}

/// One node of a tree, opened.
pub(crate) enum Node<T: Tree> {
    /// `nil`
    Null,
    /// `bool`
    Bool(bool),
    /// Any number type.
    Number(Number),
    /// `string`
    Text(T::Text),
    /// A `string` that is not UTF-8.
    Binary(Rc<[u8]>),
    /// `[]byte`
    Bytes(Rc<[u8]>),
    /// Elements in order.
    List(Vec<T>),
    /// Entries in any order.
    Map(Vec<(T::Text, T)>),
    /// Fields in their order.
    Structure(Vec<(T::Text, T)>),
}

/// A tree that can be walked.
pub(crate) trait Tree: Sized {
    /// Its strings.
    type Text: AsRef<str>;

    /// The node at its root.
    fn open(self) -> Node<Self>;
}

impl<'a> Tree for &'a serde_json::Value {
    type Text = &'a str;

    fn open(self) -> Node<Self> {
        use serde_json::Value as Json;
        match self {
            Json::Null => Node::Null,
            Json::Bool(value) => Node::Bool(*value),
            Json::Number(number) => Node::Number(if let Some(number) = number.as_i64() {
                Number::Int(number)
            } else if let Some(number) = number.as_u64() {
                Number::Uint(number)
            } else {
                Number::Float(number.as_f64().unwrap_or_default())
            }),
            Json::String(text) => Node::Text(text.as_str()),
            Json::Array(items) => Node::List(items.iter().collect()),
            Json::Object(entries) => {
                Node::Map(entries.iter().map(|(key, value)| (key.as_str(), value)).collect())
            }
        }
    }
}

impl Tree for Value {
    type Text = Rc<str>;

    fn open(self) -> Node<Self> {
        match self {
            Self::Nil => Node::Null,
            Self::Bool(value) => Node::Bool(value),
            Self::Int(number) | Self::Int64(number) => Node::Number(Number::Int(number)),
            Self::Uint64(number) => Node::Number(Number::Uint(number)),
            Self::Float64(number) => Node::Number(Number::Float(number)),
            Self::Str(text) => Node::Text(text),
            Self::Binary(bytes) => Node::Binary(bytes),
            Self::Bytes(bytes) => Node::Bytes(bytes),
            Self::List(list) if list.is_nil() => Node::Null,
            Self::List(list) => Node::List(list.items.to_vec()),
            Self::Map(map) if map.is_nil() => Node::Null,
            Self::Map(map) => {
                let entries = map.entries.borrow();
                Node::Map(entries.iter().map(|(key, value)| (Rc::clone(key), value.clone())).collect())
            }
            Self::Object(object) => match object.fields() {
                Some(fields) => {
                    Node::Structure(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
                }
                None => object.plain().open(),
            },
        }
    }
}

/// Receives the nodes of a walk.
pub(crate) trait Sink {
    /// A scalar.
    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Failure>;
    /// The key of the entry that follows.
    fn key(&mut self, key: &str) -> Result<(), Failure>;
    /// A list of this many elements begins.
    fn open_list(&mut self, length: usize) -> Result<(), Failure>;
    /// A map of this many entries begins.
    fn open_map(&mut self, length: usize) -> Result<(), Failure>;
    /// The innermost list or map ends.
    fn close(&mut self) -> Result<(), Failure>;
}

/// The parameters of a walk.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    /// Whether the first key goes before the second.
    pub before: fn(&str, &str) -> bool,
    /// Whether structures keep the order of their fields.
    pub keeps_fields: bool,
    /// The maximum nesting of lists and maps.
    pub depth: usize,
    /// Called for each list and map with the number of nodes that it adds; an error ends the walk.
    pub step: &'a dyn Fn(u64) -> Result<(), Failure>,
}

enum Level<T: Tree> {
    List(std::vec::IntoIter<T>),
    Map(std::vec::IntoIter<(T::Text, T)>),
}

/// Passes the nodes of `tree` to `sink`, starting at the root. Maps are in the order of their keys.
pub(crate) fn walk<T: Tree>(tree: T, walk: Walk<'_>, sink: &mut impl Sink) -> Result<(), Failure> {
    let mut stack: Vec<Level<T>> = Vec::new();
    let mut next = Some(tree);
    loop {
        if let Some(tree) = next.take()
            && let Some(level) = enter(tree, walk, sink)?
        {
            if stack.len() >= walk.depth {
                return Err(Failure::Limit("value_depth"));
            }
            stack.push(level);
        }
        match stack.last_mut() {
            None => return Ok(()),
            Some(Level::List(items)) => next = items.next(),
            Some(Level::Map(entries)) => {
                if let Some((key, value)) = entries.next() {
                    sink.key(key.as_ref())?;
                    next = Some(value);
                }
            }
        }
        if next.is_none() {
            stack.pop();
            sink.close()?;
        }
    }
}

fn enter<T: Tree>(tree: T, walk: Walk<'_>, sink: &mut impl Sink) -> Result<Option<Level<T>>, Failure> {
    let node = tree.open();
    match node {
        Node::Null => sink.scalar(Scalar::Null)?,
        Node::Bool(value) => sink.scalar(Scalar::Bool(value))?,
        Node::Number(number) => sink.scalar(Scalar::Number(number))?,
        Node::Text(text) => sink.scalar(Scalar::Text(text.as_ref()))?,
        Node::Binary(bytes) => sink.scalar(Scalar::Binary(&bytes))?,
        Node::Bytes(bytes) => sink.scalar(Scalar::Bytes(&bytes))?,
        Node::List(items) => {
            (walk.step)(1 + items.len() as u64)?;
            sink.open_list(items.len())?;
            return Ok(Some(Level::List(items.into_iter())));
        }
        Node::Structure(fields) if walk.keeps_fields => {
            (walk.step)(1 + fields.len() as u64)?;
            sink.open_map(fields.len())?;
            return Ok(Some(Level::Map(fields.into_iter())));
        }
        Node::Map(entries) | Node::Structure(entries) => {
            (walk.step)(1 + entries.len() as u64)?;
            sink.open_map(entries.len())?;
            let entries = merge_sort(entries, |a, b| (walk.before)(a.0.as_ref(), b.0.as_ref()));
            return Ok(Some(Level::Map(entries.into_iter())));
        }
    }
    Ok(None)
}

/// A stable sort. Unlike the sorts of the standard library, it never panics if `before` is inconsistent, as go-yaml's
/// key order is for some strings.
fn merge_sort<T>(mut items: Vec<T>, before: impl Fn(&T, &T) -> bool) -> Vec<T> {
    if items.is_sorted_by(|a, b| !before(b, a)) {
        return items;
    }
    let mut width = 1;
    while width < items.len() {
        let mut merged = Vec::with_capacity(items.len());
        let mut rest = items.into_iter().peekable();
        while rest.peek().is_some() {
            let left: Vec<T> = rest.by_ref().take(width).collect();
            let right: Vec<T> = rest.by_ref().take(width).collect();
            let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
            while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
                merged.extend(if before(b, a) { right.next() } else { left.next() });
            }
            merged.extend(left);
            merged.extend(right);
        }
        items = merged;
        width = width.saturating_mul(2);
    }
    items
}

/// A value that a reader can build.
pub trait Target: Sized {
    /// A map being filled.
    type Entries: Default;

    /// `nil`
    fn null() -> Self;
    /// `bool`
    fn bool(value: bool) -> Self;
    /// A number.
    fn number(number: Number) -> Self;
    /// Text.
    fn text(text: Cow<'_, str>) -> Self;
    /// A list.
    fn list(items: Vec<Self>) -> Self;
    /// A map.
    fn map(entries: Self::Entries) -> Self;
    /// Sets an entry; the last one for a key wins.
    fn insert(entries: &mut Self::Entries, key: String, value: Self);
}

/// Numbers as `sigs.k8s.io/yaml` prints them in JSON: whole floats are integers there.
impl Target for serde_json::Value {
    type Entries = serde_json::Map<String, Self>;

    fn null() -> Self {
        Self::Null
    }

    fn bool(value: bool) -> Self {
        Self::Bool(value)
    }

    fn number(number: Number) -> Self {
        match number {
            Number::Int(number) => number.into(),
            Number::Uint(number) => number.into(),
            Number::Float(number) if number == 0.0 && number.is_sign_negative() => number.into(),
            Number::Float(number) => {
                let text = super::number::json(number);
                if let Ok(whole) = text.parse::<i64>() {
                    whole.into()
                } else if let Ok(whole) = text.parse::<u64>() {
                    whole.into()
                } else {
                    number.into()
                }
            }
        }
    }

    fn text(text: Cow<'_, str>) -> Self {
        Self::String(text.into_owned())
    }

    fn list(items: Vec<Self>) -> Self {
        Self::Array(items)
    }

    fn map(entries: Self::Entries) -> Self {
        Self::Object(entries)
    }

    fn insert(entries: &mut Self::Entries, key: String, value: Self) {
        entries.insert(key, value);
    }
}

/// A value whose numbers keep their types.
pub(crate) struct Typed(pub Value);

impl Target for Typed {
    type Entries = std::collections::BTreeMap<Rc<str>, Value>;

    fn null() -> Self {
        Self(Value::Nil)
    }

    fn bool(value: bool) -> Self {
        Self(Value::Bool(value))
    }

    fn number(number: Number) -> Self {
        Self(match number {
            Number::Int(number) => Value::Int64(number),
            Number::Uint(number) => Value::Uint64(number),
            Number::Float(number) => Value::Float64(number),
        })
    }

    fn text(text: Cow<'_, str>) -> Self {
        Self(Target::text(text))
    }

    fn list(items: Vec<Self>) -> Self {
        Self(Value::list(items.into_iter().map(|Self(item)| item).collect()))
    }

    fn map(entries: Self::Entries) -> Self {
        Self(Target::map(entries))
    }

    fn insert(entries: &mut Self::Entries, key: String, Self(value): Self) {
        Value::insert(entries, key, value);
    }
}

/// Numbers as Go reads JSON into `any`: all of them float64.
impl Target for Value {
    type Entries = std::collections::BTreeMap<Rc<str>, Self>;

    fn null() -> Self {
        Self::Nil
    }

    fn bool(value: bool) -> Self {
        Self::Bool(value)
    }

    #[expect(clippy::cast_precision_loss, reason = "Go loses the same digits")]
    fn number(number: Number) -> Self {
        Self::Float64(match number {
            Number::Int(number) => number as f64,
            Number::Uint(number) => number as f64,
            Number::Float(number) => number,
        })
    }

    fn text(text: Cow<'_, str>) -> Self {
        Self::Str(text.into())
    }

    fn list(items: Vec<Self>) -> Self {
        Self::list(items)
    }

    fn map(entries: Self::Entries) -> Self {
        Self::Map(Map::new(entries))
    }

    fn insert(entries: &mut Self::Entries, key: String, value: Self) {
        entries.insert(key.into(), value);
    }
}

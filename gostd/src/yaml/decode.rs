//! Decodes nodes into values as go-yaml v2 does, followed by the conversion of `sigs.k8s.io/yaml` to JSON: merges at
//! their position, aliases expanded within limits, keys converted to strings.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::error::{Error, Problem};
use super::reader::{NodeKind, Nodes};
use super::scalar::{Resolved, is_binary_tag, is_merge_tag, resolve, resolve_tagged};
use crate::json::number::general_32;
use crate::json::tree::{Number, Target};
use crate::json::writer::{not_finite, replace_invalid};
use crate::limits::Limits;

/// Go's standard encoding, which accepts nonzero bits after the last byte.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// How to handle duplicate keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// The last one wins.
    Last,
    /// They are errors.
    Rejected,
}

/// Decodes the root node.
///
/// # Errors
/// The nodes have no JSON form, or exceed a limit.
pub(crate) fn decode<T: Target>(
    nodes: &Nodes<'_>,
    duplicates: Duplicates,
    limits: &Limits,
) -> Result<T, Error> {
    let mut decoder = Decoder {
        nodes,
        duplicates,
        limits,
        levels: Vec::new(),
        // The document itself is the first node.
        decoded: 1,
        aliased: 0,
        aliases: HashSet::new(),
    };
    decoder.run()
}

/// A list or map being filled.
struct Level<T: Target> {
    next: u32,
    end: u32,
    /// The alias through which the decoder entered it.
    alias: Option<u32>,
    /// The maps that `<<` still has to merge here, in reverse order.
    merges: Vec<u32>,
    into: Into<T>,
}

enum Into<T: Target> {
    List(Vec<T>),
    Map(Entries<T>),
    /// A mapping whose entries go to the next outer map.
    Merge,
}

struct Entries<T: Target> {
    map: T::Entries,
    /// The key of the next value. Its Go type is part of it, because keys of different types are not duplicates.
    key: Option<(Key, u32)>,
    seen: HashSet<Key>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: &'static str,
    text: String,
}

struct Decoder<'a, T: Target> {
    nodes: &'a Nodes<'a>,
    duplicates: Duplicates,
    limits: &'a Limits,
    levels: Vec<Level<T>>,
    decoded: usize,
    aliased: usize,
    aliases: HashSet<u32>,
}

/// The next step on a level.
enum Step {
    Value(u32),
    Merge(u32),
    Skip,
    Done,
}

impl<T: Target> Decoder<'_, T> {
    fn run(&mut self) -> Result<T, Error> {
        let mut done = self.enter(0)?;
        loop {
            if let Some(value) = done.take() {
                if self.levels.is_empty() {
                    return Ok(value);
                }
                self.put(value)?;
            }
            match self.step()? {
                Step::Value(index) => done = self.enter(index)?,
                Step::Merge(index) => self.merge(index)?,
                Step::Skip => {}
                Step::Done if self.levels.is_empty() => return Ok(T::null()),
                Step::Done => done = self.leave(),
            }
        }
    }

    /// Advances the innermost level to its next value or to the next map to merge, past a key if it is a map.
    fn step(&mut self) -> Result<Step, Error> {
        let at = self.levels.len().saturating_sub(1);
        let Some(level) = self.levels.get_mut(at) else { return Ok(Step::Done) };
        if let Some(index) = level.merges.pop() {
            return Ok(Step::Merge(index));
        }
        if level.next >= level.end {
            return Ok(Step::Done);
        }
        let (index, list) = (level.next, matches!(level.into, Into::List(_)));
        if list {
            self.advance(at, index);
            return Ok(Step::Value(index));
        }
        let value = self.after(index);
        self.advance(at, value);
        if self.is_merge(index) {
            let merges = self.merge_list(value)?;
            if let Some(level) = self.levels.get_mut(at) {
                level.merges = merges;
            }
            return Ok(Step::Skip);
        }
        let key = self.key(index)?;
        if let Some(entries) = self.entries(at) {
            entries.key = Some((key, index));
        }
        Ok(Step::Value(value))
    }

    fn after(&self, index: u32) -> u32 {
        self.nodes.at(index).map_or(index.saturating_add(1), |node| node.end)
    }

    /// Continues the level after the node at `index`.
    fn advance(&mut self, level: usize, index: u32) {
        let next = self.after(index);
        if let Some(level) = self.levels.get_mut(level) {
            level.next = next;
        }
    }

    /// The map that the level at `at` fills: its own, or the outer one that it is merged into.
    fn entries(&mut self, at: usize) -> Option<&mut Entries<T>> {
        self.levels.get_mut(..=at)?.iter_mut().rev().find_map(|level| match &mut level.into {
            Into::Map(entries) => Some(Some(entries)),
            Into::List(_) => Some(None),
            Into::Merge => None,
        })?
    }

    /// Counts a node as go-yaml does, for go-yaml's limit on aliasing and for our limit on size.
    fn count(&mut self, index: u32) -> Result<(), Error> {
        self.decoded += 1;
        if !self.aliases.is_empty() {
            self.aliased += 1;
        }
        if self.decoded > self.limits.value_nodes.saturating_add(1) {
            return Err(self.nodes.error(index, Problem::Limit("value_nodes")));
        }
        // go-yaml, too, checks the ratio only from these counts on.
        if self.aliased > 100 && self.decoded > 1000 && excessive(self.aliased, self.decoded) {
            return Err(self.nodes.error(index, Problem::Aliasing));
        }
        Ok(())
    }

    /// Follows an alias to its target.
    fn follow(&mut self, index: u32) -> Result<(u32, Option<u32>), Error> {
        self.count(index)?;
        let Some(node) = self.nodes.at(index) else { return Ok((index, None)) };
        let NodeKind::Alias(target) = node.kind else { return Ok((index, None)) };
        if !self.aliases.insert(index) {
            return Err(self.nodes.error(index, Problem::SelfReference(node.text.as_ref().into())));
        }
        self.count(target)?;
        Ok((target, Some(index)))
    }

    /// Returns the value of a scalar. A list or map becomes the innermost level.
    fn enter(&mut self, index: u32) -> Result<Option<T>, Error> {
        let (target, alias) = self.follow(index)?;
        let Some(node) = self.nodes.at(target) else { return Ok(Some(T::null())) };
        let into = match node.kind {
            NodeKind::Scalar { .. } | NodeKind::Alias(_) => {
                let value = self.scalar(target);
                if let Some(alias) = alias {
                    self.aliases.remove(&alias);
                }
                return value.map(Some);
            }
            NodeKind::Sequence => Into::List(Vec::new()),
            NodeKind::Mapping => {
                Into::Map(Entries { map: T::Entries::default(), key: None, seen: HashSet::new() })
            }
        };
        self.push(target, alias, into)?;
        Ok(None)
    }

    fn push(&mut self, node: u32, alias: Option<u32>, into: Into<T>) -> Result<(), Error> {
        if self.levels.len() >= self.limits.value_depth {
            return Err(self.nodes.error(node, Problem::Limit("value_depth")));
        }
        let (next, end) = (node.saturating_add(1), self.after(node));
        self.levels.push(Level { next, end, alias, merges: Vec::new(), into });
        Ok(())
    }

    fn leave(&mut self) -> Option<T> {
        let level = self.levels.pop()?;
        if let Some(alias) = level.alias {
            self.aliases.remove(&alias);
        }
        match level.into {
            Into::List(items) => Some(T::list(items)),
            Into::Map(entries) => Some(T::map(entries.map)),
            Into::Merge => None,
        }
    }

    fn put(&mut self, value: T) -> Result<(), Error> {
        let strict = self.duplicates == Duplicates::Rejected;
        let at = self.levels.len().saturating_sub(1);
        if let Some(Level { into: Into::List(items), .. }) = self.levels.get_mut(at) {
            items.push(value);
            return Ok(());
        }
        let Some(entries) = self.entries(at) else { return Ok(()) };
        let Some((key, node)) = entries.key.take() else { return Ok(()) };
        if strict && !entries.seen.insert(key.clone()) {
            return Err(self.nodes.error(node, Problem::Duplicate(key.text.into())));
        }
        T::insert(&mut entries.map, key.text, value);
        Ok(())
    }

    fn is_merge(&self, index: u32) -> bool {
        self.nodes.at(index).is_some_and(|node| {
            let merges =
                node.kind == NodeKind::Scalar { implicit: true } || is_merge_tag(self.nodes.tag(index));
            node.text == "<<" && merges && matches!(node.kind, NodeKind::Scalar { .. })
        })
    }

    /// The maps in the value of a `<<` key, in reverse order of merging.
    fn merge_list(&self, index: u32) -> Result<Vec<u32>, Error> {
        let refused = || self.nodes.error(index, Problem::Merge);
        let node = self.nodes.at(index).ok_or_else(refused)?;
        match node.kind {
            NodeKind::Mapping | NodeKind::Alias(_) => {
                self.mapping(index).then(|| vec![index]).ok_or_else(refused)
            }
            NodeKind::Scalar { .. } => Err(refused()),
            // Earlier maps take precedence, so go-yaml merges them last.
            NodeKind::Sequence => {
                let mut maps = Vec::new();
                let mut child = index.saturating_add(1);
                while child < node.end {
                    if !self.mapping(child) {
                        return Err(refused());
                    }
                    maps.push(child);
                    child = self.after(child);
                }
                Ok(maps)
            }
        }
    }

    fn mapping(&self, index: u32) -> bool {
        let kind = |index| self.nodes.at(index).map(|node| node.kind);
        match kind(index) {
            Some(NodeKind::Alias(target)) => kind(target) == Some(NodeKind::Mapping),
            other => other == Some(NodeKind::Mapping),
        }
    }

    fn merge(&mut self, index: u32) -> Result<(), Error> {
        let (target, alias) = self.follow(index)?;
        self.push(target, alias, Into::Merge)
    }

    fn key(&mut self, index: u32) -> Result<Key, Error> {
        let (target, alias) = self.follow(index)?;
        if let Some(alias) = alias {
            self.aliases.remove(&alias);
        }
        let refused = |kind| Err(self.nodes.error(index, Problem::Key(kind)));
        let (kind, text) = match self.nodes.at(target).map(|node| node.kind) {
            Some(NodeKind::Mapping) => return refused("map"),
            Some(NodeKind::Sequence) => return refused("slice"),
            _ => match self.resolve(target)? {
                (Resolved::Null, _) => return refused("null"),
                (Resolved::Number(Number::Uint(_)), _) => return refused("uint64"),
                (Resolved::Bool(value), _) => ("bool", value.to_string()),
                (Resolved::Number(Number::Int(number)), _) => ("int", number.to_string()),
                (Resolved::Number(Number::Float(number)), _) => ("float", float_key(number)),
                (Resolved::Timestamp | Resolved::Text, text) => ("string", text.into_owned()),
            },
        };
        Ok(Key { kind, text })
    }

    fn scalar(&self, index: u32) -> Result<T, Error> {
        Ok(match self.resolve(index)? {
            (Resolved::Null, _) => T::null(),
            (Resolved::Bool(value), _) => T::bool(value),
            (Resolved::Number(Number::Float(number)), _) if !number.is_finite() => {
                return Err(self.nodes.error(index, Problem::NotFinite(not_finite(number))));
            }
            (Resolved::Number(number), _) => T::number(number),
            (Resolved::Timestamp | Resolved::Text, text) => T::text(text),
        })
    }

    fn resolve(&self, index: u32) -> Result<(Resolved, Cow<'_, str>), Error> {
        let Some(node) = self.nodes.at(index) else { return Ok((Resolved::Null, "".into())) };
        let tag = self.nodes.tag(index);
        let text = Cow::Borrowed(node.text.as_ref());
        let resolved = match node.kind {
            NodeKind::Scalar { implicit: false } if tag.is_empty() => Resolved::Text,
            _ if tag.is_empty() => resolve(&text),
            _ if is_binary_tag(tag) => {
                let plain = text.replace(['\r', '\n'], "");
                let bytes = BASE64.decode(plain).map_err(|_| self.nodes.error(index, Problem::Binary))?;
                return Ok((Resolved::Text, replace_invalid(&bytes).into()));
            }
            _ => resolve_tagged(tag, &text).map_err(|problem| self.nodes.error(index, problem))?,
        };
        Ok((resolved, text))
    }
}

fn float_key(number: f64) -> String {
    if number.is_nan() {
        return ".nan".to_owned();
    }
    match general_32(number).as_str() {
        "+Inf" => ".inf".to_owned(),
        "-Inf" => "-.inf".to_owned(),
        text => text.to_owned(),
    }
}

/// go-yaml's `allowedAliasRatio`: 99% of the nodes may come from aliases in documents of up to 400,000 nodes, 10% in
/// documents of 4,000,000 nodes or more.
#[expect(clippy::cast_precision_loss, reason = "both counts are far below 2^53")]
fn excessive(aliased: usize, decoded: usize) -> bool {
    const LOW: f64 = 400_000.0;
    const HIGH: f64 = 4_000_000.0;
    let total = decoded as f64;
    let allowed = 0.99 - 0.89 * ((total.clamp(LOW, HIGH) - LOW) / (HIGH - LOW));
    aliased as f64 / total > allowed
}

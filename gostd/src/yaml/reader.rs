//! Builds the nodes of a document from granit-parser's events, and rejects everything that libyaml rejects.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{
    ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag, YamlVersion,
};

use super::error::{Error, Problem, problem};
use crate::limits::Limits;

/// go-yaml's own limit on nesting.
const MOST_DEPTH: usize = 10_000;

/// The kind of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// A scalar; `implicit` if its text determines its tag.
    Scalar { implicit: bool },
    /// A list.
    Sequence,
    /// A map: alternating keys and values.
    Mapping,
    /// An alias of the node with this index.
    Alias(u32),
}

/// One node. Nodes are in the order of the text, so the children of a node begin right after it.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// Its kind.
    pub kind: NodeKind,
    /// The text of a scalar or the name of an alias.
    pub text: Cow<'a, str>,
    /// The index of the first node after it that is not inside it.
    pub end: u32,
    line: u32,
    column: u32,
}

/// The nodes of one document, its root first.
#[derive(Debug, Default)]
pub(crate) struct Nodes<'a> {
    nodes: Vec<Node<'a>>,
    tags: HashMap<u32, Box<str>>,
}

impl<'a> Nodes<'a> {
    /// The node at `index`.
    pub(crate) fn at(&self, index: u32) -> Option<&Node<'a>> {
        self.nodes.get(index as usize)
    }

    /// The full tag of the node, or an empty string.
    pub(crate) fn tag(&self, index: u32) -> &str {
        self.tags.get(&index).map_or("", |tag| tag)
    }

    /// An error at the node.
    pub(crate) fn error(&self, index: u32, problem: Problem) -> Error {
        let (line, column) = self.at(index).map_or((1, 1), |node| (node.line, node.column));
        Error { problem, line: line as usize, column: column as usize }
    }

    /// Adds a node that begins at `span`; `None` if there are too many nodes.
    fn push(&mut self, kind: NodeKind, text: Cow<'a, str>, span: &Span) -> Option<u32> {
        let index = u32::try_from(self.nodes.len()).ok()?;
        let position = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let (line, column) = (position(span.start.line()), position(span.start.col().saturating_add(1)));
        self.nodes.push(Node { kind, text, end: index.checked_add(1)?, line, column });
        Some(index)
    }
}

/// The documents of a text, one after another.
pub(crate) struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    limits: &'a Limits,
}

/// The properties of a node.
#[derive(Default)]
struct Properties {
    /// The number of its anchor; 0 if it has none.
    anchor: usize,
    /// Its tag in full; empty if it has none.
    tag: String,
}

/// One document being read.
struct Open<'a> {
    nodes: Nodes<'a>,
    stack: Vec<u32>,
    /// The number of open levels from the outermost flow list or map on.
    flow: usize,
    anchors: HashMap<usize, u32>,
}

impl<'a> Reader<'a> {
    /// Reads `text`.
    ///
    /// # Errors
    /// It holds a character that YAML does not allow.
    pub(crate) fn new(text: &'a str, limits: &'a Limits) -> Result<Self, Error> {
        reject_control(text)?;
        reject_directive(text)?;
        let depth = limits.value_depth.min(MOST_DEPTH);
        let options = granit_parser::options! {
            emit_unresolved_aliases: true,
            emit_anchor_events: true,
            emit_comments: false,
            flow_nesting_limit: depth,
            block_nesting_limit: depth,
        };
        Ok(Self { parser: Parser::new_from_str_with_options(text, options), text, limits })
    }

    /// The next document, or `None` after the last one.
    ///
    /// # Errors
    /// It is not valid YAML, or exceeds a limit.
    pub(crate) fn next(&mut self) -> Result<Option<Nodes<'a>>, Error> {
        let mut open = Open { nodes: Nodes::default(), stack: Vec::new(), flow: 0, anchors: HashMap::new() };
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| scan_error(&error))?;
            let at = |problem| error(problem, &span);
            match event {
                Event::DocumentStart(_, Some(version)) if version != YamlVersion::new(1, 1) => {
                    return Err(at(Problem::Syntax("found incompatible YAML document")));
                }
                Event::DocumentEnd => return Ok(Some(open.nodes)),
                Event::Anchor(_, name) if !is_word(&name) => {
                    return Err(at(Problem::Syntax("did not find expected alphabetic or numeric character")));
                }
                Event::UnresolvedAlias(name) => return Err(at(Problem::UnknownAnchor(name.into()))),
                Event::Scalar(text, style, anchor, tag) => {
                    let text = self.scalar(text, style, &span, open.stack.is_empty())?;
                    let tag = full(tag);
                    let implicit = tag == "!" || tag.is_empty() && style == ScalarStyle::Plain;
                    self.add(
                        &mut open,
                        NodeKind::Scalar { implicit },
                        text,
                        Properties { anchor, tag },
                        &span,
                    )?;
                }
                Event::SequenceStart(style, anchor, tag) => {
                    let index = self.add(
                        &mut open,
                        NodeKind::Sequence,
                        "".into(),
                        Properties { anchor, tag: full(tag) },
                        &span,
                    )?;
                    open.enter(index, style);
                }
                Event::MappingStart(style, anchor, tag) => {
                    let index = self.add(
                        &mut open,
                        NodeKind::Mapping,
                        "".into(),
                        Properties { anchor, tag: full(tag) },
                        &span,
                    )?;
                    open.enter(index, style);
                }
                Event::SequenceEnd | Event::MappingEnd => open.close(),
                Event::Alias(anchor) => {
                    let name = span.slice(self.text).unwrap_or_default().trim_start_matches('*');
                    let Some(target) = open.anchors.get(&anchor) else {
                        return Err(at(Problem::UnknownAnchor(name.into())));
                    };
                    let kind = NodeKind::Alias(*target);
                    self.add(&mut open, kind, name.into(), Properties::default(), &span)?;
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn add(
        &self,
        open: &mut Open<'a>,
        kind: NodeKind,
        text: Cow<'a, str>,
        properties: Properties,
        span: &Span,
    ) -> Result<u32, Error> {
        if open.flow == 0 && self.after_tab(span) {
            return Err(error(Problem::Syntax("found character that cannot start any token"), span));
        }
        let index = open.nodes.push(kind, text, span);
        let Some(index) = index.filter(|index| (*index as usize) < self.limits.value_nodes) else {
            return Err(error(Problem::Limit("value_nodes"), span));
        };
        let Properties { anchor, tag } = properties;
        if anchor != 0 {
            open.anchors.insert(anchor, index);
        }
        if !tag.is_empty() {
            open.nodes.tags.insert(index, tag.into());
        }
        Ok(index)
    }

    /// Whether there is a tab where libyaml accepts only spaces in block context: before the first token of a line, or
    /// after a dash.
    fn after_tab(&self, span: &Span) -> bool {
        let before = span.byte_range().and_then(|range| self.text.get(..range.start)).unwrap_or_default();
        let rest = before.trim_end_matches([' ', '\t']);
        before.get(rest.len()..).is_some_and(|blanks| blanks.contains('\t'))
            && (rest.is_empty() || rest.ends_with('\n') || is_dash(rest))
    }

    /// Corrects a scalar's text where granit-parser and libyaml differ.
    fn scalar(
        &self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        span: &Span,
        root: bool,
    ) -> Result<Cow<'a, str>, Error> {
        match style {
            ScalarStyle::DoubleQuoted => {
                if let Some(problem) = span.slice(self.text).and_then(reject_escape) {
                    return Err(error(problem, span));
                }
            }
            // If the input ends without a line break, so does the scalar in libyaml; granit-parser adds a break.
            ScalarStyle::Literal | ScalarStyle::Folded => {
                // In YAML 1.2 a document can be a block scalar without indentation; for libyaml that scalar is empty.
                if root && span.start.col() == 0 && span.slice(self.text).is_some_and(is_unindented) {
                    return Ok("".into());
                }
                let last = span.byte_range().is_some_and(|range| range.end >= self.text.len());
                if last && !self.text.ends_with(['\n', '\r']) && text.ends_with('\n') {
                    let mut text = text.into_owned();
                    text.pop();
                    return Ok(text.into());
                }
            }
            ScalarStyle::Plain | ScalarStyle::SingleQuoted => {}
        }
        Ok(text)
    }
}

impl Open<'_> {
    fn enter(&mut self, index: u32, style: StructureStyle) {
        self.stack.push(index);
        // Everything inside a flow collection is in flow context too.
        if self.flow > 0 || style == StructureStyle::Flow {
            self.flow += 1;
        }
    }

    fn close(&mut self) {
        self.flow = self.flow.saturating_sub(1);
        let end = u32::try_from(self.nodes.nodes.len()).unwrap_or(u32::MAX);
        if let Some(index) = self.stack.pop()
            && let Some(node) = self.nodes.nodes.get_mut(index as usize)
        {
            node.end = end;
        }
    }
}

/// Whether the text ends with the dash of a list's element.
fn is_dash(text: &str) -> bool {
    let line = text.rsplit('\n').next().unwrap_or_default();
    line.ends_with('-') && line.split(' ').all(|word| matches!(word, "" | "-" | "?"))
}

/// Whether libyaml accepts it as the name of an anchor.
fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Whether the first line of a block scalar's content has no indentation. The span of a block scalar without content
/// begins at its header.
fn is_unindented(content: &str) -> bool {
    let first = content.lines().find(|line| !line.trim().is_empty());
    first.is_some_and(|line| !line.starts_with([' ', '|', '>']))
}

fn full(tag: Option<Cow<'_, Tag>>) -> String {
    tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix())).unwrap_or_default()
}

fn error(problem: Problem, span: &Span) -> Error {
    Error { problem, line: span.start.line(), column: span.start.col() + 1 }
}

fn scan_error(error: &ScanError) -> Error {
    let mark = error.marker();
    if matches!(error.kind(), ErrorKind::InvalidQuotedScalarIndent | ErrorKind::TabInIndentation) {
        return Error { problem: Problem::Unindented, line: mark.line(), column: mark.col() + 1 };
    }
    Error { problem: problem(error.kind()), line: mark.line(), column: mark.col() + 1 }
}

/// Whether libyaml's reader accepts the character.
pub(crate) fn readable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

fn reject_control(text: &str) -> Result<(), Error> {
    let Some((before, _)) = text.split_once(|c| !readable(c)) else { return Ok(()) };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    Err(Error { problem: Problem::Syntax("control characters are not allowed"), line, column })
}

/// Rejects directives other than the two that libyaml knows.
fn reject_directive(text: &str) -> Result<(), Error> {
    for (index, line) in text.lines().enumerate() {
        match line.strip_prefix('%').map(|rest| rest.split([' ', '\t']).next().unwrap_or_default()) {
            Some("YAML" | "TAG") => {}
            Some(name) if name.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
                let problem = Problem::Syntax("found unknown directive name");
                return Err(Error { problem, line: index + 1, column: 1 });
            }
            None if line.trim().is_empty() || line.starts_with('#') => {}
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Rejects escapes of a double-quoted scalar that granit-parser accepts and libyaml does not.
fn reject_escape(source: &str) -> Option<Problem> {
    let mut rest = source;
    while let Some((_, escape)) = rest.split_once('\\') {
        let mut chars = escape.chars();
        match chars.next() {
            Some('/') => return Some(Problem::Syntax("found unknown escape character")),
            Some('u') => {
                let code = escape.get(1..5).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                if code.is_some_and(|code| (0xd800..0xe000).contains(&code)) {
                    return Some(Problem::Syntax("found invalid Unicode character escape code"));
                }
            }
            _ => {}
        }
        rest = chars.as_str();
    }
    None
}

//! Parses a TOML document into values.
//!
//! Source: BurntSushi/toml 1.6 `lex.go`, `parse.go`.

use std::rc::Rc;

use gostd::value::{Map, Value};

use super::scalar::{line, scalar};
use super::scan::{Scanner, SyntaxError, named};
use super::tables::{KeyError, Tables};
use super::{DEPTH, dotted, quoted, quoted_char};
use crate::function::{Failure, Scope};

/// Parses `text` as a TOML document.
///
/// # Errors
/// The error text of `BurntSushi/toml`, or an exceeded limit.
pub(crate) fn read(scope: &Scope<'_>, text: &[u8]) -> Result<Map, Failure> {
    scope.step(1 + (text.len() >> 4) as u64)?;
    let marks: [&[u8]; 3] = [b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf"];
    let text = marks.iter().find_map(|mark| text.strip_prefix(*mark)).unwrap_or(text);
    if text.iter().take(6).any(|byte| *byte == 0) {
        let reason = "files cannot contain NULL bytes; probably using UTF-16; TOML files must be UTF-8";
        return Err(format!("toml: line 1: {reason}").into());
    }
    let mut reader = Reader {
        scope,
        scanner: Scanner::new(text),
        tables: Tables::new(),
        key: "".into(),
        key_line: 1,
        depth: 0,
        nodes: 0,
    };
    reader.document().map_err(|stop| reader.failure(stop))?;
    Ok(reader.tables.root)
}

const EMPTY_NAME: &str = "(table names cannot be empty)";

enum Stop {
    /// An error on the line where it was detected.
    Syntax(SyntaxError),
    /// An error that is reported on the line of the key.
    Key(String),
    Failed(Failure),
}

impl From<SyntaxError> for Stop {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<KeyError> for Stop {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Message(text) => Self::Key(text),
            KeyError::Failed(failure) => Self::Failed(failure),
        }
    }
}

struct Reader<'a, 's> {
    scope: &'a Scope<'s>,
    scanner: Scanner<'a>,
    tables: Tables,
    /// The key whose value is being read; empty between values.
    key: Rc<str>,
    key_line: usize,
    /// The number of open arrays and inline tables.
    depth: usize,
    nodes: usize,
}

impl Reader<'_, '_> {
    /// Go's text of the error, with its line and the key it occurs near.
    fn failure(&self, stop: Stop) -> Failure {
        let (line, text) = match stop {
            Stop::Syntax(SyntaxError { line, text }) => (line, text),
            Stop::Key(text) => (self.key_line, text),
            Stop::Failed(failure) => return failure,
        };
        let context = dotted(&self.tables.context);
        let last = match (context.is_empty(), self.key.is_empty()) {
            (_, true) => context,
            (true, false) => self.key.to_string(),
            (false, false) => format!("{context}.{}", self.key),
        };
        if last.is_empty() {
            return format!("toml: line {line}: {text}").into();
        }
        format!("toml: line {line} (last key {}): {text}", quoted(&last)).into()
    }

    /// Accounts for one key, value or table.
    fn node(&mut self) -> Result<(), Failure> {
        self.scope.step(1)?;
        self.nodes += 1;
        if self.nodes > self.scope.limits.value_nodes {
            return Err(Failure::Limit("value_nodes"));
        }
        if self.depth + self.tables.context.len() > self.scope.limits.value_depth.min(DEPTH) {
            return Err(Failure::Limit("value_depth"));
        }
        Ok(())
    }

    fn document(&mut self) -> Result<(), Stop> {
        loop {
            match self.scanner.peek()? {
                None => return Ok(()),
                Some(' ' | '\t' | '\n' | '\r') => {
                    self.scanner.next()?;
                }
                Some('#') => self.scanner.skip_comment()?,
                Some('[') => {
                    self.scanner.next()?;
                    self.head()?;
                    self.line_end()?;
                }
                Some(_) => {
                    let outer = self.tables.context.clone();
                    self.pair()?;
                    self.tables.context = outer;
                    self.key = "".into();
                    self.line_end()?;
                }
            }
        }
    }

    /// Only a comment may follow on the line.
    fn line_end(&mut self) -> Result<(), Stop> {
        self.scanner.skip_blanks()?;
        match self.scanner.next()? {
            None | Some('\n' | '\r') => Ok(()),
            Some('#') => Ok(self.scanner.skip_comment()?),
            other => {
                let wanted = "a top-level item to end with a newline, comment, or EOF";
                Err(self
                    .scanner
                    .error(format!("expected {wanted}, but got {} instead", quoted_char(other)))
                    .into())
            }
        }
    }

    /// `[a.b]` or `[[a.b]]`, after the first bracket.
    fn head(&mut self) -> Result<(), Stop> {
        let array = self.scanner.accept('[')?;
        let mut path: Vec<Rc<str>> = Vec::new();
        loop {
            self.scanner.skip_blanks()?;
            let part = match self.scanner.peek()? {
                None | Some(']') => {
                    return Err(self
                        .scanner
                        .error(format!("unexpected end of table name {EMPTY_NAME}"))
                        .into());
                }
                Some('.') => {
                    return Err(self
                        .scanner
                        .error(format!("unexpected table separator {EMPTY_NAME}"))
                        .into());
                }
                Some(_) => self.part()?,
            };
            if path.is_empty() {
                self.key_line = self.scanner.line;
            }
            self.add_part(&mut path, part)?;
            self.scanner.skip_blanks()?;
            match self.scanner.next()? {
                Some('.') => {}
                Some(']') => break,
                other => {
                    let text = format!(
                        "expected '.' or ']' to end table name, but got {} instead",
                        quoted_char(other)
                    );
                    return Err(self.scanner.error_at(other, text).into());
                }
            }
        }
        if array {
            let next = self.scanner.next()?;
            if next != Some(']') {
                let text = "expected end of table array name delimiter ']'";
                let text = format!("{text}, but got {} instead", quoted_char(next));
                return Err(self.scanner.error_at(next, text).into());
            }
        }
        Ok(self.tables.enter(self.scope, &path, array)?)
    }

    fn add_part(&mut self, path: &mut Vec<Rc<str>>, part: String) -> Result<(), Failure> {
        self.node()?;
        path.push(part.into());
        if path.len() > self.scope.limits.value_depth.min(DEPTH) {
            return Err(Failure::Limit("value_depth"));
        }
        Ok(())
    }

    /// One part of a key: bare, which may be empty here, or quoted.
    fn part(&mut self) -> Result<String, SyntaxError> {
        if let Some(quote @ ('"' | '\'')) = self.scanner.peek()? {
            self.scanner.next()?;
            return line(&mut self.scanner, quote, quote == '\'');
        }
        let start = self.scanner.position();
        self.scanner.take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))?;
        Ok(self.scanner.since(start))
    }

    /// The parts of a key, up to and including its equals sign.
    fn path(&mut self) -> Result<Vec<Rc<str>>, Stop> {
        let mut path: Vec<Rc<str>> = Vec::new();
        self.scanner.skip_blanks()?;
        match self.scanner.peek()? {
            None | Some('=') => {
                return Err(self.scanner.error("unexpected '=': key name appears blank").into());
            }
            Some('.') => {
                return Err(self.scanner.error("unexpected '.': keys cannot start with a '.'").into());
            }
            Some(_) => {}
        }
        loop {
            self.scanner.skip_blanks()?;
            let part = match self.scanner.peek()? {
                None | Some('=') => return Err(self.scanner.error("unexpected '='").into()),
                Some('.') => return Err(self.scanner.error("unexpected '.'").into()),
                Some(_) => self.part()?,
            };
            if path.is_empty() {
                self.key_line = self.scanner.line;
            }
            self.add_part(&mut path, part)?;
            self.scanner.skip_blanks()?;
            match self.scanner.next()? {
                Some('.') => {}
                Some('=') => return Ok(path),
                None => {
                    return Err(self
                        .scanner
                        .error_at(None, "unexpected EOF; expected key separator '='")
                        .into());
                }
                other => {
                    let text = format!("expected '.' or '=', but got {} instead", quoted_char(other));
                    let newline = other == Some('\n');
                    return Err(if newline {
                        self.scanner.error_before(text)
                    } else {
                        self.scanner.error(text)
                    }
                    .into());
                }
            }
        }
    }

    /// A key and its value. Afterwards the context is the table that holds the value.
    fn pair(&mut self) -> Result<(Vec<Rc<str>>, Value), Stop> {
        let path = self.path()?;
        let (last, parents) = path.split_last().ok_or(Stop::Failed(Failure::Limit("value_depth")))?;
        self.key = last.clone();
        for parent in parents {
            let mut deeper = self.tables.context.clone();
            deeper.push(parent.clone());
            self.tables.context.clone_from(&deeper);
            self.tables.imply_context();
            self.tables.enter(self.scope, &deeper, false)?;
        }
        let value = self.value(false)?;
        let key = self.key.clone();
        self.tables.set(self.scope, &key, value.clone())?;
        if !matches!(value, Value::List(_)) {
            self.tables.unmark_array(&key);
        }
        Ok((path, value))
    }

    fn value(&mut self, within_array: bool) -> Result<Value, Stop> {
        self.node()?;
        self.scanner.skip_blanks()?;
        let first = self.scanner.next()?;
        if !matches!(first, Some('[' | '{')) {
            return Ok(scalar(&mut self.scanner, first)?);
        }
        self.depth += 1;
        let value = if first == Some('[') { self.array() } else { self.inline(within_array) }?;
        self.depth -= 1;
        Ok(value)
    }

    /// Skips whitespace, line ends and comments.
    fn skip_lines(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.scanner.take_while(|letter| matches!(letter, ' ' | '\t' | '\n' | '\r'))?;
            if self.scanner.peek()? != Some('#') {
                return Ok(());
            }
            self.scanner.skip_comment()?;
        }
    }

    fn array(&mut self) -> Result<Value, Stop> {
        let key = self.key.clone();
        self.tables.mark_array(&key);
        let mut items = Vec::new();
        loop {
            self.skip_lines()?;
            match self.scanner.peek()? {
                Some(',') => {
                    self.scanner.next()?;
                    return Err(self.scanner.error("unexpected comma").into());
                }
                Some(']') => {
                    self.scanner.next()?;
                    break;
                }
                _ => items.push(self.value(true)?),
            }
            self.skip_lines()?;
            match self.scanner.next()? {
                Some(',') => {}
                Some(']') => break,
                other => {
                    let text =
                        format!("expected a comma (',') or array terminator (']'), but got {}", named(other));
                    return Err(self.scanner.error_at(other, text).into());
                }
            }
        }
        Ok(Value::list(items))
    }

    /// An inline table. Its keys are checked like those of a regular table at this path; its content is collected
    /// separately.
    fn inline(&mut self, within_array: bool) -> Result<Value, Stop> {
        let (outer, outer_key) = (self.tables.context.clone(), self.key.clone());
        let mut inner = outer.clone();
        inner.push(outer_key.clone());
        self.tables.context.clone_from(&inner);
        self.key = "".into();
        self.tables.imply_context();
        self.tables.enter(self.scope, &inner, within_array)?;
        let table = Map::new::<&str>([]);
        loop {
            self.skip_lines()?;
            match self.scanner.peek()? {
                Some(',') => {
                    self.scanner.next()?;
                    return Err(self.scanner.error("unexpected comma").into());
                }
                Some('}') => {
                    self.scanner.next()?;
                    break;
                }
                _ => {}
            }
            let (path, value) = self.pair()?;
            self.tables.put(self.scope, &table, &path, value)?;
            self.tables.context.clone_from(&inner);
            self.skip_lines()?;
            match self.scanner.next()? {
                Some(',') => {}
                Some('}') => break,
                other => {
                    let wanted = "a comma or an inline table terminator '}'";
                    let text = format!("expected {wanted}, but got {} instead", named(other));
                    return Err(self.scanner.error_at(other, text).into());
                }
            }
        }
        self.tables.context = outer;
        self.key = outer_key;
        Ok(Value::Map(table))
    }
}

//! Reads JSON as Go's `encoding/json` reads it into `any`, with Go's error texts and without recursion.

use std::borrow::Cow;

use super::tree::{Number, Target};
use crate::limits::Limits;

/// The reason why JSON text was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Go's error text.
    Message(String),
    /// A limit was exceeded: the name of a field of [`Limits`].
    Limit(&'static str),
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self::Message(text)
    }
}

impl From<&str> for Refusal {
    fn from(text: &str) -> Self {
        Self::Message(text.to_owned())
    }
}

/// A parsed document. Go reports the first number that float64 cannot hold only after it has read everything.
pub struct Document<T> {
    /// The value.
    pub value: T,
    /// Go's error text for that number.
    pub out_of_range: Option<String>,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    out_of_range: Option<String>,
}

enum Level<T: Target> {
    List(Vec<T>),
    Map(T::Entries, String),
}

/// Reads one JSON document.
///
/// # Errors
/// The text is not JSON, or exceeds `value_depth` or `value_nodes`.
pub fn read<T: Target>(text: &str, limits: &Limits) -> Result<Document<T>, Refusal> {
    let mut reader = Reader { text, at: 0, out_of_range: None };
    let mut stack: Vec<Level<T>> = Vec::new();
    let mut nodes = 0;
    loop {
        nodes += 1;
        if nodes > limits.value_nodes {
            return Err(Refusal::Limit("value_nodes"));
        }
        let before = reader.out_of_range.is_some();
        let mut done = reader.begin(&mut stack)?;
        if let Some(number) = reader.out_of_range.take() {
            let text = if before { number } else { out_of_range(&number, &stack) };
            reader.out_of_range = Some(text);
        }
        if stack.len() > limits.value_depth {
            return Err(Refusal::Limit("value_depth"));
        }
        while let Some(value) = done.take() {
            let Some(level) = stack.pop() else {
                reader.end()?;
                return Ok(Document { value, out_of_range: reader.out_of_range });
            };
            done = reader.put(level, value, &mut stack)?;
        }
    }
}

/// Go's error text for a number that float64 cannot hold, in the innermost level of `stack`.
fn out_of_range<T: Target>(number: &str, stack: &[Level<T>]) -> String {
    let place = match stack.last() {
        None => "Go value",
        Some(Level::List(_)) => "",
        Some(Level::Map(..)) => "Go struct field ",
    };
    let path: String = stack.iter().fold(String::new(), |path, level| match level {
        Level::List(items) => format!("{path}.{}", items.len()),
        Level::Map(_, key) => format!("{path}.{key}"),
    });
    format!("json: cannot unmarshal number {number} into {place}{path} of type float64")
}

const END: &str = "unexpected end of JSON input";

impl Reader<'_> {
    /// Returns a scalar or an empty list or map. Any other list or map becomes the innermost level.
    fn begin<T: Target>(&mut self, stack: &mut Vec<Level<T>>) -> Result<Option<T>, Refusal> {
        Ok(match self.token("looking for beginning of value")? {
            b'{' => match self.first_key()? {
                Some(key) => {
                    stack.push(Level::Map(T::Entries::default(), key));
                    None
                }
                None => Some(T::map(T::Entries::default())),
            },
            b'[' if self.peek_token() == Some(b']') => {
                self.next()?;
                Some(T::list(Vec::new()))
            }
            b'[' => {
                stack.push(Level::List(Vec::new()));
                None
            }
            first => Some(self.scalar(first)?),
        })
    }

    /// Puts a value into its level, and returns the level's list or map if it ends there.
    fn put<T: Target>(
        &mut self,
        level: Level<T>,
        value: T,
        stack: &mut Vec<Level<T>>,
    ) -> Result<Option<T>, Refusal> {
        match level {
            Level::List(mut items) => {
                items.push(value);
                match self.token("after array element")? {
                    b',' => stack.push(Level::List(items)),
                    b']' => return Ok(Some(T::list(items))),
                    _ => return Err(self.invalid("after array element")),
                }
            }
            Level::Map(mut entries, key) => {
                T::insert(&mut entries, key, value);
                match self.token("after object key:value pair")? {
                    b',' => {
                        let next = self.token("looking for beginning of object key string")?;
                        stack.push(Level::Map(entries, self.key(next)?));
                    }
                    b'}' => return Ok(Some(T::map(entries))),
                    _ => return Err(self.invalid("after object key:value pair")),
                }
            }
        }
        Ok(None)
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Refusal> {
        let byte = self.byte().ok_or(END)?;
        self.at += 1;
        Ok(byte)
    }

    fn peek_token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// The first byte of the next token; a byte that cannot begin a value is rejected here.
    fn token(&mut self, context: &str) -> Result<u8, Refusal> {
        self.peek_token();
        let byte = self.next()?;
        let known = matches!(byte, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n');
        if context == "looking for beginning of value" && !known {
            return Err(self.invalid(context));
        }
        Ok(byte)
    }

    fn first_key(&mut self) -> Result<Option<String>, Refusal> {
        match self.token("looking for beginning of object key string")? {
            b'}' => Ok(None),
            other => self.key(other).map(Some),
        }
    }

    fn key(&mut self, first: u8) -> Result<String, Refusal> {
        if first != b'"' {
            return Err(self.invalid("looking for beginning of object key string"));
        }
        let key = self.string()?.into_owned();
        match self.token("after object key")? {
            b':' => Ok(key),
            _ => Err(self.invalid("after object key")),
        }
    }

    fn end(&mut self) -> Result<(), Refusal> {
        if self.peek_token().is_none() {
            return Ok(());
        }
        self.at += 1;
        Err(self.invalid("after top-level value"))
    }

    fn scalar<T: Target>(&mut self, first: u8) -> Result<T, Refusal> {
        match first {
            b'"' => Ok(T::text(self.string()?)),
            b't' => self.word("true").map(|()| T::bool(true)),
            b'f' => self.word("false").map(|()| T::bool(false)),
            b'n' => self.word("null").map(|()| T::null()),
            _ => Ok(T::number(self.number(first)?)),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Refusal> {
        for expected in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                let context = format!("in literal {word} (expecting '{}')", char::from(expected));
                return Err(self.invalid(&context));
            }
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Result<Number, Refusal> {
        let start = self.at - 1;
        let first = if first == b'-' { self.digit()? } else { first };
        if first != b'0' {
            self.digits();
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digit()?;
            self.digits();
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digit()?;
            self.digits();
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let number: f64 = text.parse().map_err(|_| END)?;
        if number.is_infinite() {
            self.out_of_range.get_or_insert_with(|| text.to_owned());
            return Ok(Number::Int(0));
        }
        Ok(text.parse().map_or(Number::Float(number), Number::Int))
    }

    fn digit(&mut self) -> Result<u8, Refusal> {
        match self.next()? {
            byte @ b'0'..=b'9' => Ok(byte),
            _ => Err(self.invalid("in numeric literal")),
        }
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
    }

    /// The text between the quotes; the opening quote is already consumed.
    fn string(&mut self) -> Result<Cow<'_, str>, Refusal> {
        let start = self.at;
        let mut text: Option<String> = None;
        let mut from = start;
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => {
                    let so_far = text.get_or_insert_default();
                    so_far.push_str(self.text.get(from..self.at - 1).unwrap_or_default());
                    let c = self.escaped()?;
                    so_far.push(c);
                    from = self.at;
                }
                0..=0x1f => return Err(self.invalid("in string")),
                _ => {}
            }
        }
        let rest = self.text.get(from..self.at - 1).unwrap_or_default();
        Ok(match text {
            None => Cow::Borrowed(rest),
            Some(text) => Cow::Owned(text + rest),
        })
    }

    fn escaped(&mut self) -> Result<char, Refusal> {
        Ok(match self.next()? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            byte @ (b'"' | b'\\' | b'/') => char::from(byte),
            b'u' => {
                let first = self.hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return Ok(char::from_u32(first).unwrap_or('\u{fffd}'));
                }
                // A surrogate without its other half becomes U+FFFD, and the text after it is read on its own.
                let back = self.at;
                if self.text.as_bytes().get(back..).is_some_and(|rest| rest.starts_with(b"\\u")) {
                    self.at += 2;
                    let second = self.hex()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
                    }
                    self.at = back;
                }
                '\u{fffd}'
            }
            _ => return Err(self.bad_escape(self.at - 2)),
        })
    }

    /// The four digits after `\\u`.
    fn hex(&mut self) -> Result<u32, Refusal> {
        let start = self.at - 2;
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| self.bad_escape(start))?;
        }
        Ok(code)
    }

    fn bad_escape(&self, start: usize) -> Refusal {
        let escape = self.text.get(start..).unwrap_or_default();
        let length = if escape.starts_with("\\u") { 6 } else { 2 };
        let escape: String = escape.chars().take(length).collect();
        format!("invalid escape sequence `{escape}` in string").into()
    }

    /// An error about the character at the byte that was just read.
    fn invalid(&self, context: &str) -> Refusal {
        let rest = self.text.get(self.at.saturating_sub(1)..).unwrap_or_default();
        let c = rest.chars().next().unwrap_or('\u{fffd}');
        let shown = match c {
            '\'' | '\\' => format!("\\{c}"),
            '\u{7}' => r"\a".to_owned(),
            '\u{8}' => r"\b".to_owned(),
            '\u{b}' => r"\v".to_owned(),
            '\u{c}' => r"\f".to_owned(),
            '\n' => r"\n".to_owned(),
            '\r' => r"\r".to_owned(),
            '\t' => r"\t".to_owned(),
            '\0'..='\u{1f}' | '\u{7f}' => format!(r"\x{:02x}", u32::from(c)),
            '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{feff}' => format!(r"\u{:04x}", u32::from(c)),
            c => c.to_string(),
        };
        format!("invalid character '{shown}' {context}").into()
    }
}

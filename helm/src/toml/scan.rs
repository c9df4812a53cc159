//! Letters of a TOML document one after another, with the line each error is said to be on.
//!
//! Source: BurntSushi/toml 1.6 `lex.go`.

/// An error before it knows the key it is near.
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) text: String,
}

#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
    pub(super) line: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, line: 1 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// What was read since `start`.
    pub(super) fn since(&self, start: usize) -> String {
        String::from_utf8_lossy(self.input.get(start..self.at).unwrap_or_default()).into_owned()
    }

    /// The bytes that are left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// The next letter; none at the end.
    ///
    /// # Errors
    /// It is no UTF-8 or a control character.
    pub(super) fn next(&mut self) -> Result<Option<char>, Fault> {
        let rest = self.rest();
        let Some(&first) = rest.first() else { return Ok(None) };
        let head = rest.get(..rest.len().min(4)).unwrap_or_default();
        let Some(letter) = head.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) else {
            return Err(Fault { line: self.line, text: format!("invalid UTF-8 byte: 0x{first:02x}") });
        };
        let lone = letter == '\r' && rest.get(1) != Some(&b'\n');
        if lone || (letter < ' ' && !matches!(letter, '\t' | '\r' | '\n')) || letter == '\u{7f}' {
            let text = format!("TOML files cannot contain control characters: '0x{:02x}'", u32::from(letter));
            return Err(Fault { line: self.line, text });
        }
        self.line += usize::from(letter == '\n');
        self.at += letter.len_utf8();
        Ok(Some(letter))
    }

    /// The next letter, left in place.
    ///
    /// # Errors
    /// As `next`.
    pub(super) fn peek(&self) -> Result<Option<char>, Fault> {
        let mut ahead = *self;
        ahead.next()
    }

    /// Takes the next letter if it is `wanted`.
    ///
    /// # Errors
    /// As `next`.
    pub(super) fn accept(&mut self, wanted: char) -> Result<bool, Fault> {
        let found = self.peek()? == Some(wanted);
        if found {
            self.next()?;
        }
        Ok(found)
    }

    /// Takes letters as long as they are `wanted`.
    ///
    /// # Errors
    /// As `next`.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> Result<(), Fault> {
        while self.peek()?.is_some_and(&wanted) {
            self.next()?;
        }
        Ok(())
    }

    /// Spaces and tabs.
    ///
    /// # Errors
    /// As `next`.
    pub(super) fn skip_blanks(&mut self) -> Result<(), Fault> {
        self.take_while(|letter| matches!(letter, ' ' | '\t'))
    }

    /// What is left of the line, after the `#` of a comment.
    ///
    /// # Errors
    /// As `next`.
    pub(super) fn skip_comment(&mut self) -> Result<(), Fault> {
        self.take_while(|letter| !matches!(letter, '\n' | '\r'))
    }

    /// An error after `seen` was read; the end of the text is on the line that it ends.
    pub(super) fn fault_at(&self, seen: Option<char>, text: impl Into<String>) -> Fault {
        let ended = seen.is_none() && self.at > 0 && self.input.get(self.at - 1) == Some(&b'\n');
        Fault { line: self.line - usize::from(ended), text: text.into() }
    }

    /// An error on the current line.
    pub(super) fn fault(&self, text: impl Into<String>) -> Fault {
        Fault { line: self.line, text: text.into() }
    }

    /// An error that Go puts on the line before.
    pub(super) fn fault_before(&self, text: impl Into<String>) -> Fault {
        Fault { line: self.line.saturating_sub(1), text: text.into() }
    }
}

/// A letter as the errors about lists name it.
pub(super) fn named(letter: Option<char>) -> String {
    letter.map_or_else(|| "end of file".into(), |letter| format!("'{letter}'"))
}

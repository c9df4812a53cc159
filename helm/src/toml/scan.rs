//! Reads a TOML document character by character and keeps track of the line that errors report.
//!
//! Source: BurntSushi/toml 1.6 `lex.go`.

/// An error without the key it occurs near, which the reader adds.
pub(super) struct SyntaxError {
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

    /// The text read since `start`.
    pub(super) fn since(&self, start: usize) -> String {
        String::from_utf8_lossy(self.input.get(start..self.at).unwrap_or_default()).into_owned()
    }

    /// The remaining bytes.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// The next character, or `None` at the end.
    ///
    /// # Errors
    /// The input is not UTF-8, or the character is a control character.
    pub(super) fn next(&mut self) -> Result<Option<char>, SyntaxError> {
        let rest = self.rest();
        let Some(&first) = rest.first() else { return Ok(None) };
        let head = rest.get(..rest.len().min(4)).unwrap_or_default();
        let Some(letter) = head.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) else {
            return Err(SyntaxError { line: self.line, text: format!("invalid UTF-8 byte: 0x{first:02x}") });
        };
        let lone = letter == '\r' && rest.get(1) != Some(&b'\n');
        if lone || (letter < ' ' && !matches!(letter, '\t' | '\r' | '\n')) || letter == '\u{7f}' {
            let text = format!("TOML files cannot contain control characters: '0x{:02x}'", u32::from(letter));
            return Err(SyntaxError { line: self.line, text });
        }
        self.line += usize::from(letter == '\n');
        self.at += letter.len_utf8();
        Ok(Some(letter))
    }

    /// The next character, without consuming it.
    ///
    /// # Errors
    /// As `next`.
    pub(super) fn peek(&self) -> Result<Option<char>, SyntaxError> {
        let mut ahead = *self;
        ahead.next()
    }

    /// Consumes the next character if it is `wanted`.
    ///
    /// # Errors
    /// As `next`.
    pub(super) fn accept(&mut self, wanted: char) -> Result<bool, SyntaxError> {
        let matches = self.peek()? == Some(wanted);
        if matches {
            self.next()?;
        }
        Ok(matches)
    }

    /// Consumes characters as long as they are `wanted`.
    ///
    /// # Errors
    /// As `next`.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> Result<(), SyntaxError> {
        while self.peek()?.is_some_and(&wanted) {
            self.next()?;
        }
        Ok(())
    }

    /// Skips spaces and tabs.
    ///
    /// # Errors
    /// As `next`.
    pub(super) fn skip_blanks(&mut self) -> Result<(), SyntaxError> {
        self.take_while(|letter| matches!(letter, ' ' | '\t'))
    }

    /// Skips the rest of the line, after the `#` of a comment.
    ///
    /// # Errors
    /// As `next`.
    pub(super) fn skip_comment(&mut self) -> Result<(), SyntaxError> {
        self.take_while(|letter| !matches!(letter, '\n' | '\r'))
    }

    /// An error after `seen` was read. The end of the text belongs to the line that it ends.
    pub(super) fn error_at(&self, seen: Option<char>, text: impl Into<String>) -> SyntaxError {
        let ended = seen.is_none() && self.at > 0 && self.input.get(self.at - 1) == Some(&b'\n');
        SyntaxError { line: self.line - usize::from(ended), text: text.into() }
    }

    /// An error on the current line.
    pub(super) fn error(&self, text: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.line, text: text.into() }
    }

    /// An error that Go reports on the previous line.
    pub(super) fn error_before(&self, text: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.line.saturating_sub(1), text: text.into() }
    }
}

/// A character as the errors about arrays and inline tables show it.
pub(super) fn named(letter: Option<char>) -> String {
    letter.map_or_else(|| "end of file".into(), |letter| format!("'{letter}'"))
}

//! Go's string and character literals: `src/strconv/quote.go`.

/// `strconv.Quote`
#[must_use]
pub fn quote(bytes: &[u8]) -> String {
    quote_with(bytes, false)
}

/// `strconv.QuoteToASCII`
pub(super) fn quote_ascii(bytes: &[u8]) -> String {
    quote_with(bytes, true)
}

fn quote_with(bytes: &[u8], ascii: bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape(&mut out, character, '"', ascii);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

/// `strconv.QuoteRune` and `strconv.QuoteRuneToASCII`
pub(super) fn quote_character(character: char, ascii: bool) -> String {
    let mut out = String::from("'");
    escape(&mut out, character, '\'', ascii);
    out.push('\'');
    out
}

/// The raw literal, if `strconv.CanBackquote` allows one.
pub(super) fn raw(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let fits = |character: char| {
        character == '\t' || (character >= ' ' && !matches!(character, '`' | '\u{7f}' | '\u{feff}'))
    };
    text.chars().all(fits).then(|| format!("`{text}`"))
}

fn escape(out: &mut String, character: char, quote: char, ascii: bool) {
    if character == quote || character == '\\' {
        out.push('\\');
        out.push(character);
        return;
    }
    if is_print(character) && (character.is_ascii() || !ascii) {
        out.push(character);
        return;
    }
    match character {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        '\0'..' ' | '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(character))),
        '\u{80}'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
        _ => out.push_str(&format!("\\U{:08x}", u32::from(character))),
    }
}

/// `strconv.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
#[must_use]
pub fn is_print(character: char) -> bool {
    if character.is_ascii() {
        return (' '..='~').contains(&character);
    }
    // The standard library exposes these classes only through its escaping. It escapes marks only at the start of a
    // text, so the character follows an `a` here.
    let mut buffer = *b"a\0\0\0\0";
    let size = character.len_utf8();
    if let Some(rest) = buffer.get_mut(1..) {
        character.encode_utf8(rest);
    }
    let text = buffer.get(..=size).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    text.escape_debug().nth(1) != Some('\\')
}

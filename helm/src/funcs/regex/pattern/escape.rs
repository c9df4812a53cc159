//! Escapes: a backslash followed by a character or a class.

/// Appends a literal character.
pub(crate) fn push_literal(pattern: &mut String, character: char) {
    pattern.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
}

/// Translates a class such as `\d` or `\pL`, if `text` begins with one, and returns the rest after it.
///
/// # Errors
/// Go's error text for an unknown class.
pub(crate) fn class(text: &str) -> Result<Option<(String, &str)>, String> {
    let mut characters = text.chars().skip(1);
    let pattern = match characters.next() {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('s') => r"[\t\n\f\r ]",
        Some('S') => r"[^\t\n\f\r ]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some(sign @ ('p' | 'P')) => return unicode(text, sign == 'P', characters.next()).map(Some),
        _ => return Ok(None),
    };
    Ok(Some((pattern.to_owned(), text.get(2..).unwrap_or_default())))
}

fn unicode(text: &str, mut negated: bool, first: Option<char>) -> Result<(String, &str), String> {
    let refused = |shown: &str| Err(format!("invalid character class range: `{shown}`"));
    let Some(first) = first else { return refused(text) };
    let (name, rest) = if first == '{' {
        match text.get(3..).unwrap_or_default().split_once('}') {
            Some(parts) => parts,
            None => return refused(text),
        }
    } else {
        text.get(2..).unwrap_or_default().split_at_checked(first.len_utf8()).unwrap_or_default()
    };
    let shown = text.get(..text.len() - rest.len()).unwrap_or(text);
    let plain = match name.strip_prefix('^') {
        Some(plain) => {
            negated = !negated;
            plain
        }
        None => name,
    };
    let pattern = format!(r"\{}{{{plain}}}", if negated { 'P' } else { 'p' });
    let named =
        !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_ -".contains(&byte));
    if named && regex_syntax::parse(&pattern).is_ok() { Ok((pattern, rest)) } else { refused(shown) }
}

/// The character of the escape at the start of `text`, and the rest after it.
///
/// # Errors
/// Go's error text for an unknown escape.
pub(crate) fn character(text: &str) -> Result<(char, &str), String> {
    let mut rest = text.get(1..).unwrap_or_default();
    let Some(first) = next(&mut rest) else {
        return Err("trailing backslash at end of expression: ``".into());
    };
    let code = match first {
        'a' => Some(7),
        'f' => Some(12),
        'n' => Some(10),
        'r' => Some(13),
        't' => Some(9),
        'v' => Some(11),
        '1'..='7' if !rest.starts_with(|digit| matches!(digit, '0'..='7')) => None,
        '0'..='7' => Some(octal(first, &mut rest)),
        'x' => hexadecimal(&mut rest),
        _ if first.is_ascii() && !first.is_ascii_alphanumeric() => Some(u32::from(first)),
        _ => None,
    };
    let shown = text.get(..text.len() - rest.len()).unwrap_or(text);
    let character = code.and_then(char::from_u32);
    character.map(|character| (character, rest)).ok_or_else(|| format!("invalid escape sequence: `{shown}`"))
}

fn next(rest: &mut &str) -> Option<char> {
    let character = rest.chars().next()?;
    *rest = rest.get(character.len_utf8()..).unwrap_or_default();
    Some(character)
}

/// Reads up to three digits, of which the first is already consumed.
fn octal(first: char, rest: &mut &str) -> u32 {
    let mut code = first.to_digit(8).unwrap_or(0);
    for _ in 0..2 {
        let Some(digit) = rest.chars().next().and_then(|digit| digit.to_digit(8)) else { break };
        code = code * 8 + digit;
        next(rest);
    }
    code
}

/// Reads two digits, or any number of digits in braces.
fn hexadecimal(rest: &mut &str) -> Option<u32> {
    let first = next(rest)?;
    if first != '{' {
        let second = next(rest)?;
        return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
    }
    let mut code = None;
    loop {
        match next(rest)? {
            '}' => return code,
            digit => {
                let next = code.unwrap_or(0) * 16 + digit.to_digit(16)?;
                code = (next <= u32::from(char::MAX)).then_some(next);
                code?;
            }
        }
    }
}

//! Classes of characters as in Go's package `unicode` and `strconv.IsPrint`.

use std::sync::LazyLock;

use regex::Regex;

/// General categories L and Nd. Rust's own `is_alphanumeric` includes more: marks, number letters, circled letters.
static LETTERS_AND_DIGITS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{Nd}]$").ok());

/// `strconv.IsPrint`: letters, marks, numbers, punctuation, symbols, and U+0020 as the only space.
static PRINTABLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S}]$").ok());

/// Whether `character` is allowed in a name: a letter, a digit or the underscore.
pub(crate) fn in_name(character: char) -> bool {
    if character.is_ascii() {
        return character == '_' || character.is_ascii_alphanumeric();
    }
    is_in(&LETTERS_AND_DIGITS, character)
}

/// Whether Go prints `character` without escaping it.
pub(crate) fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    is_in(&PRINTABLE, character)
}

/// `character` as `%#U` prints it: `U+00E9 'é'`.
pub(crate) fn code_point(character: char) -> String {
    let number = u32::from(character);
    if is_printable(character) { format!("U+{number:04X} '{character}'") } else { format!("U+{number:04X}") }
}

fn is_in(class: &LazyLock<Option<Regex>>, character: char) -> bool {
    class.as_ref().is_some_and(|class| class.is_match(character.encode_utf8(&mut [0; 4])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_contain_letters_and_digits_but_no_marks() {
        for character in ['a', '_', '7', 'é', 'ß', '世', '٣', 'ǅ', 'ʰ'] {
            assert!(in_name(character), "{character}");
        }
        for character in ['-', '$', ' ', '\u{301}', '²', 'Ⅷ', 'Ⓐ', '😀', '\u{a0}'] {
            assert!(!in_name(character), "{character}");
        }
    }

    #[test]
    fn code_points_show_printable_characters() {
        assert_eq!(code_point('#'), "U+0023 '#'");
        assert_eq!(code_point('\u{1}'), "U+0001");
        assert_eq!(code_point('\u{a0}'), "U+00A0");
        assert_eq!(code_point('\u{200b}'), "U+200B");
        assert_eq!(code_point('😀'), "U+1F600 '😀'");
    }
}

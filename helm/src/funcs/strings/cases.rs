//! Letter cases: Go's `strings` and `unicode`, the words of goutils, and the word splitting of xstrings 1.6.

use gostd::value::Value;

use crate::funcs::runes::{self, is_letter, is_lower, is_number, is_punctuation, is_title, is_upper};
use crate::funcs::runes::{to_lower, to_title, to_upper};
use crate::funcs::text;
use crate::function::{Arguments, Failure, Scope};

/// `upper`
pub(crate) fn upper(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::string(scope, runes::map(arguments.bytes(0), to_upper))
}

/// `lower`
pub(crate) fn lower(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::string(scope, runes::map(arguments.bytes(0), to_lower))
}

/// `title`: changes the first letter of each word; digits and underscores are part of words.
pub(crate) fn title(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut before = ' ';
    let titled = runes::map(arguments.bytes(0), |rune| {
        let starts = separates_words(before);
        before = rune;
        if starts { to_title(rune) } else { rune }
    });
    text::string(scope, titled)
}

fn separates_words(rune: char) -> bool {
    if rune.is_ascii() {
        return !rune.is_ascii_alphanumeric() && rune != '_';
    }
    !is_letter(rune) && !runes::is_digit(rune) && rune.is_whitespace()
}

/// `untitle`: changes the first letter of each word; whitespace separates words.
pub(crate) fn untitle(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut starts = true;
    let lowered = runes::map(arguments.bytes(0), |rune| {
        let first = starts;
        starts = rune.is_whitespace();
        if first && !starts { to_lower(rune) } else { rune }
    });
    text::string(scope, lowered)
}

/// `swapcase`: a lower-case letter at the start or after a blank becomes title case.
pub(crate) fn swap(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let mut blank = true;
    let swapped = runes::map(arguments.bytes(0), |rune| {
        if is_upper(rune) || is_title(rune) {
            blank = false;
            to_lower(rune)
        } else if is_lower(rune) {
            let starts = std::mem::replace(&mut blank, false);
            if starts { to_title(rune) } else { to_upper(rune) }
        } else {
            blank = rune.is_whitespace();
            rune
        }
    });
    text::string(scope, swapped)
}

/// `camelcase`: xstrings' Pascal case.
pub(crate) fn camel(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    let source: Vec<char> = runes::runes(arguments.bytes(0)).map(|(rune, _)| rune).collect();
    text::string(scope, pascal(&source))
}

fn pascal(source: &[char]) -> String {
    let leading = source.iter().take_while(|rune| is_connector(**rune)).count();
    let (connectors, words) = source.split_at_checked(leading).unwrap_or((source, &[]));
    let mut result: String = connectors.iter().collect();
    let Some((first, rest)) = words.split_first() else { return result };
    let mut in_capitals = is_upper(*first);
    let mut pending = to_upper(*first);
    for rune in rest {
        let mut rune = *rune;
        let before = pending;
        if is_connector(rune) && is_connector(before) {
            result.push(before);
            pending = rune;
            continue;
        }
        if is_connector(before) {
            in_capitals = is_upper(rune);
            rune = to_upper(rune);
        } else {
            if in_capitals {
                if is_upper(rune) {
                    rune = to_lower(rune);
                } else {
                    in_capitals = false;
                }
            }
            result.push(before);
        }
        pending = rune;
    }
    result.push(pending);
    result
}

/// `snakecase`
pub(crate) fn snake(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::string(scope, separated(&valid(arguments.bytes(0)), '_'))
}

/// `kebabcase`
pub(crate) fn kebab(scope: &Scope<'_>, arguments: Arguments<'_>) -> Result<Value, Failure> {
    text::string(scope, separated(&valid(arguments.bytes(0)), '-'))
}

fn valid(bytes: &[u8]) -> Vec<char> {
    runes::runes(bytes).map(|(rune, _)| rune).collect()
}

fn is_connector(rune: char) -> bool {
    matches!(rune, '-' | '_') || rune.is_whitespace()
}

/// Whether the rune is a letter but not a CJK ideograph.
fn is_alphabet(rune: char) -> bool {
    is_letter(rune)
        && !matches!(rune, '\u{4E00}'..='\u{9FCC}' | '\u{3400}'..='\u{4D85}' | '\u{20000}'..='\u{2B81D}')
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Number,
    Upper,
    Alphabet,
    Connector,
    Punctuation,
    Other,
}

/// The kind of the first word of `source`, and its number of runes.
fn next_word(source: &[char]) -> (Word, usize) {
    let Some(&first) = source.first() else { return (Word::None, 0) };
    let run = |same: &dyn Fn(char) -> bool| source.iter().take_while(|rune| same(**rune)).count().max(1);
    if is_connector(first) {
        (Word::Connector, run(&is_connector))
    } else if is_punctuation(first) {
        (Word::Punctuation, run(&is_punctuation))
    } else if is_upper(first) {
        (Word::Upper, upper_word(source))
    } else if is_alphabet(first) {
        (Word::Alphabet, run(&|rune| is_alphabet(rune) && !is_upper(rune)))
    } else if is_number(first) {
        (Word::Number, run(&is_number))
    } else {
        let other =
            |rune| !is_connector(rune) && !is_alphabet(rune) && !is_number(rune) && !is_punctuation(rune);
        (Word::Other, run(&other))
    }
}

/// `HTTPStatus` is `HTTP` and `Status`: the last capital belongs to the letters after it.
fn upper_word(source: &[char]) -> usize {
    let capitals = source.iter().take_while(|rune| is_upper(**rune)).count();
    let follows = source.get(capitals).copied();
    if capitals > 1 {
        return if follows.is_some_and(is_alphabet) { capitals - 1 } else { capitals };
    }
    let letters = source.iter().skip(1).take_while(|rune| is_alphabet(**rune) && !is_upper(**rune));
    1 + letters.count()
}

/// Joins the words of a string with a connector.
struct Joiner<'a> {
    connector: char,
    kind: Word,
    word: &'a [char],
    rest: &'a [char],
    result: String,
}

impl Joiner<'_> {
    fn advance(&mut self) {
        let (kind, length) = next_word(self.rest);
        let (word, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        (self.kind, self.word, self.rest) = (kind, word, rest);
    }

    fn put(&mut self, kind: Word, word: &[char]) {
        let lowers = matches!(kind, Word::Upper | Word::Connector);
        self.result.extend(word.iter().map(|rune| match *rune {
            rune if !lowers => rune,
            rune if is_connector(rune) => self.connector,
            rune if is_upper(rune) => to_lower(rune),
            rune => rune,
        }));
    }

    /// Appends the letters and numbers after a number, which belong to its word.
    fn put_tail(&mut self) {
        while matches!(self.kind, Word::Alphabet | Word::Number) {
            let word = self.word;
            self.put(self.kind, word);
            self.advance();
        }
        if self.kind != Word::None {
            self.connect();
        }
    }

    fn connect(&mut self) {
        if !matches!(self.kind, Word::Connector | Word::Punctuation) {
            self.result.push(self.connector);
        }
    }

    /// Continues after a word of letters: a number belongs to it unless letters follow the number.
    fn after_letters(&mut self) {
        if self.kind != Word::Number {
            self.connect();
            return;
        }
        if self.rest.is_empty() {
            return;
        }
        let number = self.word;
        self.advance();
        if self.kind == Word::Alphabet {
            self.result.push(self.connector);
            self.put(Word::Number, number);
            self.put_tail();
        } else {
            self.put(Word::Number, number);
            self.connect();
        }
    }
}

fn separated(source: &[char], connector: char) -> String {
    let mut joiner = Joiner { connector, kind: Word::None, word: &[], rest: source, result: String::new() };
    joiner.advance();
    while !joiner.rest.is_empty() {
        let (kind, word) = (joiner.kind, joiner.word);
        if kind != Word::Connector {
            joiner.put(kind, word);
        }
        joiner.advance();
        match kind {
            Word::Number => joiner.put_tail(),
            Word::Connector => joiner.put(kind, word),
            Word::Punctuation => {}
            Word::None | Word::Upper | Word::Alphabet | Word::Other => joiner.after_letters(),
        }
    }
    let (kind, word) = (joiner.kind, joiner.word);
    joiner.put(kind, word);
    joiner.result
}

//! Translates the syntax of Go's `regexp/syntax` into that of the `regex` crate.
//!
//! In Go the classes `\d`, `\s`, `\w` and `\b` are ASCII; a brace that does not begin a repetition is literal;
//! `\Q...\E`, octal escapes and group names that begin with a digit are allowed; repetitions cannot be stacked.
//! Patterns that Go rejects are rejected with Go's error text.

mod class;
mod escape;

/// A pattern of the `regex` crate.
pub(crate) struct Translated {
    pub(crate) pattern: String,
    /// The names of the groups, in order; empty for groups without a name.
    pub(crate) names: Vec<String>,
    /// The number of nodes, with repetitions expanded.
    pub(crate) size: u64,
}

/// Translates Go's `source`.
///
/// # Errors
/// Go's error text.
pub(crate) fn translate(source: &str) -> Result<Translated, String> {
    let mut translator = Translator {
        source,
        rest: source,
        pattern: String::new(),
        names: Vec::new(),
        groups: Vec::new(),
        current: Group::default(),
    };
    translator.run()?;
    if translator.groups.is_empty() {
        let size = translator.current.size;
        Ok(Translated { pattern: translator.pattern, names: translator.names, size })
    } else {
        Err(format!("missing closing ): `{source}`"))
    }
}

/// The state of the group that is being read.
#[derive(Default)]
struct Group {
    flags: Flags,
    /// The number of nodes so far.
    size: u64,
    /// The last atom; `None` at the start and after `|`.
    atom: Option<Atom>,
    /// The largest product of nested repetitions so far.
    product: u64,
}

#[derive(Clone, Copy)]
struct Atom {
    size: u64,
    product: u64,
    /// Its end in the pattern; flags may come between it and its repetition.
    end: usize,
}

/// Go's flags; all other flags of the `regex` crate keep their defaults.
#[derive(Default, Clone, Copy)]
struct Flags([bool; 4]);

/// Case insensitivity, multi-line mode, dot matches newline, ungreedy.
const FLAGS: [char; 4] = ['i', 'm', 's', 'U'];

struct Translator<'a> {
    source: &'a str,
    rest: &'a str,
    pattern: String,
    names: Vec<String>,
    groups: Vec<Group>,
    current: Group,
}

/// Go's limit on the nesting of expressions.
const DEPTH: usize = 1000;

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result<(), String> {
        let mut repeated = None;
        while let Some(first) = self.rest.chars().next() {
            let before = self.rest;
            let previous = repeated.take();
            match first {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.copy(1);
                    self.current.atom = None;
                }
                '^' | '$' | '.' => {
                    self.copy(1);
                    self.atom(1);
                }
                '[' => {
                    let (class, rest) = class::translate(self.rest)?;
                    self.pattern.push_str(&class);
                    self.rest = rest;
                    self.atom(4);
                }
                '*' | '+' | '?' => {
                    self.rest = self.rest.get(1..).unwrap_or_default();
                    self.repeat(before, previous, None)?;
                    repeated = Some(before);
                }
                '{' => match counts(self.rest) {
                    Some((least, most, after)) => {
                        self.rest = after;
                        self.repeat(before, previous, Some((least, most)))?;
                        repeated = Some(before);
                    }
                    None => self.literal('{', 1),
                },
                '\\' => self.escape()?,
                _ => self.literal(first, first.len_utf8()),
            }
        }
        Ok(())
    }

    /// Copies `bytes` of the source unchanged.
    fn copy(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.pattern.push_str(taken);
        self.rest = rest;
    }

    fn literal(&mut self, character: char, bytes: usize) {
        escape::push_literal(&mut self.pattern, character);
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        self.atom(1);
    }

    fn atom(&mut self, size: u64) {
        self.atom_with(size, 1);
    }

    fn atom_with(&mut self, size: u64, product: u64) {
        self.current.size = self.current.size.saturating_add(size);
        self.current.product = self.current.product.max(product);
        self.current.atom = Some(Atom { size, product, end: self.pattern.len() });
    }

    fn escape(&mut self) -> Result<(), String> {
        let after = self.rest.get(1..).unwrap_or_default();
        match after.chars().next() {
            Some('A' | 'z') => self.copy(2),
            Some('b') => self.put(r"(?-u:\b)", 2),
            Some('B') => self.put(r"(?-u:\B)", 2),
            Some('C') => return Err(r"invalid escape sequence: `\C`".into()),
            Some('Q') => {
                let quoted = after.get(1..).unwrap_or_default();
                let (literals, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                for character in literals.chars() {
                    self.literal(character, 0);
                }
                self.rest = rest;
                return Ok(());
            }
            _ => {
                if let Some((class, rest)) = escape::class(self.rest)? {
                    self.pattern.push_str(&class);
                    self.rest = rest;
                } else {
                    let (character, rest) = escape::character(self.rest)?;
                    escape::push_literal(&mut self.pattern, character);
                    self.rest = rest;
                }
            }
        }
        self.atom(1);
        Ok(())
    }

    fn put(&mut self, pattern: &str, bytes: usize) {
        self.pattern.push_str(pattern);
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn repeat(
        &mut self,
        before: &'a str,
        previous: Option<&'a str>,
        counts: Option<(i64, i64)>,
    ) -> Result<(), String> {
        let operator = taken(before, self.rest);
        let counts = counts.unwrap_or((0, 0));
        let (least, most) = counts;
        if !(0..=1000).contains(&least) || most > 1000 || (most >= 0 && least > most) {
            return Err(format!("invalid repeat count: `{operator}`"));
        }
        if let Some(lazy) = self.rest.strip_prefix('?') {
            self.rest = lazy;
        }
        if let Some(previous) = previous {
            let stacked = taken(previous, self.rest);
            return Err(format!("invalid nested repetition operator: `{stacked}`"));
        }
        let operator = taken(before, self.rest);
        let Some(atom) = self.current.atom else {
            return Err(format!("missing argument to repetition operator: `{operator}`"));
        };
        let count = u64::try_from(least.max(most)).unwrap_or(0).max(1);
        let product =
            if operator.starts_with('{') && most != 0 { atom.product * count } else { atom.product };
        if count > 1 && product > 1000 {
            return Err(format!("invalid repeat count: `{operator}`"));
        }
        self.pattern.insert_str(atom.end, operator);
        self.current.size = self.current.size.saturating_sub(atom.size);
        self.atom_with(atom.size.saturating_mul(count).saturating_add(1), product);
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        if !self.rest.starts_with("(?") {
            self.put("(", 1);
            self.names.push(String::new());
            return self.enter(self.current.flags);
        }
        if let Some(named) = self.rest.strip_prefix("(?P<").or_else(|| self.rest.strip_prefix("(?<")) {
            return self.open_named(named);
        }
        let (flags, end, rest) = self.read_flags()?;
        self.rest = rest;
        let spelled = flags.spelled();
        if end == ':' {
            self.pattern.push_str(&format!("(?{spelled}:"));
            self.enter(flags)
        } else {
            self.pattern.push_str(&format!("(?{spelled})"));
            self.current.flags = flags;
            Ok(())
        }
    }

    fn open_named(&mut self, named: &'a str) -> Result<(), String> {
        let Some((name, rest)) = named.split_once('>') else {
            return Err(format!("invalid named capture: `{}`", self.rest));
        };
        let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !fits {
            return Err(format!("invalid named capture: `{}`", taken(self.rest, rest)));
        }
        self.pattern.push('(');
        self.names.push(name.to_owned());
        self.rest = rest;
        self.enter(self.current.flags)
    }

    fn enter(&mut self, flags: Flags) -> Result<(), String> {
        if self.groups.len() >= DEPTH {
            return Err(format!("expression nests too deeply: `{}`", self.source));
        }
        let inner = Group { flags, size: 1, ..Group::default() };
        self.groups.push(std::mem::replace(&mut self.current, inner));
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(outer) = self.groups.pop() else {
            return Err(format!("unexpected ): `{}`", self.source));
        };
        self.copy(1);
        let inner = std::mem::replace(&mut self.current, outer);
        self.atom_with(inner.size, inner.product.max(1));
        Ok(())
    }

    /// The flags after `(?`, whether a group follows (`:`) or not (`)`), and the rest.
    fn read_flags(&self) -> Result<(Flags, char, &'a str), String> {
        let mut flags = self.current.flags;
        let (mut on, mut seen) = (true, false);
        let mut rest = self.rest.get(2..).unwrap_or_default();
        let refused = |rest| Err(format!("invalid or unsupported Perl syntax: `{}`", taken(self.rest, rest)));
        while let Some(character) = rest.chars().next() {
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
            if let Some(flag) = flags.named(character) {
                *flag = on;
                seen = true;
                continue;
            }
            match character {
                '-' if on => {
                    (on, seen) = (false, false);
                }
                ':' | ')' if on || seen => return Ok((flags, character, rest)),
                _ => return refused(rest),
            }
        }
        refused(rest)
    }
}

impl Flags {
    fn named(&mut self, name: char) -> Option<&mut bool> {
        self.0.iter_mut().zip(FLAGS).find_map(|(flag, known)| (known == name).then_some(flag))
    }

    /// All flags, on or off, in the syntax of a group.
    fn spelled(self) -> String {
        let those =
            |on: bool| self.0.iter().zip(FLAGS).filter(move |(set, _)| **set == on).map(|(_, name)| name);
        let (on, off): (String, String) = (those(true).collect(), those(false).collect());
        if off.is_empty() { on } else { format!("{on}-{off}") }
    }
}

/// The part of `before` that was read before `after`.
fn taken<'a>(before: &'a str, after: &str) -> &'a str {
    before.get(..before.len() - after.len()).unwrap_or(before)
}

/// `{least,most}` at the start of `text`; -1 means no upper bound, or a lower bound that is too large.
fn counts(text: &str) -> Option<(i64, i64, &str)> {
    let (inside, rest) = text.strip_prefix('{')?.split_once('}')?;
    let number = |digits: &str| {
        let padded = digits.len() > 1 && digits.starts_with('0');
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        (plain && !padded).then(|| if digits.len() > 8 { -1 } else { digits.parse().unwrap_or(-1) })
    };
    match inside.split_once(',') {
        None => number(inside).map(|count| (count, count, rest)),
        Some((least, "")) => number(least).map(|least| (least, -1, rest)),
        Some((least, most)) => match (number(least)?, number(most)?) {
            (_, -1) => Some((-1, -1, rest)),
            (least, most) => Some((least, most, rest)),
        },
    }
}

//! The printer: flags, padding and the traversal of a value, as `pp` and `fmt` in Go's `print.go` and `format.go`.

use crate::budget::{Budget, Failure};
use crate::object::Object;
use crate::value::Value;

use super::{float, integer, quote, text};

/// The flags and numbers of one directive.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    marks: u8,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

/// One flag of a directive.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Mark {
    Minus = 1,
    Plus = 2,
    Sharp = 4,
    Space = 8,
    Zero = 16,
    /// `%+v`
    PlusV = 32,
    /// `%#v`
    SharpV = 64,
}

impl Flags {
    pub(super) fn has(self, mark: Mark) -> bool {
        self.marks & mark as u8 != 0
    }

    pub(super) fn set(&mut self, mark: Mark, on: bool) {
        if on {
            self.marks |= mark as u8;
        } else {
            self.marks &= !(mark as u8);
        }
    }

    /// `%+v` and `%#v` are separate formats: their flags do not apply to the numbers inside.
    pub(super) fn for_verb(&mut self, verb: char) {
        if matches!(verb, 'v' | 'w') {
            self.set(Mark::SharpV, self.has(Mark::Sharp));
            self.set(Mark::Sharp, false);
            self.set(Mark::PlusV, self.has(Mark::Plus));
            self.set(Mark::Plus, false);
        }
    }
}

/// Formats values into bytes.
pub(super) struct Printer<'a> {
    scope: &'a Budget<'a>,
    out: Vec<u8>,
    pub(super) flags: Flags,
}

impl<'a> Printer<'a> {
    pub(super) fn new(scope: &'a Budget<'a>) -> Self {
        Self::onto(scope, Vec::new())
    }

    /// A printer that appends to `out`.
    pub(super) fn onto(scope: &'a Budget<'a>, out: Vec<u8>) -> Self {
        Self { scope, out, flags: Flags::default() }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.scope.produce(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes padding; zeros are used only on the left.
    pub(super) fn fill(&mut self, count: usize) -> Result<(), Failure> {
        let zeros = self.flags.has(Mark::Zero) && !self.flags.has(Mark::Minus);
        self.scope.produce(count)?;
        self.out.resize(self.out.len() + count, if zeros { b'0' } else { b' ' });
        Ok(())
    }

    /// Writes `bytes` padded to the width, which counts characters.
    pub(super) fn pad(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let missing = self.flags.width.unwrap_or(0).saturating_sub(text::count(bytes));
        if missing == 0 {
            return self.write(bytes);
        }
        if self.flags.has(Mark::Minus) {
            self.write(bytes)?;
            self.fill(missing)
        } else {
            self.fill(missing)?;
            self.write(bytes)
        }
    }

    /// [`Self::pad`], but always with spaces.
    pub(super) fn pad_with_spaces(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let zero = self.flags.has(Mark::Zero);
        self.flags.set(Mark::Zero, false);
        let result = self.pad(bytes);
        self.flags.set(Mark::Zero, zero);
        result
    }

    /// Prints one operand: `printArg`.
    pub(super) fn argument(&mut self, value: &Value, verb: char) -> Result<(), Failure> {
        match (verb, value) {
            ('T' | 'v', Value::Nil) => self.pad(b"<nil>"),
            (_, Value::Nil) => {
                self.write(b"%!")?;
                self.write_char(verb)?;
                self.write(b"(<nil>)")
            }
            ('T', _) => self.string(value.type_name().as_bytes(), 's'),
            ('p', Value::List(_) | Value::Map(_) | Value::Bytes(_)) => {
                // Go prints an address here, which differs from run to run; this one is constant.
                let sharp = self.flags.has(Mark::Sharp);
                self.pointer(!sharp)
            }
            ('p', _) => self.bad_verb(value, verb),
            _ => self.value(value, verb, 0),
        }
    }

    /// Prints a value at a depth: `printValue`.
    pub(super) fn value(&mut self, value: &Value, verb: char, depth: usize) -> Result<(), Failure> {
        if depth > self.scope.limits.value_depth {
            return Err(Failure::Limit("value_depth"));
        }
        match value {
            Value::Nil if self.flags.has(Mark::SharpV) => self.write(b"interface {}(nil)"),
            Value::Nil => self.write(b"<nil>"),
            Value::Bool(truth) => self.bool(*truth, verb),
            Value::Int(number) | Value::Int64(number) => {
                if integer::print(self, number.cast_unsigned(), true, verb)? {
                    return Ok(());
                }
                self.bad_verb(value, verb)
            }
            Value::Uint64(number) => {
                if integer::print(self, *number, false, verb)? {
                    return Ok(());
                }
                self.bad_verb(value, verb)
            }
            Value::Float64(number) => {
                if float::print(self, *number, verb)? {
                    return Ok(());
                }
                self.bad_verb(value, verb)
            }
            Value::Str(_) | Value::Binary(_) => self.string(value.bytes().unwrap_or_default(), verb),
            Value::Bytes(bytes) => self.bytes(bytes, verb, depth),
            Value::List(_) | Value::Map(_) if verb == 'w' => self.bad_verb(value, verb),
            Value::List(list) => {
                let items = list.items.iter().map(|item| (None, item));
                self.sequence(value.type_name(), items, verb, depth)
            }
            Value::Map(map) => {
                // A copy, so that the map is not borrowed while its elements are printed.
                let entries = map.entries.borrow().clone();
                let entries = entries.iter().map(|(key, item)| (Some(Value::Str(key.clone())), item));
                self.sequence(value.type_name(), entries, verb, depth)
            }
            Value::Object(_) => self.object(value, verb, depth),
        }
    }

    fn sequence<'v>(
        &mut self,
        type_name: &str,
        items: impl Iterator<Item = (Option<Value>, &'v Value)>,
        verb: char,
        depth: usize,
    ) -> Result<(), Failure> {
        let go_syntax = self.flags.has(Mark::SharpV);
        if go_syntax {
            self.write(type_name.as_bytes())?;
            self.write(b"{")?;
        } else {
            let is_map = type_name.starts_with("map") || type_name == "common.Values";
            self.write(if is_map { b"map[" } else { b"[" })?;
        }
        for (index, (key, item)) in items.enumerate() {
            if index > 0 {
                self.write(if go_syntax { b", " } else { b" " })?;
            }
            if let Some(key) = key {
                self.value(&key, verb, depth + 1)?;
                self.write(b":")?;
            }
            self.value(item, verb, depth + 1)?;
        }
        self.write(if go_syntax { b"}" } else { b"]" })
    }

    fn object(&mut self, value: &Value, verb: char, depth: usize) -> Result<(), Failure> {
        let Value::Object(object) = value else { return Ok(()) };
        match verb {
            'v' => {
                let names = self.flags.has(Mark::PlusV);
                let text = if names { object.print_with_names() } else { object.print() };
                if self.flags.has(Mark::SharpV) {
                    self.write(text.as_bytes())
                } else {
                    self.pad(text.as_bytes())
                }
            }
            'w' => self.bad_verb(value, verb),
            _ => match (object.kind(), object.items()) {
                ("slice", Some(items)) => {
                    let items = items.iter().map(|(_, item)| (None, item));
                    self.sequence(object.type_name(), items, verb, depth)
                }
                ("map", Some(items)) => {
                    let items = items.iter().map(|(key, item)| (Some(key.clone()), item));
                    self.sequence("map", items, verb, depth)
                }
                ("int" | "int64", _) if !matches!(verb, 's' | 'x' | 'X' | 'q') => {
                    self.number(&**object, verb)
                }
                _ if matches!(verb, 's' | 'x' | 'X' | 'q') => self.string(object.print().as_bytes(), verb),
                _ => self.bad_verb(value, verb),
            },
        }
    }

    /// Prints a number of a named type, for a verb that does not print its text.
    fn number(&mut self, object: &dyn Object, verb: char) -> Result<(), Failure> {
        let plain = object.plain();
        if let Value::Int(number) | Value::Int64(number) = plain
            && integer::print(self, number.cast_unsigned(), true, verb)?
        {
            return Ok(());
        }
        self.write(b"%!")?;
        self.write_char(verb)?;
        self.write(format!("({}=", object.type_name()).as_bytes())?;
        self.value(&plain, 'v', 0)?;
        self.write(b")")
    }

    fn bool(&mut self, truth: bool, verb: char) -> Result<(), Failure> {
        match verb {
            't' | 'v' => self.pad(if truth { b"true" } else { b"false" }),
            _ => self.bad_verb(&Value::Bool(truth), verb),
        }
    }

    fn string(&mut self, bytes: &[u8], verb: char) -> Result<(), Failure> {
        match verb {
            'v' if self.flags.has(Mark::SharpV) => self.quoted(bytes),
            'v' | 's' => self.pad(text::cut(bytes, self.flags.precision)),
            'x' | 'X' => text::hex(self, bytes, verb == 'X'),
            'q' => self.quoted(bytes),
            _ => self.bad_verb(&Value::string(bytes.to_vec()), verb),
        }
    }

    fn quoted(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let bytes = text::cut(bytes, self.flags.precision);
        // An escape is at most ten times as long as the character that it replaces.
        self.scope.produce(bytes.len())?;
        let quoted = match quote::raw(bytes) {
            Some(raw) if self.flags.has(Mark::Sharp) => raw,
            _ if self.flags.has(Mark::Plus) => quote::quote_ascii(bytes),
            _ => quote::quote(bytes),
        };
        self.pad(quoted.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8], verb: char, depth: usize) -> Result<(), Failure> {
        match verb {
            's' | 'x' | 'X' | 'q' => return self.string(bytes, verb),
            'w' if depth > 0 => return self.bad_verb(&Value::Bytes(bytes.into()), verb),
            _ => {}
        }
        let go_syntax = self.flags.has(Mark::SharpV);
        if go_syntax {
            self.write(if depth == 0 { b"[]byte{" } else { b"[]uint8{" })?;
        } else {
            self.write(b"[")?;
        }
        for (index, byte) in bytes.iter().enumerate() {
            if index > 0 {
                self.write(if go_syntax { b", " } else { b" " })?;
            }
            if !integer::print(self, u64::from(*byte), false, verb)? {
                self.write(b"%!")?;
                self.write_char(verb)?;
                self.write(b"(uint8=")?;
                integer::print(self, u64::from(*byte), false, 'v')?;
                self.write(b")")?;
            }
        }
        self.write(if go_syntax { b"}" } else { b"]" })
    }

    fn pointer(&mut self, leading_0x: bool) -> Result<(), Failure> {
        let sharp = self.flags.has(Mark::Sharp);
        self.flags.set(Mark::Sharp, leading_0x);
        let result = integer::print(self, 0xc0_0000_0000, false, 'x');
        self.flags.set(Mark::Sharp, sharp);
        result.map(|_| ())
    }

    /// `%!d(string=x)`
    fn bad_verb(&mut self, value: &Value, verb: char) -> Result<(), Failure> {
        self.write(b"%!")?;
        self.write_char(verb)?;
        self.write(b"(")?;
        self.write(value.type_name().as_bytes())?;
        self.write(b"=")?;
        self.value(value, 'v', 0)?;
        self.write(b")")
    }

    pub(super) fn write_char(&mut self, character: char) -> Result<(), Failure> {
        self.write(character.encode_utf8(&mut [0; 4]).as_bytes())
    }
}

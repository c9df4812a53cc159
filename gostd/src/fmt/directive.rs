//! The format string: `doPrintf` of Go's `print.go`.

use crate::budget::Failure;
use crate::value::Value;

use super::printer::{Flags, Mark, Printer};

/// The largest width and precision, as in Go.
const TOO_LARGE: i64 = 1_000_000;

/// Reads one format string and prints its arguments.
struct Reader<'f, 'v> {
    format: &'f [u8],
    position: usize,
    values: &'v [Value],
    next: usize,
    /// A directive selected an argument by number, so extra arguments are not reported.
    reordered: bool,
    /// The last argument number was valid.
    good: bool,
    /// An argument number was read just before.
    after_index: bool,
}

pub(super) fn run(printer: &mut Printer<'_>, format: &[u8], values: &[Value]) -> Result<(), Failure> {
    let mut reader =
        Reader { format, position: 0, values, next: 0, reordered: false, good: true, after_index: false };
    while reader.position < format.len() {
        reader.good = true;
        let rest = format.get(reader.position..).unwrap_or_default();
        let plain = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        printer.write(rest.get(..plain).unwrap_or_default())?;
        reader.position += plain;
        if reader.position < format.len() {
            reader.position += 1;
            reader.directive(printer)?;
        }
    }
    if !reader.reordered && reader.next < values.len() {
        extra(printer, values.get(reader.next..).unwrap_or_default())?;
    }
    Ok(())
}

fn extra(printer: &mut Printer<'_>, values: &[Value]) -> Result<(), Failure> {
    printer.flags = Flags::default();
    printer.write(b"%!(EXTRA ")?;
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printer.write(b", ")?;
        }
        if !matches!(value, Value::Nil) {
            printer.write(value.type_name().as_bytes())?;
            printer.write(b"=")?;
        }
        printer.argument(value, 'v')?;
    }
    printer.write(b")")
}

impl Reader<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.format.get(self.position).copied()
    }

    /// The directive after a percent sign.
    fn directive(&mut self, printer: &mut Printer<'_>) -> Result<(), Failure> {
        printer.flags = Flags::default();
        while let Some(mark) = self.peek().and_then(mark) {
            printer.flags.set(mark, true);
            self.position += 1;
        }
        // Go's fast path: a lower-case verb right behind the flags.
        if self.peek().is_some_and(|byte| byte.is_ascii_lowercase()) && self.next < self.values.len() {
            return self.verb(printer);
        }
        self.index();
        self.width(printer)?;
        self.precision(printer)?;
        if !self.after_index {
            self.index();
        }
        if self.peek().is_none() {
            return printer.write(b"%!(NOVERB)");
        }
        self.verb(printer)
    }

    fn width(&mut self, printer: &mut Printer<'_>) -> Result<(), Failure> {
        if self.peek() != Some(b'*') {
            printer.flags.width = self.number();
            if self.after_index && printer.flags.width.is_some() {
                self.good = false;
            }
            return Ok(());
        }
        self.position += 1;
        self.after_index = false;
        let Some(width) = self.integer() else { return printer.write(b"%!(BADWIDTH)") };
        if width < 0 {
            printer.flags.set(Mark::Minus, true);
            printer.flags.set(Mark::Zero, false);
        }
        printer.flags.width = usize::try_from(width.unsigned_abs()).ok();
        Ok(())
    }

    fn precision(&mut self, printer: &mut Printer<'_>) -> Result<(), Failure> {
        // A point at the very end of the format is not a precision.
        if self.peek() != Some(b'.') || self.position + 1 >= self.format.len() {
            return Ok(());
        }
        self.position += 1;
        if self.after_index {
            self.good = false;
        }
        self.index();
        if self.peek() != Some(b'*') {
            printer.flags.precision = Some(self.number().unwrap_or(0));
            return Ok(());
        }
        self.position += 1;
        self.after_index = false;
        match self.integer().and_then(|precision| usize::try_from(precision).ok()) {
            Some(precision) => printer.flags.precision = Some(precision),
            None => printer.write(b"%!(BADPREC)")?,
        }
        Ok(())
    }

    fn verb(&mut self, printer: &mut Printer<'_>) -> Result<(), Failure> {
        let verb = self.character();
        if verb == '%' {
            return printer.write(b"%");
        }
        let problem = match self.values.get(self.next) {
            _ if !self.good => "(BADINDEX)",
            None => "(MISSING)",
            Some(value) => {
                printer.flags.for_verb(verb);
                self.next += 1;
                return printer.argument(value, verb);
            }
        };
        printer.write(b"%!")?;
        printer.write_char(verb)?;
        printer.write(problem.as_bytes())
    }

    /// The next character; U+FFFD for a byte that is not valid UTF-8.
    fn character(&mut self) -> char {
        let rest = self.format.get(self.position..).unwrap_or_default();
        let head = rest.get(..rest.len().min(4)).unwrap_or_default();
        let first = head.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
        self.position += first.map_or(1, char::len_utf8);
        first.unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// `[3]`: which argument comes next. `argNumber` and `parseArgNumber`.
    fn index(&mut self) {
        self.after_index = false;
        if self.peek() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = self.format.get(self.position..).unwrap_or_default();
        let close = rest.iter().position(|byte| *byte == b']').filter(|_| rest.len() >= 3);
        let Some(close) = close else {
            self.good = false;
            self.position += 1;
            return;
        };
        let end = self.position + close;
        self.position += 1;
        let number = self.number_until(end).filter(|_| self.position == end);
        self.position = end + 1;
        self.after_index = number.is_some();
        match number.and_then(|number| number.checked_sub(1)).filter(|index| *index < self.values.len()) {
            Some(index) => self.next = index,
            None => self.good = false,
        }
    }

    fn number(&mut self) -> Option<usize> {
        self.number_until(self.format.len())
    }

    /// Reads digits; a number that is too large consumes the rest of the format. `parsenum`.
    fn number_until(&mut self, end: usize) -> Option<usize> {
        let mut number = None;
        while self.position < end
            && let Some(digit) = self.peek().filter(u8::is_ascii_digit)
        {
            let before = number.unwrap_or(0_i64);
            if before > TOO_LARGE {
                self.position = end;
                return None;
            }
            number = Some(before * 10 + i64::from(digit - b'0'));
            self.position += 1;
        }
        number.and_then(|number| usize::try_from(number).ok())
    }

    /// The argument for a `*`. `intFromArg`.
    fn integer(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(number) | Value::Int64(number) => *number,
            Value::Uint64(number) => i64::try_from(*number).ok()?,
            _ => return None,
        };
        (-TOO_LARGE..=TOO_LARGE).contains(&number).then_some(number)
    }
}

fn mark(byte: u8) -> Option<Mark> {
    match byte {
        b'#' => Some(Mark::Sharp),
        b'0' => Some(Mark::Zero),
        b'+' => Some(Mark::Plus),
        b'-' => Some(Mark::Minus),
        b' ' => Some(Mark::Space),
        _ => None,
    }
}

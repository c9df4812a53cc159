//! Writes values as TOML: sorted keys, plain values before tables, two spaces per level.
//!
//! Source: BurntSushi/toml 1.6 `encode.go`.

use std::rc::Rc;

use gostd::time::{Zone, format};
use gostd::value::Value;

use super::{DEPTH, basic, dotted, key};
use crate::funcs::dates::{Duration, Instant};
use crate::function::{Failure, Scope};

/// The output of the encoder of `BurntSushi/toml`.
///
/// # Errors
/// Its error text, or an exceeded limit.
pub(crate) fn write(scope: &Scope<'_>, value: &Value) -> Result<Vec<u8>, Failure> {
    let mut writer = Writer { scope, out: Vec::new(), path: Vec::new(), depth: 0 };
    let value = resolved(value);
    match &value {
        // Go's encoder panics here; this is the text of the panic.
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        Value::Map(_) => writer.table(&value)?,
        Value::List(_) if writer.shape(&value)? == Shape::Tables => {
            return Err("toml: top-level values must be Go maps or structs".into());
        }
        other => writer.element(other)?,
    }
    Ok(writer.out)
}

/// How TOML writes a value. The shape decides the position in the output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Nothing,
    Plain,
    Table,
    /// A non-empty array with only tables.
    Tables,
}

/// One entry of a table.
type Entry = (Rc<str>, Value, Shape);

struct Writer<'a, 's> {
    scope: &'a Scope<'s>,
    out: Vec<u8>,
    path: Vec<Rc<str>>,
    depth: usize,
}

/// An object as the plain value that TOML writes; times and durations stay as they are.
fn resolved(value: &Value) -> Value {
    match value {
        Value::Object(object) if !object.as_any().is::<Instant>() && !object.as_any().is::<Duration>() => {
            object.plain()
        }
        other => other.clone(),
    }
}

fn entries(value: &Value) -> Vec<(Rc<str>, Value)> {
    let Value::Map(map) = value else { return Vec::new() };
    let mut entries: Vec<_> = map.entries.borrow().iter().map(|(k, v)| (k.clone(), resolved(v))).collect();
    entries.sort_by(|(one, _), (other, _)| one.as_bytes().cmp(other.as_bytes()));
    entries
}

impl Writer<'_, '_> {
    fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.scope.produce(text.len())?;
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn new_line(&mut self) -> Result<(), Failure> {
        if self.out.is_empty() { Ok(()) } else { self.text("\n") }
    }

    fn deeper<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        if self.depth >= self.scope.limits.value_depth.min(DEPTH) {
            return Err(Failure::Limit("value_depth"));
        }
        self.depth += 1;
        let done = act(self);
        self.depth -= 1;
        done
    }

    fn shape(&mut self, value: &Value) -> Result<Shape, Failure> {
        self.scope.step(1)?;
        let Value::List(list) = value else {
            return Ok(match value {
                Value::Nil => Shape::Nothing,
                Value::Map(_) => Shape::Table,
                _ => Shape::Plain,
            });
        };
        // Go's encoder skips nil slices.
        if list.is_nil() {
            return Ok(Shape::Nothing);
        }
        self.deeper(|writer| {
            let mut shape = if list.items.is_empty() { Shape::Plain } else { Shape::Tables };
            for item in list.items.iter() {
                match writer.shape(&resolved(item))? {
                    Shape::Nothing => return Err("toml: cannot encode array with nil element".into()),
                    Shape::Table => {}
                    Shape::Plain | Shape::Tables => shape = Shape::Plain,
                }
            }
            Ok(shape)
        })
    }

    /// The entries that are not tables, then the tables.
    fn sorted(&mut self, value: &Value) -> Result<[Vec<Entry>; 2], Failure> {
        let [mut direct, mut tables] = [Vec::new(), Vec::new()];
        for (name, value) in entries(value) {
            let shape = self.shape(&value)?;
            let group = if matches!(shape, Shape::Table | Shape::Tables) { &mut tables } else { &mut direct };
            group.push((name, value, shape));
        }
        Ok([direct, tables])
    }

    /// The entries of the table at the current path.
    fn table(&mut self, value: &Value) -> Result<(), Failure> {
        for (name, value, shape) in self.sorted(value)?.concat() {
            if shape == Shape::Nothing {
                continue;
            }
            self.path.push(name);
            self.deeper(|writer| writer.entry(&value, shape))?;
            self.path.pop();
        }
        Ok(())
    }

    fn entry(&mut self, value: &Value, shape: Shape) -> Result<(), Failure> {
        let indent = "  ".repeat(self.path.len().saturating_sub(1));
        match (shape, value) {
            (Shape::Table, _) => {
                if self.path.len() == 1 {
                    self.new_line()?;
                }
                let head = dotted(&self.path);
                self.text(&format!("{indent}[{head}]\n"))?;
                self.table(value)
            }
            (Shape::Tables, Value::List(list)) => {
                for item in list.items.iter() {
                    self.new_line()?;
                    let head = dotted(&self.path);
                    self.text(&format!("{indent}[[{head}]]\n"))?;
                    self.table(&resolved(item))?;
                }
                Ok(())
            }
            _ => {
                let name = self.path.last().map(|name| key(name)).unwrap_or_default();
                self.text(&format!("{indent}{name} = "))?;
                self.element(value)?;
                self.text("\n")
            }
        }
    }

    /// A value on one line.
    fn element(&mut self, value: &Value) -> Result<(), Failure> {
        match value {
            Value::Nil => Ok(()),
            Value::Bool(value) => self.text(if *value { "true" } else { "false" }),
            Value::Int(number) | Value::Int64(number) => self.text(&number.to_string()),
            Value::Uint64(number) => self.text(&number.to_string()),
            Value::Float64(number) => self.text(&float(*number)),
            Value::Str(text) => self.text(&basic(text)),
            Value::Binary(bytes) => self.binary(bytes),
            Value::Bytes(bytes) => {
                let numbers: Vec<String> = bytes.iter().map(ToString::to_string).collect();
                self.text(&format!("[{}]", numbers.join(", ")))
            }
            Value::List(list) => self.deeper(|writer| writer.array(&list.items)),
            Value::Map(_) => self.deeper(|writer| writer.inline(value)),
            Value::Object(object) => {
                let any = object.as_any();
                if let Some(Instant(time)) = any.downcast_ref() {
                    let layout = match &time.zone {
                        Zone::Fixed(name, _) if **name == *"datetime-local" => {
                            "2006-01-02T15:04:05.999999999"
                        }
                        Zone::Fixed(name, _) if **name == *"date-local" => "2006-01-02",
                        Zone::Fixed(name, _) if **name == *"time-local" => "15:04:05.999999999",
                        _ => "2006-01-02T15:04:05.999999999Z07:00",
                    };
                    return self.text(&format(time, layout));
                }
                if any.is::<Duration>() {
                    self.text(&basic(&object.print()))
                } else {
                    self.element(&object.plain())
                }
            }
        }
    }

    /// A string that is not UTF-8: its text escaped, its invalid bytes unchanged.
    fn binary(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.text("\"")?;
        for chunk in bytes.utf8_chunks() {
            let text = basic(chunk.valid());
            self.text(text.get(1..text.len() - 1).unwrap_or_default())?;
            self.scope.produce(chunk.invalid().len())?;
            self.out.extend_from_slice(chunk.invalid());
        }
        self.text("\"")
    }

    fn array(&mut self, items: &[Value]) -> Result<(), Failure> {
        self.text("[")?;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.text(", ")?;
            }
            self.element(&resolved(item))?;
        }
        self.text("]")
    }

    /// Go writes a comma after each entry but the last, even if that last entry is skipped.
    fn inline(&mut self, value: &Value) -> Result<(), Failure> {
        let [direct, tables] = self.sorted(value)?;
        let (direct_count, table_count) = (direct.len(), tables.len());
        self.text("{")?;
        for (index, (name, value, shape)) in direct.into_iter().chain(tables).enumerate() {
            if shape == Shape::Nothing {
                continue;
            }
            self.text(&format!("{} = ", key(&name)))?;
            self.element(&value)?;
            if index + 1 != direct_count + table_count {
                self.text(", ")?;
            }
        }
        self.text("}")
    }
}

/// `strconv.FormatFloat(number, 'g', -1, 64)`, with `.0` appended if it has neither a fraction nor an exponent.
fn float(number: f64) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.into();
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf" } else { "inf" }.into();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let plain = number.to_string();
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

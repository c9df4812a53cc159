//! A result of many values, printed one by one, so that they are not kept in memory.

use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};

use serde::Serialize;
use tlog::text;

use crate::cli::Format;

/// Prints values as a list in JSON and YAML, as lines otherwise.
pub(crate) struct Listing {
    format: Format,
    out: BufWriter<StdoutLock<'static>>,
    is_terminal: bool,
    is_empty: bool,
}

impl Listing {
    pub(super) fn new(format: Format) -> Self {
        let out = io::stdout().lock();
        let is_terminal = out.is_terminal();
        Self { format, out: BufWriter::new(out), is_terminal, is_empty: true }
    }

    /// Prints the next value: as data if requested, otherwise as the text that `to_text` returns.
    pub(crate) fn item<T: Serialize>(
        &mut self,
        value: &T,
        to_text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => {
                let comma = if self.is_empty { "[\n  " } else { ",\n  " };
                // Strings have their line breaks escaped, so this only indents.
                comma.to_owned() + &serde_json::to_string_pretty(value)?.replace('\n', "\n  ")
            }
            Format::Jsonl => serde_json::to_string(value)? + "\n",
            Format::Yaml => gostd::yaml::write(&serde_json::json!([value])),
            Format::Text | Format::Html => to_text(value),
        };
        self.is_empty = false;
        let safe = match self.format {
            Format::Json | Format::Jsonl => text::json(&text).into_owned(),
            Format::Text | Format::Html | Format::Yaml => text::shown(&text).into_owned(),
        };
        self.write(&safe)
    }

    /// Ends the list.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        match (self.format, self.is_empty) {
            (Format::Json | Format::Yaml, true) => self.write("[]\n")?,
            (Format::Json, false) => self.write("\n]\n")?,
            (Format::Yaml, false) | (Format::Jsonl | Format::Text | Format::Html, _) => {}
        }
        Ok(self.out.flush()?)
    }

    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let text = if self.is_terminal { text::shown(text) } else { text.into() };
        Ok(self.out.write_all(text.as_bytes())?)
    }
}

//! Standard output is data, standard error is talk.

use std::io::Write as _;

use serde::Serialize;

use crate::cli::{Format, Global};

/// Where results and talk go.
pub(crate) struct Printer {
    format: Format,
    quiet: bool,
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        Self { format: global.output, quiet: global.quiet }
    }

    /// For what goes wrong before it is known how to print.
    pub(crate) fn plain() -> Self {
        Self { format: Format::Text, quiet: false }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints a result: as JSON if asked for, else as the text that `text` makes.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(value)?,
            Format::Text | Format::Html => text(value),
        };
        self.data(&text)
    }

    /// Prints data as it is.
    pub(crate) fn data(&self, text: &str) -> anyhow::Result<()> {
        let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
        let mut out = std::io::stdout().lock();
        write!(out, "{text}{end}")?;
        Ok(out.flush()?)
    }

    /// Says something, unless told to be quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// Says something that must be heard.
    pub(crate) fn complain(&self, text: &str) {
        // Nobody is left to be told if standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// Logs of the libraries go to standard error: warnings, or more if asked for.
pub(crate) fn start_log(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    let _ = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).try_init();
}

/// A size for people: exact below 10 kB, else with one decimal.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 10_000 { format!("{bytes} B") } else { indicatif::DecimalBytes(bytes).to_string() }
}

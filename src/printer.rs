//! Standard output is data, standard error is talk.

use std::io::{IsTerminal as _, Write as _};

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
            Format::Yaml => helm::yaml::write(&serde_json::to_value(value)?),
            Format::Text | Format::Html | Format::Jsonl => shown(&text(value)),
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

    /// Says something, unless told to be quiet; with JSON, standard error is for errors.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet && self.format != Format::Json {
            self.complain(text);
        }
    }

    /// Says something that must be heard.
    pub(crate) fn complain(&self, text: &str) {
        // Nobody is left to be told if standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{}", shown(text));
    }
}

/// Drives and registries give names and messages: their control characters must not reach the terminal, where they
/// could hide or forge text.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if turns || c.is_control() && c != '\n' && c != '\t' {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Logs of the libraries go to standard error: warnings, or more if asked for. A command's error tells by itself what
/// these two say in their own way, once for each attempt.
pub(crate) fn start_log(verbose: u8, is_command: bool) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    let colours = std::io::stderr().is_terminal();
    let mut filter = level.to_string();
    if is_command && verbose == 0 {
        filter.push_str(",rustls_platform_verifier=off,kube_client=off");
    }
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    let _ = log.with_writer(std::io::stderr).try_init();
}

/// A size for people: exact below 10 kB, else with one decimal.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 10_000 { format!("{bytes} B") } else { indicatif::DecimalBytes(bytes).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(shown("ä ✓\n\tb"), "ä ✓\n\tb");
        assert_eq!(shown("a\u{1b}[2Jb\r\u{202e}"), "a\\u{1b}[2Jb\\u{d}\\u{202e}");
    }
}

//! Standard output is for data, standard error for messages.
//!
//! Names and messages come from drives, registries and logs. Their invisible characters must not reach a terminal, a
//! file or another program, where they could hide or forge text: all output goes through `tlog::text`.

mod listing;

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;
use tlog::text;
use tracing_subscriber::fmt::MakeWriter;

pub(crate) use self::listing::Listing;
use crate::cli::{Format, Global};
use crate::files::Output;

/// Prints results and messages.
pub(crate) struct Printer {
    format: Format,
    quiet: bool,
}

impl Printer {
    pub(crate) fn new(global: &Global) -> Self {
        Self { format: global.output, quiet: global.quiet }
    }

    /// A printer for errors before the arguments are parsed.
    pub(crate) fn of_errors(format: Format) -> Self {
        Self { format, quiet: false }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints a result: as JSON or YAML if requested, otherwise as the text that `to_text` returns.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        to_text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => text::json(&serde_json::to_string_pretty(value)?).into_owned(),
            Format::Yaml => gostd::yaml::write(&serde_json::to_value(value)?),
            Format::Text | Format::Html | Format::Jsonl => text::shown(&to_text(value)).into_owned(),
        };
        self.data(&text)
    }

    /// Prints what was done, like a result, but no text with `--quiet`: the exit code suffices.
    pub(crate) fn report<T: Serialize>(
        &self,
        value: &T,
        to_text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        if self.quiet && self.format == Format::Text { Ok(()) } else { self.result(value, to_text) }
    }

    /// Prints what was written. If the output is standard output, it gets the text, and the result is only a message.
    pub(crate) fn written<T: Serialize>(
        &self,
        output: Output<'_>,
        text: &str,
        value: &T,
        to_text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        match output {
            Output::Stdout => {
                self.data(text)?;
                self.say(text::shown(&to_text(value)).trim_end());
                Ok(())
            }
            Output::File(_) => self.result(value, to_text),
        }
    }

    /// Prints values one by one.
    pub(crate) fn listing(&self) -> Listing {
        Listing::new(self.format)
    }

    /// Prints text of several lines, escaped like the text of a result.
    pub(crate) fn text(&self, text: &str) -> anyhow::Result<()> {
        self.data(&text::shown(text))
    }

    /// Prints the rendered text of a chart, byte for byte; on a terminal, control characters are escaped.
    pub(crate) fn rendered<T: Serialize>(&self, value: &T, text: &str) -> anyhow::Result<()> {
        match self.format {
            Format::Json | Format::Yaml => self.result(value, |_| String::new()),
            _ if std::io::stdout().is_terminal() => self.text(text),
            Format::Text | Format::Html | Format::Jsonl => {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes())?;
                Ok(out.flush()?)
            }
        }
    }

    /// Prints data unchanged; on a terminal, control characters are escaped.
    pub(crate) fn data(&self, text: &str) -> anyhow::Result<()> {
        let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
        let mut out = std::io::stdout().lock();
        let text = if out.is_terminal() { text::shown(text) } else { text.into() };
        write!(out, "{text}{end}")?;
        Ok(out.flush()?)
    }

    /// Prints a message, unless `--quiet` is given; with JSON, standard error has only errors.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet && self.format != Format::Json {
            self.complain(text);
        }
    }

    /// Prints a message, even with `--quiet`.
    pub(crate) fn complain(&self, text: &str) {
        // If standard error is closed, nothing can be reported.
        let _ = writeln!(std::io::stderr().lock(), "{}", text::message(text));
    }
}

/// Writes the logs of the libraries to standard error: warnings, or more if requested. A command's own error covers
/// what two of them log for each attempt, so they are silenced.
pub(crate) fn start_log(verbose: u8, is_command: bool) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    // At finer levels these log whole URLs, which can contain secrets.
    let quiet = level.min(tracing::Level::INFO);
    let mut filter = format!("{level},hyper={quiet},hyper_util={quiet},h2={quiet},tower_http={quiet}");
    if is_command && verbose == 0 {
        filter.push_str(",rustls_platform_verifier=off,kube_client=off");
    }
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let _ = log.with_writer(LogLines).try_init();
}

/// Writes each event of the libraries' logs as one line, whatever it contains.
struct LogLines;

/// One event, which is written in one or more pieces.
struct LogLine(String);

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(String::new())
    }
}

impl std::io::Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        // If standard error is closed, nothing can be reported.
        let _ = writeln!(std::io::stderr().lock(), "{}", text::line(self.0.trim_end_matches('\n')));
    }
}

/// A shell word, quoted if necessary.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// One line of a result, whatever it contains: line breaks in foreign text are escaped.
pub(crate) fn row(text: &str) -> String {
    text::line(text).into_owned() + "\n"
}

/// A number with a regular noun, given in the singular: `1 key`, `2 keys`, `3 repositories`.
pub(crate) fn count<N>(number: N, name: &str) -> String
where
    N: std::fmt::Display + PartialEq + From<u8> + Copy,
{
    if number == N::from(1) {
        return format!("{number} {name}");
    }
    match name.strip_suffix('y') {
        // After a vowel, the `y` stays: keys.
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        _ => format!("{number} {name}s"),
    }
}

/// A human-readable size: exact below 10 kB, otherwise rounded.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 10_000 { format!("{bytes} B") } else { indicatif::DecimalBytes(bytes).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o36_counts_of_one_are_singular() {
        let shown: Vec<String> =
            ["key", "entry", "repository", "fault"].map(|name| count(1_u64, name)).to_vec();
        assert_eq!(shown, ["1 key", "1 entry", "1 repository", "1 fault"]);
        let shown: Vec<String> =
            ["key", "entry", "repository", "fault"].map(|name| count(2_usize, name)).to_vec();
        assert_eq!(shown, ["2 keys", "2 entries", "2 repositories", "2 faults"]);
        assert_eq!(count(0_u64, "tag"), "0 tags");
    }

    #[test]
    fn a14_an_event_of_a_log_is_one_line() {
        let mut line = LogLines.make_writer();
        line.write_all(b"a\n").unwrap();
        writeln!(line, "b\u{1b}[2J").unwrap();
        assert_eq!(text::line(line.0.trim_end_matches('\n')), "a\\u{a}b\\u{1b}[2J");
        line.0.clear();
    }
}

//! Standard output is data, standard error is talk.
//!
//! Drives, registries and logs give names and messages. What of them does not show itself must not reach a terminal, a file
//! or another program, where it could hide or forge text: every way out of here goes through `tlog::text`.

mod listing;

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;
use tlog::text;
use tracing_subscriber::fmt::MakeWriter;

pub(crate) use self::listing::Listing;
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

    /// Prints a result: as JSON if asked for, else as the text that `words` makes.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        words: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => text::json(&serde_json::to_string_pretty(value)?).into_owned(),
            Format::Yaml => gostd::yaml::write(&serde_json::to_value(value)?),
            Format::Text | Format::Html | Format::Jsonl => text::shown(&words(value)).into_owned(),
        };
        self.data(&text)
    }

    /// Prints what was done: as a result, but with `--quiet` no text, since the exit code says it.
    pub(crate) fn report<T: Serialize>(
        &self,
        value: &T,
        words: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        if self.quiet && self.format == Format::Text { Ok(()) } else { self.result(value, words) }
    }

    /// Prints values one by one.
    pub(crate) fn listing(&self) -> Listing {
        Listing::new(self.format)
    }

    /// Prints text of several lines, as that of a result.
    pub(crate) fn text(&self, text: &str) -> anyhow::Result<()> {
        self.data(&text::shown(text))
    }

    /// Prints text that a chart made, byte for byte; on a terminal, control characters are escaped.
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

    /// Prints data as it is; a terminal gets what it cannot obey.
    pub(crate) fn data(&self, text: &str) -> anyhow::Result<()> {
        let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
        let mut out = std::io::stdout().lock();
        let text = if out.is_terminal() { text::shown(text) } else { text.into() };
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
        let _ = writeln!(std::io::stderr().lock(), "{}", text::message(text));
    }
}

/// Logs of the libraries go to standard error: warnings, or more if asked for. A command's error tells by itself what
/// these two say in their own way, once for each attempt.
pub(crate) fn start_log(verbose: u8, is_command: bool) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    // What these tell at finer levels has whole URLs, with what may be secret in them.
    let quiet = level.min(tracing::Level::INFO);
    let mut filter = format!("{level},hyper={quiet},hyper_util={quiet},h2={quiet},tower_http={quiet}");
    if is_command && verbose == 0 {
        filter.push_str(",rustls_platform_verifier=off,kube_client=off");
    }
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let _ = log.with_writer(LogLines).try_init();
}

/// Writes each event of the libraries' logs as one line, whatever is in it.
struct LogLines;

/// One event, which comes in one piece or several.
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
        // Nobody is left to be told if standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{}", text::line(self.0.trim_end_matches('\n')));
    }
}

/// A line of a result, whatever is in it: what others wrote cannot make two of it.
pub(crate) fn row(text: &str) -> String {
    text::line(text).into_owned() + "\n"
}

/// A number of things, by their regular name for one: `1 key`, `2 keys`, `3 repositories`.
pub(crate) fn count<N>(number: N, name: &str) -> String
where
    N: std::fmt::Display + PartialEq + From<u8> + Copy,
{
    if number == N::from(1) {
        return format!("{number} {name}");
    }
    match name.strip_suffix('y') {
        // A vowel before it keeps it: keys.
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        _ => format!("{number} {name}s"),
    }
}

/// A size for people: exact below 10 kB, else with one decimal.
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

//! Progress of the stages: a bar on a terminal, lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mirror::reporter::{Reporter, State};

use crate::cli::Format;
use crate::printer::{Printer, size};

/// Without a terminal, the interval between lines.
const INTERVAL: Duration = Duration::from_secs(5);

/// Shows progress on standard error.
pub(crate) struct Progress<'a> {
    printer: &'a Printer,
    terminal: bool,
    /// With JSON, standard error has only errors.
    silent: bool,
    phase: Mutex<Option<Phase>>,
}

struct Phase {
    name: String,
    total: u64,
    done: u64,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(printer: &'a Printer) -> Self {
        let silent = printer.is_quiet() || printer.format() == Format::Json;
        let terminal = std::io::stderr().is_terminal() && !silent;
        Self { printer, terminal, silent, phase: Mutex::new(None) }
    }

    fn with(&self, change: impl FnOnce(&mut Option<Phase>)) {
        change(&mut self.phase.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Reporter for Progress<'_> {
    fn begin(&self, phase: &str, total: u64) {
        let bar = self.terminal.then(|| {
            let style = "{msg:10} {bar:30} {decimal_bytes:>10} of {decimal_total_bytes} {decimal_bytes_per_sec:>12}, {eta} left";
            let bar = ProgressBar::new(total);
            bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(phase.to_owned());
            bar
        });
        let phase = Phase { name: phase.to_owned(), total, done: 0, bar, last_line: Instant::now() };
        self.with(|current| *current = Some(phase));
    }

    fn advance(&self, bytes: u64) {
        self.with(|phase| {
            let Some(phase) = phase else { return };
            phase.done += bytes;
            // Files of unknown size add to the planned total.
            phase.total = phase.total.max(phase.done);
            match &phase.bar {
                Some(bar) => {
                    bar.set_length(phase.total);
                    bar.set_position(phase.done);
                }
                None if !self.silent && phase.last_line.elapsed() >= INTERVAL => {
                    phase.last_line = Instant::now();
                    self.printer.say(&format!(
                        "{}: {} of {}",
                        phase.name,
                        size(phase.done),
                        size(phase.total)
                    ));
                }
                None => {}
            }
        });
    }

    fn item(&self, name: &str, state: State) {
        tracing::info!(item = name, ?state, "item");
    }

    fn warn(&self, message: &str) {
        self.with(|phase| match phase.as_ref().and_then(|phase| phase.bar.as_ref()) {
            Some(bar) => bar.suspend(|| self.printer.say(&format!("warning: {message}"))),
            None => self.printer.say(&format!("warning: {message}")),
        });
    }

    fn end(&self) {
        self.with(|phase| {
            if let Some(Phase { name, done, bar, .. }) = phase.take() {
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
                if !self.silent {
                    self.printer.say(&format!("{name}: {} done", size(done)));
                }
            }
        });
    }
}

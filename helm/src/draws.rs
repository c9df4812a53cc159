//! The random draws of a chart. Each location draws from its own stream, so that a draw that is added or removed in one
//! location changes nothing elsewhere.
//!
//! A location is a file, the current line of each template being executed, and a function. With the same seed, the
//! password in a Secret stays the same if a new version of the chart adds another one before it, or reads that one back
//! with `lookup`.
//!
//! Certificates whose keys are kept are identified by their content instead ([`Draws::named`]).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use ring::digest::{Context, SHA256};

use crate::function::Random;

/// Maximum number of bytes of a line that identify a location.
const LINE: usize = 256;
/// Maximum number of recorded texts.
const MAX_DRAWN: usize = 256;
/// The calls in templates that draw; prefixes suffice.
const CALLS: [&str; 9] =
    ["rand", "genCA", "genS", "genPrivateKey", "uuidv4", "shuffle", "htpasswd", "bcrypt", "encryptAES"];

/// The random draws of one render.
pub(crate) struct Draws {
    seed: [u8; 32],
    /// Whether lines are tracked. Tracking has a cost, and most charts draw nothing.
    tracks_lines: Cell<bool>,
    file: RefCell<String>,
    /// The unfinished line of each template being executed, the file's own first.
    lines: RefCell<Vec<String>>,
    counts: RefCell<HashMap<[u8; 32], u64>>,
    drawn: RefCell<Vec<DrawnText>>,
}

/// A random text.
pub(crate) struct DrawnText {
    pub(crate) text: String,
    pub(crate) kind: DrawnKind,
}

/// The kind of a random text, from which another one can be drawn.
#[derive(Clone, Copy)]
pub(crate) enum DrawnKind {
    /// This many characters that the predicate accepts.
    Text(usize, fn(&u8) -> bool),
    Uuid,
}

impl Draws {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            seed,
            tracks_lines: Cell::new(false),
            file: RefCell::default(),
            lines: RefCell::default(),
            counts: RefCell::default(),
            drawn: RefCell::default(),
        }
    }

    /// Turns on the tracking of lines if one of these templates may draw.
    pub(crate) fn expect<'t>(&self, mut templates: impl Iterator<Item = &'t str>) {
        self.tracks_lines.set(templates.any(|text| CALLS.iter().any(|call| text.contains(call))));
    }

    /// Starts a file.
    pub(crate) fn begin(&self, file: &str) {
        file.clone_into(&mut self.file.borrow_mut());
        self.lines.borrow_mut().clear();
    }

    /// Sets the current line of the template at `level`: the end of the text that it has written, or a variable name.
    pub(crate) fn at(&self, level: usize, written: &[u8], variable: Option<&str>) {
        if !self.tracks_lines.get() {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        lines.truncate(level);
        lines.resize_with(level, String::new);
        let Some(line) = lines.last_mut() else { return };
        line.clear();
        if let Some(variable) = variable {
            line.push_str(variable);
        } else {
            let tail = written.get(written.len().saturating_sub(LINE)..).unwrap_or_default();
            let tail = tail.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            line.push_str(String::from_utf8_lossy(tail).trim());
        }
    }

    /// The next random stream of the current location, for the purpose `what`.
    pub(crate) fn stream(&self, what: &str) -> Random {
        let mut location = Context::new(&SHA256);
        location.update(&self.seed);
        let mut add = |part: &str| {
            location.update(&(part.len() as u64).to_be_bytes());
            location.update(part.as_bytes());
        };
        add(&self.file.borrow());
        add(what);
        self.lines.borrow().iter().for_each(|line| add(line));
        Random::new(self.next(finish(location)))
    }

    /// The seed of something that is identified by its content and not by its location: by the chart, these words, and
    /// the number of earlier calls with the same words.
    pub(crate) fn named<'w>(&self, words: impl Iterator<Item = &'w str>) -> [u8; 32] {
        let mut name = Context::new(&SHA256);
        name.update(&self.seed);
        let mut add = |part: &str| {
            name.update(&(part.len() as u64).to_be_bytes());
            name.update(part.as_bytes());
        };
        add("named");
        add(self.file.borrow().split("/templates/").next().unwrap_or_default());
        words.for_each(add);
        self.next(finish(name))
    }

    /// Derives the next seed of the identity `what` by counting its draws.
    fn next(&self, what: [u8; 32]) -> [u8; 32] {
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(what).or_default();
        let mut one = Context::new(&SHA256);
        one.update(&what);
        one.update(&count.to_be_bytes());
        *count += 1;
        finish(one)
    }

    pub(crate) fn record(&self, text: &str, kind: DrawnKind) {
        let mut drawn = self.drawn.borrow_mut();
        if drawn.len() < MAX_DRAWN {
            drawn.push(DrawnText { text: text.to_owned(), kind });
        }
    }

    /// Takes all recorded texts.
    pub(crate) fn take(&self) -> Vec<DrawnText> {
        self.drawn.take()
    }
}

fn finish(context: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

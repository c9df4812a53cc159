//! Where a chart draws randomness: each place draws from a stream of its own, so that what one place needs, or no longer
//! needs, changes nothing elsewhere.
//!
//! Certificates are known by what they say instead ([`Draws::named`]), where their keys are to be kept.
//!
//! A place is a file, the lines that its templates have got to, and a function. Under the same seed the password of a
//! Secret's entry stays the same when a new version of the chart adds another one before it, or reads that one back by
//! `lookup`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use ring::digest::{Context, SHA256};

use crate::function::Random;

/// No more of a line counts.
const LINE: usize = 256;
/// No more values are remembered.
const MOST: usize = 256;
/// What templates call that draw.
const CALLS: [&str; 9] =
    ["rand", "genCA", "genS", "genPrivateKey", "uuidv4", "shuffle", "htpasswd", "bcrypt", "encryptAES"];

/// The draws of one render.
pub(crate) struct Draws {
    seed: [u8; 32],
    /// Whether lines are followed: that costs something, and most charts draw nothing.
    follows: Cell<bool>,
    file: RefCell<String>,
    /// The unfinished line of each template that is being executed, from the file inwards.
    lines: RefCell<Vec<String>>,
    counts: RefCell<HashMap<[u8; 32], u64>>,
    made: RefCell<Vec<Made>>,
}

/// Text that was drawn.
pub(crate) struct Made {
    pub(crate) text: String,
    pub(crate) again: Again,
}

/// How text like it is made.
#[derive(Clone, Copy)]
pub(crate) enum Again {
    /// So many characters that are wanted.
    Text(usize, fn(&u8) -> bool),
    Uuid,
}

impl Draws {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            seed,
            follows: Cell::new(false),
            file: RefCell::default(),
            lines: RefCell::default(),
            counts: RefCell::default(),
            made: RefCell::default(),
        }
    }

    /// Follows lines if one of these templates may draw.
    pub(crate) fn expect<'t>(&self, mut templates: impl Iterator<Item = &'t str>) {
        self.follows.set(templates.any(|text| CALLS.iter().any(|call| text.contains(call))));
    }

    /// A file begins.
    pub(crate) fn begin(&self, file: &str) {
        file.clone_into(&mut self.file.borrow_mut());
        self.lines.borrow_mut().clear();
    }

    /// The template at `level` got to here: to what it wrote last, or to a variable.
    pub(crate) fn at(&self, level: usize, written: &[u8], variable: Option<&str>) {
        if !self.follows.get() {
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

    /// The stream of this place, for what is drawn here.
    pub(crate) fn stream(&self, what: &str) -> Random {
        let mut place = Context::new(&SHA256);
        place.update(&self.seed);
        let mut add = |part: &str| {
            place.update(&(part.len() as u64).to_be_bytes());
            place.update(part.as_bytes());
        };
        add(&self.file.borrow());
        add(what);
        self.lines.borrow().iter().for_each(|line| add(line));
        Random::new(self.next(finish(place)))
    }

    /// The seed of something that is known by what it is and not by where it is made: of a chart, these words, and how many
    /// of the same were made before.
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

    /// The next of what is the same but for its number.
    fn next(&self, what: [u8; 32]) -> [u8; 32] {
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(what).or_default();
        let mut one = Context::new(&SHA256);
        one.update(&what);
        one.update(&count.to_be_bytes());
        *count += 1;
        finish(one)
    }

    pub(crate) fn made(&self, text: &str, again: Again) {
        let mut made = self.made.borrow_mut();
        if made.len() < MOST {
            made.push(Made { text: text.to_owned(), again });
        }
    }

    /// All that was drawn.
    pub(crate) fn take(&self) -> Vec<Made> {
        self.made.take()
    }
}

fn finish(context: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

//! Media that are changed by whoever runs a command.

use std::io::BufRead as _;
use std::path::Path;

use packager::bundle::Error;
use packager::media::Changer;

use crate::printer::Printer;

/// Asks for each medium, and waits for a line.
pub(crate) struct Asking<'a> {
    pub(crate) place: &'a Path,
    pub(crate) printer: &'a Printer,
}

impl Changer for Asking<'_> {
    fn change(&self, volume: u32, of: u32, name: &str) -> Result<(), Error> {
        self.printer.complain(&format!(
            "insert volume {volume} of {of} (`{name}`) at `{}`, then press Enter",
            self.place.display()
        ));
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(count) if count > 0 => Ok(()),
            _ => Err(Error::NotInserted { number: volume, total: of, name: name.to_owned() }),
        }
    }
}

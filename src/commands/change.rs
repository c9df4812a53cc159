//! Media that are changed by whoever runs a command.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use bundle_signer::{TrustFile, Verified};
use packager::bundle::{BundleManifest, Error, Limits};
use packager::import::Turns;
use packager::media::{Changer, Media};

use crate::logged::Work;
use crate::printer::Printer;

/// Media whose signature is verified, and their manifest. With turns, only the head and the log are there for sure.
pub(super) fn verified(
    paths: &[PathBuf],
    turns: Option<&Turns<'_>>,
    trust: Option<&TrustFile>,
    work: &mut Work<'_>,
) -> anyhow::Result<(Media, Verified<BundleManifest>)> {
    let mut media = Media::open(paths, Limits::default())?;
    if let Some(turns) = turns {
        // Nobody should change media for a set that is refused.
        media.verify_head(trust)?;
        media = turns.with_log(media)?;
    }
    work.digests([media.set().to_string()]);
    let manifest = if turns.is_some() { media.verify_head(trust)? } else { media.verify(trust)? };
    Ok((media, manifest))
}

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

    fn unfit(&self, why: &Error) {
        let causes = brief::causes(why).join(": ");
        self.printer.complain(&format!("this is not the right medium: {causes}"));
    }
}

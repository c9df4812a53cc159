//! Media that the user changes while a command runs.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use bundle_signer::{TrustFile, Verified};
use packager::bundle::{BundleManifest, Error, Limits};
use packager::import::SequentialMedia;
use packager::media::{Changer, Media};

use crate::cli::MediaArg;
use crate::logged::Work;
use crate::printer::Printer;

/// Opens media and verifies their signature. With sequential media, only the head and the log are sure to be present.
pub(super) fn verified(
    paths: &[PathBuf],
    sequence: Option<&SequentialMedia<'_>>,
    trust: Option<&TrustFile>,
    work: &mut Work<'_>,
) -> anyhow::Result<(Media, Verified<BundleManifest>)> {
    let mut media = Media::open(paths, Limits::default())?;
    if let Some(sequence) = sequence {
        // Refuse a set before the user changes media for it.
        media.verify_head(trust)?;
        media = sequence.with_log(media)?;
    }
    work.digests([media.set().to_string()]);
    let manifest = if sequence.is_some() { media.verify_head(trust)? } else { media.verify(trust)? };
    Ok((media, manifest))
}

/// The paths of a drive, as one name.
pub(super) fn paths(media: &MediaArg) -> String {
    let paths: Vec<_> = media.paths.iter().map(|path| path.display().to_string()).collect();
    paths.join(" ")
}

/// Prompts for each medium, and waits for a line of input.
pub(crate) struct MediumPrompt<'a> {
    pub(crate) path: &'a Path,
    pub(crate) printer: &'a Printer,
}

impl Changer for MediumPrompt<'_> {
    fn change(&self, volume: u32, of: u32, name: &str) -> Result<(), Error> {
        self.printer.complain(&format!(
            "insert volume {volume} of {of} (`{name}`) at `{}`, then press Enter",
            self.path.display()
        ));
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(count) if count > 0 => Ok(()),
            _ => Err(Error::NotInserted { number: volume, total: of, name: name.to_owned() }),
        }
    }

    fn unfit(&self, reason: &Error) {
        let causes = error_text::causes(reason).join(": ");
        self.printer.complain(&format!("wrong medium: {causes}"));
    }
}

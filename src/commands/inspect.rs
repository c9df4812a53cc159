//! `airlock inspect`.

use clap::Args;
use packager::bundle::Limits;
use packager::inspect::{Contents, html, inspect, kind_name, log_line};
use packager::media::Media;

use crate::cli::{Format, MediaArg};
use crate::failure::Status;
use crate::printer::{Printer, count, row, size};

#[derive(Debug, Args)]
#[command(after_help = "Example: airlock inspect /media/usb --output html > contents.html")]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) media: MediaArg,
}

pub(crate) fn run(settings: &Inspect, printer: &Printer) -> anyhow::Result<Status> {
    let media = Media::open(&settings.media.paths, Limits::default())?;
    let contents = inspect(&media)?;
    if printer.format() == Format::Html {
        printer.data(&html(&contents))?;
    } else {
        printer.result(&contents, text)?;
    }
    Ok(Status::Done)
}

fn text(contents: &Contents) -> String {
    let key = contents.key_hint.as_deref().unwrap_or("none");
    let mut text = row(&format!("{} (set {})", contents.name, contents.set))
        + &row(&format!("the signature is not checked here; it names the key {key}"))
        + &row(&format!("sender's log: {}", log_line(contents.log.as_ref())))
        + "\n";
    for volume in &contents.volumes {
        let found = volume.size.map_or_else(|| volume.instead().to_owned(), size);
        text += &format!("{found:>10}  {}\n", volume.name);
    }
    text.push('\n');
    for item in &contents.items {
        let (bytes, kind) = (size(item.size), kind_name(item.kind));
        text += &row(&format!("{bytes:>10}  {kind:14} {}  {}", item.source, item.digest));
    }
    text + &format!("\n{}, {}\n", count(contents.blobs, "blob"), size(contents.content_bytes))
}

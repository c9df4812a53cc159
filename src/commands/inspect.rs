//! `airlock inspect`.

use packager::bundle::Limits;
use packager::inspect::{Contents, html, inspect, kind_name, log_line};
use packager::media::Media;

use crate::cli::{Format, Inspect};
use crate::failure::Status;
use crate::printer::{Printer, size};

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
    let mut text = format!(
        "{} (set {})\nthe signature is not checked here; it claims key {}\nsender's log: {}\n\n",
        contents.name,
        contents.set,
        contents.key_hint.as_deref().unwrap_or("none"),
        log_line(contents.log.as_ref())
    );
    for volume in &contents.volumes {
        let found = volume.size.map_or_else(|| "not found".to_owned(), size);
        text += &format!("{found:>10}  {}\n", volume.name);
    }
    text.push('\n');
    for item in &contents.items {
        text += &format!(
            "{:>10}  {:14} {}  {}\n",
            size(item.size),
            kind_name(item.kind),
            item.source.replace('\n', " "),
            item.digest
        );
    }
    text + &format!("\n{} blobs, {}\n", contents.blobs, size(contents.content_bytes))
}

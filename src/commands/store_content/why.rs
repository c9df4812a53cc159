//! `airlock store why`: what keeps a blob or a manifest.

use oci::Digest;
use store::{Kept, Reason, Relation, Store};

use super::protect::line;
use crate::clock::rfc3339;
use crate::failure::{Missing, Status};
use crate::printer::{Printer, row};

pub(super) fn why(store: &Store, digest: &Digest, printer: &Printer) -> anyhow::Result<Status> {
    let kept = store.why(digest)?;
    let is_known = !kept.reasons.is_empty() || !kept.linked.is_empty() || !kept.leases.is_empty();
    if !is_known && store.has_blob(digest)?.is_none() {
        let message = format!("the store has no blob or manifest `{digest}`");
        return Err(
            Missing { message, hint: Some("`airlock store list` shows the digests of images") }.into()
        );
    }
    printer.result(&kept, text)?;
    Ok(Status::Done)
}

fn text(kept: &Kept) -> String {
    let mut text: String = kept.reasons.iter().map(path).collect();
    if kept.more {
        text += "and more\n";
    }
    for lease in &kept.leases {
        text += &row(&format!("leased until {} by {}", rfc3339(lease.expires), lease.holder));
    }
    text.extend(kept.protections.iter().map(line));
    if text.is_empty() {
        text += "nothing keeps it: `airlock store gc` removes it\n";
    }
    text
}

/// A path, one line for each step.
fn path(reason: &Reason) -> String {
    let Reason { repository, tag, path } = reason;
    let mut lines = match tag {
        Some(tag) => format!("{repository}:{tag}\n"),
        None => format!("{repository}, untagged\n"),
    };
    for (depth, step) in path.iter().enumerate() {
        let how = match step.relation {
            None => "",
            Some(Relation::Content) => "lists ",
            Some(Relation::Referrer) => "is the subject of ",
        };
        lines += &format!("{}{how}{}\n", "  ".repeat(depth + 1), step.digest);
    }
    lines
}

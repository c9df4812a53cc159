//! `airlock store retention`: removes the tags that no rule keeps.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use store::{ExpiredTag, Rules, Store, UpkeepKind};

use crate::cli::StoreArg;
use crate::commands::serve::rules_of;
use crate::failure::{Status, Usage};
use crate::logged::{Work, acting};
use crate::printer::{Printer, count};
use crate::retention::{Retained, record};

#[derive(Debug, Args)]
#[command(
    after_help = "The rules are those of the registry's configuration file: docs/space.md. The space is freed by \
                        `airlock store gc`.\n\
                        Example: airlock store retention --dry-run --store store"
)]
pub(crate) struct Retain {
    #[command(flatten)]
    pub(super) store: StoreArg,
    /// Print what would be removed, and why, without removing it.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// With --dry-run: use the rules of this configuration file, instead of those that `serve` applied to the store.
    #[arg(long, short, value_name = "FILE", requires = "dry_run")]
    file: Option<PathBuf>,
}

pub(super) fn preview(settings: &Retain, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_to_read(&settings.store.store)?;
    let rules = match &settings.file {
        Some(path) => rules_of(path)?,
        None => store.rules()?,
    };
    check(&rules)?;
    let planned = Retained::plan(&store, &rules)?;
    printer.result(&planned, |planned| text(planned, "would remove"))?;
    Ok(Status::Done)
}

pub(super) fn retain(settings: &Retain, work: &mut Work<'_>, printer: &Printer) -> anyhow::Result<Status> {
    let store = Store::open_existing(&settings.store.store)?;
    acting(&store, "store retention");
    check(&store.rules()?)?;
    let begun = Instant::now();
    let retained = Retained::apply(&store);
    let tags = retained.as_ref().ok().map(|retained| (retained.number_of_tags() as u64, 0));
    record(&store, UpkeepKind::Retention, begun, tags);
    let retained = retained?;
    work.evidence("tags", &count(retained.number_of_tags(), "tag"));
    work.evidence("manifests", &count(retained.number_of_manifests(), "manifest"));
    work.digests(retained.digests());
    work.done()?;
    printer.report(&retained, |retained| text(retained, "removed"))?;
    Ok(Status::Done)
}

fn check(rules: &Rules) -> Result<(), Usage> {
    if rules.retention.rules.is_empty() {
        let message = "the store has no rules for retention, so everything is kept".to_owned();
        let hint =
            "add `retention` to the registry's configuration file, and start or reload `airlock serve`";
        return Err(Usage { message, hint });
    }
    Ok(())
}

fn text(retained: &Retained, verb: &str) -> String {
    let tags = retained.tags.iter().flat_map(|(repository, expired)| {
        expired.iter().map(move |expired| {
            format!("tag       {repository}:{}  {}  {}\n", expired.tag, expired.digest, reason(expired))
        })
    });
    let manifests = retained.manifests.iter().flat_map(|(repository, digests)| {
        digests.iter().map(move |digest| format!("untagged  {repository}@{digest}\n"))
    });
    let (tags_text, manifests_text): (String, String) = (tags.collect(), manifests.collect());
    let number = count(retained.number_of_tags(), "tag");
    let untagged = count(retained.number_of_manifests(), "untagged manifest");
    format!("{tags_text}{manifests_text}{verb} {number}, {untagged}\n")
}

/// Why no rule keeps a tag.
fn reason(expired: &ExpiredTag) -> String {
    let pulled = match expired.pulled_seconds_ago {
        Some(seconds) => format!("pulled {} ago", age(seconds)),
        None => "no recorded pull".to_owned(),
    };
    format!("number {} by age, set {} ago, {pulled}", expired.position, age(expired.age_seconds))
}

/// A time in the largest unit that fits.
fn age(seconds: u64) -> String {
    match seconds {
        0..3600 => count(seconds / 60, "minute"),
        3600..86_400 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_everything_that_rules_look_at() {
        let mut expired = ExpiredTag {
            tag: "v1".parse().unwrap(),
            digest: oci::Digest::sha256(b""),
            position: 11,
            age_seconds: 90 * 86_400,
            pulled_seconds_ago: None,
        };
        assert_eq!(reason(&expired), "number 11 by age, set 90 days ago, no recorded pull");
        (expired.age_seconds, expired.pulled_seconds_ago) = (7200, Some(60));
        assert_eq!(reason(&expired), "number 11 by age, set 2 hours ago, pulled 1 minute ago");
    }
}

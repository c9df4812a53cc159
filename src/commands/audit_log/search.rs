//! `airlock audit log`: finds events.

use audit::search::search;
use audit::{Ending, Event, Filter};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{in_order, index, open};
use crate::cli::{LogArg, time_of};
use crate::failure::Status;
use crate::logged::Logs;
use crate::printer::{Printer, row};

#[derive(Debug, Args)]
pub(crate) struct AuditSearch {
    #[command(flatten)]
    pub(crate) log: LogArg,
    /// Show events at or after this date, or date and time such as 2026-11-21T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    pub(crate) since: Option<OffsetDateTime>,
    /// Show events before this date, or date and time.
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    pub(crate) until: Option<OffsetDateTime>,
    /// Show events by this user.
    #[arg(long, value_name = "USER")]
    pub(crate) actor: Option<String>,
    /// Show events about this digest, or digests with this prefix.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    pub(crate) digest: Option<String>,
    /// Show events of this kind, such as push, or of all kinds with this first word, such as policy or key.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub(crate) event: Option<String>,
    /// Show events with this outcome.
    #[arg(long, value_enum)]
    pub(crate) outcome: Option<OutcomeArg>,
    /// Show at most this many of the newest events.
    #[arg(long, value_name = "COUNT")]
    pub(crate) limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutcomeArg {
    /// The action succeeded.
    Success,
    /// The action was denied.
    Refused,
    /// The action failed.
    Failed,
}

fn digest(text: &str) -> Result<String, String> {
    let hex = text.split_once(':').map_or(text, |(_, hex)| hex);
    if hex.is_empty() || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err("expected ALGORITHM:HEX, or a prefix of it".to_owned());
    }
    Ok(if text.contains(':') { text.to_owned() } else { format!("sha256:{text}") })
}

fn kind(text: &str) -> Result<String, String> {
    if audit::EventType::ALL.iter().any(|kind| kind.is(text)) {
        return Ok(text.to_owned());
    }
    let names: Vec<_> = audit::EventType::ALL.iter().map(|kind| kind.name()).collect();
    Err(format!("expected one of {}, or the first word of one", names.join(", ")))
}

pub(super) fn run(settings: &AuditSearch, logs: &Logs, printer: &Printer) -> anyhow::Result<Status> {
    in_order(settings.since, settings.until)?;
    let reader = open(&settings.log, logs)?;
    let index = index(&reader, printer)?;
    let filter = Filter {
        since: settings.since,
        until: settings.until,
        actor: settings.actor.clone(),
        digest: settings.digest.clone(),
        event: settings.event.clone(),
        outcome: settings.outcome.map(|outcome| match outcome {
            OutcomeArg::Success => Ending::Success,
            OutcomeArg::Refused => Ending::Refused,
            OutcomeArg::Failed => Ending::Failed,
        }),
        object: None,
        limit: settings.limit,
    };
    let mut listing = printer.listing();
    // A failure to print ends the search, too.
    let mut print_error = None;
    let each = &mut |index, event: Event| {
        let printed = listing.item(&numbered(index, &event), |_| line(index, &event));
        printed.map_err(|error| {
            print_error = Some(error);
            audit::Error::Stopped
        })
    };
    match search(&reader, &index, &filter, each) {
        Err(audit::Error::Stopped) if print_error.is_some() => {
            return Err(print_error.unwrap_or_else(|| audit::Error::Stopped.into()));
        }
        found => found?,
    };
    listing.end()?;
    Ok(Status::Done)
}

/// An event with its index.
fn numbered(index: u64, event: &Event) -> Value {
    json!({ "index": index, "event": event })
}

/// An event as text.
fn line(index: u64, event: &Event) -> String {
    let actor = event.actor.user.as_deref().unwrap_or("-");
    let (result, name) = (event.outcome.result.name(), &event.object.name);
    let reason = event.outcome.reason.as_deref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let part = event.part.map_or_else(String::new, |part| format!(" [{} of {}]", part.number, part.of));
    let mut text = row(&format!(
        "{index:>7}  {}  {actor:10} {:16} {result}{reason}  {} {name}{part}",
        event.time, event.event, event.object.kind
    ));
    if let Some(detail) = &event.outcome.detail {
        text += &row(&format!("{:9}{detail}", ""));
    }
    let digests = event.object.digests.len();
    for digest in event.object.digests.iter().take(1) {
        let more = if digests > 1 { format!(" and {} more", digests - 1) } else { String::new() };
        text += &row(&format!("{:9}{digest}{more}", ""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_kinds_have_their_forms() {
        assert_eq!(digest("9f86").unwrap(), "sha256:9f86");
        assert!(digest("sha256:XY").is_err() && digest("").is_err());
        assert!(kind("policy").is_ok() && kind("push").is_ok() && kind("pu").is_err());
    }
}

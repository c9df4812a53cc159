//! Arguments of `airlock audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

use crate::commands::audit_log::explain::AuditExplain;
use crate::commands::audit_log::report::AuditReport;
use crate::env;

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Find events: by time, actor, digest, kind and outcome.
    #[command(after_help = "Examples:\n  \
        airlock audit log --store store --since 2026-11-01 --event push --actor ann\n  \
        airlock audit log --store store --digest sha256:9f86d081 --output jsonl")]
    Log(AuditSearch),
    /// Verify the whole log from its files alone, and report each fault and up to when the log is intact.
    #[command(
        after_help = "Exits with 0 if the log has no faults, with 3 if it has faults, and with 4 if no log exists.\n\
        Without --key or --policy, the log's own key is used: this finds damage, but not a completely \
        rewritten log.\n\
        Example: airlock audit verify --store store --key site.pub --checkpoint kept-elsewhere.txt"
    )]
    Verify {
        #[command(flatten)]
        log: LogArg,
        /// A checkpoint that was kept elsewhere. The log must be consistent with it. Can be repeated.
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
    },
    /// Print the signed checkpoint. Keep it where no one can change it.
    #[command(after_help = "Example: airlock audit checkpoint --store store > kept-elsewhere.txt")]
    Checkpoint(LogArg),
    /// Print the inclusion proof of an event, with the event (C2SP tlog-proof).
    #[command(after_help = "Example: airlock audit proof 17 --store store > event-17.tlog-proof")]
    Proof {
        /// The index of an event, or a digest to select the newest event about it.
        #[arg(value_name = "INDEX|DIGEST")]
        what: String,
        #[command(flatten)]
        log: LogArg,
    },
    /// Print the history of a digest: each decision and its evidence.
    Explain(AuditExplain),
    /// Report compliance evidence by control, with a proof of each event.
    Report(AuditReport),
    /// Update the search index. Searches update it automatically.
    Index {
        #[command(flatten)]
        log: LogArg,
        /// Delete the index and rebuild it.
        #[arg(long)]
        rebuild: bool,
    },
}

/// A log, and the keys that verify it.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogArg {
    /// The store that contains the log. --audit-log overrides it.
    #[arg(long, env = env::STORE, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// The public key of the log, or a file that contains it.
    #[arg(long = "key", id = "log_key", value_name = "KEY", conflicts_with = "policy")]
    pub(crate) key: Option<String>,
    /// A policy: accepted logs and required witnesses (C2SP tlog-policy).
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

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

pub(crate) fn time_of(text: &str) -> Result<OffsetDateTime, String> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
    let time = day.map(|day| day.with_time(Time::MIDNIGHT).assume_utc());
    time.or_else(|_| OffsetDateTime::parse(text, &Rfc3339))
        .map_err(|_| "expected a date such as 2026-11-21, or a time such as 2026-11-21T10:00:00Z".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_times_and_digests_have_their_forms() {
        assert_eq!(time_of("2026-11-21").unwrap(), time_of("2026-11-21T00:00:00Z").unwrap());
        assert!(time_of("2026-11-21T01:00:00+01:00").unwrap() == time_of("2026-11-21").unwrap());
        assert!(time_of("yesterday").is_err());
        assert_eq!(digest("9f86").unwrap(), "sha256:9f86");
        assert!(digest("sha256:XY").is_err() && digest("").is_err());
        assert!(kind("policy").is_ok() && kind("push").is_ok() && kind("pu").is_err());
    }
}

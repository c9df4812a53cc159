//! Arguments of commands that read an audit log.

use std::path::PathBuf;

use clap::Args;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

use crate::env;

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

pub(crate) fn time_of(text: &str) -> Result<OffsetDateTime, String> {
    let day = Date::parse(text, format_description!("[year]-[month]-[day]"));
    let time = day.map(|day| day.with_time(Time::MIDNIGHT).assume_utc());
    time.or_else(|_| OffsetDateTime::parse(text, &Rfc3339))
        .map_err(|_| "expected a date such as 2026-11-21, or a time such as 2026-11-21T10:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_have_their_forms() {
        assert_eq!(time_of("2026-11-21").unwrap(), time_of("2026-11-21T00:00:00Z").unwrap());
        assert!(time_of("2026-11-21T01:00:00+01:00").unwrap() == time_of("2026-11-21").unwrap());
        assert!(time_of("yesterday").is_err());
    }
}

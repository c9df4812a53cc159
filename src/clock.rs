//! Times in the format of records.

use packager::witness::Now;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) fn now() -> anyhow::Result<Now> {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    Ok(Now { text: now.format(&Rfc3339)?, seconds })
}

/// A time that a store recorded, in seconds since 1970; empty if it is out of range.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

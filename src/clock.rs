//! The current time, in the format of records.

use packager::witness::Now;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) fn now() -> anyhow::Result<Now> {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0)?;
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    Ok(Now { text: now.format(&Rfc3339)?, seconds })
}

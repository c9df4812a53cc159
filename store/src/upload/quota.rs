//! Limits for the number and size of upload sessions, in one repository and in total.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Sessions, expire};
use crate::durable::Disk;
use crate::layout::Layout;
use crate::{Error, Result};

/// If the limits are reached, sessions that received no data for this long are removed.
const IDLE: Duration = Duration::from_hours(1);

/// The usage is counted again after one session wrote this many bytes.
const RECOUNT_AFTER: u64 = 64 << 20;

/// The limits for unfinished uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    /// Open sessions of one repository. Default: 128.
    pub repository_sessions: u64,
    /// Open sessions in total. Default: 1024.
    pub sessions: u64,
    /// Bytes in the sessions of one repository. Default: 256 GiB.
    pub repository_bytes: u64,
    /// Bytes in all sessions. Default: 1 TiB.
    pub bytes: u64,
}

impl Default for UploadLimits {
    fn default() -> Self {
        Self { repository_sessions: 128, sessions: 1024, repository_bytes: 256 << 30, bytes: 1 << 40 }
    }
}

/// A number of sessions and their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    sessions: u64,
    bytes: u64,
}

impl Share {
    pub(super) fn add(&mut self, bytes: u64) {
        self.sessions += 1;
        self.bytes += bytes;
    }
}

/// The current usage.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) all: Share,
    pub(super) repository: Share,
}

impl Usage {
    fn check_room_for_one(self, limits: UploadLimits) -> Result<()> {
        let counts = [
            (self.repository.sessions, limits.repository_sessions, "open uploads of the repository"),
            (self.all.sessions, limits.sessions, "open uploads"),
            (self.repository.bytes, limits.repository_bytes, "bytes in open uploads of the repository"),
            (self.all.bytes, limits.bytes, "bytes in open uploads"),
        ];
        match counts.into_iter().find(|(used, most, _)| used >= most) {
            Some((_, most, what)) => Err(Error::UploadQuota { most, what }),
            None => Ok(()),
        }
    }
}

/// Checks whether one more session may be opened; removes abandoned sessions if the limits are reached.
pub(super) fn make_room(layout: &Layout, disk: &Disk, sessions: &Arc<Sessions>, owner: &str) -> Result<()> {
    let limits = sessions.limits();
    let Err(full) = Usage::read(layout, owner)?.check_room_for_one(limits) else { return Ok(()) };
    let Some(since) = SystemTime::now().checked_sub(IDLE) else { return Err(full) };
    expire(layout, disk, sessions, since)?;
    Usage::read(layout, owner)?.check_room_for_one(limits)
}

/// What one session may write before the usage is counted again.
pub(super) struct Allowance {
    limits: UploadLimits,
    owner: String,
    /// The session's length at which the usage is counted again.
    until: u64,
}

impl Allowance {
    /// The allowance of a session that holds `len` bytes.
    pub(super) fn of(layout: &Layout, limits: UploadLimits, owner: &str, len: u64) -> Result<Self> {
        let mut allowance = Self { limits, owner: owner.to_owned(), until: len };
        // A session that already reached the limit can still be published.
        allowance.count(layout, len)?;
        Ok(allowance)
    }

    fn count(&mut self, layout: &Layout, len: u64) -> Result<(u64, &'static str)> {
        let usage = Usage::read(layout, &self.owner)?;
        let rooms = [
            (self.limits.repository_bytes, usage.repository.bytes, "bytes in open uploads of the repository"),
            (self.limits.bytes, usage.all.bytes, "bytes in open uploads"),
        ];
        let left = |(most, used, what): (u64, u64, &'static str)| (most.saturating_sub(used), most, what);
        let (left, most, what) =
            rooms.map(left).into_iter().min().unwrap_or((u64::MAX, u64::MAX, "bytes in open uploads"));
        self.until = len + left.min(RECOUNT_AFTER);
        Ok((most, what))
    }

    /// Allows `count` bytes after the first `len`, or fails.
    pub(super) fn take(&mut self, layout: &Layout, len: u64, count: u64) -> Result<()> {
        if len + count <= self.until {
            return Ok(());
        }
        let (most, what) = self.count(layout, len)?;
        if len + count <= self.until || count > RECOUNT_AFTER && self.until == len + RECOUNT_AFTER {
            return Ok(());
        }
        Err(Error::UploadQuota { most, what })
    }
}

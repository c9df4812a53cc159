//! How a blob that no row needs yet is kept from garbage collection by other processes: while its file is recent. The
//! change time of the file is a lease that costs no commit. Publishing a file renews it, and so does [`claim`], for a
//! file that someone found in the store and relies on. No process can set a file's change time.
//!
//! This only prevents failures: a commit that names a blob checks in its transaction that the file is there.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oci::Digest;
use private::{Hold, PATIENCE};

use crate::layout::Layout;
use crate::{Error, Result};

/// How long a file stays recent.
pub(crate) const GRACE: Duration = Duration::from_hours(24);

/// Longer than the interval between two ticks of a file system's clock.
const TICK: Duration = Duration::from_millis(20);

/// The time of the file system's clock. It differs from the system's clock, at least by up to a tick.
pub(crate) fn file_system_time(lock: &Path) -> Result<SystemTime> {
    private::restrict(lock).map_err(Error::io("touch", lock))?;
    Ok(changed(&fs::metadata(lock).map_err(Error::io("read", lock))?))
}

/// As [`file_system_time`], but ends only when all later changes have a later time.
pub(crate) fn end_of_tick(lock: &Path) -> Result<SystemTime> {
    let time = file_system_time(lock)?;
    std::thread::sleep(TICK);
    Ok(time)
}

/// When a file got its content or its name, or was claimed.
pub(crate) fn changed(file: &Metadata) -> SystemTime {
    let seconds = u64::try_from(file.ctime()).unwrap_or(0);
    let nanoseconds = u32::try_from(file.ctime_nsec()).unwrap_or(0);
    UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

/// Whether a file stays recent for long enough.
pub(crate) fn is_recent(file: &Metadata, grace: Duration) -> bool {
    // A time in the future counts as recent.
    SystemTime::now().duration_since(changed(file)).map_or(true, |age| age < grace / 2)
}

/// Makes a blob's file recent, and returns its size; `None` if it does not exist. Garbage collection holds the exclusive
/// lock on the folder, so the file is gone before, or it is recent afterwards.
pub(crate) fn claim(layout: &Layout, digest: &Digest) -> Result<Option<u64>> {
    let (shard, path) = (layout.shard(digest), layout.blob(digest));
    let folder = fs::File::open(&shard).map_err(Error::io("open", &shard))?;
    let _folder = private::hold(folder, &shard, Hold::Shared, PATIENCE)?;
    let renewed = private::restrict(&path).and_then(|()| fs::metadata(&path));
    match renewed {
        Ok(file) => Ok(Some(file.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("touch", &path)(error)),
    }
}

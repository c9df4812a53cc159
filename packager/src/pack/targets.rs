//! The media for volumes: checks that they are usable, and assigns volumes to them.

use std::fs::TryLockError;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use mirror::reporter::Reporter;
use oci::Digest;

use super::plan::PackPlan;
use crate::bundle::head::Head;
use crate::bundle::{Error, Limits};
use crate::media::{Beneath, mark_name};

/// The file system type of FAT, and its maximum file size.
const MSDOS_MAGIC: u64 = 0x4d44;
const FAT_LARGEST: u64 = (4 << 30) - 1;

/// Media that are available at the same time.
pub(super) struct Targets {
    media: Vec<Beneath>,
    /// For each volume, the index of its medium.
    places: Vec<usize>,
}

/// The free space of a medium, and its file system.
#[derive(Clone, Copy, Debug)]
struct Room {
    device: u64,
    /// `None` if the file system does not report it.
    free: Option<u64>,
}

impl Targets {
    /// Opens folders on media for a set. Checks that no other process writes to them, that they contain no other set, and
    /// that they have enough space.
    pub(super) fn open(
        plan: &PackPlan,
        set: &Digest,
        folders: &[PathBuf],
        reporter: &dyn Reporter,
    ) -> Result<Self, Error> {
        let (mut media, mut rooms) = (Vec::new(), Vec::new());
        for folder in folders {
            let medium = Beneath::create(folder)?;
            lock(&medium, folder)?;
            remove_own(plan, set, &medium)?;
            media.push(medium);
        }
        let sizes: Vec<u64> = plan.volumes.iter().map(|volume| volume.size).collect();
        for folder in folders {
            rooms.push(room(folder, sizes.iter().copied().max().unwrap_or(0), reporter)?);
        }
        let places = assign(&sizes, &rooms).map_err(|(place, free, needed)| Error::NoSpace {
            path: folders.get(place).cloned().unwrap_or_default(),
            free,
            needed,
        })?;
        Ok(Self { media, places })
    }

    /// The media with at least one volume.
    pub(super) fn media(&self) -> impl Iterator<Item = &Beneath> {
        let is_used = |place: &usize| self.places.contains(place);
        (0..self.media.len()).filter(is_used).filter_map(|place| self.media.get(place))
    }

    /// The medium of a volume.
    pub(super) fn medium(&self, number: u32) -> &Beneath {
        let volume = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        let place = self.places.get(volume).copied().unwrap_or(0);
        &self.media[place.min(self.media.len() - 1)]
    }
}

/// Assigns volumes to folders: one volume to each folder if there are enough folders, otherwise the folders are filled in
/// order. If the volumes do not fit, returns the last folder, its free space, and the size of the remaining volumes.
fn assign(sizes: &[u64], rooms: &[Room]) -> Result<Vec<usize>, (usize, u64, u64)> {
    let mut rooms = rooms.to_vec();
    let one_each = sizes.len() <= rooms.len();
    let (mut places, mut place) = (Vec::new(), 0);
    for (number, size) in sizes.iter().enumerate() {
        if one_each {
            place = number;
        }
        while rooms.get(place).is_some_and(|room| room.free.is_some_and(|free| free < *size)) {
            if one_each || place + 1 == rooms.len() {
                let free = rooms.get(place).and_then(|room| room.free).unwrap_or(0);
                let left = if one_each { *size } else { sizes.iter().skip(number).sum() };
                return Err((place, free, left));
            }
            place += 1;
        }
        let device = rooms.get(place).map_or(0, |room| room.device);
        // Folders on the same file system share its space.
        for room in rooms.iter_mut().filter(|room| room.device == device) {
            room.free = room.free.map(|free| free.saturating_sub(*size));
        }
        places.push(place);
    }
    Ok(places)
}

/// The free space of a medium. Checks that it supports files of this size.
fn room(target: &Path, size: u64, reporter: &dyn Reporter) -> Result<Room, Error> {
    let failed = |error: rustix::io::Errno| Error::io("examine", target)(error.into());
    let room = rustix::fs::statvfs(target).map_err(failed)?;
    let kind = rustix::fs::statfs(target).map_err(failed)?;
    let device = target.metadata().map_err(Error::io("examine", target))?.dev();
    if u64::try_from(kind.f_type).ok() == Some(MSDOS_MAGIC) && size > FAT_LARGEST {
        return Err(Error::FileTooLarge { path: target.to_owned(), limit: FAT_LARGEST, size });
    }
    if room.f_blocks == 0 {
        reporter.warn("the file system does not report its free space, so the free space is not checked");
        return Ok(Room { device, free: None });
    }
    Ok(Room { device, free: Some(room.f_bavail.saturating_mul(room.f_frsize)) })
}

/// Opens a medium for one volume; other volumes of the set may be on it.
pub(super) fn open_for(
    plan: &PackPlan,
    set: &Digest,
    folder: &Path,
    number: u32,
    reporter: &dyn Reporter,
) -> Result<Beneath, Error> {
    let medium = Beneath::create(folder)?;
    lock(&medium, folder)?;
    check_own(plan, set, &medium)?;
    let place = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
    let volume = plan.volumes.get(place).ok_or(Error::Inconsistent("a volume is missing"))?;
    medium.remove(Path::new(&mark_name(&plan.manifest.name)))?;
    remove_volume(&volume.name, &medium)?;
    let free = room(folder, volume.size, reporter)?.free;
    if let Some(free) = free.filter(|free| *free < volume.size) {
        return Err(Error::NoSpace { path: folder.to_owned(), free, needed: volume.size });
    }
    Ok(medium)
}

/// Locks the folder against other packs as long as it is open, without a lock file. File systems without locks are not
/// locked.
pub(super) fn lock(medium: &Beneath, target: &Path) -> Result<(), Error> {
    match medium.folder().try_lock() {
        Err(TryLockError::WouldBlock) => {
            let holders = private::Holders::of(&[target]);
            Err(Error::TargetBusy { target: target.to_owned(), holders })
        }
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

pub(super) fn partial_name(name: &str) -> PathBuf {
    Path::new(name).with_extension("tar.partial")
}

/// Removes the files of an earlier pack of this set; refuses to overwrite the volumes of another set.
fn remove_own(plan: &PackPlan, set: &Digest, medium: &Beneath) -> Result<(), Error> {
    check_own(plan, set, medium)?;
    medium.remove(Path::new(&mark_name(&plan.manifest.name)))?;
    plan.volumes.iter().try_for_each(|volume| remove_volume(&volume.name, medium))
}

/// Removes a volume, complete or partial.
fn remove_volume(name: &str, medium: &Beneath) -> Result<(), Error> {
    medium.remove(Path::new(name))?;
    medium.remove(&partial_name(name))
}

/// Checks that no volume of this name belongs to another set.
fn check_own(plan: &PackPlan, set: &Digest, medium: &Beneath) -> Result<(), Error> {
    for name in volumes_named(&plan.manifest.name, medium)? {
        let path = medium.path(&name);
        // A link in place of a volume does not belong to this set.
        let head = medium.file(&name).ok().map(|mut file| Head::read(&mut file, &path, &Limits::default()));
        match head {
            Some(Ok(Some(head))) if head.header.set == *set => {}
            _ => return Err(Error::WouldOverwrite(path)),
        }
    }
    Ok(())
}

/// The volumes of a name, also of a set with more or fewer volumes: two sets of one name share the mark, and readers
/// refuse a folder with both.
fn volumes_named(name: &str, medium: &Beneath) -> Result<Vec<PathBuf>, Error> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_volume = |file: &str| {
        file.strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".tar")?.split_once("-of-"))
            .is_some_and(|(number, total)| is_number(number) && is_number(total))
    };
    let names = medium.names(Path::new(""))?.into_iter();
    Ok(names.filter(|file| file.to_str().is_some_and(is_volume)).map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(rooms: &[(u64, Option<u64>)]) -> Vec<Room> {
        rooms.iter().map(|(device, free)| Room { device: *device, free: *free }).collect()
    }

    #[test]
    fn o24_volumes_fill_the_media_in_order() {
        let three = rooms(&[(1, Some(25)), (2, Some(10)), (3, Some(100))]);
        assert_eq!(assign(&[10, 10, 10, 10, 5], &three), Ok(vec![0, 0, 1, 2, 2]));
        assert_eq!(assign(&[10, 10, 10], &three), Ok(vec![0, 1, 2]), "one volume to each");
        assert_eq!(assign(&[10, 11, 10], &three), Err((1, 10, 11)));
        assert_eq!(assign(&[10; 5], &rooms(&[(1, Some(15)), (2, Some(15))])), Err((1, 5, 30)));
        assert_eq!(assign(&[10; 5], &rooms(&[(1, None), (2, Some(15))])), Ok(vec![0; 5]));
        // Two folders on one file system share its space.
        assert_eq!(assign(&[10; 3], &rooms(&[(1, Some(25)), (1, Some(25))])), Err((1, 5, 10)));
    }
}

//! Several copies of volumes, some of which may be damaged. A damaged copy is an error only if no other copy is left. The
//! signature and the manifest decide which copies are undamaged, never their order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Volume;
use crate::bundle::{BundleManifest, Error};

/// All copies of all volumes, by number, each with the index of its signature.
#[derive(Default)]
pub(super) struct Copies {
    found: BTreeMap<u32, Vec<(Volume, usize)>>,
    signatures: Vec<Vec<u8>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The copies that may be undamaged, the one in use first.
    usable: BTreeMap<u32, Vec<Volume>>,
    /// The index of the signature in use.
    signature: usize,
    warnings: Vec<String>,
}

impl Copies {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&mut self, number: u32, volume: Volume, signature: Vec<u8>) {
        let index = self.signatures.iter().position(|known| *known == signature).unwrap_or_else(|| {
            self.signatures.push(signature);
            self.signatures.len() - 1
        });
        self.state().usable.entry(number).or_default().push(volume.clone());
        self.found.entry(number).or_default().push((volume, index));
    }

    /// Whether all volumes that the heads state were found.
    pub(super) fn are_complete(&self) -> bool {
        let mut copies = self.found.values().flatten();
        copies.any(|(volume, _)| (1..=volume.total).all(|number| self.found.contains_key(&number)))
    }

    pub(super) fn warn(&self, message: String) {
        self.state().warnings.push(message);
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.state().warnings.clone()
    }

    pub(super) fn signatures(&self) -> impl Iterator<Item = &[u8]> {
        self.signatures.iter().map(Vec::as_slice)
    }

    pub(super) fn signature(&self) -> &[u8] {
        self.signatures.get(self.state().signature).map_or(&[], Vec::as_slice)
    }

    /// One copy of each volume.
    pub(super) fn chosen(&self) -> BTreeMap<u32, Volume> {
        let state = self.state();
        let first = |(number, copies): (&u32, &Vec<Volume>)| Some((*number, copies.first()?.clone()));
        state.usable.iter().filter_map(first).collect()
    }

    /// Uses the first signature that `check` accepts; returns the first error if it accepts none.
    pub(super) fn verified<T>(&self, check: impl Fn(&[u8]) -> Result<T, Error>) -> Result<T, Error> {
        let mut refused = None;
        for (index, signature) in self.signatures.iter().enumerate() {
            match check(signature) {
                Ok(verified) => {
                    self.state().signature = index;
                    return Ok(verified);
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or(Error::Unsigned))
    }

    /// Keeps the copies with the signature in use and the exact size; every volume must have one.
    pub(super) fn choose(&self, manifest: &BundleManifest, size: impl Fn(u32) -> u64) -> Result<(), Error> {
        let missing: Vec<_> = (1..=manifest.volumes)
            .filter(|number| !self.found.contains_key(number))
            .map(|number| format!("`{}`", manifest.volume_name(number)))
            .collect();
        if !missing.is_empty() {
            let (verb, names) = (if missing.len() == 1 { "is" } else { "are" }, missing.join(", "));
            let missing = format!("{} {verb}", missing.len());
            return Err(Error::MissingVolumes { total: manifest.volumes, missing, names });
        }
        let mut state = self.state();
        for (number, copies) in &self.found {
            let mut usable = Vec::new();
            let mut refused = Vec::new();
            for (volume, signature) in copies {
                let other = *signature != state.signature;
                match check(volume, other, manifest.volumes, || size(*number)) {
                    Ok(()) => usable.push(volume.clone()),
                    Err(error) => refused.push((&volume.path, error)),
                }
            }
            if usable.is_empty() {
                return Err(refused.into_iter().next().map_or(NO_COPY, |(_, error)| error));
            }
            state.warnings.extend(refused.into_iter().map(|(path, error)| ignored(path, &error)));
            state.usable.insert(*number, usable);
        }
        Ok(())
    }

    /// Keeps the copies of one volume with the right size; returns whether there is one. Their signatures do not matter,
    /// because they have the verified manifest.
    pub(super) fn choose_one(
        &self,
        manifest: &BundleManifest,
        number: u32,
        size: u64,
    ) -> Result<bool, Error> {
        let (mut usable, mut refused) = (Vec::new(), None);
        for (volume, _) in self.found.get(&number).into_iter().flatten() {
            match check(volume, false, manifest.volumes, || size) {
                Ok(()) => usable.push(volume.clone()),
                Err(error) => refused = Some(error),
            }
        }
        let is_usable = !usable.is_empty();
        self.state().usable.insert(number, usable);
        if is_usable { Ok(true) } else { refused.map_or(Ok(false), Err) }
    }

    /// Drops the copy that caused `error`, if another one is left.
    pub(super) fn try_another(&self, manifest: &BundleManifest, error: &Error) -> bool {
        let mut state = self.state();
        let State { usable, warnings, .. } = &mut *state;
        let concerned: Vec<u32> = match error {
            Error::Header { path, .. }
            | Error::Padding { path, .. }
            | Error::Truncated { path, .. }
            | Error::Io { path, .. } => {
                let of = |copies: &Vec<Volume>| copies.first().is_some_and(|copy| copy.path == *path);
                usable.iter().filter(|(_, copies)| of(copies)).map(|(number, _)| *number).collect()
            }
            Error::Content { name, .. }
            | Error::DecompressionBomb { name, .. }
            | Error::WrongSize { name, .. }
            | Error::Compression { name, .. } => {
                let mut entries = manifest.entries.iter();
                let entry = entries.find(|entry| entry.path() == *name || entry.tar_name(0) == *name);
                entry.into_iter().flat_map(|entry| &entry.extents).map(|extent| extent.volume).collect()
            }
            _ => Vec::new(),
        };
        for number in concerned {
            if let Some(copies) = usable.get_mut(&number).filter(|copies| copies.len() > 1) {
                warnings.push(ignored(&copies.remove(0).path, error));
                return true;
            }
        }
        false
    }
}

/// Unreachable: a volume has at least one copy.
const NO_COPY: Error = Error::Inconsistent("a volume has no copy");

pub(super) fn ignored(path: &Path, error: &Error) -> String {
    format!("`{}` is ignored, because there is another copy: {error}", path.display())
}

fn check(volume: &Volume, other: bool, volumes: u32, size: impl Fn() -> u64) -> Result<(), Error> {
    let path = volume.path.clone();
    if other {
        return Err(Error::OtherSignature(path));
    }
    if volume.total != volumes {
        return Err(Error::VolumeCount { path, found: volume.total, expected: volumes });
    }
    let expected = size();
    if volume.size < expected {
        return Err(Error::Truncated { path, missing: expected - volume.size });
    }
    if volume.size > expected {
        return Err(Error::TrailingBytes { path, excess: volume.size - expected });
    }
    Ok(())
}

//! Reads a log: an event is returned only after its proof against the signed checkpoint was verified.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tlog::tile::WIDTH;
use tlog::{Checkpoint, Folder, Hash, Note, Policy, Proof, VerifierKey, merkle};

use crate::{Error, Event, Result, key};

/// The keys that a log is verified with.
#[derive(Clone, Debug)]
pub enum LogTrust {
    /// A given policy or key.
    Given(Policy),
    /// The log's own key: this detects damage, but not a completely rewritten log.
    Own(Policy),
}

impl LogTrust {
    /// Trusts a log's own key.
    ///
    /// # Errors
    /// [`Error::Log`] when the log does not exist, or an error of its public key.
    pub fn own(log: &Path) -> Result<Self> {
        if !log.exists() {
            return Err(tlog::Error::Absent(log.to_owned()).into());
        }
        Ok(Self::Own(Policy::of_log(key::own(log)?)))
    }

    /// Trusts a key, given as text or as a file.
    ///
    /// # Errors
    /// An error of the key.
    pub fn by_key(text: &str) -> Result<Self> {
        let key = if text.contains('+') { text.parse::<VerifierKey>()? } else { key::read(Path::new(text))? };
        Ok(Self::Given(Policy::of_log(key)))
    }

    /// Trusts the logs and witnesses in a policy file (C2SP tlog-policy).
    ///
    /// # Errors
    /// [`Error::Unusable`] or [`Error::Io`].
    pub fn by_policy(path: &Path) -> Result<Self> {
        let text = input::read_text(path, input::MAX_SIZE).map_err(Error::io("read", path))?;
        let policy = Policy::parse(&text);
        Ok(Self::Given(policy.map_err(|source| Error::Unusable { path: path.to_owned(), source })?))
    }

    /// The trusted logs and witnesses.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        match self {
            Self::Given(policy) | Self::Own(policy) => policy,
        }
    }

    /// Whether the key comes from the log itself.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }
}

/// The entries of a bundle.
type Entries = Arc<Vec<Vec<u8>>>;

/// A log at its signed checkpoint. Entries that are appended later are not visible.
pub struct Reader {
    path: PathBuf,
    trust: LogTrust,
    note: Note,
    checkpoint: Checkpoint,
    folder: Folder,
    /// The bundle that was proved last: neighbouring entries are often read together.
    bundle: Mutex<Option<(u64, Entries)>>,
}

impl Reader {
    /// Opens a log and verifies the signatures of its checkpoint.
    ///
    /// # Errors
    /// [`Error::Log`] when the log does not exist, or has no signature of a trusted key.
    pub fn open(path: &Path, trust: LogTrust) -> Result<Self> {
        let note = Folder::checkpoint(path)?;
        let checkpoint = trust.policy().verify(&note)?;
        let folder = Folder::signed(path, &checkpoint);
        Ok(Self { path: path.to_owned(), trust, note, checkpoint, folder, bundle: Mutex::default() })
    }

    /// The log's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys that the log was verified with.
    #[must_use]
    pub fn trust(&self) -> &LogTrust {
        &self.trust
    }

    /// The signed checkpoint as a note.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// The root over the first `size` entries.
    ///
    /// # Errors
    /// [`Error::Log`] when the files are damaged.
    pub fn root(&self, size: u64) -> Result<Hash> {
        Ok(merkle::root(&self.folder, size)?)
    }

    /// The bytes of an entry, proved.
    ///
    /// # Errors
    /// [`Error::Log`] when the entry does not exist or was changed.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>> {
        if index < self.size()
            && let Ok(entries) = self.bundle(index / WIDTH)
            && let Some(entry) =
                usize::try_from(index % WIDTH).ok().and_then(|position| entries.get(position))
        {
            return Ok(entry.clone());
        }
        // Another entry of the bundle may be damaged, but not this one.
        let entry = self.folder.entry(index)?;
        let proof = merkle::prove_inclusion(&self.folder, index, self.size())?;
        let leaf = Hash::leaf(&entry);
        match merkle::check_inclusion(leaf, index, self.size(), &proof, self.checkpoint.root) {
            Ok(()) => Ok(entry),
            Err(_) => Err(tlog::Error::EntryDiffers { entry: index }.into()),
        }
    }

    /// An event, proved.
    ///
    /// # Errors
    /// Like [`Self::entry`], or [`Error::NoEvent`].
    pub fn event(&self, index: u64) -> Result<Event> {
        let entry = self.entry(index)?;
        Event::parse(&entry).map_err(|source| Error::NoEvent { index, source: Box::new(source) })
    }

    /// The proof of an entry, which can be verified without the log; the entry itself is the proof's `extra`.
    ///
    /// # Errors
    /// Like [`Self::entry`].
    pub fn proof(&self, index: u64) -> Result<Proof> {
        let entry = self.entry(index)?;
        let mut proof = Proof::of(&self.folder, self.note.clone(), index)?;
        proof.extra = Some(entry);
        Ok(proof)
    }

    /// Passes all events to `each` in order, each proved first, with the bytes of its entry. Returns the number of entries
    /// that are not events.
    ///
    /// # Errors
    /// [`Error::Log`] with the first file or entry that was changed; `each` has received the events before it.
    pub fn all(&self, each: &mut dyn FnMut(u64, Event, &[u8])) -> Result<u64> {
        let mut others = 0;
        self.entries(0, &mut |index, entry| match Event::parse(entry) {
            Ok(event) => each(index, event, entry),
            Err(_) => others += 1,
        })?;
        Ok(others)
    }

    /// Passes all entries from `begin` on to `each` in order, proved bundle by bundle.
    ///
    /// # Errors
    /// [`Error::Log`].
    pub fn entries(&self, begin: u64, each: &mut dyn FnMut(u64, &[u8])) -> Result<()> {
        for bundle in begin / WIDTH..self.size().div_ceil(WIDTH) {
            let entries = self.bundle(bundle)?;
            for (index, entry) in (bundle * WIDTH..).zip(&*entries).filter(|(index, _)| *index >= begin) {
                each(index, entry);
            }
        }
        Ok(())
    }

    /// The entries of a bundle, proved.
    pub(crate) fn bundle(&self, bundle: u64) -> Result<Entries> {
        let mut last = self.bundle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, entries)) = last.as_ref()
            && *known == bundle
        {
            return Ok(Arc::clone(entries));
        }
        let entries = Arc::new(self.folder.bundle(bundle)?);
        self.check_bundle(bundle * WIDTH, &entries)?;
        *last = Some((bundle, Arc::clone(&entries)));
        Ok(entries)
    }

    /// Verifies that the entries of a bundle are in the signed tree: for a full bundle, by the hash over all of them.
    fn check_bundle(&self, first: u64, entries: &[Vec<u8>]) -> Result<()> {
        let hashes: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
        let tile = self.folder.tile(0, first / WIDTH)?;
        if let Some(entry) = (first..).zip(hashes.iter().zip(tile.iter())).find(|(_, (a, b))| a != b) {
            return Err(tlog::Error::EntryDiffers { entry: entry.0 }.into());
        }
        // Every other hash of the tile is part of the first one's proof: as a sibling, or below one.
        let proof = merkle::prove_inclusion(&self.folder, first, self.size())?;
        let leaf = hashes.first().copied().unwrap_or_else(Hash::empty);
        merkle::check_inclusion(leaf, first, self.size(), &proof, self.checkpoint.root)?;
        Ok(())
    }
}

//! Reading a log: an event is given only after its proof against the signed checkpoint was checked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tlog::tile::WIDTH;
use tlog::{Checkpoint, Folder, Hash, Note, Policy, Proof, VerifierKey, merkle};

use crate::{Error, Event, Result, key};

/// By whose word a log is believed.
#[derive(Clone, Debug)]
pub enum Belief {
    /// A policy or a key that was brought along.
    Given(Policy),
    /// The key that lies beside the log: this proves that nothing was damaged, not that nobody made all of it anew.
    Own(Policy),
}

impl Belief {
    /// In a log, by its own word.
    ///
    /// # Errors
    /// [`Error::Log`] when there is no log, or what is wrong with its public key.
    pub fn own(log: &Path) -> Result<Self> {
        if !log.exists() {
            return Err(tlog::Error::Absent(log.to_owned()).into());
        }
        Ok(Self::Own(Policy::of_log(key::own(log)?)))
    }

    /// By a key: its text, or a file that holds it.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub fn by_key(text: &str) -> Result<Self> {
        let key = if text.contains('+') { text.parse::<VerifierKey>()? } else { key::read(Path::new(text))? };
        Ok(Self::Given(Policy::of_log(key)))
    }

    /// By a policy's file (C2SP tlog-policy), with the logs and the witnesses that it names.
    ///
    /// # Errors
    /// [`Error::Unusable`] or [`Error::Io`].
    pub fn by_policy(path: &Path) -> Result<Self> {
        let text = input::read_text(path, input::MOST).map_err(Error::io("read", path))?;
        let policy = Policy::parse(&text);
        Ok(Self::Given(policy.map_err(|source| Error::Unusable { path: path.to_owned(), source })?))
    }

    /// What is believed.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        match self {
            Self::Given(policy) | Self::Own(policy) => policy,
        }
    }

    /// Whether the log itself gave the key.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }
}

/// The entries of a bundle.
type Entries = Arc<Vec<Vec<u8>>>;

/// A log at its signed checkpoint. What is appended later is not seen.
pub struct Reader {
    path: PathBuf,
    belief: Belief,
    note: Note,
    checkpoint: Checkpoint,
    folder: Folder,
    /// The bundle that was proved last: who reads an entry often reads its neighbours.
    bundle: Mutex<Option<(u64, Entries)>>,
}

impl Reader {
    /// Opens a log and checks its checkpoint's signatures.
    ///
    /// # Errors
    /// [`Error::Log`] when there is none or nobody who is believed signed it.
    pub fn open(path: &Path, belief: Belief) -> Result<Self> {
        let note = Folder::checkpoint(path)?;
        let checkpoint = belief.policy().verify(&note)?;
        let folder = Folder::signed(path, &checkpoint);
        Ok(Self { path: path.to_owned(), belief, note, checkpoint, folder, bundle: Mutex::default() })
    }

    /// The log's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// By whose word.
    #[must_use]
    pub fn belief(&self) -> &Belief {
        &self.belief
    }

    /// The signed text.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// What it says.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How many entries there are.
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

    /// An entry's bytes, proved.
    ///
    /// # Errors
    /// [`Error::Log`] when there is no such entry, or it is not what was logged.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>> {
        if index < self.size()
            && let Ok(entries) = self.bundle(index / WIDTH)
            && let Some(entry) = usize::try_from(index % WIDTH).ok().and_then(|place| entries.get(place))
        {
            return Ok(entry.clone());
        }
        // A neighbour may be damaged, and this entry not.
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
    /// As [`Self::entry`], or [`Error::NoEvent`].
    pub fn event(&self, index: u64) -> Result<Event> {
        let entry = self.entry(index)?;
        Event::parse(&entry).map_err(|source| Error::NoEvent { index, source: Box::new(source) })
    }

    /// An entry with its proof as a text that travels; the entry itself is the proof's `extra`.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub fn proof(&self, index: u64) -> Result<Proof> {
        let entry = self.entry(index)?;
        let mut proof = Proof::of(&self.folder, self.note.clone(), index)?;
        proof.extra = Some(entry);
        Ok(proof)
    }

    /// All events in order, each proved before it is given, with the bytes of its entry. Gives the number of entries
    /// that are in the log but are no events.
    ///
    /// # Errors
    /// [`Error::Log`] with the first file or entry that is not what was logged; `each` has got those before it.
    pub fn all(&self, each: &mut dyn FnMut(u64, Event, &[u8])) -> Result<u64> {
        let mut others = 0;
        self.entries(0, &mut |index, entry| match Event::parse(entry) {
            Ok(event) => each(index, event, entry),
            Err(_) => others += 1,
        })?;
        Ok(others)
    }

    /// All entries from `begin` on, in order, proved bundle by bundle.
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

    /// That a bundle's entries are those under the root: full ones by the one hash over them all.
    fn check_bundle(&self, first: u64, entries: &[Vec<u8>]) -> Result<()> {
        let hashes: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
        let tile = self.folder.tile(0, first / WIDTH)?;
        if let Some(entry) = (first..).zip(hashes.iter().zip(tile.iter())).find(|(_, (a, b))| a != b) {
            return Err(tlog::Error::EntryDiffers { entry: entry.0 }.into());
        }
        // Every other hash of the tile stands in the first one's proof, as a sibling or below one.
        let proof = merkle::prove_inclusion(&self.folder, first, self.size())?;
        let leaf = hashes.first().copied().unwrap_or_else(Hash::empty);
        merkle::check_inclusion(leaf, first, self.size(), &proof, self.checkpoint.root)?;
        Ok(())
    }
}

//! The sender's records of return media: the part of its log that each site has seen.

use std::path::{Path, PathBuf};

use bundle_signer::TrustFile;
use bundle_signer::trust::TrustedLog;
use serde::{Deserialize, Serialize};
use tlog::{Checkpoint, Folder, Note, VerifierKey, cosignature, merkle};

use super::returned::{CHECKPOINT, FOLDER, LOGS};
use super::{Now, Witness};
use crate::bundle::Error;
use crate::drive_log::{Alarm, AlarmKind, DriveLogError, LogOwner, file_name, is_file_name};
use crate::media::Beneath;

/// The maximum number of sites on a medium that are read.
const MOST_SITES: usize = 1000;

/// A checkpoint of this store's log that a site acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The site, by the name of its witness key.
    pub site: String,
    /// The cosigned checkpoint.
    pub note: Note,
    /// The parsed checkpoint.
    pub checkpoint: Checkpoint,
}

/// The recorded acknowledgement of one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AcknowledgeReport {
    /// The site, by its name in the trust file.
    pub site: String,
    /// The number of entries of this store's log that it has seen.
    pub size: u64,
    /// The time of the cosignature by the site's clock, in seconds since 1970.
    pub time: u64,
    /// The number of entries that it had acknowledged before.
    pub before: u64,
    /// The site's own log, and its size.
    pub own: Option<(String, u64)>,
    /// Whether the trust file has the key of the site's own log, so that its signature was verified.
    pub own_checked: bool,
}

/// The record of a site.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Site {
    site: String,
    acknowledged: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own: Option<String>,
}

/// This store's own log.
pub struct OwnLog<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// Its key.
    pub key: &'a VerifierKey,
}

impl Witness {
    fn site(&self, site: &str) -> PathBuf {
        self.root.join("sites").join(format!("{site}.json"))
    }

    /// The checkpoints of the log `origin` that sites acknowledged, by the sites' names. A store may have had other logs.
    ///
    /// # Errors
    /// [`DriveLogError::Record`] when a record is damaged.
    pub fn acknowledged(&self, origin: &str) -> Result<Vec<Acknowledged>, Error> {
        let mut found = Vec::new();
        for path in self.records("sites")? {
            let Some(site) = self.read::<Site>(&path)? else { continue };
            found.push(parse(site, &path)?.0);
        }
        found.retain(|site| site.checkpoint.origin == origin);
        Ok(found)
    }

    /// Verifies the checkpoints that sites returned on a medium, and records them, either for all sites or for none. An alarm
    /// is recorded with both signed checkpoints before it is returned.
    ///
    /// # Errors
    /// [`Error::Log`] with a [`DriveLogError`] when the medium has no checkpoint of this log; [`Error::Alarm`] when a site saw
    /// another history of this log, or its own log was rolled back.
    pub fn acknowledge(
        &self,
        medium: &Path,
        own: &OwnLog<'_>,
        trust: &TrustFile,
        now: &Now,
    ) -> Result<Vec<AcknowledgeReport>, Error> {
        let medium = Beneath::open(medium)?;
        let sites = sites(&medium)?;
        let _lock = self.lock()?;
        let (mut accepted, mut other_logs) = (Vec::new(), Vec::new());
        for folder in &sites {
            let path = folder.join(LOGS).join(file_name(own.key.name()));
            match medium.read(&path, tlog::note::MAX_LEN as u64)? {
                Some(bytes) => match self.check_returned(&medium, folder, &bytes, own, trust) {
                    Err(Error::Alarm(alarm)) => {
                        self.raise_of_site(folder, &alarm, now)?;
                        return Err(Error::Alarm(alarm));
                    }
                    returned => accepted.push(returned?),
                },
                None => other_logs.extend(others(&medium, &folder.join(LOGS))?),
            }
        }
        if accepted.is_empty() {
            let found = if other_logs.is_empty() { "none".to_owned() } else { other_logs.join(", ") };
            return Err(DriveLogError::OtherReturn { expected: own.key.name().to_owned(), found }.into());
        }
        let mut reports = Vec::new();
        for (name, site, report) in accepted {
            self.write(&self.site(&name), &site)?;
            reports.push(report);
        }
        Ok(reports)
    }

    fn check_returned(
        &self,
        medium: &Beneath,
        folder: &Path,
        bytes: &[u8],
        own: &OwnLog<'_>,
        trust: &TrustFile,
    ) -> Result<(String, Site, AcknowledgeReport), Error> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let witness = trust.witnesses().iter().find(|witness| witness.key().name() == name);
        let witness = witness
            .filter(|witness| trust.log_revocation(witness).is_none())
            .ok_or_else(|| DriveLogError::UnknownWitness(name.clone()))?;
        let note = Note::parse(bytes).map_err(DriveLogError::Log)?;
        let checkpoint = Checkpoint::verify(&note, own.key).map_err(DriveLogError::Log)?;
        let other = |source| DriveLogError::OtherSite { site: name.clone(), source };
        let time = cosignature::verify(&note, witness.key()).map_err(other)?;
        check_own_log(own, &note, &checkpoint, &name)?;
        let note = note.only(&[own.key, witness.key()]);
        let path = self.site(&name);
        let before = self.read::<Site>(&path)?.map(|site| parse(site, &path)).transpose()?;
        let same = before.as_ref().map(|(before, _)| &before.checkpoint);
        let known = same.filter(|before| before.origin == checkpoint.origin).map_or(0, |before| before.size);
        let theirs = medium.read(&folder.join(CHECKPOINT), tlog::note::MAX_LEN as u64)?;
        let theirs = theirs.map(|bytes| Note::parse(&bytes)).transpose().map_err(DriveLogError::Log)?;
        if checkpoint.size < known {
            let returned = [Some(&note), theirs.as_ref()];
            return Err(fewer_entries(witness, &returned, before.as_ref(), checkpoint.size, known));
        }
        let before = before.and_then(|(_, own)| own);
        let (site_log, own_checked) = match &theirs {
            Some(theirs) => {
                cosignature::verify(theirs, witness.key()).map_err(other)?;
                let (found, checked) = check_their_log(theirs, before.as_ref(), &name, trust)?;
                (Some((found.origin, found.size)), checked)
            }
            None => (None, false),
        };
        let report = AcknowledgeReport {
            site: witness.name().to_owned(),
            size: checkpoint.size,
            time,
            before: known,
            own: site_log,
            own_checked,
        };
        let own = theirs.or(before).map(|note| note.to_string());
        Ok((name.clone(), Site { site: name, acknowledged: note.to_string(), own }, report))
    }
}

fn parse(site: Site, path: &Path) -> Result<(Acknowledged, Option<Note>), Error> {
    let damaged = |_| DriveLogError::Record(path.to_owned());
    let note = Note::parse(site.acknowledged.as_bytes()).map_err(damaged)?;
    let checkpoint = Checkpoint::read(&note).map_err(damaged)?;
    let own = site.own.map(|own| Note::parse(own.as_bytes())).transpose().map_err(damaged)?;
    if !is_file_name(&site.site) {
        return Err(DriveLogError::Record(path.to_owned()).into());
    }
    Ok((Acknowledged { site: site.site, note, checkpoint }, own))
}

/// The error when a site returns fewer entries than before: an old medium, or an alarm if its cosignature is newer by the
/// site's own clock.
fn fewer_entries(
    witness: &TrustedLog,
    returned: &[Option<&Note>],
    before: Option<&(Acknowledged, Option<Note>)>,
    found: u64,
    known: u64,
) -> Error {
    let site = witness.name().to_owned();
    let time = |note: &&Note| cosignature::verify(note, witness.key()).ok();
    let now = returned.iter().flatten().filter_map(time).max();
    let then = before.into_iter().flat_map(|(seen, own)| [Some(&seen.note), own.as_ref()]);
    let then = then.flatten().filter_map(|note| time(&note)).max();
    if now <= then {
        return DriveLogError::StaleReturn { site, found, known }.into();
    }
    let note = |note: Option<&Note>| note.map(Note::to_string);
    let origin = witness.key().name().to_owned();
    Alarm {
        kind: AlarmKind::SiteWentBack { site, found, known },
        owner: LogOwner::Site { site: origin.clone() },
        origin,
        found: note(returned.first().copied().flatten()).unwrap_or_default(),
        known: note(before.map(|(seen, _)| &seen.note)),
    }
    .into()
}

/// Checks that this store's log contains the checkpoint that the site saw: otherwise, the log was rolled back or forked.
fn check_own_log(own: &OwnLog<'_>, note: &Note, seen: &Checkpoint, site: &str) -> Result<(), Error> {
    let current = Folder::checkpoint(own.folder).map_err(DriveLogError::Own)?;
    let now = Checkpoint::verify(&current, own.key).map_err(DriveLogError::Own)?;
    check_seen_by_site(&Folder::signed(own.folder, &now), &current, note, seen, site)
}

/// Checks that this store's log, at the checkpoint `current`, contains the checkpoint that a site saw.
pub(crate) fn check_seen_by_site(
    folder: &Folder,
    current: &Note,
    note: &Note,
    seen: &Checkpoint,
    site: &str,
) -> Result<(), Error> {
    check_contains(folder, current, note, seen, LogOwner::Own { site: site.to_owned() })
}

/// Checks that this store's log, at the checkpoint `current`, contains an earlier checkpoint.
pub(crate) fn check_contains(
    folder: &Folder,
    current: &Note,
    note: &Note,
    seen: &Checkpoint,
    owner: LogOwner,
) -> Result<(), Error> {
    let kind = if folder.size() < seen.size {
        AlarmKind::RolledBack { found: folder.size(), known: seen.size }
    } else if merkle::root(folder, seen.size).map_err(DriveLogError::Own)? == seen.root {
        return Ok(());
    } else {
        AlarmKind::Forked { known: seen.size }
    };
    let (origin, known) = (seen.origin.clone(), Some(note.to_string()));
    Err(Alarm { kind, owner, origin, found: current.to_string(), known }.into())
}

/// Checks that the site's own log only grows, as far as two checkpoints show; verifies its signature if its key is known.
fn check_their_log(
    theirs: &Note,
    before: Option<&Note>,
    site: &str,
    trust: &TrustFile,
) -> Result<(Checkpoint, bool), Error> {
    let found = Checkpoint::read(theirs).map_err(DriveLogError::Log)?;
    let checked = match trust.log(&found.origin) {
        Ok(log) => Checkpoint::verify(theirs, log.key()).map_err(DriveLogError::Log).map(|_| true)?,
        Err(bundle_signer::Error::UnknownLog(_)) => false,
        Err(source) => return Err(DriveLogError::Key { origin: found.origin, source }.into()),
    };
    let Some(before) = before else { return Ok((found, checked)) };
    let known = Checkpoint::read(before).map_err(DriveLogError::Log)?;
    let kind = match found.size.cmp(&known.size) {
        _ if found.origin != known.origin => return Ok((found, checked)),
        std::cmp::Ordering::Less => AlarmKind::RolledBack { found: found.size, known: known.size },
        std::cmp::Ordering::Equal if found.root != known.root => AlarmKind::Forked { known: known.size },
        _ => return Ok((found, checked)),
    };
    let (origin, known) = (found.origin, Some(before.to_string()));
    let owner = LogOwner::Site { site: site.to_owned() };
    Err(Alarm { kind, owner, origin, found: theirs.to_string(), known }.into())
}

/// The folders of sites on a medium. The path is the medium itself, or the return folder on it.
fn sites(medium: &Beneath) -> Result<Vec<PathBuf>, Error> {
    let inner = Path::new(FOLDER);
    let root = if medium.is_folder(inner) { inner } else { Path::new("") };
    let is_site = |name: &std::ffi::OsString| name.to_str().is_some_and(is_file_name);
    let names = medium.names(root)?.into_iter().filter(is_site).take(MOST_SITES);
    let sites: Vec<_> =
        names.map(|name| root.join(name)).filter(|site| medium.is_folder(&site.join(LOGS))).collect();
    if sites.is_empty() { Err(DriveLogError::NoReturn(medium.path(Path::new(""))).into()) } else { Ok(sites) }
}

/// The names of the logs in a site's folder, for messages.
fn others(medium: &Beneath, logs: &Path) -> Result<Vec<String>, Error> {
    let origin = |name: std::ffi::OsString| {
        let bytes = medium.read(&logs.join(name), tlog::note::MAX_LEN as u64).ok()??;
        let origin = Checkpoint::read(&Note::parse(&bytes).ok()?).ok()?.origin;
        Some(format!("`{origin}`"))
    };
    let mut found: Vec<_> = medium.names(logs)?.into_iter().take(MOST_SITES).filter_map(origin).collect();
    found.sort();
    Ok(found)
}

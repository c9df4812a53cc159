//! The registry's changes as events.

use std::error::Error;
use std::time::SystemTime;

use audit::{Draft, Ending, EventType, Outcome};
use evidence::shape::{is_evidence, label};
use oci::{Manifest, Tag};
use registry::server::{Changed, Observer, Operation, Refused, Repeats, Visitor};
use store::Store;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Journals;

/// Logs what clients of the registry do.
pub(crate) struct Witness {
    pub(crate) journals: Journals,
    /// Where what came in is.
    pub(crate) store: Store,
}

impl Observer for Witness {
    fn changed(&self, change: &Changed) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (kind, object) = kind(change.deed);
        let tags: Vec<&str> = change.tags.iter().map(Tag::as_str).collect();
        let name = if tags.is_empty() {
            format!("{}@{}", change.repository, change.digest)
        } else {
            format!("{}:{}", change.repository, tags.join(","))
        };
        let mut draft = Draft::new(kind, object, &name);
        draft.digests([change.digest.to_string()]);
        by(&mut draft, &change.visitor);
        if let Some(manifest) = &change.manifest {
            self.tell(change, manifest, &mut draft)?;
        }
        self.journals.record(&draft, &Outcome::success())?;
        Ok(())
    }

    fn refused(&self, attempt: &Refused) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (kind, object) = kind(attempt.deed);
        let mut draft = Draft::new(kind, object, &attempt.name);
        by(&mut draft, &attempt.visitor);
        if let Some(Repeats { count, first, last }) = attempt.repeats {
            let time = |time: SystemTime| OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_default();
            draft.evidence("count", &count);
            draft.evidence("first", &time(first));
            draft.evidence("last", &time(last));
        }
        let ending = if attempt.status >= 500 { Ending::Failed } else { Ending::Refused };
        let reason = format!("http-{}", attempt.status);
        self.journals.record(&draft, &Outcome::because(ending, &reason, &attempt.message))?;
        Ok(())
    }
}

impl Witness {
    /// What is said of something else is told as that, with what it is said of: it needs no signature of its own. By the
    /// same rule the gates let it pass: content decides, and a tag that is not cosign's makes it something to be pulled.
    fn tell(&self, change: &Changed, manifest: &Manifest, draft: &mut Draft) -> Result<(), evidence::Error> {
        let referred = manifest.subject().map(|subject| subject.digest.clone());
        if let Some(subject) = referred.or_else(|| change.tags.iter().find_map(Tag::attached_to)) {
            draft.evidence("subject", &subject);
        }
        if change.tags.iter().all(Tag::is_attachment) && is_evidence(&self.store, manifest)? {
            draft.evidence("holds", label(manifest));
        }
        Ok(())
    }
}

fn by(draft: &mut Draft, visitor: &Visitor) {
    let address = visitor.address.map(|address| address.ip().to_canonical().to_string());
    draft.by(visitor.user.as_deref(), address.as_deref());
}

/// The event, and a word for what it was done to.
fn kind(deed: Operation) -> (EventType, &'static str) {
    match deed {
        Operation::PushManifest => (EventType::Push, "manifest"),
        Operation::PushBlob => (EventType::Push, "blob"),
        Operation::DeleteManifest => (EventType::Delete, "manifest"),
        Operation::DeleteTag => (EventType::Delete, "tag"),
        Operation::DeleteBlob => (EventType::Delete, "blob"),
        Operation::LogIn => (EventType::Login, "path"),
    }
}

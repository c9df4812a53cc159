//! Audit events of the registry.

use std::error::Error;
use std::time::SystemTime;

use audit::{Draft, Ending, EventType, Outcome};
use evidence::shape::{is_evidence, label};
use oci::{Manifest, Tag};
use registry::server::{Changed, Observer, Operation, Refused, Repeats, Visitor};
use store::{Damage, Store};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Journals;

/// Logs what clients of the registry do.
pub(crate) struct AuditObserver {
    pub(crate) journals: Journals,
    /// The store that the registry serves.
    pub(crate) store: Store,
}

impl Observer for AuditObserver {
    fn changed(&self, change: &Changed) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (kind, object) = kind(change.operation);
        let tags: Vec<&str> = change.tags.iter().map(Tag::as_str).collect();
        let name = match &change.digest {
            _ if !tags.is_empty() => format!("{}:{}", change.repository, tags.join(",")),
            Some(digest) => format!("{}@{digest}", change.repository),
            None => change.repository.to_string(),
        };
        let mut draft = Draft::new(kind, object, &name);
        draft.digests(change.digest.iter().map(ToString::to_string));
        if change.operation != Operation::ExpireManifest {
            set_client(&mut draft, &change.visitor);
        }
        if let Some(manifest) = &change.manifest {
            self.add_subject(change, manifest, &mut draft)?;
        }
        self.journals.record(&draft, &Outcome::success())?;
        Ok(())
    }

    fn refused(&self, attempt: &Refused) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (kind, object) = kind(attempt.operation);
        let mut draft = Draft::new(kind, object, &attempt.name);
        set_client(&mut draft, &attempt.visitor);
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

impl AuditObserver {
    /// Records the subject of a manifest and, for evidence, its kind: evidence needs no signature, and the gates let
    /// it pass by the same rule. The content decides, and a tag that is not cosign's makes it an image to pull.
    fn add_subject(
        &self,
        change: &Changed,
        manifest: &Manifest,
        draft: &mut Draft,
    ) -> Result<(), evidence::Error> {
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

fn set_client(draft: &mut Draft, visitor: &Visitor) {
    let address = visitor.address.map(|address| address.ip().to_canonical().to_string());
    draft.by(visitor.user.as_deref(), address.as_deref());
}

/// The event type, and the kind of its object.
fn kind(operation: Operation) -> (EventType, &'static str) {
    match operation {
        Operation::PushManifest => (EventType::Push, "manifest"),
        Operation::HoldManifest => (EventType::InboxHold, "manifest"),
        Operation::PromoteManifest => (EventType::InboxPromote, "manifest"),
        Operation::ExpireManifest => (EventType::InboxExpire, "manifest"),
        Operation::PushBlob => (EventType::Push, "blob"),
        Operation::DeleteManifest => (EventType::Delete, "manifest"),
        Operation::DeleteTag => (EventType::Delete, "tag"),
        Operation::DeleteBlob => (EventType::Delete, "blob"),
        Operation::DeleteRepository => (EventType::Delete, "repository"),
        Operation::LogIn => (EventType::Login, "path"),
    }
}

/// Logs each damaged blob that this process finds in the store.
pub(crate) fn log_damage(store: &Store, journals: Journals) {
    store.observe_damage(move |damage: &Damage| {
        let digest = damage.digest.to_string();
        let mut draft = Draft::new(EventType::StoreDamage, "blob", &digest);
        draft.digests([digest]);
        let outcome = Outcome::because(Ending::Failed, damage.kind.name(), damage.kind.text());
        if let Err(error) = journals.record(&draft, &outcome) {
            tracing::error!(%error, "cannot record a damaged blob in the audit log");
        }
    });
}

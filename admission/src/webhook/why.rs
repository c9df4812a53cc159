//! Why an image is refused: one type, of which come both what is said and what to do, so that they always fit.

use std::fmt;

use bundle_signer::statement::{COSIGN_SIGN, TYPE_NAMES};
use bundle_signer::trust::Reason;
use bundle_signer::{Gate, ImageName, TrustFile};
use evidence::{RefusalReason, Verdict};
use oci::{Digest, RegistryHost, RepositoryName};

/// More keys, and more of what is wrong with one statement, are of no help.
const MOST: usize = 4;

/// Why an image is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its name is none.
    Unreadable,
    /// The policy says what cannot be.
    BrokenPolicy(String),
    /// The policy is older than one that was in force.
    StalePolicy { found: u64, newest: u64 },
    /// It came without a digest, though tags are pinned.
    NotPinned,
    /// It came without a digest, and tags are refused.
    TagRefused,
    /// The registry did not answer in time.
    Silent { host: RegistryHost, seconds: u64 },
    /// The registry gave no answer that helps.
    NotAsked(String),
    /// What the registry has about it cannot be taken.
    Broken(String),
    /// The registry has the tag not.
    NoTag { host: RegistryHost, repository: RepositoryName, tag: String },
    /// The registry has the image not.
    NoImage { host: RegistryHost, repository: RepositoryName },
    /// Something must be said of it that nobody said who counts.
    Unmet(Unmet),
}

/// What is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unmet {
    /// What is said already: what, and by whom.
    pub(super) met: Vec<(String, String)>,
    pub(super) lacks: Vec<Lack>,
    /// The names that may be signed.
    pub(super) names: Vec<String>,
    /// The image, as commands take it that sign it.
    pub(super) target: String,
    /// The keys that the policy knows.
    pub(super) keys: Vec<String>,
}

/// One thing that must be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    predicate_type: String,
    /// Whose word is asked for; anyone's, who may say it, when none is named.
    by: Option<String>,
    /// What was found instead.
    found: Vec<RefusalReason>,
    /// What could not be read.
    skipped: Vec<String>,
}

impl Lack {
    /// What verdicts, one for each name, say of one predicate type.
    pub(super) fn of(trust: &TrustFile, predicate_type: &str, verdicts: &[Verdict]) -> Self {
        let (mut found, mut skipped) = (Vec::new(), Vec::new());
        for verdict in verdicts {
            // Simple signing says nothing but that an image is signed.
            let refused = verdict
                .refused
                .iter()
                .filter(|refused| predicate_type == COSIGN_SIGN || refused.format != "simpleSigning");
            let faults = refused.map(|refused| refused.fault.clone());
            let reasons = verdict.decision.why_not.iter().filter_map(|reason| match reason {
                Reason::Unsigned => None,
                Reason::UnknownKey(hint) => Some(RefusalReason::UnknownKey(Some(hint.clone()))),
                other => Some(RefusalReason::Other(other.to_string())),
            });
            for fault in faults.chain(reasons) {
                if !found.contains(&fault) {
                    found.push(fault);
                }
            }
            for one in &verdict.skipped {
                let text = format!("{}: {}", one.at, one.why);
                if !skipped.contains(&text) {
                    skipped.push(text);
                }
            }
        }
        // The same key signed in a format that tells its hint.
        if found.iter().any(|fault| matches!(fault, RefusalReason::UnknownKey(Some(_)))) {
            found.retain(|fault| *fault != RefusalReason::UnknownKey(None));
        }
        found.truncate(MOST);
        skipped.truncate(MOST);
        let by = trust.asked_of(Gate::Pull, predicate_type).map(str::to_owned);
        Self { predicate_type: predicate_type.to_owned(), by, found, skipped }
    }

    fn is_signature(&self) -> bool {
        self.predicate_type == COSIGN_SIGN
    }

    fn sentence(&self, unmet: &Unmet) -> String {
        let label = label(&self.predicate_type);
        let subject = if self.is_signature() { "it".to_owned() } else { format!("`{label}`") };
        let mut said = Vec::new();
        let hints: Vec<_> = self.found.iter().filter_map(unknown).collect();
        if !hints.is_empty() {
            let (only, known) = (hints.len() == self.found.len(), some(&unmet.keys));
            let only = if only { "only " } else { "" };
            let hints = hints.join(" and ");
            said.push(format!(
                "{subject} is signed {only}by {hints}, which the policy does not know; it knows {known}"
            ));
        }
        let others: Vec<_> = self.found.iter().filter_map(other_name).collect();
        if !others.is_empty() {
            let wanted = unmet.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
            said.push(format!("{subject} is signed as {}, not as {wanted}", others.join(" and ")));
        }
        for fault in &self.found {
            match fault {
                RefusalReason::Unnamed => {
                    said.push(format!("{subject} is signed without a name, and the name must be signed"));
                }
                RefusalReason::Other(why) => said.push(why.clone()),
                RefusalReason::UnknownKey(_) | RefusalReason::OtherName(_) => {}
            }
        }
        if self.found.is_empty() {
            said.push(if self.is_signature() {
                "it is not signed".to_owned()
            } else {
                format!("{subject} is missing")
            });
        }
        said.extend(self.skipped.iter().map(|skipped| format!("passed over is {skipped}")));
        said.join(", and ")
    }

    fn advice(&self, target: &str) -> String {
        let by =
            self.by.as_ref().map_or_else(|| "that the policy knows".to_owned(), |by| format!("of `{by}`"));
        let command = if self.is_signature() {
            format!("sign it with `airlock sign {target} --key KEY`")
        } else {
            let label = label(&self.predicate_type);
            format!("attest it with `airlock attest {target} --predicate FILE --type {label} --key KEY`")
        };
        let first = if self.skipped.is_empty() { "" } else { "delete what is passed over, and " };
        format!("{first}{command}, by a key {by}")
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("its name cannot be read"),
            Self::BrokenPolicy(why) => write!(f, "the policy cannot be used: {why}"),
            Self::StalePolicy { found, newest } => {
                write!(f, "the policy has sequence {found}, but {newest} was in force already")
            }
            Self::NotPinned => {
                f.write_str("it has no digest, and a tag may move; it was not pinned on its way here")
            }
            Self::TagRefused => {
                f.write_str("it has no digest, and the policy takes none that is named by a tag")
            }
            Self::Silent { host, seconds } => {
                write!(f, "the registry `{host}` did not answer within {seconds} s")
            }
            Self::NotAsked(why) | Self::Broken(why) => f.write_str(why),
            Self::NoTag { host, repository, tag } => {
                write!(f, "the registry `{host}` has no such tag: `{repository}:{tag}`")
            }
            Self::NoImage { host, repository } => {
                write!(f, "the registry `{host}` has no such image in `{repository}`")
            }
            Self::Unmet(unmet) => {
                let met = unmet.met.iter().map(|(what, by)| format!("`{what}` by {by} is there"));
                let mut lacks = Vec::new();
                for lack in &unmet.lacks {
                    let sentence = lack.sentence(unmet);
                    if !lacks.contains(&sentence) {
                        lacks.push(sentence);
                    }
                }
                f.write_str(&met.chain(lacks).collect::<Vec<_>>().join("; "))
            }
        }
    }
}

impl Why {
    /// What to do about it.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::Unreadable => "name it as HOST/REPOSITORY:TAG@DIGEST".to_owned(),
            Self::BrokenPolicy(_) | Self::StalePolicy { .. } => {
                "mend the policy; `kubectl get trustpolicies` shows which are in force".to_owned()
            }
            Self::NotPinned => "name it with its digest, as IMAGE@sha256:..., and see that the \
                 MutatingWebhookConfiguration `airlock` is there"
                .to_owned(),
            Self::TagRefused => "name it with its digest, as IMAGE@sha256:...".to_owned(),
            Self::Silent { .. } | Self::NotAsked(_) => {
                "have the registry answer, and try again; what is signed need not be signed again".to_owned()
            }
            Self::Broken(_) => {
                "put right what the registry has about it: mirror it again, or delete what is broken"
                    .to_owned()
            }
            Self::NoTag { .. } => "mirror the image, or name a tag that is there".to_owned(),
            Self::NoImage { .. } => "mirror the image, or name one that is there".to_owned(),
            Self::Unmet(unmet) => {
                let all = unmet.lacks.iter().map(|lack| lack.advice(&unmet.target));
                all.collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// Whether it is about the moment, and not about the image.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::NotAsked(_))
    }
}

fn unknown(fault: &RefusalReason) -> Option<String> {
    let RefusalReason::UnknownKey(hint) = fault else { return None };
    Some(hint.as_ref().map_or_else(|| "a key".to_owned(), |hint| format!("key {hint}")))
}

fn other_name(fault: &RefusalReason) -> Option<String> {
    let RefusalReason::OtherName(name) = fault else { return None };
    Some(format!("`{name}`"))
}

/// The image as `airlock sign` takes it: in the mirror's store, where there is a mirror, and under the first of the
/// names that count.
pub(super) fn target(names: &[ImageName], digest: &Digest, mirror: Option<&RegistryHost>) -> String {
    let Some(name) = names.first().map(ToString::to_string) else { return "IMAGE".to_owned() };
    match mirror.map(|mirror| name.strip_prefix(&format!("{mirror}/"))) {
        None => format!("{name}@{digest}"),
        Some(None) => format!("{name}@{digest} --store STORE"),
        // A repository of the mirror's own.
        Some(Some(repository)) => format!("{repository}@{digest} --name {name} --store STORE"),
    }
}

/// The keys and identities that count, for people.
pub(super) fn keys(trust: &TrustFile) -> Vec<String> {
    let alive = trust.holders().filter(|holder| trust.revocation(holder).is_none());
    alive.map(|holder| format!("`{}` ({})", holder.name(), holder.hint())).collect()
}

/// A predicate type by its short name, where it has one.
pub(super) fn label(predicate_type: &str) -> &str {
    let known = TYPE_NAMES.iter().find(|(_, uri)| *uri == predicate_type);
    known.map_or(predicate_type, |(name, _)| name)
}

fn some(all: &[String]) -> String {
    let more = all.len().saturating_sub(MOST);
    let mut text = all.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

#[cfg(test)]
mod tests;

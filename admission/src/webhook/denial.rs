//! The reasons for rejecting an image. The message and the advice come from the same type, so that they always match.

use std::fmt;

use bundle_signer::statement::{COSIGN_SIGN, TYPE_NAMES};
use bundle_signer::trust::Reason;
use bundle_signer::{Gate, ImageName, TrustFile};
use evidence::{RefusalReason, Verdict};
use oci::{Digest, RegistryHost, RepositoryName};

/// The most keys, and the most problems of one statement, in a message.
const MAX_LISTED: usize = 4;

/// The reason for rejecting an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DenialReason {
    /// The image reference is invalid.
    InvalidReference,
    /// The policy is invalid.
    InvalidPolicy(String),
    /// The policy is older than one that was in force.
    StalePolicy { found: u64, newest: u64 },
    /// The image has no digest, although tags are pinned.
    NotPinned,
    /// The image has no digest, and the policy does not allow tags.
    TagNotAllowed,
    /// The registry did not answer in time.
    Timeout { host: RegistryHost, seconds: u64 },
    /// The query to the registry failed.
    QueryFailed(String),
    /// The registry's content for the image is invalid.
    InvalidContent(String),
    /// The registry does not have the tag.
    TagNotFound { host: RegistryHost, repository: RepositoryName, tag: String },
    /// The registry does not have the image.
    ImageNotFound { host: RegistryHost, repository: RepositoryName },
    /// Required statements by trusted signers are missing.
    Unmet(UnmetRequirements),
}

/// The requirements of a policy that an image does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnmetRequirements {
    /// The statements that exist: the type and the signers.
    pub(super) met: Vec<(String, String)>,
    pub(super) missing: Vec<MissingStatement>,
    /// The names under which the image may be signed.
    pub(super) names: Vec<String>,
    /// The image, as an argument of the commands that sign it.
    pub(super) target: String,
    /// The keys that the policy trusts.
    pub(super) keys: Vec<String>,
}

/// A required statement that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MissingStatement {
    predicate_type: String,
    /// The required signer. If `None`, any key that may sign the statement.
    by: Option<String>,
    /// The problems of the statements that were found.
    found: Vec<RefusalReason>,
    /// The statements that could not be read.
    skipped: Vec<String>,
}

impl MissingStatement {
    /// Summarizes the verdicts on one predicate type, one for each name.
    pub(super) fn of(trust: &TrustFile, predicate_type: &str, verdicts: &[Verdict]) -> Self {
        let (mut found, mut skipped) = (Vec::new(), Vec::new());
        for verdict in verdicts {
            // Simple signing only states that an image is signed.
            let refused = verdict
                .refused
                .iter()
                .filter(|refused| predicate_type == COSIGN_SIGN || refused.format != "simpleSigning");
            let faults = refused.map(|refused| refused.kind.clone());
            let reasons = verdict.decision.reasons.iter().filter_map(|reason| match reason {
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
                let text = format!("{}: {}", one.at, one.reason);
                if !skipped.contains(&text) {
                    skipped.push(text);
                }
            }
        }
        // The same key also signed in a format that states its hint.
        if found.iter().any(|fault| matches!(fault, RefusalReason::UnknownKey(Some(_)))) {
            found.retain(|fault| *fault != RefusalReason::UnknownKey(None));
        }
        found.truncate(MAX_LISTED);
        skipped.truncate(MAX_LISTED);
        let by = trust.required_signer(Gate::Pull, predicate_type).map(str::to_owned);
        Self { predicate_type: predicate_type.to_owned(), by, found, skipped }
    }

    fn is_signature(&self) -> bool {
        self.predicate_type == COSIGN_SIGN
    }

    fn message(&self, unmet: &UnmetRequirements) -> String {
        let label = label(&self.predicate_type);
        let subject = if self.is_signature() { "it".to_owned() } else { format!("`{label}`") };
        let mut parts = Vec::new();
        let hints: Vec<_> = self.found.iter().filter_map(unknown).collect();
        if !hints.is_empty() {
            let (only, trusted) = (hints.len() == self.found.len(), first_of(&unmet.keys));
            let only = if only { "only " } else { "" };
            let hints = hints.join(" and ");
            parts.push(format!(
                "{subject} is signed {only}by {hints}, which the policy does not trust; it trusts {trusted}"
            ));
        }
        let others: Vec<_> = self.found.iter().filter_map(other_name).collect();
        if !others.is_empty() {
            let wanted = unmet.names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
            parts.push(format!("{subject} is signed as {}, not as {wanted}", others.join(" and ")));
        }
        for fault in &self.found {
            match fault {
                RefusalReason::Unnamed => {
                    parts.push(format!("{subject} is signed without a name, but the name must be signed"));
                }
                RefusalReason::Other(reason) => parts.push(reason.clone()),
                RefusalReason::UnknownKey(_) | RefusalReason::OtherName(_) => {}
            }
        }
        if self.found.is_empty() {
            parts.push(if self.is_signature() {
                "it is not signed".to_owned()
            } else {
                format!("{subject} is missing")
            });
        }
        parts.extend(self.skipped.iter().map(|skipped| format!("skipped: {skipped}")));
        parts.join(", and ")
    }

    fn advice(&self, target: &str) -> String {
        let by =
            self.by.as_ref().map_or_else(|| "that the policy trusts".to_owned(), |by| format!("of `{by}`"));
        let command = if self.is_signature() {
            format!("sign it with `airlock sign {target} --key KEY`")
        } else {
            let label = label(&self.predicate_type);
            format!("attest it with `airlock attest {target} --predicate FILE --type {label} --key KEY`")
        };
        let first = if self.skipped.is_empty() { "" } else { "delete the skipped statements, and " };
        format!("{first}{command}, with a key {by}")
    }
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidReference => f.write_str("its image reference is invalid"),
            Self::InvalidPolicy(reason) => write!(f, "the policy cannot be used: {reason}"),
            Self::StalePolicy { found, newest } => {
                write!(f, "the policy has sequence {found}, but {newest} was in force before")
            }
            Self::NotPinned => {
                f.write_str("it has no digest, and a tag may move; the mutating webhook did not pin it")
            }
            Self::TagNotAllowed => f.write_str("it has no digest, and the policy does not allow tags"),
            Self::Timeout { host, seconds } => {
                write!(f, "the registry `{host}` did not answer within {seconds} s")
            }
            Self::QueryFailed(reason) | Self::InvalidContent(reason) => f.write_str(reason),
            Self::TagNotFound { host, repository, tag } => {
                write!(f, "the registry `{host}` has no such tag: `{repository}:{tag}`")
            }
            Self::ImageNotFound { host, repository } => {
                write!(f, "the registry `{host}` has no such image in `{repository}`")
            }
            Self::Unmet(unmet) => {
                let met = unmet.met.iter().map(|(label, by)| format!("`{label}` by {by} is present"));
                let mut missing = Vec::new();
                for statement in &unmet.missing {
                    let message = statement.message(unmet);
                    if !missing.contains(&message) {
                        missing.push(message);
                    }
                }
                f.write_str(&met.chain(missing).collect::<Vec<_>>().join("; "))
            }
        }
    }
}

impl DenialReason {
    /// What the user can do about it.
    pub(super) fn advice(&self) -> String {
        match self {
            Self::InvalidReference => "specify it as HOST/REPOSITORY:TAG@DIGEST".to_owned(),
            Self::InvalidPolicy(_) | Self::StalePolicy { .. } => {
                "fix the policy; `kubectl get trustpolicies` shows which policies are in force".to_owned()
            }
            Self::NotPinned => "specify it with its digest, as IMAGE@sha256:..., and check that the \
                 MutatingWebhookConfiguration `airlock` exists"
                .to_owned(),
            Self::TagNotAllowed => "specify it with its digest, as IMAGE@sha256:...".to_owned(),
            Self::Timeout { .. } | Self::QueryFailed(_) => {
                "make the registry reachable, and try again; images that are signed need not be signed again"
                    .to_owned()
            }
            Self::InvalidContent(_) => {
                "repair the content of the registry: mirror the image again, or delete the invalid content"
                    .to_owned()
            }
            Self::TagNotFound { .. } => "mirror the image, or use a tag that exists".to_owned(),
            Self::ImageNotFound { .. } => "mirror the image, or use one that exists".to_owned(),
            Self::Unmet(unmet) => {
                let all = unmet.missing.iter().map(|statement| statement.advice(&unmet.target));
                all.collect::<Vec<_>>().join("; ")
            }
        }
    }

    /// Whether the reason is temporary, and not a property of the image.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::QueryFailed(_))
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

/// The image as an argument of `airlock sign`: with a mirror, the image in the mirror's store, and under the first of the
/// accepted names.
pub(super) fn target(names: &[ImageName], digest: &Digest, mirror: Option<&RegistryHost>) -> String {
    let Some(name) = names.first().map(ToString::to_string) else { return "IMAGE".to_owned() };
    match mirror.map(|mirror| name.strip_prefix(&format!("{mirror}/"))) {
        None => format!("{name}@{digest}"),
        Some(None) => format!("{name}@{digest} --store STORE"),
        // The mirror's own repository.
        Some(Some(repository)) => format!("{repository}@{digest} --name {name} --store STORE"),
    }
}

/// The trusted keys and identities, as text for people.
pub(super) fn keys(trust: &TrustFile) -> Vec<String> {
    let alive = trust.holders().filter(|holder| trust.revocation(holder).is_none());
    alive.map(|holder| format!("`{}` ({})", holder.name(), holder.hint())).collect()
}

/// The short name of a predicate type, if it has one.
pub(super) fn label(predicate_type: &str) -> &str {
    let known = TYPE_NAMES.iter().find(|(_, uri)| *uri == predicate_type);
    known.map_or(predicate_type, |(name, _)| name)
}

fn first_of(all: &[String]) -> String {
    let more = all.len().saturating_sub(MAX_LISTED);
    let mut text = all.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

#[cfg(test)]
mod tests;

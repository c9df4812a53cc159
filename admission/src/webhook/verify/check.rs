//! Queries the registry for an image, and checks the result by one policy.

use bundle_signer::{Gate, ImageName, NameRule};
use error_text::one_line;
use evidence::{self, EvidenceSource, Question, Until, judged};
use oci::{Reference, RegistryHost, RepositoryName, Selector};
use workload_images::pull_location;

use crate::context::Context;
use crate::webhook::denial::{DenialReason, MissingStatement, UnmetRequirements, keys, label, target};
use crate::webhook::policies::{CompiledPolicy, PolicyRules};

/// The repository with an image's signatures.
pub(super) fn source(context: &Context, reference: &Reference) -> Result<EvidenceSource, String> {
    let (host, repository) =
        pull_location(reference, context.settings.mirror.as_ref()).map_err(|error| one_line(&error))?;
    Ok(EvidenceSource::Registry(context.registry.clone(), host, repository))
}

/// The names under which an image may be signed: its own name, and for an image in the mirror of all registries, the name
/// in its upstream registry.
pub(super) fn names(context: &Context, reference: &Reference) -> Vec<ImageName> {
    match context.settings.mirror.as_ref().filter(|mirror| *mirror == reference.host()) {
        Some(mirror) => evidence::gate::names(reference.repository(), Some(mirror)),
        None => vec![ImageName::from(reference)],
    }
}

/// The registry and repository that are queried for an image. If the name of its registry cannot be part of a repository
/// name in the mirror, the image's own registry.
pub(super) fn location(context: &Context, reference: &Reference) -> (RegistryHost, RepositoryName) {
    pull_location(reference, context.settings.mirror.as_ref())
        .unwrap_or_else(|_| (reference.host().clone(), reference.repository().clone()))
}

/// The cause of a failed query, without the generic first part of the message.
pub(super) fn cause(error: &evidence::Error) -> String {
    match error {
        evidence::Error::Client(source) => one_line(source),
        other => one_line(other),
    }
}

/// Queries the registry, and checks the signatures.
pub(super) async fn check(
    context: &Context,
    reference: &Reference,
    policy: &CompiledPolicy,
) -> Result<(), DenialReason> {
    let PolicyRules { trust, predicates, .. } =
        policy.rules.as_ref().map_err(|reason| DenialReason::InvalidPolicy(reason.clone()))?;
    let source = source(context, reference).map_err(DenialReason::QueryFailed)?;
    let names = names(context, reference);
    let Some(digest) = reference.digest() else { return Err(DenialReason::NotPinned) };
    let failed = |error: evidence::Error| match &error {
        evidence::Error::Client(_) => DenialReason::QueryFailed(cause(&error)),
        other => DenialReason::InvalidContent(one_line(other)),
    };
    let question = |predicate_type, name| {
        let (name_rule, gate, newest_policy) = (NameRule::Required, Gate::Pull, policy.newest);
        Question { digest, name, name_rule, predicate_type, gate, newest_policy }
    };
    let questions =
        predicates.iter().flat_map(|kind| names.iter().map(move |name| question(kind.as_str(), name)));
    let verdicts =
        judged(&source, digest, trust, questions.collect(), Until::Settled).await.map_err(failed)?;
    let (mut met, mut missing) = (Vec::new(), Vec::new());
    for (predicate_type, verdicts) in predicates.iter().zip(verdicts.chunks(names.len().max(1))) {
        match verdicts.iter().find(|verdict| verdict.decision.satisfied) {
            Some(good) => {
                let by: Vec<_> = good.decision.by.iter().map(|key| format!("`{key}`")).collect();
                met.push((label(predicate_type).to_owned(), by.join(" and ")));
            }
            None => missing.push(MissingStatement::of(trust, predicate_type, verdicts)),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    // Checked last: a verified image needs no further query.
    if source.manifest(&Selector::Digest(digest.clone())).await.map_err(failed)?.is_none() {
        let (host, repository) = location(context, reference);
        return Err(DenialReason::ImageNotFound { host, repository });
    }
    let target = target(&names, digest, context.settings.mirror.as_ref());
    let names = names.iter().map(ToString::to_string).collect();
    Err(DenialReason::Unmet(UnmetRequirements { met, missing, names, target, keys: keys(trust) }))
}

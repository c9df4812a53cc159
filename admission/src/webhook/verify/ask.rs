//! What a registry has of an image, asked and judged by one policy.

use brief::words;
use bundle_signer::{Gate, ImageName, NameRule};
use evidence::{self, EvidenceSource, Question, Until, judged};
use oci::{Reference, RegistryHost, RepositoryName, Selector};
use workload_images::place_of;

use crate::context::Context;
use crate::webhook::policies::{Compiled, Rules};
use crate::webhook::why::{Lack, Unmet, Why, keys, label, target};

/// Where an image's signatures are.
pub(super) fn place(context: &Context, reference: &Reference) -> Result<EvidenceSource, String> {
    let (host, repository) =
        place_of(reference, context.settings.mirror.as_ref()).map_err(|error| words(&error))?;
    Ok(EvidenceSource::Registry(context.registry.clone(), host, repository))
}

/// The names under which an image may be signed: its own and, in the mirror that stands for all, that of its upstream.
pub(super) fn names(context: &Context, reference: &Reference) -> Vec<ImageName> {
    match context.settings.mirror.as_ref().filter(|mirror| *mirror == reference.host()) {
        Some(mirror) => evidence::gate::names(reference.repository(), Some(mirror)),
        None => vec![ImageName::from(reference)],
    }
}

/// Where an image is asked for; in its own registry, where that has no form in the mirror.
pub(super) fn asked(context: &Context, reference: &Reference) -> (RegistryHost, RepositoryName) {
    place_of(reference, context.settings.mirror.as_ref())
        .unwrap_or_else(|_| (reference.host().clone(), reference.repository().clone()))
}

/// What happened, without that something did.
pub(super) fn cause(error: &evidence::Error) -> String {
    match error {
        evidence::Error::Client(source) => words(source),
        other => words(other),
    }
}

/// Asks the registry, and judges what it has.
pub(super) async fn check(context: &Context, reference: &Reference, policy: &Compiled) -> Result<(), Why> {
    let Rules { trust, predicates, .. } =
        policy.rules.as_ref().map_err(|why| Why::BrokenPolicy(why.clone()))?;
    let (place, names) = (place(context, reference).map_err(Why::NotAsked)?, names(context, reference));
    let Some(digest) = reference.digest() else { return Err(Why::NotPinned) };
    let failed = |error: evidence::Error| match &error {
        evidence::Error::Client(_) => Why::NotAsked(cause(&error)),
        other => Why::Broken(words(other)),
    };
    let question = |predicate_type, name| {
        let (name_rule, gate, newest_policy) = (NameRule::Required, Gate::Pull, policy.newest);
        Question { digest, name, name_rule, predicate_type, gate, newest_policy }
    };
    let questions =
        predicates.iter().flat_map(|kind| names.iter().map(move |name| question(kind.as_str(), name)));
    let verdicts =
        judged(&place, digest, (trust, questions.collect()), Until::Settled).await.map_err(failed)?;
    let (mut met, mut lacks) = (Vec::new(), Vec::new());
    for (predicate_type, verdicts) in predicates.iter().zip(verdicts.chunks(names.len().max(1))) {
        match verdicts.iter().find(|verdict| verdict.decision.satisfied) {
            Some(good) => {
                let by: Vec<_> = good.decision.by.iter().map(|key| format!("`{key}`")).collect();
                met.push((label(predicate_type).to_owned(), by.join(" and ")));
            }
            None => lacks.push(Lack::of(trust, predicate_type, verdicts)),
        }
    }
    if lacks.is_empty() {
        return Ok(());
    }
    // Only now: what is good needs no further question.
    if place.manifest(&Selector::Digest(digest.clone())).await.map_err(failed)?.is_none() {
        let (host, repository) = asked(context, reference);
        return Err(Why::NoImage { host, repository });
    }
    let target = target(&names, digest, context.settings.mirror.as_ref());
    let names = names.iter().map(ToString::to_string).collect();
    Err(Why::Unmet(Unmet { met, lacks, names, target, keys: keys(trust) }))
}

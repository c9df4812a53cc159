//! A gate of the trust file, asked about an image by all that a store has about it.

use bundle_signer::statement::TYPE_NAMES;
use bundle_signer::{Gate, ImageName, Mode, NameRule, TrustFile};
use oci::{Digest, RegistryHost, RepositoryName};
use store::Store;

use super::{Error, EvidenceSource, Question, Until, Verdict, judged};

/// Reasons that are told of one image; the first ones say what is wrong.
const MOST_REASONS: usize = 8;

/// What is asked, and how.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// Whose word counts.
    pub trust: &'a TrustFile,
    /// Where.
    pub gate: Gate,
    /// Whether signatures must say under which name the image is signed.
    pub name_rule: NameRule,
    /// The registry's own name, for repositories without that of an upstream.
    pub host: Option<&'a RegistryHost>,
}

/// What a gate says to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateDecision {
    /// What a refusal does.
    pub mode: Mode,
    /// The keys whose word counted, by their names in the trust file.
    pub by: Vec<String>,
    /// The rules that are not met, each with its reasons; empty when all are.
    pub unmet: Vec<String>,
}

impl GateDecision {
    /// Whether all rules are met.
    #[must_use]
    pub fn is_satisfied(&self) -> bool {
        self.unmet.is_empty()
    }

    /// Whether to go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.is_satisfied() || self.mode == Mode::Warn
    }
}

/// Asks a gate. Whatever an attacker can put beside the image is a reason to refuse, and no error.
///
/// # Errors
/// When the store fails.
pub async fn ask(
    store: &Store,
    repository: &RepositoryName,
    digest: &Digest,
    asking: &Asking<'_>,
) -> Result<GateDecision, Error> {
    ask_at(&EvidenceSource::Store(store.clone(), repository.clone()), repository, digest, asking).await
}

/// Asks a gate by what is at a place, as [`ask`] does by what a store has.
///
/// # Errors
/// When the store fails.
pub async fn ask_at(
    place: &EvidenceSource,
    repository: &RepositoryName,
    digest: &Digest,
    asking: &Asking<'_>,
) -> Result<GateDecision, Error> {
    let Asking { trust, gate, .. } = *asking;
    let mut answer = GateDecision { mode: trust.mode(gate), by: Vec::new(), unmet: Vec::new() };
    let asked = trust.asked(gate);
    if asked.is_empty() {
        return Ok(answer);
    }
    let names = names(repository, asking.host);
    let question = |predicate_type, name| {
        let name_rule = asking.name_rule;
        Question { digest, name, name_rule, predicate_type, gate, newest_policy: 0 }
    };
    let questions = asked.iter().flat_map(|kind| names.iter().map(move |name| question(*kind, name)));
    let verdicts = judged(place, digest, (trust, questions.collect()), Until::Settled).await?;
    for (at, predicate_type) in asked.into_iter().enumerate() {
        let verdicts = verdicts.iter().skip(at * names.len()).take(names.len());
        if let Some(met) = verdicts.clone().find(|verdict| verdict.decision.satisfied) {
            answer.by.extend(met.decision.by.iter().cloned());
        } else {
            answer.unmet.push(unmet(verdicts.clone().next(), predicate_type, asking));
        }
    }
    answer.by.sort();
    answer.by.dedup();
    Ok(answer)
}

/// Names the rule and why it is not met.
fn unmet(verdict: Option<&Verdict>, predicate_type: &str, asking: &Asking<'_>) -> String {
    let known = TYPE_NAMES.iter().find(|(_, uri)| *uri == predicate_type);
    let what = known.map_or(predicate_type, |(name, _)| name);
    let by = asking.trust.asked_of(asking.gate, predicate_type);
    let by = by.map_or_else(|| "a key that may sign it".to_owned(), |by| format!("`{by}`"));
    let Some(verdict) = verdict else {
        return format!(
            "`{what}` by {by}: the repository's name does not say in which registry it is signed"
        );
    };
    let mut why: Vec<_> = verdict.decision.why_not.iter().map(ToString::to_string).collect();
    why.extend(verdict.refused.iter().map(|refused| refused.why.clone()));
    why.extend(verdict.skipped.iter().map(|skipped| skipped.why.clone()));
    why.dedup();
    why.truncate(MOST_REASONS);
    format!("`{what}` by {by}: {}", why.join(", "))
}

/// The names under which an image of a repository may be signed: that of its upstream, where the repository is named
/// after one (`HOST/PATH`, a port after a hyphen), and that in this registry.
#[must_use]
pub fn names(repository: &RepositoryName, host: Option<&RegistryHost>) -> Vec<ImageName> {
    let mut names = Vec::new();
    if let Some((first, path)) = repository.as_str().split_once('/')
        && (first.contains('.') || first == "localhost" || first.starts_with("localhost-"))
    {
        names.extend(format!("{first}/{path}").parse::<ImageName>());
        if let Some((name, port)) = first.rsplit_once('-')
            && port.parse::<u16>().is_ok()
        {
            names.extend(format!("{name}:{port}/{path}").parse::<ImageName>());
        }
    }
    names.extend(host.map(|host| ImageName::new(host, repository.clone())));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_signed_under_its_upstreams_name_or_in_this_registry() {
        let host: RegistryHost = "registry.site:5000".parse().unwrap();
        let named = |repository: &str, host| -> Vec<String> {
            names(&repository.parse().unwrap(), host).iter().map(ToString::to_string).collect()
        };
        assert_eq!(named("public.ecr.aws/a/b", None), ["public.ecr.aws/a/b"]);
        assert_eq!(named("team/app", None), Vec::<String>::new());
        assert_eq!(named("team/app", Some(&host)), ["registry.site:5000/team/app"]);
        assert_eq!(
            named("r.example-5000/a", Some(&host)),
            ["r.example-5000/a", "r.example:5000/a", "registry.site:5000/r.example-5000/a"]
        );
        assert_eq!(named("localhost-5000/a", None), ["localhost:5000/a"]);
    }
}

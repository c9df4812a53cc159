//! Decides whether an image passes a gate of the trust file, based on the evidence in its source.

use bundle_signer::statement::TYPE_NAMES;
use bundle_signer::{Gate, ImageName, Mode, NameRule, TrustFile};
use oci::{Digest, RegistryHost, RepositoryName};
use store::Store;

use super::{Error, EvidenceSource, Question, Until, Verdict, judged};

/// The maximum number of reasons for one image; the first ones are the most relevant.
const MAX_REASONS: usize = 8;

/// A query to a gate.
#[derive(Clone, Copy)]
pub struct GateQuery<'a> {
    /// The trust file.
    pub trust: &'a TrustFile,
    /// The gate.
    pub gate: Gate,
    /// Whether signatures must contain the name of the image.
    pub name_rule: NameRule,
    /// The registry's own host name, for repositories that are not named after an upstream registry.
    pub host: Option<&'a RegistryHost>,
}

/// The decision of a gate about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateDecision {
    /// The effect of a refusal.
    pub mode: Mode,
    /// The names in the trust file of the keys whose signatures counted.
    pub by: Vec<String>,
    /// The unmet rules, each with its reasons; empty if all rules are met.
    pub unmet: Vec<String>,
}

impl GateDecision {
    /// Whether all rules are met.
    #[must_use]
    pub fn is_satisfied(&self) -> bool {
        self.unmet.is_empty()
    }

    /// Whether the operation may continue.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.is_satisfied() || self.mode == Mode::Warn
    }
}

/// Queries a gate. Anything that an attacker can push beside the image leads to a refusal, not to an error.
///
/// # Errors
/// When the store fails.
pub async fn ask(
    store: &Store,
    repository: &RepositoryName,
    digest: &Digest,
    query: &GateQuery<'_>,
) -> Result<GateDecision, Error> {
    ask_at(&EvidenceSource::Store(store.clone(), repository.clone()), repository, digest, query).await
}

/// As [`ask`], for any evidence source.
///
/// # Errors
/// When the store fails.
pub async fn ask_at(
    source: &EvidenceSource,
    repository: &RepositoryName,
    digest: &Digest,
    query: &GateQuery<'_>,
) -> Result<GateDecision, Error> {
    let GateQuery { trust, gate, .. } = *query;
    let mut decision = GateDecision { mode: trust.mode(gate), by: Vec::new(), unmet: Vec::new() };
    let predicate_types = trust.required_statements(gate);
    if predicate_types.is_empty() {
        return Ok(decision);
    }
    let names = names(repository, query.host);
    let question = |predicate_type, name| {
        let name_rule = query.name_rule;
        Question { digest, name, name_rule, predicate_type, gate, newest_policy: 0 }
    };
    let questions =
        predicate_types.iter().flat_map(|kind| names.iter().map(move |name| question(*kind, name)));
    let verdicts = judged(source, digest, trust, questions.collect(), Until::Settled).await?;
    for (at, predicate_type) in predicate_types.into_iter().enumerate() {
        let verdicts = verdicts.iter().skip(at * names.len()).take(names.len());
        if let Some(met) = verdicts.clone().find(|verdict| verdict.decision.satisfied) {
            decision.by.extend(met.decision.by.iter().cloned());
        } else {
            decision.unmet.push(unmet(verdicts.clone().next(), predicate_type, query));
        }
    }
    decision.by.sort();
    decision.by.dedup();
    Ok(decision)
}

/// Describes an unmet rule, with the reasons.
fn unmet(verdict: Option<&Verdict>, predicate_type: &str, query: &GateQuery<'_>) -> String {
    let known = TYPE_NAMES.iter().find(|(_, uri)| *uri == predicate_type);
    let what = known.map_or(predicate_type, |(name, _)| name);
    let by = query.trust.required_signer(query.gate, predicate_type);
    let by = by.map_or_else(|| "a key that may sign it".to_owned(), |by| format!("`{by}`"));
    let Some(verdict) = verdict else {
        return format!(
            "`{what}` by {by}: the repository name does not contain the registry under which the image is signed"
        );
    };
    let mut reasons: Vec<_> = verdict.decision.reasons.iter().map(ToString::to_string).collect();
    reasons.extend(verdict.refused.iter().map(|refused| refused.reason.clone()));
    reasons.extend(verdict.skipped.iter().map(|skipped| skipped.reason.clone()));
    reasons.dedup();
    reasons.truncate(MAX_REASONS);
    format!("`{what}` by {by}: {}", reasons.join(", "))
}

/// The names under which an image of a repository may be signed: its upstream name, if the repository is named after an
/// upstream (`HOST/PATH`, with the port after a hyphen), and its name in this registry.
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

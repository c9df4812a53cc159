//! The webhooks for images: one pins tags to digests, the other verifies every image by the trust policies of its
//! namespace. They do not trust each other: an image that was not pinned is rejected, and one that was is verified.
//!
//! Verdicts are cached in memory. If there is no cached verdict, the registry is queried, with a timeout shorter than the
//! API server's, so that the webhook always sends the rejection itself. The number of concurrent queries is limited, and
//! users take turns: a user who creates many images delays only their own.

mod check;
mod queue;
mod violation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bundle_signer::ImageName;
use error_text::{join_first, one_line};
use futures::future::join_all;
use oci::{Digest, Reference};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use workload_images::{self as images, ImageUse, images_to_verify, pin};

use self::check::{cause, check, location, source};
use self::queue::{QueryQueue, Requester, requester};
use self::violation::Violation;
use super::cluster_state::ClusterState;
use super::configuration::SYSTEM;
use super::denial::DenialReason;
use super::metrics::Metrics;
use super::policies::{CompiledPolicy, Effect};
use super::review::{AdmissionResponse, Request};
use super::verdicts::{GoodVerdict, QueryCache};
use crate::context::Context;

/// The timeout of a query. The API server's timeout for the webhooks is 8 s.
pub(super) const DEADLINE: Duration = Duration::from_secs(4);
/// How long the digest of a tag is cached. The digest that it is pinned to is verified in any case.
const TAG_LIFETIME: Duration = Duration::from_secs(10);
/// How long a negative verdict is cached: the image may be signed later.
const DENIAL_LIFETIME: Duration = Duration::from_secs(5);
/// The most different images of one object.
const MAX_IMAGES: usize = 128;
/// The most violations in a message.
const MAX_REASONS: usize = 6;

/// The verdict of one policy on one image.
#[derive(Clone, Debug)]
struct ImageVerdict {
    /// The reason for rejecting the image; `None` if it satisfies the policy.
    denial: Option<Arc<DenialReason>>,
}

type Key = (Digest, String, Digest);

/// Verifies images.
#[derive(Clone)]
pub(super) struct ImageVerifier {
    context: Context,
    cluster: ClusterState,
    metrics: Metrics,
    verdicts: QueryCache<Key, ImageVerdict>,
    tags: QueryCache<String, Option<Digest>>,
    queue: QueryQueue,
}

impl ImageVerifier {
    pub(super) fn new(context: Context, cluster: ClusterState, metrics: Metrics) -> Self {
        let (verdicts, tags, queue) = (QueryCache::default(), QueryCache::default(), QueryQueue::default());
        Self { context, cluster, metrics, verdicts, tags, queue }
    }

    /// The images of a request to verify, and the policies of its namespace.
    async fn subject(
        &self,
        request: &Request,
    ) -> Result<(Vec<ImageUse>, Vec<Arc<CompiledPolicy>>), AdmissionResponse> {
        let namespace = request.namespace.as_str();
        // The configuration exempts these namespaces. If it was changed, airlock's own pods must still be able to start.
        if namespace == SYSTEM || namespace == self.context.settings.namespace {
            return Ok((Vec::new(), Vec::new()));
        }
        let policies = self
            .cluster
            .policies(namespace)
            .await
            .map_err(|reason| AdmissionResponse::denied(500, reason))?;
        if policies.is_empty() {
            return Ok((Vec::new(), policies));
        }
        let (group, kind) = (&request.kind.group, &request.kind.kind);
        if !images::makes_pods(group, kind) {
            return Err(AdmissionResponse::denied(
                400,
                format!("`{kind}` of `{group}` is not a workload kind"),
            ));
        }
        let uses = images_to_verify(group, kind, request.old(), &request.object);
        let mut uses = uses.map_err(|error| AdmissionResponse::denied(400, one_line(&error)))?;
        if request.sub_resource == "ephemeralcontainers" {
            // The rest of the pod is already running, and this request cannot change it.
            let before = request.old().and_then(|old| images::images(group, kind, old).ok());
            let before = before.unwrap_or_default();
            uses.retain(|used| !before.contains(used));
        }
        let different: BTreeSet<_> = uses.iter().map(|used| used.image.as_str()).collect();
        if different.len() > MAX_IMAGES {
            let many = different.len();
            let reason = format!("the object has {many} different images; at most {MAX_IMAGES} are allowed");
            return Err(AdmissionResponse::denied(403, reason));
        }
        Ok((uses, policies))
    }

    /// Pins the tags of images that a policy matches.
    pub(super) async fn pin(&self, request: &Request) -> AdmissionResponse {
        let (mut uses, policies) = match self.subject(request).await {
            Ok(subject) => subject,
            Err(response) => return response,
        };
        let all = uses.clone();
        // The other webhook rejects invalid references, and tags that a policy does not allow.
        uses.retain(|used| {
            used.image.parse::<Reference>().is_ok_and(|reference| {
                let name = ImageName::from(&reference);
                let matching: Vec<_> = policies.iter().filter(|policy| policy.matches_image(&name)).collect();
                reference.digest().is_none()
                    && !matching.is_empty()
                    && matching.iter().all(|policy| policy.pins())
            })
        });
        let mut digests = BTreeMap::new();
        let mut response = AdmissionResponse::default();
        let requester = requester(request);
        let resolved = join_all(uses.iter().map(|used| self.resolve(&used.image, &requester))).await;
        let mut violations = Vec::new();
        for (used, resolved) in uses.iter().zip(resolved) {
            let reason = match resolved {
                Ok(Some(digest)) => {
                    digests.insert(used.image.clone(), digest);
                    continue;
                }
                Ok(None) => self.tag_not_found(&used.image),
                Err(reason) => reason,
            };
            let reason = Arc::new(reason);
            let name = used.image.parse::<Reference>().map(|reference| ImageName::from(&reference));
            let matching =
                policies.iter().filter(|policy| name.as_ref().is_ok_and(|name| policy.matches_image(name)));
            violations.extend(
                matching.map(|policy| Violation::new(policy, &used.image, &uses, Arc::clone(&reason))),
            );
        }
        if violations.iter().any(Violation::is_final) {
            violations.extend(self.other_violations(&all, &digests, &policies, &requester).await);
        }
        self.apply(request, violations, &mut response);
        uses.retain(|used| digests.contains_key(&used.image));
        let known = |reference: &Reference| {
            let text = digests.iter().find(|(text, _)| text.parse().ok().as_ref() == Some(reference));
            text.map(|(_, digest)| digest.clone())
        };
        match pin(&uses, &known) {
            Ok(patch) if patch.is_empty() || response.denied.is_some() => {}
            Ok(patch) => response.patch = serde_json::to_vec(&patch).ok(),
            Err(error) => return AdmissionResponse::denied(500, one_line(&error)),
        }
        response
    }

    /// The other violations of an object that is rejected because of its tags. The API server does not call the other webhook
    /// for such an object.
    async fn other_violations(
        &self,
        uses: &[ImageUse],
        digests: &BTreeMap<String, Digest>,
        policies: &[Arc<CompiledPolicy>],
        requester: &Requester,
    ) -> Vec<Violation> {
        let pinned = |image: &str| match digests.get(image) {
            Some(digest) => Some(format!("{image}@{digest}")),
            // The reference already has a digest.
            None => image.contains('@').then(|| image.to_owned()),
        };
        let mut images: Vec<_> = uses.iter().map(|used| used.image.as_str()).collect();
        images.sort_unstable();
        images.dedup();
        let each = images.into_iter().filter_map(|image| Some((image, pinned(image)?)));
        let each =
            each.flat_map(|(image, text)| policies.iter().map(move |policy| (image, text.clone(), policy)));
        let violations = join_all(each.map(|(image, text, policy)| async move {
            let reason = self.check_policy(&text, policy, requester).await.err()?;
            Some(Violation::new(policy, image, uses, reason))
        }));
        violations.await.into_iter().flatten().collect()
    }

    /// Verifies all images of an object.
    pub(super) async fn verify(&self, request: &Request) -> AdmissionResponse {
        let (uses, policies) = match self.subject(request).await {
            Ok(subject) => subject,
            Err(response) => return response,
        };
        let mut texts: Vec<_> = uses.iter().map(|used| used.image.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        let each = texts.iter().flat_map(|text| policies.iter().map(move |policy| (*text, policy)));
        let requester = &requester(request);
        let results = join_all(each.map(|(text, policy)| async move {
            (text, policy, self.check_policy(text, policy, requester).await)
        }));
        let (mut violations, mut response) = (Vec::new(), AdmissionResponse::default());
        for (text, policy, result) in results.await {
            if let Err(reason) = result {
                violations.push(Violation::new(policy, text, &uses, reason));
            }
        }
        self.apply(request, violations, &mut response);
        response
    }

    /// Checks an image by one policy. An image that the policy does not match is accepted.
    async fn check_policy(
        &self,
        text: &str,
        policy: &Arc<CompiledPolicy>,
        requester: &Requester,
    ) -> Result<(), Arc<DenialReason>> {
        let Ok(reference) = text.parse::<Reference>() else {
            return Err(Arc::new(DenialReason::InvalidReference));
        };
        let name = ImageName::from(&reference);
        if !policy.matches_image(&name) {
            return Ok(());
        }
        match &policy.rules {
            Err(reason) => return Err(Arc::new(DenialReason::InvalidPolicy(reason.clone()))),
            Ok(rules) if rules.trust.sequence() < policy.newest => {
                let (found, newest) = (rules.trust.sequence(), policy.newest);
                return Err(Arc::new(DenialReason::StalePolicy { found, newest }));
            }
            Ok(_) => {}
        }
        let Some(digest) = reference.digest() else {
            return Err(Arc::new(if policy.pins() {
                DenialReason::NotPinned
            } else {
                DenialReason::TagNotAllowed
            }));
        };
        let key = (digest.clone(), name.to_string(), policy.digest.clone());
        let cached = self.verdicts.get(&key);
        self.metrics.looked_up(cached.is_some());
        if let Some(verdict) = cached {
            return verdict.denial.map_or(Ok(()), Err);
        }
        let (context, policy, metrics) = (self.context.clone(), Arc::clone(policy), self.metrics.clone());
        let (image, turn) = (reference.clone(), self.queue.turn(requester));
        let start = || async move {
            let _turn = turn.await?;
            metrics.queried_registry();
            Ok(ImageVerdict { denial: check(&context, &image, &policy).await.err().map(Arc::new) })
        };
        // Failed queries are not cached.
        let lifetime = |verdict: &ImageVerdict| {
            let denial = verdict.denial.as_ref();
            denial.map(|reason| if reason.is_temporary() { Duration::ZERO } else { DENIAL_LIFETIME })
        };
        match self.queue.wait(self.verdicts.query(key, lifetime, start)).await {
            Some(Ok(verdict)) => verdict.denial.map_or(Ok(()), Err),
            Some(Err(reason)) => Err(Arc::new(DenialReason::QueryFailed(reason.to_string()))),
            None => Err(Arc::new(self.timeout(&reference))),
        }
    }

    fn timeout(&self, reference: &Reference) -> DenialReason {
        let (host, _) = location(&self.context, reference);
        DenialReason::Timeout { host, seconds: DEADLINE.as_secs() }
    }

    fn tag_not_found(&self, text: &str) -> DenialReason {
        let Ok(reference) = text.parse::<Reference>() else { return DenialReason::InvalidReference };
        let (host, repository) = location(&self.context, &reference);
        DenialReason::TagNotFound { host, repository, tag: reference.selector().to_string() }
    }

    /// The current digest of a tag.
    async fn resolve(&self, text: &str, requester: &Requester) -> Result<Option<Digest>, DenialReason> {
        let reference: Reference = text.parse().map_err(|_| DenialReason::InvalidReference)?;
        let key = reference.to_string();
        if let Some(known) = self.tags.get(&key) {
            return Ok(known);
        }
        let (source, selector) = (source(&self.context, &reference), reference.selector());
        let (metrics, turn) = (self.metrics.clone(), self.queue.turn(requester));
        let start = || async move {
            let _turn = turn.await?;
            metrics.queried_registry();
            match evidence::resolve(&source?, &selector).await {
                Ok((digest, _)) => Ok(Some(digest)),
                Err(evidence::Error::NotFound(_)) => Ok(None),
                Err(error) => Err(cause(&error)),
            }
        };
        // A missing tag is not cached.
        let lifetime =
            |found: &Option<Digest>| Some(if found.is_some() { TAG_LIFETIME } else { Duration::ZERO });
        match self.queue.wait(self.tags.query(key, lifetime, start)).await {
            Some(result) => result.map_err(|reason| DenialReason::QueryFailed(reason.to_string())),
            None => Err(self.timeout(&reference)),
        }
    }

    /// The reason for which a policy that is not in force yet would reject an image, if it would.
    pub(super) async fn would_reject(
        &self,
        text: &str,
        policy: &Arc<CompiledPolicy>,
    ) -> Option<Arc<DenialReason>> {
        // A query by airlock itself, not by a user.
        let requester = &Requester::default();
        let pinned = match text.parse::<Reference>() {
            Ok(reference) if reference.digest().is_none() && policy.pins() => {
                match self.resolve(text, requester).await {
                    Ok(Some(digest)) => format!("{text}@{digest}"),
                    Ok(None) => return Some(Arc::new(self.tag_not_found(text))),
                    Err(reason) => return Some(Arc::new(reason)),
                }
            }
            _ => text.to_owned(),
        };
        self.check_policy(&pinned, policy, requester).await.err()
    }

    /// Adds stored positive verdicts to the cache.
    pub(super) fn load(&self, verdicts: &BTreeSet<GoodVerdict>) {
        for good in verdicts {
            let key = (good.image.clone(), good.name.clone(), good.policy.clone());
            self.verdicts.put(key, ImageVerdict { denial: None });
        }
    }

    /// All positive verdicts in the cache.
    pub(super) fn good_verdicts(&self) -> BTreeSet<GoodVerdict> {
        let good = self.verdicts.lasting().into_iter().filter(|(_, verdict)| verdict.denial.is_none());
        good.map(|((image, name, policy), _)| GoodVerdict { image, name, policy }).collect()
    }

    /// The digests of the current policies.
    pub(super) fn policies(&self) -> BTreeSet<Digest> {
        self.cluster.all().unwrap_or_default().iter().map(|policy| policy.digest.clone()).collect()
    }

    /// Applies the effect of each violation according to its policy.
    fn apply(&self, request: &Request, violations: Vec<Violation>, response: &mut AdmissionResponse) {
        let now = OffsetDateTime::now_utc();
        let (mut denied, mut audited, mut break_glass) = (Vec::new(), Vec::new(), Vec::new());
        for violation in violations {
            match violation.policy.effect(now) {
                Effect::Deny => denied.push(violation.message_with_advice(&request.object)),
                Effect::Warn => {
                    response.warnings.extend(violation.warnings("", &request.object));
                    audited.push(violation.message("would be"));
                }
                Effect::Audit => audited.push(violation.message("would be")),
                Effect::BreakGlass(reason, until) => {
                    let (subject, user) = (request.subject(), request.user());
                    let until = until.format(&Rfc3339).unwrap_or_default();
                    tracing::warn!(
                        subject,
                        user,
                        reason,
                        until,
                        policy = violation.policy.name,
                        image = violation.image,
                        "break-glass: an image is admitted that would be rejected: {}",
                        violation.reason
                    );
                    let prefix = format!("break-glass until {until}: ");
                    response.warnings.extend(violation.warnings(&prefix, &request.object));
                    break_glass.push(format!("{reason}: {}", violation.message("would be")));
                }
            }
        }
        if !break_glass.is_empty() {
            self.metrics.broke_glass();
            response.audit.insert("break-glass".to_owned(), break_glass.join("\n"));
        }
        if !audited.is_empty() {
            response.audit.insert("refused".to_owned(), audited.join("\n"));
        }
        if !denied.is_empty() {
            let message = join_first(denied.into_iter(), MAX_REASONS, "; ");
            tracing::info!(
                subject = request.subject(),
                user = request.user(),
                message,
                "images are rejected"
            );
            response.denied = Some((403, message));
        }
    }
}

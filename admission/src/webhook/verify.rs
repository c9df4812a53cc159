//! Images: tags pinned to digests, and every image held to the trust policies of its namespace. The two webhooks
//! trust each other in nothing: what was not pinned is refused, and what was is verified.
//!
//! Answers come from memory. What is not there is asked of the registry, within a time that ends before the API
//! server's patience does, so that it is always this webhook that says no. So much is asked at once, and those who ask
//! take turns: who creates many images waits for himself.

mod ask;
mod refusal;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use brief::{few, words};
use bundle_signer::ImageName;
use futures::future::join_all;
use oci::{Digest, Reference};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use workload_images::{self as images, ImageUse, pin, to_judge};

use self::ask::{asked, cause, check, place};
use self::refusal::Refusal;
use self::turns::{Asker, Turns, asker};
use super::configuration::SYSTEM;
use super::metrics::Metrics;
use super::policies::{Compiled, Effect};
use super::review::{Answer, Request};
use super::verdicts::{Good, Known};
use super::watched::Watched;
use super::why::Why;
use crate::context::Context;

/// The webhooks' own end is at 8 s.
pub(super) const DEADLINE: Duration = Duration::from_secs(4);
/// A tag that moves is seen after this time. What it is pinned to is verified in any case.
const TAG: Duration = Duration::from_secs(10);
/// After this time a refused image is asked about again: it may have been signed.
const REFUSED: Duration = Duration::from_secs(5);
/// More images of one object are not judged.
const MOST_IMAGES: usize = 128;
/// Longer messages are of no help.
const MOST_REASONS: usize = 6;

/// What one policy says of one image.
#[derive(Clone, Debug)]
struct Judged {
    /// Why not; nothing when it is good.
    why_not: Option<Arc<Why>>,
}

type Key = (Digest, String, Digest);

/// Judges images.
#[derive(Clone)]
pub(super) struct Judge {
    context: Context,
    watched: Watched,
    metrics: Metrics,
    verdicts: Known<Key, Judged>,
    tags: Known<String, Option<Digest>>,
    turns: Turns,
}

impl Judge {
    pub(super) fn new(context: Context, watched: Watched, metrics: Metrics) -> Self {
        let (verdicts, tags, turns) = (Known::default(), Known::default(), Turns::default());
        Self { context, watched, metrics, verdicts, tags, turns }
    }

    /// What is to be judged of a request, and by which policies.
    async fn subject(&self, request: &Request) -> Result<(Vec<ImageUse>, Vec<Arc<Compiled>>), Answer> {
        let namespace = request.namespace.as_str();
        // The configuration keeps these away; where it was changed, a pod of ours must still be able to start.
        if namespace == SYSTEM || namespace == self.context.settings.namespace {
            return Ok((Vec::new(), Vec::new()));
        }
        let policies = self.watched.policies(namespace).await.map_err(|why| Answer::denied(500, why))?;
        if policies.is_empty() {
            return Ok((Vec::new(), policies));
        }
        let (group, kind) = (&request.kind.group, &request.kind.kind);
        if !images::makes_pods(group, kind) {
            return Err(Answer::denied(400, format!("`{kind}` of `{group}` is nothing that makes pods")));
        }
        let uses = to_judge(group, kind, request.old(), &request.object);
        let mut uses = uses.map_err(|error| Answer::denied(400, words(&error)))?;
        if request.sub_resource == "ephemeralcontainers" {
            // The rest of the pod runs already, and cannot be changed by this request.
            let before = request.old().and_then(|old| images::images(group, kind, old).ok());
            let before = before.unwrap_or_default();
            uses.retain(|used| !before.contains(used));
        }
        let different: BTreeSet<_> = uses.iter().map(|used| used.image.as_str()).collect();
        if different.len() > MOST_IMAGES {
            let many = different.len();
            let why = format!(
                "the object has {many} different images, and at most {MOST_IMAGES} are verified for one"
            );
            return Err(Answer::denied(403, why));
        }
        Ok((uses, policies))
    }

    /// Pins the tags of images that a policy is about.
    pub(super) async fn pin(&self, request: &Request) -> Answer {
        let (mut uses, policies) = match self.subject(request).await {
            Ok(subject) => subject,
            Err(answer) => return answer,
        };
        let all = uses.clone();
        // What cannot be read as a name, and what must not have a tag, is for the other webhook to refuse.
        uses.retain(|used| {
            used.image.parse::<Reference>().is_ok_and(|reference| {
                let name = ImageName::from(&reference);
                let about: Vec<_> = policies.iter().filter(|policy| policy.is_about(&name)).collect();
                reference.digest().is_none() && !about.is_empty() && about.iter().all(|policy| policy.pins())
            })
        });
        let mut digests = BTreeMap::new();
        let mut answer = Answer::default();
        let asker = asker(request);
        let asked = join_all(uses.iter().map(|used| self.resolve(&used.image, &asker))).await;
        let mut refusals = Vec::new();
        for (used, asked) in uses.iter().zip(asked) {
            let why = match asked {
                Ok(Some(digest)) => {
                    digests.insert(used.image.clone(), digest);
                    continue;
                }
                Ok(None) => self.no_tag(&used.image),
                Err(why) => why,
            };
            let why = Arc::new(why);
            let name = used.image.parse::<Reference>().map(|reference| ImageName::from(&reference));
            let about =
                policies.iter().filter(|policy| name.as_ref().is_ok_and(|name| policy.is_about(name)));
            refusals.extend(about.map(|policy| Refusal::new(policy, &used.image, &uses, Arc::clone(&why))));
        }
        if refusals.iter().any(Refusal::stops_for_good) {
            refusals.extend(self.others(&all, &digests, &policies, &asker).await);
        }
        self.settle(request, refusals, &mut answer);
        uses.retain(|used| digests.contains_key(&used.image));
        let known = |reference: &Reference| {
            let text = digests.iter().find(|(text, _)| text.parse().ok().as_ref() == Some(reference));
            text.map(|(_, digest)| digest.clone())
        };
        match pin(&uses, &known) {
            Ok(patch) if patch.is_empty() || answer.denied.is_some() => {}
            Ok(patch) => answer.patch = serde_json::to_vec(&patch).ok(),
            Err(error) => return Answer::denied(500, words(&error)),
        }
        answer
    }

    /// What else is refused of an object whose tags are: the other webhook is not asked about it any more.
    async fn others(
        &self,
        uses: &[ImageUse],
        digests: &BTreeMap<String, Digest>,
        policies: &[Arc<Compiled>],
        asker: &Asker,
    ) -> Vec<Refusal> {
        let pinned = |image: &str| match digests.get(image) {
            Some(digest) => Some(format!("{image}@{digest}")),
            // What has a digest already.
            None => image.contains('@').then(|| image.to_owned()),
        };
        let mut images: Vec<_> = uses.iter().map(|used| used.image.as_str()).collect();
        images.sort_unstable();
        images.dedup();
        let each = images.into_iter().filter_map(|image| Some((image, pinned(image)?)));
        let each =
            each.flat_map(|(image, text)| policies.iter().map(move |policy| (image, text.clone(), policy)));
        let judged = join_all(each.map(|(image, text, policy)| async move {
            let why = self.judge(&text, policy, asker).await.err()?;
            Some(Refusal::new(policy, image, uses, why))
        }));
        judged.await.into_iter().flatten().collect()
    }

    /// Judges all images of an object.
    pub(super) async fn verify(&self, request: &Request) -> Answer {
        let (uses, policies) = match self.subject(request).await {
            Ok(subject) => subject,
            Err(answer) => return answer,
        };
        let mut texts: Vec<_> = uses.iter().map(|used| used.image.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        let each = texts.iter().flat_map(|text| policies.iter().map(move |policy| (*text, policy)));
        let asker = &asker(request);
        let asked = join_all(
            each.map(|(text, policy)| async move { (text, policy, self.judge(text, policy, asker).await) }),
        );
        let (mut refusals, mut answer) = (Vec::new(), Answer::default());
        for (text, policy, why) in asked.await {
            if let Err(why) = why {
                refusals.push(Refusal::new(policy, text, &uses, why));
            }
        }
        self.settle(request, refusals, &mut answer);
        answer
    }

    /// What one policy says of an image: nothing when it is good, or not what the policy is about.
    async fn judge(&self, text: &str, policy: &Arc<Compiled>, asker: &Asker) -> Result<(), Arc<Why>> {
        let Ok(reference) = text.parse::<Reference>() else { return Err(Arc::new(Why::Unreadable)) };
        let name = ImageName::from(&reference);
        if !policy.is_about(&name) {
            return Ok(());
        }
        match &policy.rules {
            Err(why) => return Err(Arc::new(Why::BrokenPolicy(why.clone()))),
            Ok(rules) if rules.trust.sequence() < policy.newest => {
                let (found, newest) = (rules.trust.sequence(), policy.newest);
                return Err(Arc::new(Why::StalePolicy { found, newest }));
            }
            Ok(_) => {}
        }
        let Some(digest) = reference.digest() else {
            return Err(Arc::new(if policy.pins() { Why::NotPinned } else { Why::TagRefused }));
        };
        let key = (digest.clone(), name.to_string(), policy.digest.clone());
        let known = self.verdicts.get(&key);
        self.metrics.looked_up(known.is_some());
        if let Some(judged) = known {
            return judged.why_not.map_or(Ok(()), Err);
        }
        let (context, policy, metrics) = (self.context.clone(), Arc::clone(policy), self.metrics.clone());
        let (asked, turn) = (reference.clone(), self.turns.turn(asker));
        let ask = || async move {
            let _turn = turn.await?;
            metrics.asked_registry();
            Ok(Judged { why_not: check(&context, &asked, &policy).await.err().map(Arc::new) })
        };
        // What could not be asked is forgotten at once.
        let keep = |judged: &Judged| {
            judged.why_not.as_ref().map(|why| if why.passes() { Duration::ZERO } else { REFUSED })
        };
        match self.turns.wait(self.verdicts.ask(key, keep, ask)).await {
            Some(Ok(judged)) => judged.why_not.map_or(Ok(()), Err),
            Some(Err(why)) => Err(Arc::new(Why::NotAsked(why.to_string()))),
            None => Err(Arc::new(self.late(&reference))),
        }
    }

    fn late(&self, reference: &Reference) -> Why {
        let (host, _) = asked(&self.context, reference);
        Why::Silent { host, seconds: DEADLINE.as_secs() }
    }

    fn no_tag(&self, text: &str) -> Why {
        let Ok(reference) = text.parse::<Reference>() else { return Why::Unreadable };
        let (host, repository) = asked(&self.context, &reference);
        Why::NoTag { host, repository, tag: reference.selector().to_string() }
    }

    /// The digest that a tag has now.
    async fn resolve(&self, text: &str, asker: &Asker) -> Result<Option<Digest>, Why> {
        let reference: Reference = text.parse().map_err(|_| Why::Unreadable)?;
        let key = reference.to_string();
        if let Some(known) = self.tags.get(&key) {
            return Ok(known);
        }
        let (place, selector) = (place(&self.context, &reference), reference.selector());
        let (metrics, turn) = (self.metrics.clone(), self.turns.turn(asker));
        let ask = || async move {
            let _turn = turn.await?;
            metrics.asked_registry();
            match evidence::resolve(&place?, &selector).await {
                Ok((digest, _)) => Ok(Some(digest)),
                Err(evidence::Error::NotFound(_)) => Ok(None),
                Err(error) => Err(cause(&error)),
            }
        };
        // That a tag is not there is forgotten at once.
        let keep = |found: &Option<Digest>| Some(if found.is_some() { TAG } else { Duration::ZERO });
        match self.turns.wait(self.tags.ask(key, keep, ask)).await {
            Some(answer) => answer.map_err(|why| Why::NotAsked(why.to_string())),
            None => Err(self.late(&reference)),
        }
    }

    /// Whether an image would be good by a policy; for one that is not in force yet.
    pub(super) async fn would_refuse(&self, text: &str, policy: &Arc<Compiled>) -> Option<Arc<Why>> {
        // airlock's own question.
        let asker = &Asker::default();
        let pinned = match text.parse::<Reference>() {
            Ok(reference) if reference.digest().is_none() && policy.pins() => {
                match self.resolve(text, asker).await {
                    Ok(Some(digest)) => format!("{text}@{digest}"),
                    Ok(None) => return Some(Arc::new(self.no_tag(text))),
                    Err(why) => return Some(Arc::new(why)),
                }
            }
            _ => text.to_owned(),
        };
        self.judge(&pinned, policy, asker).await.err()
    }

    /// Takes verdicts of before.
    pub(super) fn recall(&self, good: &BTreeSet<Good>) {
        for good in good {
            let key = (good.image.clone(), good.name.clone(), good.policy.clone());
            self.verdicts.put(key, Judged { why_not: None });
        }
    }

    /// All images that were found good.
    pub(super) fn good(&self) -> BTreeSet<Good> {
        let good = self.verdicts.lasting().into_iter().filter(|(_, judged)| judged.why_not.is_none());
        good.map(|((image, name, policy), _)| Good { image, name, policy }).collect()
    }

    /// What verdicts may depend on now.
    pub(super) fn policies(&self) -> BTreeSet<Digest> {
        self.watched.all().unwrap_or_default().iter().map(|policy| policy.digest.clone()).collect()
    }

    /// What refusals come to: each does what its policy says.
    fn settle(&self, request: &Request, refusals: Vec<Refusal>, answer: &mut Answer) {
        let now = OffsetDateTime::now_utc();
        let (mut denied, mut written, mut broken) = (Vec::new(), Vec::new(), Vec::new());
        for refusal in refusals {
            match refusal.policy.effect(now) {
                Effect::Stops => denied.push(refusal.help(&request.object)),
                Effect::Warns => {
                    answer.warnings.extend(refusal.warnings("", &request.object));
                    written.push(refusal.text("would be"));
                }
                Effect::IsWritten => written.push(refusal.text("would be")),
                Effect::BreaksGlass(reason, until) => {
                    let (subject, user) = (request.subject(), request.user());
                    let until = until.format(&Rfc3339).unwrap_or_default();
                    tracing::warn!(
                        subject,
                        user,
                        reason,
                        until,
                        policy = refusal.policy.name,
                        image = refusal.image,
                        "break-glass: an image passes that would be refused: {}",
                        refusal.why
                    );
                    let prefix = format!("break-glass until {until}: ");
                    answer.warnings.extend(refusal.warnings(&prefix, &request.object));
                    broken.push(format!("{reason}: {}", refusal.text("would be")));
                }
            }
        }
        if !broken.is_empty() {
            self.metrics.broke_glass();
            answer.audit.insert("break-glass".to_owned(), broken.join("\n"));
        }
        if !written.is_empty() {
            answer.audit.insert("refused".to_owned(), written.join("\n"));
        }
        if !denied.is_empty() {
            let message = few(denied.into_iter(), MOST_REASONS, "; ");
            tracing::info!(subject = request.subject(), user = request.user(), message, "images are refused");
            answer.denied = Some((403, message));
        }
    }
}

//! An image that violates a policy, and the messages for the user.

use std::sync::Arc;

use serde_json::Value;
use time::OffsetDateTime;
use workload_images::ImageUse;

use crate::webhook::denial::DenialReason;
use crate::webhook::policies::{CompiledPolicy, Effect};

/// An image that violates a policy.
pub(super) struct Violation {
    pub(super) policy: Arc<CompiledPolicy>,
    pub(super) image: String,
    pub(super) containers: String,
    pub(super) reason: Arc<DenialReason>,
}

impl Violation {
    pub(super) fn new(
        policy: &Arc<CompiledPolicy>,
        image: &str,
        uses: &[ImageUse],
        reason: Arc<DenialReason>,
    ) -> Self {
        let containers = uses.iter().filter(|used| used.image == image);
        let containers: Vec<_> = containers.map(|used| format!("{} `{}`", used.kind, used.name)).collect();
        let (policy, image) = (Arc::clone(policy), image.to_owned());
        Self { policy, image, containers: containers.join(", "), reason }
    }

    /// Whether it rejects the object, for a reason that is not temporary.
    pub(super) fn is_final(&self) -> bool {
        self.policy.effect(OffsetDateTime::now_utc()) == Effect::Deny && !self.reason.is_temporary()
    }

    /// The image, the policy and the reason.
    pub(super) fn message(&self, verb: &str) -> String {
        let Self { policy, image, containers, reason } = self;
        let (name, required) = (&policy.name, policy.requirements());
        format!(
            "image `{image}` of {containers} {verb} rejected by TrustPolicy `{name}`, which requires {required}: {reason}"
        )
    }

    /// A short message, and the advice in a second warning: the API server truncates warnings.
    pub(super) fn warnings(&self, prefix: &str, object: &Value) -> [String; 2] {
        let Self { policy, image, containers, reason } = self;
        // The tag identifies the image for people; the digest would fill half of the line.
        let short = image.split_once('@').map_or(image.as_str(), |(short, _)| short);
        let name = &policy.name;
        [
            format!(
                "{prefix}image `{short}` would be rejected by TrustPolicy `{name}`: {reason} ({containers})"
            ),
            format!("What to do: {}", self.advice(object)),
        ]
    }

    /// The message with the advice.
    pub(super) fn message_with_advice(&self, object: &Value) -> String {
        format!("{}. What to do: {}", self.message("is"), self.advice(object))
    }

    fn advice(&self, object: &Value) -> String {
        let mirrored = object.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some();
        if mirrored {
            "this is the mirror pod of a static pod, which is already running: stop it on its node".to_owned()
        } else {
            self.reason.advice()
        }
    }
}

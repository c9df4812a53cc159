//! An image that a policy refuses, in words for those who wanted it.

use std::sync::Arc;

use serde_json::Value;
use time::OffsetDateTime;
use workload_images::ImageUse;

use crate::webhook::policies::{Compiled, Effect};
use crate::webhook::why::Why;

/// An image that a policy refuses.
pub(super) struct Refusal {
    pub(super) policy: Arc<Compiled>,
    pub(super) image: String,
    pub(super) places: String,
    pub(super) why: Arc<Why>,
}

impl Refusal {
    pub(super) fn new(policy: &Arc<Compiled>, image: &str, uses: &[ImageUse], why: Arc<Why>) -> Self {
        let places = uses.iter().filter(|used| used.image == image);
        let places: Vec<_> = places.map(|used| format!("{} `{}`", used.place, used.name)).collect();
        let (policy, image) = (Arc::clone(policy), image.to_owned());
        Self { policy, image, places: places.join(", "), why }
    }

    /// Whether it stops the object, and the registry answers.
    pub(super) fn stops_for_good(&self) -> bool {
        self.policy.effect(OffsetDateTime::now_utc()) == Effect::Stops && !self.why.passes()
    }

    /// Which image, which rule, why.
    pub(super) fn text(&self, verb: &str) -> String {
        let Self { policy, image, places, why } = self;
        let (name, asked) = (&policy.name, policy.asks_for());
        format!(
            "image `{image}` of {places} {verb} refused by TrustPolicy `{name}`, which asks for {asked}: {why}"
        )
    }

    /// The same in short, and then what to do: the API server cuts warnings off.
    pub(super) fn warnings(&self, prefix: &str, object: &Value) -> [String; 2] {
        let Self { policy, image, places, why } = self;
        // With its tag people know it; the digest fills half the line.
        let short = image.split_once('@').map_or(image.as_str(), |(short, _)| short);
        let name = &policy.name;
        [
            format!("{prefix}image `{short}` would be refused by TrustPolicy `{name}`: {why} ({places})"),
            format!("What to do: {}", self.advice(object)),
        ]
    }

    /// All of it, with what to do.
    pub(super) fn help(&self, object: &Value) -> String {
        format!("{}. What to do: {}", self.text("is"), self.advice(object))
    }

    fn advice(&self, object: &Value) -> String {
        let mirrored = object.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some();
        if mirrored {
            "this is the mirror of a static pod, which runs already: stop it on its node".to_owned()
        } else {
            self.why.advice()
        }
    }
}

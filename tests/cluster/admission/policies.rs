//! Trust policies: validation, modes, and the recorded sequence of deleted policies.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{SIGNED, Site, UNSIGNED, pod, policy, shared};

impl Site {
    fn key(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{name}.pub"))).unwrap()
    }

    /// Applies a policy for the namespace of the same name, and waits until it is in force.
    fn in_force(&self, name: &str, change: &dyn Fn(&mut Value)) -> Value {
        let mut object = policy(name, &self.key("release"), "enforce", &json!({"names": [name]}));
        change(&mut object["spec"]);
        let (good, said) = self.cluster.apply(&object.to_string());
        assert!(good, "{said}");
        self.settled(name);
        object
    }

    /// Waits until the controller has observed the current policy.
    fn settled(&self, name: &str) -> Value {
        crate::rig::wait("the policy's status", super::MINUTE, || {
            let found = self.cluster.get(&["trustpolicy", name])?;
            (found["status"]["observedGeneration"] == found["metadata"]["generation"]).then_some(found)
        })
    }

    fn space(&self, name: &str) -> String {
        self.verified_namespace(name);
        // Only the policy of the same name applies to it.
        self.cluster.kubectl(&["label", "namespace", name, "verified-"]);
        name.to_owned()
    }

    /// Applies a pod; returns whether it was admitted, and the output with the warnings.
    fn warned(&self, object: &Value) -> (bool, String) {
        self.cluster.apply(&object.to_string())
    }
}

fn in_hours(hours: i64) -> String {
    (OffsetDateTime::now_utc() + Duration::hours(hours)).format(&Rfc3339).unwrap()
}

#[test]
fn modes_warn_and_audit_and_break_glass_is_recorded() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.space("modes");
    site.in_force("modes", &|spec| spec["mode"] = json!("warn"));
    let (good, said) = site.warned(&pod(&space, "warned", UNSIGNED));
    assert!(
        good && said.contains("Warning: image `registry.example/team/other:v1` would be rejected"),
        "{said}"
    );
    assert!(
        said.contains("`modes`: it is not signed (container `main`)") && !said.contains("is rejected"),
        "{said}"
    );
    assert!(
        said.contains("Warning: What to do: sign it with `airlock sign") && said.contains("--key KEY`"),
        "{said}"
    );
    site.in_force("modes", &|spec| spec["mode"] = json!("audit"));
    let (good, said) = site.warned(&pod(&space, "audited", UNSIGNED));
    assert!(good && !said.contains("Warning"), "{said}");
    site.in_force("modes", &|_| {});
    site.refuses(&pod(&space, "stopped", UNSIGNED), &["is rejected by TrustPolicy `modes`"]);
    let glass = |hours: i64, reason: &str| json!({"until": in_hours(hours), "reason": reason});
    let broken = site.metric("airlock_webhook_break_glass_total");
    site.in_force("modes", &|spec| spec["breakGlass"] = glass(1, "the key's owner is ill"));
    let (good, said) = site.warned(&pod(&space, "broken", UNSIGNED));
    assert!(good && said.contains("Warning: break-glass until 2") && said.contains("Z: image "), "{said}");
    let glasses = site.settled("modes")["status"]["conditions"][0]["message"].to_string();
    assert!(glasses.contains("; break-glass until ") && glasses.contains("is ill"), "{glasses}");
    assert!(site.metric("airlock_webhook_break_glass_total") > broken);
    let log = std::fs::read_to_string(site.cluster.path("controller.log")).unwrap();
    assert!(
        log.contains("break-glass: an image is admitted") && log.contains("the key's owner is ill"),
        "{log}"
    );
    let mut past = policy("past", &site.key("release"), "enforce", &json!({"names": ["past"]}));
    past["spec"]["breakGlass"] = glass(-1, "too late");
    let (good, said) = site.warned(&past);
    assert!(
        good && said.contains("`breakGlass` has no effect: 2") && !said.contains("blocks nothing"),
        "{said}"
    );
    site.cluster.kubectl(&["delete", "trustpolicy", "past"]);
    let mut long = policy("long", &site.key("release"), "enforce", &json!({"names": ["long"]}));
    long["spec"]["breakGlass"] = glass(25, "x");
    site.refuses(&long, &["more than 24 hours ahead"]);
    long["spec"]["breakGlass"] = glass(1, " ");
    site.refuses(&long, &["`breakGlass.reason` must not be empty"]);
}

#[test]
fn a_sequence_never_goes_back_even_when_the_policy_was_deleted() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.space("sequences");
    let with = |sequence: u64| {
        let mut object = policy("sequences", &site.key("other"), "enforce", &json!({"names": ["sequences"]}));
        object["spec"]["trust"]["sequence"] = json!(sequence);
        object
    };
    site.in_force("sequences", &|spec| spec["trust"]["sequence"] = json!(5));
    assert_eq!(site.settled("sequences")["status"]["newestSequence"], 5);
    site.makes(&pod(&space, "one", SIGNED));
    let (good, said) = site.cluster.apply(&with(4).to_string());
    assert!(!good && said.contains("it has sequence 4, but 5 was in force"), "{said}");
    site.cluster.kubectl(&["delete", "trustpolicy", "sequences"]);
    site.refuses(&with(4), &["it has sequence 4, but 5 was in force"]);
    site.makes(&with(6));
    site.settled("sequences");
    // A different key is in force now, so earlier verdicts do not count.
    site.refuses(&pod(&space, "two", SIGNED), &["is rejected by TrustPolicy `sequences`"]);
}

#[test]
fn a_policy_that_is_invalid_or_would_lock_airlock_out_is_rejected() {
    let Some((_turn, site)) = shared() else { return };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut object = policy("wrong", &site.key("other"), "enforce", &json!({"names": ["wrong"]}));
        change(&mut object["spec"]);
        object
    };
    site.refuses(
        &with(&|spec| spec["trust"]["keys"][0]["publicKey"] = json!("none")),
        &["TrustPolicy wrong is rejected"],
    );
    site.refuses(&with(&|spec| spec["images"] = json!(["*/x"])), &["TrustPolicy wrong is rejected"]);
    site.refuses(
        &with(&|spec| spec["require"] = json!([{"sign": "signature", "by": "nobody"}])),
        &["nobody"],
    );
    let names = |name: &'static str| with(&move |spec| spec["namespaces"] = json!({"names": [name]}));
    site.refuses(&names("kube-system"), &["`kube-system` is always exempt"]);
    site.refuses(&names("eksa-packages"), &["`eksa-packages` is always exempt"]);
    // The pod that represents the controller.
    site.makes(&pod("eksa-packages", "airlock", SIGNED));
    let own = json!({"matchLabels": {"kubernetes.io/metadata.name": "eksa-packages"}});
    site.refuses(
        &with(&|spec| spec["namespaces"] = own.clone()),
        &["it would reject airlock's own image", "What to do first: sign it with `airlock sign"],
    );
    let of_others = |spec: &mut Value| {
        spec["namespaces"] = own.clone();
        spec["images"] = json!(["other.example/**"]);
    };
    site.create(&with(&of_others), true).unwrap();
    // A policy that selects other namespaces does not apply to airlock's own image.
    site.create(&with(&|_| {}), true).unwrap();
    site.create(&with(&|spec| spec["namespaces"] = json!({"matchLabels": {"env": "prod"}})), true).unwrap();
    site.create(&policy("right", &site.key("release"), "enforce", &json!({"names": ["x"]})), true).unwrap();
    site.cluster.kubectl(&["delete", "pod", "airlock", "-n", "eksa-packages", "--force", "--grace-period=0"]);
}

#[test]
fn the_rules_of_a_policy_are_enforced() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.space("rules");
    let both = |spec: &mut Value| {
        let keys = ["release", "other"].map(|name| json!({"name": name, "publicKey": site.key(name)}));
        spec["trust"] =
            json!({"keys": keys, "groups": [{"name": "both", "threshold": 2, "keys": ["release", "other"]}]});
        spec["require"] = json!([{"sign": "signature", "by": "both"}]);
    };
    site.in_force("rules", &both);
    site.refuses(
        &pod(&space, "one", SIGNED),
        &["requires `signature` by `both`", "1 of the 2 required signers of `both` signed"],
    );
    // The policy does not match another registry; and with `tags: refuse`, it rejects tags.
    site.in_force("rules", &|spec| spec["images"] = json!(["registry.example/team/*"]));
    site.create(&pod(&space, "away", "public.example/any:1"), true).unwrap();
    site.refuses(&pod(&space, "near", UNSIGNED), &["is rejected by TrustPolicy `rules`"]);
    site.in_force("rules", &|spec| spec["tags"] = json!("refuse"));
    site.refuses(&pod(&space, "tagged", SIGNED), &["the policy does not allow tags"]);
    site.create(&pod(&space, "digested", &format!("{SIGNED}@{}", site.digest(SIGNED))), true).unwrap();
    // Signatures of a revoked key do not count.
    let release = bundle_signer::PublicKey::from_pem(&site.key("release")).unwrap();
    let revoked = json!([{"hint": release.hint(), "reason": "lost", "date": "2026-01-01"}]);
    site.in_force("rules", &|spec| spec["trust"]["revocations"] = revoked.clone());
    site.refuses(&pod(&space, "revoked", SIGNED), &["was revoked on 2026-01-01: lost"]);
}

/// An image without a cached verdict is rejected by the webhook itself, within the time limit; a cached one is admitted.
#[test]
fn while_the_registry_hangs_only_images_without_a_verdict_are_rejected() {
    let Some((_turn, site)) = super::alone() else { return };
    let space = site.verified_namespace("hanging");
    let known = format!("{SIGNED}@{}", site.digest(SIGNED));
    site.makes(&pod(&space, "before", &known));
    site.pause_registry(true);
    let begun = std::time::Instant::now();
    let unknown = format!("registry.example/team/unknown@sha256:{}", "0".repeat(64));
    let late = site.create(&pod(&space, "late", &unknown), true);
    let took = begun.elapsed();
    let tag = site.create(&pod(&space, "tag", "registry.example/team/unknown:v1"), true);
    let known = site.create(&pod(&space, "known", &known), true);
    site.pause_registry(false);
    let words = format!("the registry `{}` did not answer within 4 s", site.registry);
    assert!(
        late.as_ref().is_err_and(|said| said.contains(&words) && said.contains("TrustPolicy `release`")),
        "{late:?}"
    );
    assert!(tag.as_ref().is_err_and(|said| said.contains(&words)), "{tag:?}");
    known.unwrap();
    assert!(took < std::time::Duration::from_secs(7), "{took:?}");
}

/// Otherwise neither the controller nor the pods that it needs could start.
#[test]
fn pods_of_the_cluster_and_of_airlock_are_never_verified() {
    let Some((_turn, site)) = shared() else { return };
    let everywhere = |spec: &mut Value| {
        spec.as_object_mut().unwrap().remove("namespaces");
        spec["images"] = json!(["registry.example/exempt/*"]);
    };
    site.in_force("exempt", &everywhere);
    let image = "registry.example/exempt/none:v1";
    for space in ["kube-system", "eksa-packages"] {
        let made = site.create(&pod(space, "own", image), true).unwrap();
        assert_eq!(super::image_of(&made, "/spec/containers/0/image"), image);
    }
    site.refuses(&pod("default", "own", image), &["is rejected by TrustPolicy `exempt`"]);
    site.cluster.kubectl(&["delete", "trustpolicy", "exempt"]);
}

/// After a power failure, the controller may start before the registry.
#[test]
fn verdicts_survive_a_restart_without_the_registry_and_cannot_be_forged() {
    let Some((_turn, site)) = super::alone() else { return };
    let space = site.verified_namespace("restarted");
    let (digest, other) = (site.digest(SIGNED), site.digest(UNSIGNED));
    let (known, forged) = (format!("{SIGNED}@{digest}"), format!("{UNSIGNED}@{other}"));
    site.makes(&pod(&space, "before", &known));
    let map = ["configmap", "airlock-verdicts", "-n", "eksa-packages"];
    let verdicts = || Some(super::image_of(&site.cluster.get(&map)?, "/data/verdicts.json"));
    let text =
        crate::rig::wait("the verdict", super::MINUTE, || verdicts().filter(|text| text.contains(&digest)));
    site.pause_registry(true);
    site.restart();
    let calls = || site.metric("airlock_webhook_registry_calls_total");
    let before = calls();
    let passes = crate::rig::wait("the earlier verdict", super::MINUTE, || {
        site.create(&pod(&space, "after", &known), true).ok()
    });
    let calls = calls() - before;
    site.pause_registry(false);
    assert_eq!(calls, 0);
    println!(
        "{} passed after a restart, with {calls} calls to the registry",
        super::image_of(&passes, "/metadata/name")
    );
    verdict_of_another_replica(&site, &space, &text);
    let text = text.replace(&digest, &other).replace("team/app", "team/other");
    let patch = json!({"data": {"verdicts.json": text}}).to_string();
    site.cluster.kubectl(&[
        "patch",
        "configmap",
        "airlock-verdicts",
        "-n",
        "eksa-packages",
        "--type=merge",
        "-p",
        &patch,
    ]);
    site.restart();
    site.refuses(&pod(&space, "forged", &forged), &["is rejected by TrustPolicy `release`"]);
    let log = std::fs::read_to_string(site.cluster.path("controller.log")).unwrap();
    assert!(log.contains("ignoring stored verdicts: they have no valid signature by airlock"), "{log}");
}

/// An image with a verdict of another replica is admitted while the registry is unreachable.
fn verdict_of_another_replica(site: &Site, space: &str, text: &str) {
    use base64::Engine as _;
    let image = format!("registry.example/team/shared@sha256:{}", "2".repeat(64));
    let mut all: Value = serde_json::from_str(text).unwrap();
    let mut more = all[0].clone();
    more["image"] = json!(format!("sha256:{}", "2".repeat(64)));
    more["name"] = json!("registry.example/team/shared");
    let entries = all.as_array_mut().unwrap();
    // One entry for each policy that has a verdict.
    let policies: std::collections::BTreeSet<_> =
        entries.iter().map(|good| good["policy"].as_str().unwrap().to_owned()).collect();
    for policy in policies {
        more["policy"] = json!(policy);
        entries.push(more.clone());
    }
    let secret = site.cluster.get(&["secret", "airlock-verdict-key", "-n", "eksa-packages"]).unwrap();
    let pem = secret["data"]["key.pem"].as_str().unwrap();
    let pem = base64::engine::general_purpose::STANDARD.decode(pem).unwrap();
    let key = bundle_signer::PrivateKey::from_pem(&String::from_utf8(pem).unwrap(), b"").unwrap();
    let text = all.to_string();
    let signature = String::from_utf8(bundle_signer::sign_blob(&key, text.as_bytes()).unwrap()).unwrap();
    let patch = json!({"data": {"verdicts.json": text, "verdicts.sigstore.json": signature}}).to_string();
    let map = ["patch", "configmap", "airlock-verdicts", "-n", "eksa-packages", "--type=merge", "-p", &patch];
    site.refuses(&pod(space, "shared", &image), &["has no such image"]);
    site.cluster.kubectl(&map);
    crate::rig::wait("another's verdict", super::MINUTE, || {
        site.create(&pod(space, "shared", &image), true).ok()
    });
}

//! Trust policies: what is refused of them, what they do in each mode, and what remains of one that is gone.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{SIGNED, Site, UNSIGNED, pod, policy, shared};

impl Site {
    fn key(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{name}.pub"))).unwrap()
    }

    /// A policy for one namespace of its name, in force.
    fn in_force(&self, name: &str, change: &dyn Fn(&mut Value)) -> Value {
        let mut object = policy(name, &self.key("release"), "enforce", &json!({"names": [name]}));
        change(&mut object["spec"]);
        let (good, said) = self.cluster.apply(&object.to_string());
        assert!(good, "{said}");
        self.settled(name);
        object
    }

    /// Waits until the controller has seen a policy as it is.
    fn settled(&self, name: &str) -> Value {
        crate::rig::wait("the policy's status", super::MINUTE, || {
            let found = self.cluster.get(&["trustpolicy", name])?;
            (found["status"]["observedGeneration"] == found["metadata"]["generation"]).then_some(found)
        })
    }

    fn space(&self, name: &str) -> String {
        self.judged(name);
        // Judged by the policy of its own name alone.
        self.cluster.kubectl(&["label", "namespace", name, "judged-"]);
        name.to_owned()
    }

    /// A pod, made by the API; gives the warnings that whoever asked would see.
    fn warned(&self, object: &Value) -> (bool, String) {
        self.cluster.apply(&object.to_string())
    }
}

fn in_hours(hours: i64) -> String {
    (OffsetDateTime::now_utc() + Duration::hours(hours)).format(&Rfc3339).unwrap()
}

#[test]
fn modes_warn_and_write_down_and_break_glass_is_told() {
    let Some((_turn, site)) = shared() else { return };
    let space = site.space("modes");
    site.in_force("modes", &|spec| spec["mode"] = json!("warn"));
    let (good, said) = site.warned(&pod(&space, "warned", UNSIGNED));
    assert!(
        good && said.contains("Warning: image `registry.example/team/other:v1` would be refused"),
        "{said}"
    );
    assert!(
        said.contains("`modes`: it is not signed (container `main`)") && !said.contains("is refused"),
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
    site.refuses(&pod(&space, "stopped", UNSIGNED), &["is refused by TrustPolicy `modes`"]);
    let glass = |hours: i64, reason: &str| json!({"until": in_hours(hours), "reason": reason});
    let broken = site.metric("airlock_webhook_break_glass_total");
    site.in_force("modes", &|spec| spec["breakGlass"] = glass(1, "the key's keeper is ill"));
    let (good, said) = site.warned(&pod(&space, "broken", UNSIGNED));
    assert!(good && said.contains("Warning: break-glass until 2") && said.contains("Z: image "), "{said}");
    let glasses = site.settled("modes")["status"]["conditions"][0]["message"].to_string();
    assert!(glasses.contains("; break-glass until ") && glasses.contains("is ill"), "{glasses}");
    assert!(site.metric("airlock_webhook_break_glass_total") > broken);
    let told = std::fs::read_to_string(site.cluster.path("controller.log")).unwrap();
    assert!(
        told.contains("break-glass: an image passes") && told.contains("the key's keeper is ill"),
        "{told}"
    );
    let mut past = policy("past", &site.key("release"), "enforce", &json!({"names": ["past"]}));
    past["spec"]["breakGlass"] = glass(-1, "too late");
    let (good, said) = site.warned(&past);
    assert!(
        good && said.contains("`breakGlass` breaks nothing: 2") && !said.contains("stops nothing"),
        "{said}"
    );
    site.cluster.kubectl(&["delete", "trustpolicy", "past"]);
    let mut long = policy("long", &site.key("release"), "enforce", &json!({"names": ["long"]}));
    long["spec"]["breakGlass"] = glass(25, "x");
    site.refuses(&long, &["more than 24 hours ahead"]);
    long["spec"]["breakGlass"] = glass(1, " ");
    site.refuses(&long, &["must say why"]);
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
    // Another key is in force now, so that no verdict of before counts.
    site.refuses(&pod(&space, "two", SIGNED), &["is refused by TrustPolicy `sequences`"]);
}

#[test]
fn a_policy_that_could_not_be_used_or_would_lock_out_is_refused() {
    let Some((_turn, site)) = shared() else { return };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut object = policy("wrong", &site.key("other"), "enforce", &json!({"names": ["wrong"]}));
        change(&mut object["spec"]);
        object
    };
    site.refuses(
        &with(&|spec| spec["trust"]["keys"][0]["publicKey"] = json!("none")),
        &["TrustPolicy wrong is refused"],
    );
    site.refuses(&with(&|spec| spec["images"] = json!(["*/x"])), &["TrustPolicy wrong is refused"]);
    site.refuses(
        &with(&|spec| spec["require"] = json!([{"sign": "signature", "by": "nobody"}])),
        &["nobody"],
    );
    let names = |name: &'static str| with(&move |spec| spec["namespaces"] = json!({"names": [name]}));
    site.refuses(&names("kube-system"), &["`kube-system` is never judged"]);
    site.refuses(&names("eksa-packages"), &["`eksa-packages` is never judged"]);
    // The pod that the controller says it is.
    site.makes(&pod("eksa-packages", "airlock", SIGNED));
    let own = json!({"matchLabels": {"kubernetes.io/metadata.name": "eksa-packages"}});
    site.refuses(
        &with(&|spec| spec["namespaces"] = own.clone()),
        &["it would refuse airlock's own image", "What to do first: sign it with `airlock sign"],
    );
    let of_others = |spec: &mut Value| {
        spec["namespaces"] = own.clone();
        spec["images"] = json!(["other.example/**"]);
    };
    site.create(&with(&of_others), true).unwrap();
    // One that chooses other namespaces never judges airlock's own image.
    site.create(&with(&|_| {}), true).unwrap();
    site.create(&with(&|spec| spec["namespaces"] = json!({"matchLabels": {"env": "prod"}})), true).unwrap();
    site.create(&policy("right", &site.key("release"), "enforce", &json!({"names": ["x"]})), true).unwrap();
    site.cluster.kubectl(&["delete", "pod", "airlock", "-n", "eksa-packages", "--force", "--grace-period=0"]);
}

#[test]
fn what_a_policy_asks_for_is_what_it_gets() {
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
        &["asks for `signature` by `both`", "1 of the 2 that must of `both` signed"],
    );
    // Another registry is not what this policy is about; and a tag is not, where it says so.
    site.in_force("rules", &|spec| spec["images"] = json!(["registry.example/team/*"]));
    site.create(&pod(&space, "away", "public.example/any:1"), true).unwrap();
    site.refuses(&pod(&space, "near", UNSIGNED), &["is refused by TrustPolicy `rules`"]);
    site.in_force("rules", &|spec| spec["tags"] = json!("refuse"));
    site.refuses(&pod(&space, "tagged", SIGNED), &["the policy takes none that is named by a tag"]);
    site.create(&pod(&space, "digested", &format!("{SIGNED}@{}", site.digest(SIGNED))), true).unwrap();
    // A key that was revoked counts no more.
    let release = bundle_signer::PublicKey::from_pem(&site.key("release")).unwrap();
    let revoked = json!([{"hint": release.hint(), "reason": "lost", "date": "2026-01-01"}]);
    site.in_force("rules", &|spec| spec["trust"]["revocations"] = revoked.clone());
    site.refuses(&pod(&space, "revoked", SIGNED), &["was revoked on 2026-01-01: lost"]);
}

/// What cannot be found out is refused, by the webhook's own word and in time; what is known passes.
#[test]
fn a_registry_that_hangs_stops_what_is_not_known_and_nothing_else() {
    let Some((_turn, site)) = super::alone() else { return };
    let space = site.judged("hanging");
    let known = format!("{SIGNED}@{}", site.digest(SIGNED));
    site.makes(&pod(&space, "before", &known));
    site.halt(true);
    let begun = std::time::Instant::now();
    let unknown = format!("registry.example/team/unknown@sha256:{}", "0".repeat(64));
    let late = site.create(&pod(&space, "late", &unknown), true);
    let took = begun.elapsed();
    let tag = site.create(&pod(&space, "tag", "registry.example/team/unknown:v1"), true);
    let known = site.create(&pod(&space, "known", &known), true);
    site.halt(false);
    let words = format!("the registry `{}` did not answer within 4 s", site.registry);
    assert!(
        late.as_ref().is_err_and(|said| said.contains(&words) && said.contains("TrustPolicy `release`")),
        "{late:?}"
    );
    assert!(tag.as_ref().is_err_and(|said| said.contains(&words)), "{tag:?}");
    known.unwrap();
    assert!(took < std::time::Duration::from_secs(7), "{took:?}");
}

/// Else nothing could start that judges, nor what the cluster needs to start it.
#[test]
fn the_cluster_s_own_pods_and_airlock_s_are_never_judged() {
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
    site.refuses(&pod("default", "own", image), &["is refused by TrustPolicy `exempt`"]);
    site.cluster.kubectl(&["delete", "trustpolicy", "exempt"]);
}

/// After a power cut the controller may start before the registry.
#[test]
fn what_was_found_good_is_known_after_a_restart_without_the_registry_and_cannot_be_forged() {
    let Some((_turn, site)) = super::alone() else { return };
    let space = site.judged("remembered");
    let (digest, other) = (site.digest(SIGNED), site.digest(UNSIGNED));
    let (known, forged) = (format!("{SIGNED}@{digest}"), format!("{UNSIGNED}@{other}"));
    site.makes(&pod(&space, "before", &known));
    let map = ["configmap", "airlock-verdicts", "-n", "eksa-packages"];
    let verdicts = || Some(super::image_of(&site.cluster.get(&map)?, "/data/verdicts.json"));
    let text =
        crate::rig::wait("the verdict", super::MINUTE, || verdicts().filter(|text| text.contains(&digest)));
    site.halt(true);
    site.restart();
    let asked = || site.metric("airlock_webhook_registry_calls_total");
    let before = asked();
    let passes = crate::rig::wait("the verdict of before", super::MINUTE, || {
        site.create(&pod(&space, "after", &known), true).ok()
    });
    let calls = asked() - before;
    site.halt(false);
    assert_eq!(calls, 0);
    println!(
        "{} passed after a restart, with {calls} calls to the registry",
        super::image_of(&passes, "/metadata/name")
    );
    hears_of_another_replica(&site, &space, &text);
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
    site.refuses(&pod(&space, "forged", &forged), &["is refused by TrustPolicy `release`"]);
    let log = std::fs::read_to_string(site.cluster.path("controller.log")).unwrap();
    assert!(log.contains("verdicts of before are not airlock's"), "{log}");
}

/// What another replica writes down as good passes here, too, while the registry is away.
fn hears_of_another_replica(site: &Site, space: &str, text: &str) {
    use base64::Engine as _;
    let image = format!("registry.example/team/told@sha256:{}", "2".repeat(64));
    let mut all: Value = serde_json::from_str(text).unwrap();
    let mut more = all[0].clone();
    more["image"] = json!(format!("sha256:{}", "2".repeat(64)));
    more["name"] = json!("registry.example/team/told");
    let entries = all.as_array_mut().unwrap();
    // One for each policy that has a verdict.
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
    site.refuses(&pod(space, "told", &image), &["has no such image"]);
    site.cluster.kubectl(&map);
    crate::rig::wait("another's verdict", super::MINUTE, || {
        site.create(&pod(space, "told", &image), true).ok()
    });
}

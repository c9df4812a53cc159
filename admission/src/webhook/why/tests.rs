use bundle_signer::trust::Mode;
use bundle_signer::{Decision, PrivateKey};
use evidence::Refused;

use super::*;

fn refused(format: &'static str, fault: RefusalReason) -> Refused {
    Refused { format, at: "tag".to_owned(), why: "words".to_owned(), fault }
}

fn verdict(why_not: Vec<Reason>, refused: Vec<Refused>) -> Verdict {
    let (gate, mode) = (Gate::Pull, Mode::Enforce);
    let decision = Decision { gate, mode, allowed: false, satisfied: false, by: Vec::new(), why_not };
    Verdict { decision, signatures: Vec::new(), refused, skipped: Vec::new(), others: 0 }
}

fn unmet(met: &[(&str, &str)], lacks: &[(&str, Verdict)]) -> Why {
    let key = PrivateKey::generate().unwrap().public_key().unwrap();
    let trust = TrustFile::new(vec![("release".to_owned(), key)]).unwrap();
    let met = met.iter().map(|(what, by)| ((*what).to_owned(), (*by).to_owned())).collect();
    let lacks = lacks.iter().map(|(what, verdict)| Lack::of(&trust, what, std::slice::from_ref(verdict)));
    let (names, target) = (vec!["r.example/a".to_owned()], "r.example/a@sha256:0 --store STORE".to_owned());
    let lacks = lacks.collect();
    Why::Unmet(Unmet { met, lacks, names, target, keys: vec!["`release` (PvWc=)".to_owned()] })
}

const SIGN: &str = "sign it with `airlock sign r.example/a@sha256:0 --store STORE --key KEY`";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

#[test]
fn what_is_not_signed_is_to_be_signed_and_said_once() {
    let why = unmet(&[], &[(COSIGN_SIGN, verdict(vec![Reason::Unsigned], vec![]))]);
    assert_eq!(why.to_string(), "it is not signed");
    assert!(why.advice().starts_with(SIGN), "{}", why.advice());
}

#[test]
fn an_unknown_key_is_told_once_with_the_known_ones() {
    let both = vec![
        refused("simpleSigning", RefusalReason::UnknownKey(None)),
        refused("bundle", RefusalReason::UnknownKey(Some("KJzn=".to_owned()))),
    ];
    let why = unmet(&[], &[(COSIGN_SIGN, verdict(vec![Reason::Unsigned], both))]);
    let said = "it is signed only by key KJzn=, which the policy does not know; it knows `release` (PvWc=)";
    assert_eq!(why.to_string(), said);
    let old = vec![refused("simpleSigning", RefusalReason::UnknownKey(None))];
    let why = unmet(&[], &[(COSIGN_SIGN, verdict(vec![Reason::Unsigned], old))]);
    assert!(why.to_string().starts_with("it is signed only by a key, which"), "{why}");
}

#[test]
fn another_name_is_told_with_the_one_that_is_wanted() {
    let other = vec![refused("bundle", RefusalReason::OtherName("r.example/b".to_owned()))];
    let why = unmet(&[], &[(COSIGN_SIGN, verdict(vec![Reason::Unsigned], other))]);
    assert_eq!(why.to_string(), "it is signed as `r.example/b`, not as `r.example/a`");
    assert!(why.advice().starts_with(SIGN), "{}", why.advice());
}

#[test]
fn what_is_there_is_told_and_only_what_is_missing_is_advised() {
    let none =
        verdict(vec![Reason::Unsigned], vec![refused("simpleSigning", RefusalReason::UnknownKey(None))]);
    let why = unmet(&[("signature", "`release`")], &[(PROVENANCE, none)]);
    assert_eq!(why.to_string(), "`signature` by `release` is there; `slsaprovenance1` is missing");
    let advice = why.advice();
    assert!(
        advice.starts_with(
            "attest it with `airlock attest r.example/a@sha256:0 --store STORE --predicate FILE"
        ),
        "{advice}"
    );
    assert!(advice.contains("--type slsaprovenance1 ") && !advice.contains("airlock sign"), "{advice}");
}

/// The advice to sign is given for nothing else.
#[test]
fn only_what_is_not_signed_is_advised_to_be_signed() {
    let host: RegistryHost = "r.example:5000".parse().unwrap();
    let repository: RepositoryName = "team/app".parse().unwrap();
    let tag = Why::NoTag { host: host.clone(), repository: repository.clone(), tag: "v9".to_owned() };
    assert_eq!(tag.to_string(), "the registry `r.example:5000` has no such tag: `team/app:v9`");
    let image = Why::NoImage { host: host.clone(), repository };
    assert!(tag.advice().starts_with("mirror the image") && image.advice().starts_with("mirror the image"));
    let (found, newest) = (1, 2);
    for why in [
        Why::Unreadable,
        Why::BrokenPolicy("x".to_owned()),
        Why::StalePolicy { found, newest },
        Why::NotPinned,
        Why::TagRefused,
        Why::Silent { host, seconds: 4 },
        Why::NotAsked("x".to_owned()),
        Why::Broken("x".to_owned()),
        tag,
        image,
    ] {
        let advice = why.advice();
        assert!(!advice.contains("airlock sign") && !advice.is_empty(), "{why:?}: {advice}");
    }
}

#[test]
fn the_command_signs_in_the_mirror_s_store_where_there_is_a_mirror() {
    let digest = Digest::sha256(b"x");
    let mirror: RegistryHost = "m.site:5000".parse().unwrap();
    let names = |all: &[&str]| all.iter().map(|name| name.parse::<ImageName>().unwrap()).collect::<Vec<_>>();
    let upstream = names(&["quay.io/team/a", "m.site:5000/quay.io/team/a"]);
    assert_eq!(target(&upstream[..1], &digest, None), format!("quay.io/team/a@{digest}"));
    let in_store = format!("quay.io/team/a@{digest} --store STORE");
    assert_eq!(target(&upstream, &digest, Some(&mirror)), in_store);
    let own = format!("team/a@{digest} --name m.site:5000/team/a --store STORE");
    assert_eq!(target(&names(&["m.site:5000/team/a"]), &digest, Some(&mirror)), own);
}

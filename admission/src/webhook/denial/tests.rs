use bundle_signer::trust::Mode;
use bundle_signer::{Decision, PrivateKey};
use evidence::Refused;

use super::*;

fn refused(format: &'static str, kind: RefusalReason) -> Refused {
    Refused { format, at: "tag".to_owned(), reason: "words".to_owned(), kind }
}

fn verdict(reasons: Vec<Reason>, refused: Vec<Refused>) -> Verdict {
    let (gate, mode) = (Gate::Pull, Mode::Enforce);
    let decision = Decision { gate, mode, allowed: false, satisfied: false, by: Vec::new(), reasons };
    Verdict { decision, signatures: Vec::new(), refused, skipped: Vec::new(), others: 0 }
}

fn unmet(met: &[(&str, &str)], missing: &[(&str, Verdict)]) -> DenialReason {
    let key = PrivateKey::generate().unwrap().public_key().unwrap();
    let trust = TrustFile::new(vec![("release".to_owned(), key)]).unwrap();
    let met = met.iter().map(|(label, by)| ((*label).to_owned(), (*by).to_owned())).collect();
    let missing = missing
        .iter()
        .map(|(label, verdict)| MissingStatement::of(&trust, label, std::slice::from_ref(verdict)));
    let (names, target) = (vec!["r.example/a".to_owned()], "r.example/a@sha256:0 --store STORE".to_owned());
    let missing = missing.collect();
    DenialReason::Unmet(UnmetRequirements {
        met,
        missing,
        names,
        target,
        keys: vec!["`release` (PvWc=)".to_owned()],
    })
}

const SIGN: &str = "sign it with `airlock sign r.example/a@sha256:0 --store STORE --key KEY`";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

#[test]
fn an_unsigned_image_is_reported_once_with_the_command_to_sign_it() {
    let reason = unmet(&[], &[(COSIGN_SIGN, verdict(vec![Reason::Unsigned], vec![]))]);
    assert_eq!(reason.to_string(), "it is not signed");
    assert!(reason.advice().starts_with(SIGN), "{}", reason.advice());
}

#[test]
fn an_untrusted_key_is_reported_once_with_the_trusted_ones() {
    let both = vec![
        refused("simpleSigning", RefusalReason::UnknownKey(None)),
        refused("bundle", RefusalReason::UnknownKey(Some("KJzn=".to_owned()))),
    ];
    let reason = unmet(&[], &[(COSIGN_SIGN, verdict(vec![Reason::Unsigned], both))]);
    let message =
        "it is signed only by key KJzn=, which the policy does not trust; it trusts `release` (PvWc=)";
    assert_eq!(reason.to_string(), message);
    let old = vec![refused("simpleSigning", RefusalReason::UnknownKey(None))];
    let reason = unmet(&[], &[(COSIGN_SIGN, verdict(vec![Reason::Unsigned], old))]);
    assert!(reason.to_string().starts_with("it is signed only by a key, which"), "{reason}");
}

#[test]
fn another_name_is_reported_with_the_expected_one() {
    let other = vec![refused("bundle", RefusalReason::OtherName("r.example/b".to_owned()))];
    let reason = unmet(&[], &[(COSIGN_SIGN, verdict(vec![Reason::Unsigned], other))]);
    assert_eq!(reason.to_string(), "it is signed as `r.example/b`, not as `r.example/a`");
    assert!(reason.advice().starts_with(SIGN), "{}", reason.advice());
}

#[test]
fn present_statements_are_reported_and_the_advice_is_for_missing_ones_only() {
    let none =
        verdict(vec![Reason::Unsigned], vec![refused("simpleSigning", RefusalReason::UnknownKey(None))]);
    let reason = unmet(&[("signature", "`release`")], &[(PROVENANCE, none)]);
    assert_eq!(reason.to_string(), "`signature` by `release` is present; `slsaprovenance1` is missing");
    let advice = reason.advice();
    assert!(
        advice.starts_with(
            "attest it with `airlock attest r.example/a@sha256:0 --store STORE --predicate FILE"
        ),
        "{advice}"
    );
    assert!(advice.contains("--type slsaprovenance1 ") && !advice.contains("airlock sign"), "{advice}");
}

#[test]
fn only_unmet_requirements_produce_the_advice_to_sign() {
    let host: RegistryHost = "r.example:5000".parse().unwrap();
    let repository: RepositoryName = "team/app".parse().unwrap();
    let tag = DenialReason::TagNotFound {
        host: host.clone(),
        repository: repository.clone(),
        tag: "v9".to_owned(),
    };
    assert_eq!(tag.to_string(), "the registry `r.example:5000` has no such tag: `team/app:v9`");
    let image = DenialReason::ImageNotFound { host: host.clone(), repository };
    assert!(tag.advice().starts_with("mirror the image") && image.advice().starts_with("mirror the image"));
    let (found, newest) = (1, 2);
    for reason in [
        DenialReason::InvalidReference,
        DenialReason::InvalidPolicy("x".to_owned()),
        DenialReason::StalePolicy { found, newest },
        DenialReason::NotPinned,
        DenialReason::TagNotAllowed,
        DenialReason::Timeout { host, seconds: 4 },
        DenialReason::QueryFailed("x".to_owned()),
        DenialReason::InvalidContent("x".to_owned()),
        tag,
        image,
    ] {
        let advice = reason.advice();
        assert!(!advice.contains("airlock sign") && !advice.is_empty(), "{reason:?}: {advice}");
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

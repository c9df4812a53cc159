//! Valid signatures, and the evidence for them.

use bundle_signer::keyless::{Artifact, Identity, Inclusion, Rekor, Signed, SubjectKind, TimeSource, verify};
use oci::Digest;

use crate::fixtures::{
    BLOB_V1, BLOB_V2, GITHUB_ACTIONS, GITHUB_LOGIN, GOOD, Instance, STATEMENT_V1, STATEMENT_V2, digest, read,
    root,
};

#[test]
fn real_bundles_are_accepted_for_their_signers() {
    for good in GOOD {
        let trusted = root(good.instance);
        let evidence = good.with_root(&trusted).unwrap_or_else(|error| panic!("{}: {error:?}", good.bundle));
        assert_eq!((evidence.subject(), evidence.issuer()), (good.subject, good.issuer), "{}", good.bundle);
        let kind = if good.subject.contains("://") { SubjectKind::Uri } else { SubjectKind::Email };
        assert_eq!(evidence.subject_kind(), kind);
        assert_eq!(evidence.signed() == Signed::Statement, good.statement, "{}", good.bundle);
        assert_eq!(evidence.payload().is_some(), good.statement);
        let [entry] = evidence.entries() else { panic!("{}: one entry", good.bundle) };
        assert_eq!((entry.rekor, (entry.kind, entry.version)), (good.rekor, good.entry), "{}", good.bundle);
        assert!(matches!(entry.inclusion, Inclusion::Proof { .. }), "{}", good.bundle);
        assert_eq!(entry.integrated.is_some(), good.rekor == Rekor::V1, "{}", good.bundle);
        let certificate = evidence.certificate();
        for at in evidence.times() {
            assert!(certificate.not_before <= at.time && at.time <= certificate.not_after, "{}", good.bundle);
        }
        assert_eq!(evidence.trusted_root(), trusted.digest());
    }
}

#[test]
fn the_bytes_and_their_digest_are_one_artifact() {
    for good in [BLOB_V1, BLOB_V2, STATEMENT_V1, STATEMENT_V2] {
        let crate::fixtures::Signed::File(name) = good.signed else { panic!("a file") };
        let digest = Digest::sha256(&read(name));
        let by_digest =
            verify(&read(good.bundle), Artifact::Digest(&digest), &good.identity(), &root(good.instance))
                .unwrap();
        assert_eq!(by_digest, good.with_root(&root(good.instance)).unwrap());
    }
}

#[test]
fn the_evidence_contains_everything_that_was_verified() {
    let evidence = BLOB_V1.with_root(&root(Instance::Public)).unwrap();
    let [entry] = evidence.entries() else { panic!("one entry") };
    assert_eq!(entry.log, "https://rekor.sigstore.dev");
    assert_eq!(entry.log_id, "wNI9atQGlz+VWfO6LRygH4QUfY/8W4RFwiT5i5WRgB0=");
    assert_eq!(entry.integrated.unwrap().unix(), 1_764_787_003);
    let sources: Vec<_> = evidence.times().iter().map(|at| at.source).collect();
    assert_eq!(sources, [TimeSource::Timestamp, TimeSource::Log]);
    assert!(evidence.to_string().starts_with(
        "signed by `w.vollprecht@gmail.com`, issued by `https://github.com/login/oauth`, entry "
    ));
    assert!(evidence.to_string().ends_with(", at 2025-12-03T18:36:43Z by the log"), "{evidence}");

    let evidence = STATEMENT_V2.with_root(&root(Instance::Staging)).unwrap();
    let record = serde_json::to_value(&evidence).unwrap();
    assert_eq!(record["subjectKind"], "email");
    assert_eq!(record["signed"], "statement");
    assert_eq!(record["entries"][0]["rekor"], "v2");
    assert_eq!(record["entries"][0]["log"], "https://log2025-alpha3.rekor.sigstage.dev");
    assert_eq!(record["entries"][0]["inclusion"]["proof"]["origin"], "log2025-alpha3.rekor.sigstage.dev");
    assert_eq!(record["times"][0]["source"], "timestamp");
    assert!(record["times"][0]["time"].as_str().unwrap().ends_with('Z'));
    assert!(record.get("payload").is_none());

    let build = STATEMENT_V1.with_root(&root(Instance::Public)).unwrap();
    let certificate = build.certificate();
    assert_eq!(
        certificate.source_repository.as_deref(),
        Some("https://github.com/prefix-dev/sigstore-example")
    );
    assert_eq!(certificate.source_reference.as_deref(), Some("refs/heads/main"));
}

#[test]
fn a_subject_may_be_given_by_pattern() {
    let bundle = read(STATEMENT_V1.bundle);
    let pattern = r"https://github\.com/prefix-dev/[^/]+/\.github/workflows/[^/]+@refs/heads/main";
    let identity = Identity::pattern(pattern, GITHUB_ACTIONS).unwrap();
    STATEMENT_V1.verify(&bundle, &identity, &root(Instance::Public)).unwrap();
    let part = Identity::pattern(r"https://github\.com/prefix-dev/", GITHUB_ACTIONS).unwrap();
    assert!(STATEMENT_V1.verify(&bundle, &part, &root(Instance::Public)).is_err());
    let any = Identity::pattern(".*", GITHUB_LOGIN).unwrap();
    assert!(STATEMENT_V1.verify(&bundle, &any, &root(Instance::Public)).is_err());
}

#[test]
fn every_subject_of_a_statement_is_accepted_as_its_artifact() {
    let provenance = GOOD.iter().find(|good| good.bundle.starts_with("a.dsse")).unwrap();
    let evidence = provenance.with_root(&root(Instance::Staging)).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(evidence.payload().unwrap()).unwrap();
    let named = statement["subject"][0]["digest"]["sha256"].as_str().unwrap();
    assert_eq!(digest(&format!("sha256:{named}")).hex(), named);
}

//! Valid signatures with a wrong expectation, and valid parts in a wrong combination.

use bundle_signer::keyless::{Artifact, Error, Identity, verify};
use oci::Digest;
use serde_json::{Value, json};

use crate::fixtures::{
    BLOB_V1, BLOB_V2, GITHUB_ACTIONS, GITHUB_LOGIN, GOOD, Good, Instance, STATEMENT_V1, STATEMENT_V2, read,
    root,
};

fn value(name: &str) -> Value {
    serde_json::from_slice(&read(name)).unwrap()
}

#[test]
fn another_identity_is_refused() {
    for good in GOOD {
        let identity = Identity::exact("mallory@example.com", good.issuer).unwrap();
        let refusal = good.verify(&read(good.bundle), &identity, &root(good.instance)).unwrap_err();
        assert!(matches!(&refusal, Error::Subject { found, .. } if found == good.subject), "{refusal:?}");
        assert!(refusal.hint().is_some());
    }
}

#[test]
fn another_issuer_is_refused() {
    for good in GOOD {
        let other = if good.issuer == GITHUB_LOGIN { GITHUB_ACTIONS } else { GITHUB_LOGIN };
        let identity = Identity::exact(good.subject, other).unwrap();
        let refusal = good.verify(&read(good.bundle), &identity, &root(good.instance)).unwrap_err();
        assert!(matches!(&refusal, Error::Issuer { found, .. } if found == good.issuer), "{refusal:?}");
    }
}

#[test]
fn another_artifact_is_refused() {
    for good in GOOD {
        let other = Digest::sha256(b"other");
        for artifact in [Artifact::Bytes(b"other"), Artifact::Digest(&other)] {
            let outcome = verify(&read(good.bundle), artifact, &good.identity(), &root(good.instance));
            // A digest with another algorithm than the statement's cannot be compared, and is also refused.
            assert!(
                matches!(outcome, Err(Error::OtherArtifact(_) | Error::Unsupported(_))),
                "{}: {outcome:?}",
                good.bundle
            );
        }
    }
}

#[test]
fn no_signature_counts_for_another_instance() {
    for good in GOOD {
        let other = if good.instance == Instance::Public { Instance::Staging } else { Instance::Public };
        let refusal = good.with_root(&root(other)).unwrap_err();
        assert!(
            matches!(refusal, Error::Certificate(_) | Error::Timestamp(_) | Error::LogEntry(_)),
            "{}: {refusal:?}",
            good.bundle
        );
    }
}

/// CVE-2022-36056: an entry that is genuine, but for another signature.
#[test]
fn a_log_entry_of_another_signature_is_refused() {
    let pairs: [(Good, Good); 4] =
        [(BLOB_V1, STATEMENT_V1), (STATEMENT_V1, BLOB_V1), (STATEMENT_V2, BLOB_V2), (BLOB_V2, STATEMENT_V2)];
    for (good, other) in pairs {
        let entries = value(other.bundle)["verificationMaterial"]["tlogEntries"].clone();
        let refusal = good.changed(|json| json["verificationMaterial"]["tlogEntries"] = entries.clone());
        assert!(refusal.is_err(), "{} with the entry of {}", good.bundle, other.bundle);
        // Nor is it accepted beside the right one.
        let foreign = entries[0].clone();
        let beside = good.changed(|json| {
            json["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap().push(foreign);
        });
        assert!(beside.is_err(), "{} with the entry of {} added", good.bundle, other.bundle);
    }
}

#[test]
fn the_certificate_of_another_signature_is_refused() {
    let certificate = value(STATEMENT_V1.bundle)["verificationMaterial"]["certificate"].clone();
    for good in [BLOB_V1, STATEMENT_V2] {
        let material = certificate.clone();
        assert!(good.changed(|json| json["verificationMaterial"]["certificate"] = material).is_err());
    }
}

#[test]
fn the_timestamp_of_another_signature_is_refused() {
    let stamps = value(STATEMENT_V2.bundle)["verificationMaterial"]["timestampVerificationData"].clone();
    let refusal = BLOB_V1
        .changed(|json| json["verificationMaterial"]["timestampVerificationData"] = stamps)
        .unwrap_err();
    assert!(matches!(refusal, Error::Timestamp(_)), "{refusal:?}");
}

#[test]
fn a_signature_without_a_proven_time_is_refused() {
    let strip = |json: &mut Value| json["verificationMaterial"]["timestampVerificationData"] = json!({});
    let refusal = STATEMENT_V2.changed(strip).unwrap_err();
    assert!(matches!(refusal, Error::Timestamp(_)), "{refusal:?}");
    // Rekor v1's time counts only with its promise.
    let refusal = STATEMENT_V1
        .changed(|json| {
            json["verificationMaterial"]["tlogEntries"][0]
                .as_object_mut()
                .unwrap()
                .remove("inclusionPromise");
        })
        .unwrap_err();
    assert!(matches!(refusal, Error::Timestamp(_)), "{refusal:?}");
}

#[test]
fn a_changed_time_is_refused() {
    for by in [-3600, -1, 1, 3600, 10 * 365 * 86400] {
        let refusal = STATEMENT_V1
            .changed(|json| {
                let time = &mut json["verificationMaterial"]["tlogEntries"][0]["integratedTime"];
                *time = json!((time.as_str().unwrap().parse::<i64>().unwrap() + by).to_string());
            })
            .unwrap_err();
        assert!(matches!(refusal, Error::LogEntry(_)), "{by}: {refusal:?}");
    }
}

#[test]
fn an_entry_counts_only_for_the_log_that_it_names() {
    let name = |id: &'static str| {
        move |json: &mut Value| json["verificationMaterial"]["tlogEntries"][0]["logId"]["keyId"] = json!(id)
    };
    let v2 = "zxGZFVvd0FEmjR8WrFwMdcAJ9vtaY/QXf44Y1wUeP6A=";
    let staging_v1 = "0y8wo8MtY5wrdiIFohx7sHeI5oKDpK5vQhGHI6G+pJY=";
    let none = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    // The library accepts both of these: for Rekor v2 it checks only the checkpoint's key.
    assert!(matches!(STATEMENT_V2.changed(name(staging_v1)), Err(Error::OtherLog(_))));
    assert!(matches!(STATEMENT_V2.changed(name(none)), Err(Error::UnknownLog(_))));
    assert!(matches!(STATEMENT_V1.changed(name(v2)), Err(Error::LogEntry(_))));
    assert!(matches!(STATEMENT_V1.changed(name(none)), Err(Error::LogEntry(_))));
}

#[test]
fn an_entry_at_another_index_of_the_log_is_refused() {
    for good in [STATEMENT_V1, STATEMENT_V2] {
        let refusal = good
            .changed(|json| {
                let index = &mut json["verificationMaterial"]["tlogEntries"][0]["logIndex"];
                *index = json!((index.as_str().unwrap().parse::<u64>().unwrap() - 1).to_string());
            })
            .unwrap_err();
        assert!(matches!(refusal, Error::LogEntry(_)), "{refusal:?}");
    }
}

#[test]
fn a_truncated_or_changed_proof_is_refused() {
    for good in [BLOB_V1, STATEMENT_V1, STATEMENT_V2, BLOB_V2] {
        let hashes = |json: &mut Value| {
            json["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"]
                .as_array()
                .unwrap()
                .clone()
        };
        for change in [0, 1, 2] {
            let outcome = good.changed(|json| {
                let mut hashes = hashes(json);
                match change {
                    0 => drop(hashes.pop()),
                    1 => hashes.swap(0, 1),
                    _ => hashes.push(hashes[0].clone()),
                }
                json["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["hashes"] = json!(hashes);
            });
            assert!(matches!(outcome, Err(Error::LogEntry(_))), "{}: {change}: {outcome:?}", good.bundle);
        }
    }
}

/// For every byte of the file: a change is refused, or does not change the evidence.
#[test]
fn a_changed_byte_is_refused_or_changes_nothing() {
    for (good, step) in [(STATEMENT_V2, 7), (BLOB_V1, 11)] {
        let bundle = read(good.bundle);
        let trusted = root(good.instance);
        let evidence = good.verify(&bundle, &good.identity(), &trusted).unwrap();
        let mut same = 0;
        for at in (0..bundle.len()).step_by(step) {
            let mut changed = bundle.clone();
            changed[at] ^= 1;
            if let Ok(other) = good.verify(&changed, &good.identity(), &trusted) {
                assert_eq!(other, evidence, "{}: byte {at}", good.bundle);
                same += 1;
            }
        }
        // Signatures of witnesses, copies of signed values that Rekor v2 does not sign, and white space.
        assert!(same * 5 < bundle.len() / step, "{}: {same} changes were not detected", good.bundle);
    }
}

//! Trusted roots: the built-in one, replacements, and wrong ones.

use bundle_signer::keyless::{Error, MAX_ROOT, Role, TrustedRoot};
use serde_json::{Value, json};

use crate::fixtures::{BLOB_V1, BLOB_V2, Instance, STATEMENT_V1, STATEMENT_V2, changed_root, read, root};

#[test]
fn the_embedded_root_is_shown() {
    let root = TrustedRoot::embedded().unwrap();
    let of = |role| root.services().into_iter().filter(|one| one.role == role).collect::<Vec<_>>();
    assert!(of(Role::Certificates).iter().all(|one| one.address == "https://fulcio.sigstore.dev"));
    assert_eq!(of(Role::Certificates).len(), 2);
    let logs: Vec<_> = of(Role::SignatureLog).into_iter().map(|one| one.address).collect();
    assert_eq!(logs, ["https://rekor.sigstore.dev", "https://log2025-1.rekor.sigstore.dev"]);
    assert!(!of(Role::CertificateLog).is_empty() && !of(Role::Timestamps).is_empty());
    let first = &of(Role::Certificates)[0];
    assert_eq!(first.from.unwrap().to_string(), "2021-03-07T03:20:29Z");
    assert!(first.until.unwrap() > first.from.unwrap());
    // The log's id is the hash of its key, so the fingerprint can be compared with it.
    let rekor = &of(Role::SignatureLog)[0].fingerprint;
    assert_eq!(rekor.hex(), "c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d");
    assert_eq!(root.digest(), &oci::Digest::sha256(TrustedRoot::embedded_json().as_bytes()));
}

fn ended() -> Value {
    json!({"start": "2021-01-01T00:00:00Z", "end": "2023-01-01T00:00:00Z"})
}

#[test]
fn an_expired_root_is_refused() {
    for good in [BLOB_V1, STATEMENT_V1, STATEMENT_V2, BLOB_V2] {
        let refusal_after = |change: &dyn Fn(&mut Value)| {
            good.with_root(&changed_root(good.instance, change).unwrap()).unwrap_err()
        };
        let authorities = refusal_after(&|json| {
            for one in json["certificateAuthorities"].as_array_mut().unwrap() {
                one["validFor"] = ended();
            }
        });
        assert!(matches!(authorities, Error::Certificate(_)), "{}: {authorities:?}", good.bundle);
        let certificate_logs = refusal_after(&|json| {
            let logs = json["ctlogs"].as_array_mut().unwrap();
            for log in logs {
                log["publicKey"]["validFor"] = ended();
            }
        });
        assert!(matches!(certificate_logs, Error::Certificate(_)), "{}: {certificate_logs:?}", good.bundle);
        // The library checks this only for Rekor v1.
        let logs = refusal_after(&|json| {
            let logs = json["tlogs"].as_array_mut().unwrap();
            for log in logs {
                log["publicKey"]["validFor"] = ended();
            }
        });
        assert!(matches!(logs, Error::LogEntry(_) | Error::LogNotInUse { .. }), "{}: {logs:?}", good.bundle);
    }
    for good in [BLOB_V1, STATEMENT_V2, BLOB_V2] {
        let root = changed_root(good.instance, |json| {
            let authorities = json["timestampAuthorities"].as_array_mut().unwrap();
            for one in authorities {
                one["validFor"] = ended();
            }
        });
        let refusal = good.with_root(&root.unwrap()).unwrap_err();
        assert!(matches!(refusal, Error::Timestamp(_)), "{}: {refusal:?}", good.bundle);
    }
}

#[test]
fn a_root_without_the_log_is_refused() {
    for good in [BLOB_V1, STATEMENT_V1, STATEMENT_V2, BLOB_V2] {
        let bundle: Value = serde_json::from_slice(&read(good.bundle)).unwrap();
        let id = &bundle["verificationMaterial"]["tlogEntries"][0]["logId"];
        let root = changed_root(good.instance, |json| {
            json["tlogs"].as_array_mut().unwrap().retain(|log| log["logId"] != *id);
        });
        let refusal = good.with_root(&root.unwrap()).unwrap_err();
        assert!(matches!(refusal, Error::LogEntry(_)), "{}: {refusal:?}", good.bundle);
    }
}

#[test]
fn a_root_without_the_timestamp_authority_is_refused() {
    for good in [BLOB_V1, STATEMENT_V2, BLOB_V2] {
        let root = changed_root(good.instance, |json| json["timestampAuthorities"] = json!([])).unwrap();
        let refusal = good.with_root(&root).unwrap_err();
        assert!(matches!(refusal, Error::Timestamp(_)), "{}: {refusal:?}", good.bundle);
    }
}

#[test]
fn a_root_with_the_keys_of_other_logs_is_refused() {
    for good in [BLOB_V1, STATEMENT_V1] {
        // The same ids and addresses, but the staging instance's keys.
        let staging: Value = serde_json::from_str(crate::fixtures::root_json(Instance::Staging)).unwrap();
        for list in ["tlogs", "ctlogs"] {
            let keys: Vec<_> =
                staging[list].as_array().unwrap().iter().map(|log| &log["publicKey"]["rawBytes"]).collect();
            let root = changed_root(Instance::Public, |json| {
                for (log, key) in json[list].as_array_mut().unwrap().iter_mut().zip(keys) {
                    log["publicKey"]["rawBytes"] = key.clone();
                }
            });
            let refusal = good.with_root(&root.unwrap()).unwrap_err();
            assert!(matches!(refusal, Error::LogEntry(_) | Error::Certificate(_)), "{list}: {refusal:?}");
        }
    }
}

#[test]
fn a_certificate_that_is_not_in_a_trusted_log_is_refused() {
    let root = TrustedRoot::from_json(&read("invalid-ct-key.trusted_root.json")).unwrap();
    let digest =
        crate::fixtures::digest("sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf");
    let identity = bundle_signer::keyless::Identity::pattern(".*", crate::fixtures::GITHUB_ACTIONS).unwrap();
    let artifact = bundle_signer::keyless::Artifact::Digest(&digest);
    let bundle = read("invalid-ct-key.sigstore.json");
    let refusal = bundle_signer::keyless::verify(&bundle, artifact, &identity, &root).unwrap_err();
    assert!(matches!(refusal, Error::Certificate(_)), "{refusal:?}");
}

#[test]
fn a_root_from_a_file_replaces_the_embedded_one() {
    let staging = root(Instance::Staging);
    assert!(BLOB_V2.with_root(&staging).is_ok());
    assert_ne!(staging.digest(), TrustedRoot::embedded().unwrap().digest());
}

#[test]
fn each_defect_of_a_root_has_its_error() {
    let change = |change: &dyn Fn(&mut Value)| changed_root(Instance::Public, change).unwrap_err();
    assert!(matches!(TrustedRoot::from_json(b""), Err(Error::Root(_))));
    assert!(matches!(TrustedRoot::from_json(b"[]"), Err(Error::Root(_))));
    assert!(matches!(TrustedRoot::from_json(&vec![b' '; MAX_ROOT + 1]), Err(Error::RootTooLarge(_))));
    assert!(matches!(change(&|json| json["mediaType"] = json!("text/plain")), Error::RootVersion(_)));
    assert!(matches!(change(&|json| json["tlogs"] = json!([])), Error::RootLacks(_)));
    assert!(matches!(change(&|json| json["ctlogs"] = json!([])), Error::RootLacks(_)));
    assert!(matches!(change(&|json| json["certificateAuthorities"] = json!([])), Error::RootLacks(_)));
    let twice = change(&|json| {
        let log = json["tlogs"][0].clone();
        json["tlogs"].as_array_mut().unwrap().push(log);
    });
    assert!(matches!(twice, Error::RootMaterial(_)));
    let no_key = change(&|json| json["tlogs"][0]["publicKey"]["rawBytes"] = json!("AAAA"));
    assert!(matches!(no_key, Error::RootMaterial(_)));
    let no_certificate =
        change(&|json| json["certificateAuthorities"][0]["certChain"]["certificates"] = json!([]));
    assert!(matches!(no_certificate, Error::RootMaterial(_)));
    let backwards = change(&|json| {
        json["tlogs"][0]["publicKey"]["validFor"] =
            json!({"start": "2023-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"});
    });
    assert!(matches!(backwards, Error::RootMaterial(_)));
}

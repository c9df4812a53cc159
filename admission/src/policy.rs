//! Converts a `TrustPolicy` to the trust file that it contains, so that all of airlock verifies with the same code.

use bundle_signer::TrustFile;
use package_api::trust_policy::PolicyMode;
use package_api::{AIRLOCK_GROUP, TrustPolicySpec, VERSION};
use serde_json::{Value, json};

/// The trust file of a policy. Its gate `pull` has the requirements in `require`. It only warns if the policy's mode is
/// `warn` or `audit`.
///
/// # Errors
/// If a key is invalid, a name is defined twice or not at all, or the trust file is invalid in another way.
pub fn trust_file(policy: &TrustPolicySpec) -> bundle_signer::Result<TrustFile> {
    let mode = match policy.mode {
        PolicyMode::Enforce => "enforce",
        PolicyMode::Warn | PolicyMode::Audit => "warn",
    };
    // Every member of `trust` is a member of a trust file with the same name.
    let mut document = json!(policy.trust);
    if let Value::Object(members) = &mut document {
        members.insert("apiVersion".to_owned(), json!(format!("{AIRLOCK_GROUP}/{VERSION}")));
        members.insert("kind".to_owned(), json!("Trust"));
        let require = policy.require.as_deref().unwrap_or_default();
        members.insert("gates".to_owned(), json!({ "pull": { "mode": mode, "require": require } }));
    }
    TrustFile::parse(&gostd::yaml::write(&document))
}

/// AWS's published key for package bundles, for tests.
#[cfg(test)]
pub(crate) const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnP0Yo+ZxzPUEfohcG3bbJ8987UT4\n\
    f0tj+XVBjS/s35wkfjrxTKrVZQpz3ta3zi5ZlgXzd7a20B1U1Py/TtPsxw==\n\
    -----END PUBLIC KEY-----\n";

#[cfg(test)]
mod tests {
    use package_api::trust_policy::{KeyGroup, KeyRole, PolicyKey, PolicyTrust, Revocation, Rule};

    use super::*;

    fn policy() -> TrustPolicySpec {
        let role = KeyRole {
            sign: vec!["signature".to_owned()],
            repositories: Some(vec!["registry.site/**".to_owned()]),
            formats: Some(["simpleSigning", "envelope", "bundle"].map(str::to_owned).to_vec()),
        };
        let key =
            PolicyKey { name: "release".to_owned(), public_key: KEY.to_owned(), roles: Some(vec![role]) };
        let group = KeyGroup { name: "all".to_owned(), threshold: 1, keys: vec!["release".to_owned()] };
        let trust = PolicyTrust {
            sequence: Some(3),
            keys: vec![key],
            groups: Some(vec![group]),
            ..PolicyTrust::default()
        };
        let required = Rule { sign: "signature".to_owned(), by: "all".to_owned() };
        TrustPolicySpec { trust, require: Some(vec![required]), ..TrustPolicySpec::default() }
    }

    #[test]
    fn a_full_policy_is_a_trust_file_in_every_mode() {
        for mode in [PolicyMode::Enforce, PolicyMode::Warn, PolicyMode::Audit] {
            let file = trust_file(&TrustPolicySpec { mode, ..policy() }).unwrap();
            assert_eq!(file.keys().len(), 1);
            assert_eq!(file.keys()[0].name(), "release");
        }
    }

    #[test]
    fn a_policy_that_is_not_a_valid_trust_file_is_rejected() {
        let broken = |change: &dyn Fn(&mut TrustPolicySpec)| {
            let mut policy = policy();
            change(&mut policy);
            trust_file(&policy).is_err()
        };
        assert!(broken(&|policy| policy.trust.keys.clear()));
        assert!(broken(&|policy| policy.trust.keys[0].public_key = "none".to_owned()));
        assert!(broken(&|policy| policy.require =
            Some(vec![Rule { sign: "signature".to_owned(), by: "nobody".to_owned() }])));
        assert!(broken(&|policy| policy.trust.keys[0].roles.as_mut().unwrap()[0].formats =
            Some(vec!["other".to_owned()])));
        assert!(broken(&|policy| {
            let revocation =
                Revocation { hint: "x".to_owned(), reason: String::new(), date: "soon".to_owned() };
            policy.trust.revocations = Some(vec![revocation]);
        }));
    }
}

//! Any bytes as each manifest of EKS Anywhere, signed by strangers and by us.
#![no_main]

use airlock_fuzz::{KEY, TRUST};
use bundle_signer::eksa::{
    Coverage, bundles_keys, distro_keys, package_keys, sign_bundle, verify_bundles, verify_package_bundle,
    verify_release,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(verify_package_bundle(bytes, &TRUST).is_err(), "nobody signed it");
    for keys in [package_keys(), bundles_keys(), distro_keys()].into_iter().flatten() {
        let _ = (verify_package_bundle(bytes, &keys), verify_bundles(bytes, &keys));
        let _ = verify_release(bytes, bytes, &keys);
    }
    for coverage in [Coverage::Full, Coverage::WithoutSource] {
        if let Ok(signed) = sign_bundle(bytes, coverage, &KEY) {
            let yaml = signed.yaml().as_bytes();
            verify_package_bundle(yaml, &TRUST).expect("it was signed here");
            sign_bundle(yaml, coverage, &KEY).expect("it can be signed again");
        }
    }
});

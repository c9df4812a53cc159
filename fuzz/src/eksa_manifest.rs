//! Any bytes as each manifest of EKS Anywhere, signed by strangers and by us.

use std::sync::LazyLock;

use bundle_signer::TrustFile;
use bundle_signer::eksa::{
    Coverage, bundles_keys, distro_keys, package_keys, sign_bundle, verify_bundles, verify_package_bundle,
    verify_release,
};
use bundle_signer::trust::ContentKind;

use super::{KEY, TRUST};

/// Trusts our own key for package bundles, too.
static OWN: LazyLock<TrustFile> = LazyLock::new(|| TRUST.clone().limited_to(&[ContentKind::PackageBundle]));

/// AWS's own.
static AWS: LazyLock<[TrustFile; 3]> = LazyLock::new(|| {
    [package_keys(), bundles_keys(), distro_keys()].map(|keys| keys.expect("the keys are known to be good"))
});

/// One run.
pub fn run(bytes: &[u8]) {
    let [packages, bundles, distro] = &*AWS;
    let _ = (verify_package_bundle(bytes, packages), verify_bundles(bytes, bundles));
    let _ = verify_release(bytes, bytes, distro);
    assert!(verify_package_bundle(bytes, &OWN).is_err(), "nobody signed it");
    for coverage in [Coverage::Full, Coverage::WithoutSource] {
        if let Ok(signed) = sign_bundle(bytes, coverage, &KEY) {
            let yaml = signed.yaml().as_bytes();
            verify_package_bundle(yaml, &OWN).expect("it was signed here");
            sign_bundle(yaml, coverage, &KEY).expect("it can be signed again");
        }
    }
}

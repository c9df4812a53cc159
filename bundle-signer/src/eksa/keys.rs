//! AWS's public keys, as built into its programs. They change only with a new version of those programs.

use super::Refusal;
use crate::trust::ContentKind;
use crate::{PublicKey, Result, TrustFile};

/// The controller's default since 2022-05, from the `values.yaml` of its chart.
const PACKAGES_CHART: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnP0Yo+ZxzPUEfohcG3bbJ8987UT4\n\
    f0tj+XVBjS/s35wkfjrxTKrVZQpz3ta3zi5ZlgXzd7a20B1U1Py/TtPsxw==\n\
    -----END PUBLIC KEY-----\n";
/// Built into the controller since 2023-10, `pkg/signature/manifest.go` of aws/eks-anywhere-packages.
const PACKAGES_BUILT_IN: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAELSnBPQf4H/GFb6yl6smKB9wwuKnD\n\
    4goGHQYwg9+yQ1YusQNqZPn/QkVZnWCzJbZ/pksmpkno6dSzb/Hq+dBAMA==\n\
    -----END PUBLIC KEY-----\n";
/// `KMSPublicKey` in `pkg/constants/constants.go` of aws/eks-anywhere.
const BUNDLES: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFZU/Z6VVMU9HioT7rGkPdJg3frC2\n\
    xyQZhWFIrz5HeZEfeQ2nAdnJMLrs2Qr3V9xVrJrHA54wnIHDoPGbEhojqg==\n\
    -----END PUBLIC KEY-----\n";
/// `EKSDistroKMSPublicKey` in the same file.
const DISTRO: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfqjUloL1WPdxB5JPOY18mIgjx0zD\n\
    0SyWe9N1Fxjv7A8JwyKQycqirw2us7zoxoC5bnWD4lT53uv8skx3E/cHaw==\n\
    -----END PUBLIC KEY-----\n";
/// The key of the controller's unit tests. Its private key is published with them.
pub(super) const TEST: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvME/v61IfA4ulmgdF10Ae/WCRqtX\n\
    vrUtF+0nu0dbdP36u3He4GRepYdQGCmbPe0463yAABZs01/Vv/v52ktlmg==\n\
    -----END PUBLIC KEY-----\n";

/// AWS's two keys for package bundles: AWS does not publish which of them it signs with.
///
/// # Errors
/// Only when the system provides no random bytes.
pub fn package_keys() -> Result<TrustFile> {
    let chart = ("AWS EKS Anywhere packages (chart)".to_owned(), PublicKey::from_pem(PACKAGES_CHART)?);
    let built_in =
        ("AWS EKS Anywhere packages (built in)".to_owned(), PublicKey::from_pem(PACKAGES_BUILT_IN)?);
    Ok(TrustFile::new(vec![chart, built_in])?.limited_to(&[ContentKind::PackageBundle]))
}

/// AWS's key for the `Bundles` of EKS Anywhere.
///
/// # Errors
/// Only when the system provides no random bytes.
pub fn bundles_keys() -> Result<TrustFile> {
    Ok(TrustFile::from_public_key("AWS EKS Anywhere bundles", BUNDLES)?.limited_to(&[ContentKind::Bundles]))
}

/// AWS's key for the `Release` of EKS Distro.
///
/// # Errors
/// Only when the system provides no random bytes.
pub fn distro_keys() -> Result<TrustFile> {
    Ok(TrustFile::from_public_key("AWS EKS Distro releases", DISTRO)?.limited_to(&[ContentKind::Release]))
}

/// Refuses a trust file that contains the public test key.
///
/// # Errors
/// [`Refusal::TestKey`].
pub(super) fn refuse_test_key(trust: &TrustFile) -> Result<()> {
    let test = PublicKey::from_pem(TEST)?;
    if trust.keys().iter().any(|trusted| *trusted.key() == test) {
        return Err(Refusal::TestKey.into());
    }
    Ok(())
}

//! The trusted keys for package bundles, shared by the webhook and the controllers.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::trust::ContentKind;
use bundle_signer::{PublicKey, TrustFile, eksa};

use crate::error::{Error, Result};

/// The source of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// The keys that AWS published.
    #[default]
    Aws,
    /// One key in the format of EKS Anywhere's configuration (`EKSA_PUBLIC_KEY`): base64 of DER.
    Key(String),
    /// A trust file. It is read each time, so that changes take effect at once.
    File(PathBuf),
}

/// The trusted keys.
#[derive(Clone, Debug)]
pub struct BundleKeys {
    /// The keys as a trust file.
    pub trust: TrustFile,
    /// The keys as rejections print them: base64 of DER, separated by commas.
    pub encoded: String,
}

impl BundleKeys {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`Error::BundleTrust`] if the file cannot be read, [`Error::BundleKeys`] if a key is invalid.
    pub fn load(source: &KeySource) -> Result<Self> {
        let trust = match source {
            KeySource::Aws => eksa::package_keys().map_err(unusable(None))?,
            KeySource::Key(key) => from_der(key)?,
            KeySource::File(path) => {
                let read = |source| Error::BundleTrust { path: path.clone(), source };
                let text = input::read_text(path, input::MAX_SIZE).map_err(read)?;
                let trust = TrustFile::parse_in(&text, input::folder_of(path));
                let trust = trust.map_err(unusable(Some(path)))?;
                if let Some(warning) = trust.warning(&text) {
                    tracing::warn!(path = %path.display(), "the trust file grants more than it seems to: {warning}");
                }
                trust
            }
        };
        let encoded: Vec<_> = trust.keys().iter().map(|key| base64_of(&key.key().to_pem())).collect();
        Ok(Self { trust, encoded: encoded.join(",") })
    }
}

fn from_der(key: &str) -> Result<TrustFile> {
    let der: String = key.split_ascii_whitespace().collect();
    // Invalid base64 and an invalid key are reported in the same way.
    let der = STANDARD.decode(&der).map(|der| STANDARD.encode(der)).unwrap_or_default();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
    let key = PublicKey::from_pem(&pem).map_err(unusable(None))?;
    let trust = TrustFile::new(vec![("EKSA_PUBLIC_KEY".to_owned(), key)]).map_err(unusable(None))?;
    Ok(trust.limited_to(&[ContentKind::PackageBundle]))
}

fn base64_of(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with('-')).collect()
}

fn unusable(path: Option<&Path>) -> impl FnOnce(bundle_signer::Error) -> Error {
    let path = path.map(Path::to_owned);
    move |source| Error::BundleKeys { path, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWS: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnP0Yo+ZxzPUEfohcG3bbJ8987UT4f0tj+XVBjS/s35wkfjrxTKrVZQpz3ta3zi5ZlgXzd7a20B1U1Py/TtPsxw==";

    #[test]
    fn the_variable_of_eks_anywhere_is_a_key_and_is_printed_as_it_was_given() {
        let keys = BundleKeys::load(&KeySource::Key(format!("{AWS}\n"))).unwrap();
        assert_eq!((keys.encoded.as_str(), keys.trust.keys().len()), (AWS, 1));
        assert!(BundleKeys::load(&KeySource::Aws).unwrap().encoded.starts_with(AWS));
    }

    #[test]
    fn an_invalid_key_is_rejected_and_not_ignored() {
        for text in ["", "x", "QUJD", "!!"] {
            let refused = BundleKeys::load(&KeySource::Key(text.to_owned()));
            assert!(matches!(refused, Err(Error::BundleKeys { .. })), "{text}");
        }
        let missing = BundleKeys::load(&KeySource::File("/nowhere/trust.yaml".into()));
        assert!(matches!(missing, Err(Error::BundleTrust { .. })));
    }
}

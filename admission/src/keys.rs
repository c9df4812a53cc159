//! Whose signature on a bundle of packages counts: one answer for the webhook and for the controllers.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::trust::What;
use bundle_signer::{PublicKey, TrustFile, eksa};

use crate::error::{Error, Result};

/// Where the keys come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// AWS's published ones.
    #[default]
    Aws,
    /// One key as EKS Anywhere configures it (`EKSA_PUBLIC_KEY`): base64 of DER.
    Key(String),
    /// A trust file. It is read each time, so that a changed one counts at once.
    File(PathBuf),
}

/// The keys.
#[derive(Clone, Debug)]
pub struct BundleKeys {
    /// As trust.
    pub trust: TrustFile,
    /// As refusals tell them: base64 of DER, with commas between.
    pub told: String,
}

impl BundleKeys {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`Error::BundleKeys`] when the file cannot be read or a key is none.
    pub fn load(source: &KeySource) -> Result<Self> {
        let trust = match source {
            KeySource::Aws => eksa::package_keys().map_err(unusable(None))?,
            KeySource::Key(key) => from_der(key)?,
            KeySource::File(path) => {
                let read = |source| Error::BundleTrust { path: path.clone(), source };
                let text = input::read_text(path, input::MOST).map_err(read)?;
                let trust = TrustFile::parse_in(&text, path.parent().unwrap_or(Path::new("")));
                let trust = trust.map_err(unusable(Some(path)))?;
                if let Some(warning) = trust.warning(&text) {
                    tracing::warn!(path = %path.display(), "the trust file says more than it seems to: {warning}");
                }
                trust
            }
        };
        let told: Vec<_> = trust.keys().iter().map(|key| base64_of(&key.key().to_pem())).collect();
        Ok(Self { trust, told: told.join(",") })
    }
}

fn from_der(key: &str) -> Result<TrustFile> {
    let der: String = key.split_ascii_whitespace().collect();
    // What is no base64 is no key either; both are told in one way.
    let der = STANDARD.decode(&der).map(|der| STANDARD.encode(der)).unwrap_or_default();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
    let key = PublicKey::from_pem(&pem).map_err(unusable(None))?;
    let trust = TrustFile::new(vec![("EKSA_PUBLIC_KEY".to_owned(), key)]).map_err(unusable(None))?;
    Ok(trust.limited_to(&[What::PackageBundle]))
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
    fn the_variable_of_eks_anywhere_is_a_key_and_is_told_as_it_was_given() {
        let keys = BundleKeys::load(&KeySource::Key(format!("{AWS}\n"))).unwrap();
        assert_eq!((keys.told.as_str(), keys.trust.keys().len()), (AWS, 1));
        assert!(BundleKeys::load(&KeySource::Aws).unwrap().told.starts_with(AWS));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_passed_over() {
        for text in ["", "x", "QUJD", "!!"] {
            let refused = BundleKeys::load(&KeySource::Key(text.to_owned()));
            assert!(matches!(refused, Err(Error::BundleKeys { .. })), "{text}");
        }
        let missing = BundleKeys::load(&KeySource::File("/nowhere/trust.yaml".into()));
        assert!(matches!(missing, Err(Error::BundleTrust { .. })));
    }
}

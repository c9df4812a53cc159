//! The trust file: which keys are accepted, by name.

use serde::{Deserialize, Serialize};

use crate::{Error, PublicKey, Result};

const API_VERSION: &str = "airlock.dev/v1alpha1";
const KIND: &str = "Trust";

/// The largest trust file that is read: several thousand keys.
pub const MAX_LEN: usize = 1024 * 1024;
const MAX_NAME: usize = 128;
/// More than the format has, so that a stray member is told as one and not as too deep.
const MAX_DEPTH: usize = 16;

/// The keys that are accepted; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFile {
    keys: Vec<TrustedKey>,
}

/// A key with the name by which people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    name: String,
    key: PublicKey,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    public_key: String,
}

impl TrustFile {
    /// A trust file of these keys.
    ///
    /// # Errors
    /// [`Error::TrustEmpty`] for none, [`Error::TrustTwice`] when a name or a key comes twice.
    pub fn new(keys: Vec<(String, PublicKey)>) -> Result<Self> {
        if keys.is_empty() {
            return Err(Error::TrustEmpty);
        }
        let mut trusted: Vec<TrustedKey> = Vec::with_capacity(keys.len());
        for (name, key) in keys {
            check_name(&name)?;
            if trusted.iter().any(|known| known.name == name || known.key == key) {
                return Err(Error::TrustTwice(name));
            }
            trusted.push(TrustedKey { name, key });
        }
        Ok(Self { keys: trusted })
    }

    /// Reads a trust file, YAML or JSON.
    ///
    /// # Errors
    /// When it is malformed, of another kind, names no key, or names one twice.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_LEN {
            return Err(Error::TrustTooLarge(text.len()));
        }
        let document: Document = serde_saphyr::from_str_with_options(text, limits())
            .map_err(|error| Error::Trust(Box::new(error)))?;
        for (field, found, expected) in
            [("apiVersion", &document.api_version, API_VERSION), ("kind", &document.kind, KIND)]
        {
            if found != expected {
                return Err(Error::TrustKind { field, found: found.clone(), expected });
            }
        }
        Self::new(document.keys.into_iter().map(Entry::read).collect::<Result<_>>()?)
    }

    /// A trust file of one key, from the text of its public key file.
    ///
    /// # Errors
    /// When the text is no public key, or the name does not do.
    pub fn from_public_key(name: &str, pem: &str) -> Result<Self> {
        Self::new(vec![(name.to_owned(), PublicKey::from_pem(pem)?)])
    }

    /// The keys, in the file's order.
    #[must_use]
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The file's text.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\nkeys:\n");
        for trusted in &self.keys {
            let name = serde_json::Value::from(trusted.name.as_str());
            text.push_str("  - name: ");
            text.push_str(&name.to_string());
            text.push_str("\n    publicKey: |\n");
            for line in trusted.key.to_pem().lines() {
                text.push_str("      ");
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    /// The key that a hint names, if it is trusted.
    #[must_use]
    pub fn find(&self, hint: &str) -> Option<&TrustedKey> {
        self.keys.iter().find(|trusted| trusted.key.hint() == hint)
    }
}

impl TrustedKey {
    /// The name in the trust file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

impl Entry {
    fn read(self) -> Result<(String, PublicKey)> {
        match PublicKey::from_pem(&self.public_key) {
            Ok(key) => Ok((self.name, key)),
            Err(source) => Err(Error::TrustKey { name: self.name, source: Box::new(source) }),
        }
    }
}

/// Names go to terminals and reports, where control characters could hide or forge text.
fn check_name(name: &str) -> Result<()> {
    let shows = name.trim() == name && !name.chars().any(char::is_control);
    if shows && (1..=MAX_NAME).contains(&name.chars().count()) {
        Ok(())
    } else {
        Err(Error::TrustName(name.to_owned()))
    }
}

/// A trust file needs no anchors, aliases or merge keys, by which a small text becomes a huge value.
fn limits() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_anchors: 0,
            max_aliases: 0,
            max_documents: 1,
            max_total_scalar_bytes: MAX_LEN,
        },
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        with_snippet: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;

    #[test]
    fn a_trust_file_survives_its_text() {
        let key = || PrivateKey::generate().unwrap().public_key().unwrap();
        let trust = TrustFile::new(vec![("a: \"b\"".into(), key()), ("c".into(), key())]).unwrap();
        assert_eq!(TrustFile::parse(&trust.to_yaml()).unwrap(), trust);
    }

    #[test]
    fn each_defect_has_its_error() {
        let key = PrivateKey::generate().unwrap().public_key().unwrap();
        let good = TrustFile::new(vec![("a".into(), key.clone())]).unwrap().to_yaml();
        assert!(matches!(TrustFile::parse(""), Err(Error::Trust(_))));
        assert!(matches!(TrustFile::parse(&good.replace("name", "nom")), Err(Error::Trust(_))));
        assert!(matches!(TrustFile::parse(&good.replace("v1alpha1", "v9")), Err(Error::TrustKind { .. })));
        assert!(matches!(
            TrustFile::parse(&good.replace("kind: Trust", "kind: X")),
            Err(Error::TrustKind { .. })
        ));
        let empty = "apiVersion: airlock.dev/v1alpha1\nkind: Trust\nkeys: []\n";
        assert!(matches!(TrustFile::parse(empty), Err(Error::TrustEmpty)));
        let twice = vec![("a".to_owned(), key.clone()), ("b".to_owned(), key)];
        assert!(matches!(TrustFile::new(twice), Err(Error::TrustTwice(_))));
    }
}

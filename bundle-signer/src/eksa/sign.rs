//! Signing package bundles of our own, so that the controller of EKS Anywhere accepts them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::contract::{EXCLUDES, MORE_SIGNATURES, PACKAGE_BUNDLE, Parts, SIGNATURE};
use super::{MOST_SIGNATURES, Refusal, Uncovered, contract, document, signatures, verify_package_bundle};
use crate::trust::What;
use crate::{Error, PrivateKey, Result, TrustFile};

/// AWS's own two: its users move packages to registries of their own.
const WITHOUT_SOURCE: &str = ".spec.packages[].source.registry\n.spec.packages[].source.repository\n";
/// What `pkg/signature/testdata/sign_file.sh` and the bundle generator take out of the file.
const GENERATED: [&str; 5] = ["creationTimestamp", "generation", "managedFields", "uid", "resourceVersion"];

/// How much of a package bundle a signature covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// All that the contract can: a bundle whose charts lie elsewhere is another bundle.
    #[default]
    Full,
    /// As AWS does: registry and repository of each chart are left out.
    WithoutSource,
}

/// A package bundle that is signed.
#[derive(Clone, Debug)]
pub struct SignedBundle {
    yaml: String,
    uncovered: Vec<Uncovered>,
}

impl SignedBundle {
    /// The manifest with its signature.
    #[must_use]
    pub fn yaml(&self) -> &str {
        &self.yaml
    }

    /// What the signature does not cover.
    #[must_use]
    pub fn uncovered(&self) -> &[Uncovered] {
        &self.uncovered
    }
}

/// Signs a `PackageBundle`. A signature and a list of exclusions that it has are replaced; status and what an API
/// server generates are dropped. What comes out was verified.
///
/// # Errors
/// When the text is no package bundle, has a key that no signature would cover, or the system gives no random bytes.
pub fn sign_bundle(text: &[u8], coverage: Coverage, key: &PrivateKey) -> Result<SignedBundle> {
    let typed = PACKAGE_BUNDLE.typed(&document::read(text)?)?;
    if let Some(path) = typed.unknown.first() {
        return Err(Refusal::UnknownKey(path.to_string()).into());
    }
    let mut bundle = typed.value;
    tidy(&mut bundle);
    // A bundle without annotations hashes otherwise than one whose only annotation is the signature.
    annotate(&mut bundle, SIGNATURE, String::new());
    if coverage == Coverage::WithoutSource {
        annotate(&mut bundle, EXCLUDES, STANDARD.encode(WITHOUT_SOURCE));
    }
    let covered = PACKAGE_BUNDLE.apart(&bundle)?.covered;
    annotate(&mut bundle, SIGNATURE, STANDARD.encode(key.sign(covered.bytes())?));
    let yaml = gostd::yaml::write(&bundle);

    let again = verify_package_bundle(yaml.as_bytes(), &own(key)?)?;
    if again.signed().get().bytes() != covered.bytes() {
        return Err(Error::OtherBytes);
    }
    Ok(SignedBundle { yaml, uncovered: again.into_uncovered() })
}

/// Adds a signature to a `PackageBundle` that has one. What is there stays, and upstream's programs see what they saw.
///
/// # Errors
/// When the text is no package bundle, has no signature yet, has room for no more, or the system gives no random bytes.
pub fn cosign_bundle(text: &[u8], key: &PrivateKey) -> Result<SignedBundle> {
    let mut bundle = document::read(text)?;
    let Parts { covered, uncovered } = PACKAGE_BUNDLE.apart(&bundle)?;
    let first = contract::annotation(&bundle, SIGNATURE).unwrap_or_default().to_owned();
    if first.is_empty() {
        return Err(Refusal::MissingSignature(SIGNATURE.to_owned()).into());
    }
    let more = contract::annotation(&bundle, MORE_SIGNATURES).unwrap_or_default().to_owned();
    let there = signatures(&[(SIGNATURE, &first), (MORE_SIGNATURES, &more)])?;
    let public = key.public_key()?;
    if !there.iter().any(|signature| public.verifies(covered.bytes(), signature)) {
        if there.len() == MOST_SIGNATURES {
            return Err(Refusal::Signatures(MOST_SIGNATURES).into());
        }
        let signature = STANDARD.encode(key.sign(covered.bytes())?);
        annotate(&mut bundle, MORE_SIGNATURES, format!("{more} {signature}").trim_start().to_owned());
    }
    let yaml = gostd::yaml::write(&bundle);
    verify_package_bundle(yaml.as_bytes(), &own(key)?)?;
    Ok(SignedBundle { yaml, uncovered })
}

fn own(key: &PrivateKey) -> Result<TrustFile> {
    Ok(TrustFile::new(vec![("own".to_owned(), key.public_key()?)])?.limited_to(&[What::PackageBundle]))
}

fn tidy(bundle: &mut Value) {
    let Value::Object(bundle) = bundle else { return };
    bundle.remove("status");
    if let Some(Value::Object(metadata)) = bundle.get_mut("metadata") {
        for name in GENERATED {
            metadata.remove(name);
        }
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove(EXCLUDES);
            annotations.remove(MORE_SIGNATURES);
        }
    }
    if let Some(Value::Object(spec)) = bundle.get_mut("spec")
        && spec.get("minControllerVersion").and_then(Value::as_str) == Some("")
    {
        spec.remove("minControllerVersion");
    }
}

fn annotate(bundle: &mut Value, name: &str, text: String) {
    let Some(Value::Object(metadata)) = bundle.get_mut("metadata") else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(annotations) = annotations {
        annotations.insert(name.to_owned(), text.into());
    }
}

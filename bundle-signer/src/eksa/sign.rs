//! Signing our own package bundles, so that the controller of EKS Anywhere accepts them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::contract::{EXCLUDES, MORE_SIGNATURES, PACKAGE_BUNDLE, Parts, SIGNATURE};
use super::{
    Annotation, MAX_SIGNATURES, Refusal, Uncovered, contract, document, signatures, verify_package_bundle,
};
use crate::trust::ContentKind;
use crate::{Error, PrivateKey, Result, TrustFile};

/// The two selectors that AWS excludes, because its users copy packages to their own registries.
const WITHOUT_SOURCE: &str = ".spec.packages[].source.registry\n.spec.packages[].source.repository\n";
/// The fields that `pkg/signature/testdata/sign_file.sh` and the bundle generator remove.
const GENERATED: [&str; 5] = ["creationTimestamp", "generation", "managedFields", "uid", "resourceVersion"];

/// How much of a package bundle a signature covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// Everything that the contract can cover: with charts in another place, a bundle is another bundle.
    #[default]
    Full,
    /// Like AWS: without registry and repository of each chart.
    WithoutSource,
}

/// A signed package bundle.
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

    /// The values that the signature does not cover.
    #[must_use]
    pub fn uncovered(&self) -> &[Uncovered] {
        &self.uncovered
    }
}

/// Signs a `PackageBundle`. An existing signature and list of exclusions are replaced; the status and fields that an API
/// server generates are dropped. The result is verified before it is returned.
///
/// # Errors
/// When the text is not a package bundle, has a key that no signature would cover, or the system provides no random
/// bytes.
pub fn sign_bundle(text: &[u8], coverage: Coverage, key: &PrivateKey) -> Result<SignedBundle> {
    let typed = PACKAGE_BUNDLE.typed(&document::read(text)?)?;
    if let Some(path) = typed.unknown.first() {
        return Err(Refusal::UnknownKey(path.to_string()).into());
    }
    let mut bundle = typed.value;
    tidy(&mut bundle);
    // A bundle without annotations has another hash than one whose only annotation is the signature.
    annotate(&mut bundle, SIGNATURE, String::new());
    if coverage == Coverage::WithoutSource {
        annotate(&mut bundle, EXCLUDES, STANDARD.encode(WITHOUT_SOURCE));
    }
    let covered = PACKAGE_BUNDLE.apart(&bundle)?.covered;
    annotate(&mut bundle, SIGNATURE, STANDARD.encode(key.sign(covered.bytes())?));
    let yaml = gostd::yaml::write(&bundle);

    let verified = verify_package_bundle(yaml.as_bytes(), &own(key)?)?;
    if verified.signed().get().bytes() != covered.bytes() {
        return Err(Error::OtherBytes);
    }
    Ok(SignedBundle { yaml, uncovered: verified.into_uncovered() })
}

/// Adds a signature to a signed `PackageBundle`. Existing content stays, and upstream's programs see no difference.
///
/// # Errors
/// When the text is not a package bundle, has no signature yet, has no room for another one, or the system provides no
/// random bytes.
pub fn cosign_bundle(text: &[u8], key: &PrivateKey) -> Result<SignedBundle> {
    let mut bundle = document::read(text)?;
    let Parts { covered, uncovered } = PACKAGE_BUNDLE.apart(&bundle)?;
    let first = contract::annotation(&bundle, SIGNATURE).unwrap_or_default().to_owned();
    if first.is_empty() {
        return Err(Refusal::MissingSignature(SIGNATURE.to_owned()).into());
    }
    let more = contract::annotation(&bundle, MORE_SIGNATURES).unwrap_or_default().to_owned();
    let existing = signatures(&[
        Annotation { name: SIGNATURE, value: &first },
        Annotation { name: MORE_SIGNATURES, value: &more },
    ])?;
    let public = key.public_key()?;
    if !existing.iter().any(|signature| public.verifies(covered.bytes(), signature)) {
        if existing.len() == MAX_SIGNATURES {
            return Err(Refusal::TooManySignatures(MAX_SIGNATURES).into());
        }
        let signature = STANDARD.encode(key.sign(covered.bytes())?);
        annotate(&mut bundle, MORE_SIGNATURES, format!("{more} {signature}").trim_start().to_owned());
    }
    let yaml = gostd::yaml::write(&bundle);
    verify_package_bundle(yaml.as_bytes(), &own(key)?)?;
    Ok(SignedBundle { yaml, uncovered })
}

fn own(key: &PrivateKey) -> Result<TrustFile> {
    Ok(TrustFile::new(vec![("own".to_owned(), key.public_key()?)])?.limited_to(&[ContentKind::PackageBundle]))
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

//! Checks whether upstream signed an image, with its key or its identity, before anything of the image gets a name.

use std::path::PathBuf;

use bundle_signer::keyless::{Identity, Matcher, TrustedRoot};
use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::trust::ContentKind;
use bundle_signer::{Gate, ImageName, NameRule, TrustFile, TrustedIdentity};
use oci::Digest;

use super::{Bounds, Candidate, Error, EvidenceSource, Judgement, Next, Question, search};

/// The required signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequiredSigner {
    /// The owner of a key: the file with its public key.
    Key(PathBuf),
    /// An identity in a certificate.
    Identity {
        /// The certificate's subject, or a regular expression that matches the whole subject.
        subject: String,
        /// Whether `subject` is a regular expression.
        pattern: bool,
        /// The OIDC issuer of the identity.
        issuer: String,
        /// The trusted root; by default that of the public sigstore instance.
        root: Option<PathBuf>,
    },
}

/// The signature that upstream must have made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureRequirement {
    /// The signer.
    pub by: RequiredSigner,
    /// The signed image name, if it differs from the reference.
    pub name: Option<ImageName>,
}

/// The reasons why an image does not meet a requirement; none if it does.
///
/// # Errors
/// When the source cannot be read, or a file of the requirement cannot be read.
pub async fn refusals(
    source: &EvidenceSource,
    image: &Digest,
    name: &ImageName,
    requirement: &SignatureRequirement,
) -> Result<Option<Vec<String>>, Error> {
    let trust = requirement.by.read()?;
    let name = requirement.name.as_ref().unwrap_or(name);
    let mut judgement = Judgement::new(&trust, question(image, name));
    let mut visit = |found: &Candidate| {
        judgement.consider(found);
        if judgement.is_satisfied() { Next::Enough } else { Next::More }
    };
    let searched = search(source, image, &Bounds::default(), &mut visit).await;
    if judgement.is_satisfied() {
        return Ok(None);
    }
    if let Some(error) = searched.outage {
        return Err(error);
    }
    let verdict = judgement.verdict(searched.skipped);
    let skipped = verdict.skipped.into_iter().map(|skipped| format!("{}: {}", skipped.at, skipped.reason));
    let refused = verdict.refused.into_iter().map(|refused| format!("{}: {}", refused.at, refused.reason));
    let mut reasons: Vec<_> = skipped.chain(refused).collect();
    if reasons.is_empty() {
        reasons.push("it is not signed".to_owned());
    }
    Ok(Some(reasons))
}

/// The question about upstream's signature. `cosign sign` 3 signs no name; a different name is rejected.
fn question<'a>(image: &'a Digest, name: &'a ImageName) -> Question<'a> {
    Question {
        digest: image,
        name,
        name_rule: NameRule::Optional,
        predicate_type: COSIGN_SIGN,
        gate: Gate::Mirror,
        newest_policy: 0,
    }
}

impl RequiredSigner {
    /// A trust file with only this signer.
    fn read(&self) -> Result<TrustFile, Error> {
        let read = |path: &PathBuf| {
            input::read_text(path, input::MAX_SIZE)
                .map_err(|source| Error::File { path: path.clone(), source })
        };
        match self {
            Self::Key(path) => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                TrustFile::from_public_key(&name, &read(path)?).map_err(Error::Requirement)
            }
            Self::Identity { subject, pattern, issuer, root } => {
                let root = match root {
                    Some(path) => read(path)?,
                    None => TrustedRoot::embedded_json().to_owned(),
                };
                let subject = if *pattern { Matcher::Pattern(subject) } else { Matcher::Exact(subject) };
                let identity = Identity::new(subject, Matcher::Exact(issuer));
                let identity = identity.map_err(|error| Error::Keyless(Box::new(error)))?;
                let signs = vec![ContentKind::Statement(COSIGN_SIGN.to_owned())];
                let identity = TrustedIdentity::new("upstream", identity, &root, signs);
                identity.and_then(|known| TrustFile::of_identities(vec![known])).map_err(Error::Requirement)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use oci::Descriptor;
    use serde_json::Value;

    use super::super::Encoding;
    use super::*;

    const SUBJECT: &str = ".*@gmail\\.com";
    const ISSUER: &str = "https://github.com/login/oauth";
    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bundle-signer/tests/data/keyless");

    fn read(name: &str) -> Vec<u8> {
        std::fs::read(format!("{DATA}/{name}")).unwrap()
    }

    /// A keyless signature of an image by cosign 2.
    fn found() -> (Candidate, Digest, ImageName) {
        let bytes = read("cosign2-image.payload.json");
        let layer: Descriptor = serde_json::from_slice(&read("cosign2-image.layer.json")).unwrap();
        let payload: Value = serde_json::from_slice(&bytes).unwrap();
        let text = |pointer: &str| payload.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let image = text("/critical/image/docker-manifest-digest").parse().unwrap();
        let name = text("/critical/identity/docker-reference").parse().unwrap();
        (
            Candidate { at: "tag".to_owned(), layer, bytes, kind: Encoding::SimpleSigning(String::new()) },
            image,
            name,
        )
    }

    /// The reasons why the signature does not count; empty if it does.
    fn refusals(subject: &str, issuer: &str, image: &Digest, name: &ImageName) -> Vec<String> {
        let (subject, issuer) = (subject.to_owned(), issuer.to_owned());
        let trust = RequiredSigner::Identity { subject, pattern: true, issuer, root: None }.read().unwrap();
        let mut judgement = Judgement::new(&trust, question(image, name));
        judgement.consider(&found().0);
        let satisfied = judgement.is_satisfied();
        let refused = judgement.verdict(Vec::new()).refused;
        assert_eq!(satisfied, refused.is_empty());
        refused.into_iter().map(|refused| refused.reason).collect()
    }

    #[test]
    fn an_identitys_signature_counts_only_for_its_image_and_name() {
        let (_, image, name) = found();
        assert_eq!(refusals(SUBJECT, ISSUER, &image, &name), Vec::<String>::new());
        assert!(refusals("mallory@example.com", ISSUER, &image, &name).len() == 1);
        assert!(refusals(SUBJECT, "https://accounts.example", &image, &name).len() == 1);
        assert!(refusals(SUBJECT, ISSUER, &Digest::sha256(b"other"), &name).len() == 1);
        let other = "registry.example/other".parse().unwrap();
        assert!(refusals(SUBJECT, ISSUER, &image, &other)[0].contains("signed as"));
    }
}

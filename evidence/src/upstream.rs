//! Whether upstream signed an image, by its key or by its identity: asked before anything of it is named.

use std::path::PathBuf;

use bundle_signer::keyless::{Identity, TrustedRoot, Wanted};
use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::trust::What;
use bundle_signer::{Gate, ImageName, NameRule, TrustFile, TrustedIdentity};
use oci::Digest;

use super::{Bounds, Candidate, Error, EvidenceSource, Judging, Next, Question, search};

/// Who is to have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The owner of a key: a file with its public half.
    Key(PathBuf),
    /// Somebody for whom an authority vouches.
    Identity {
        /// The certificate's subject, or a regular expression that matches the whole of it.
        subject: String,
        /// Whether it is one.
        pattern: bool,
        /// Who vouches.
        issuer: String,
        /// The authorities that count; sigstore's public ones unless given.
        root: Option<PathBuf>,
    },
}

/// What upstream must have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Who.
    pub by: By,
    /// Under which name, where it is not that of the reference.
    pub name: Option<ImageName>,
}

/// Says why an image does not meet a demand; nothing when it does.
///
/// # Errors
/// When the place cannot be asked, or what the demand names cannot be read.
pub async fn refusals(
    place: &EvidenceSource,
    image: &Digest,
    name: &ImageName,
    demand: &Demand,
) -> Result<Option<Vec<String>>, Error> {
    let trust = demand.by.read()?;
    let name = demand.name.as_ref().unwrap_or(name);
    let mut judging = Judging::new(&trust, question(image, name));
    let mut hear = |found: &Candidate| {
        judging.hear(found);
        if judging.is_satisfied() { Next::Enough } else { Next::More }
    };
    let searched = search(place, image, &Bounds::default(), &mut hear).await;
    if judging.is_satisfied() {
        return Ok(None);
    }
    if let Some(error) = searched.trouble {
        return Err(error);
    }
    let verdict = judging.verdict(searched.skipped);
    let skipped = verdict.skipped.into_iter().map(|skipped| format!("{}: {}", skipped.at, skipped.why));
    let refused = verdict.refused.into_iter().map(|refused| format!("{}: {}", refused.at, refused.why));
    let mut why: Vec<_> = skipped.chain(refused).collect();
    if why.is_empty() {
        why.push("it is not signed".to_owned());
    }
    Ok(Some(why))
}

/// What upstream's signature must say. `cosign sign` 3 signs no name; another one is refused.
fn question<'a>(image: &'a Digest, name: &'a ImageName) -> Question<'a> {
    Question {
        digest: image,
        name,
        name_rule: NameRule::MayBeSilent,
        predicate_type: COSIGN_SIGN,
        gate: Gate::Mirror,
        newest_policy: 0,
    }
}

impl By {
    /// A trust file of this signer alone.
    fn read(&self) -> Result<TrustFile, Error> {
        let read = |path: &PathBuf| {
            input::read_text(path, input::MOST).map_err(|source| Error::File { path: path.clone(), source })
        };
        match self {
            Self::Key(path) => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                TrustFile::from_public_key(&name, &read(path)?).map_err(Error::Demand)
            }
            Self::Identity { subject, pattern, issuer, root } => {
                let root = match root {
                    Some(path) => read(path)?,
                    None => TrustedRoot::embedded_json().to_owned(),
                };
                let subject = if *pattern { Wanted::Pattern(subject) } else { Wanted::Exact(subject) };
                let identity = Identity::new(subject, Wanted::Exact(issuer));
                let identity = identity.map_err(|error| Error::Keyless(Box::new(error)))?;
                let signs = vec![What::Statement(COSIGN_SIGN.to_owned())];
                let identity = TrustedIdentity::new("upstream", identity, &root, signs);
                identity.and_then(|known| TrustFile::of_identities(vec![known])).map_err(Error::Demand)
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

    /// A signature that cosign 2 made of an image, by an identity.
    fn found() -> (Candidate, Digest, ImageName) {
        let bytes = read("cosign2-image.payload.json");
        let layer: Descriptor = serde_json::from_slice(&read("cosign2-image.layer.json")).unwrap();
        let said: Value = serde_json::from_slice(&bytes).unwrap();
        let text = |pointer: &str| said.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let image = text("/critical/image/docker-manifest-digest").parse().unwrap();
        let name = text("/critical/identity/docker-reference").parse().unwrap();
        (
            Candidate { at: "tag".to_owned(), layer, bytes, kind: Encoding::SimpleSigning(String::new()) },
            image,
            name,
        )
    }

    /// The reasons why it does not count; none when it does.
    fn ask(subject: &str, issuer: &str, image: &Digest, name: &ImageName) -> Vec<String> {
        let (subject, issuer) = (subject.to_owned(), issuer.to_owned());
        let trust = By::Identity { subject, pattern: true, issuer, root: None }.read().unwrap();
        let mut judging = Judging::new(&trust, question(image, name));
        judging.hear(&found().0);
        let satisfied = judging.is_satisfied();
        let refused = judging.verdict(Vec::new()).refused;
        assert_eq!(satisfied, refused.is_empty());
        refused.into_iter().map(|refused| refused.why).collect()
    }

    #[test]
    fn an_identitys_signature_counts_for_its_image_and_name_alone() {
        let (_, image, name) = found();
        assert_eq!(ask(SUBJECT, ISSUER, &image, &name), Vec::<String>::new());
        assert!(ask("mallory@example.com", ISSUER, &image, &name).len() == 1);
        assert!(ask(SUBJECT, "https://accounts.example", &image, &name).len() == 1);
        assert!(ask(SUBJECT, ISSUER, &Digest::sha256(b"other"), &name).len() == 1);
        let other = "registry.example/other".parse().unwrap();
        assert!(ask(SUBJECT, ISSUER, &image, &other)[0].contains("signed as"));
    }
}

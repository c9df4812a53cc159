//! Whether upstream signed an image, by its key or by its identity: asked before anything of it is named.

use std::path::PathBuf;

use bundle_signer::keyless::{self, Artifact, Identity, TrustedRoot};
use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::{Gate, ImageName, NameRule, TrustFile};
use oci::Digest;
use serde_json::Value;

use super::{Bounds, Error, Found, Judging, Kind, Next, Place, Question, search};

/// Reasons that are told.
const MOST_REASONS: usize = 64;

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

/// What the demand comes to, read once.
enum Signer {
    Key(TrustFile),
    Identity(Identity, Box<TrustedRoot>),
}

/// Says why an image does not meet a demand; nothing when it does.
///
/// # Errors
/// When the place cannot be asked, or what the demand names cannot be read.
pub async fn refusals(
    place: &Place,
    image: &Digest,
    name: &ImageName,
    demand: &Demand,
) -> Result<Option<Vec<String>>, Error> {
    let signer = Signer::read(&demand.by)?;
    let name = demand.name.as_ref().unwrap_or(name);
    let mut why = Vec::new();
    let mut good = false;
    let searched = match &signer {
        Signer::Key(trust) => {
            let question = Question {
                digest: image,
                name,
                name_rule: NameRule::MayBeSilent,
                predicate_type: COSIGN_SIGN,
                gate: Gate::Mirror,
                newest_policy: 0,
            };
            let mut judging = Judging::new(trust, question);
            let mut hear = |found: &Found| {
                judging.hear(found);
                if judging.is_satisfied() { Next::Enough } else { Next::More }
            };
            let searched = search(place, image, &Bounds::default(), &mut hear).await;
            good = judging.is_satisfied();
            let refused = judging.verdict(Vec::new()).refused;
            why.extend(refused.into_iter().map(|refused| format!("{}: {}", refused.at, refused.why)));
            searched
        }
        Signer::Identity(identity, root) => {
            let mut hear = |found: &Found| match keyless(found, image, name, identity, root) {
                Ok(()) => {
                    good = true;
                    Next::Enough
                }
                Err(error) => {
                    if why.len() < MOST_REASONS {
                        why.push(format!("{}: {error}", found.at));
                    }
                    Next::More
                }
            };
            search(place, image, &Bounds::default(), &mut hear).await
        }
    };
    if good {
        return Ok(None);
    }
    if let Some(error) = searched.trouble {
        return Err(error);
    }
    let skipped = searched.skipped.into_iter().map(|skipped| format!("{}: {}", skipped.at, skipped.why));
    let mut why: Vec<_> = skipped.chain(why).collect();
    if why.is_empty() {
        why.push("it is not signed".to_owned());
    }
    Ok(Some(why))
}

impl Signer {
    fn read(by: &By) -> Result<Self, Error> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|source| Error::File { path: path.clone(), source })
        };
        match by {
            By::Key(path) => {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                TrustFile::from_public_key(&name, &read(path)?).map(Self::Key).map_err(Error::Demand)
            }
            By::Identity { subject, pattern, issuer, root } => {
                let root = match root {
                    Some(path) => TrustedRoot::from_json(read(path)?.as_bytes()),
                    None => TrustedRoot::embedded(),
                };
                let identity = if *pattern { Identity::pattern } else { Identity::exact };
                let identity = identity(subject, issuer).map_err(|error| Error::Keyless(Box::new(error)))?;
                let root = root.map_err(|error| Error::Keyless(Box::new(error)))?;
                Ok(Self::Identity(identity, Box::new(root)))
            }
        }
    }
}

/// Whether this is the identity's signature of the image.
fn keyless(
    found: &Found,
    image: &Digest,
    name: &ImageName,
    identity: &Identity,
    root: &TrustedRoot,
) -> Result<(), String> {
    let bytes = found.bytes();
    let evidence = match found.kind {
        Kind::Bundle => keyless::verify(bytes, Artifact::Digest(image), identity, root),
        Kind::SimpleSigning(_) if keyless::is_keyless(&found.layer) => {
            keyless::verify_layer(&found.layer, bytes, image, identity, root)
        }
        Kind::SimpleSigning(_) => return Err("it is signed by a key, not by an identity".to_owned()),
        Kind::Envelope => return Err("it is an attestation, not a signature".to_owned()),
    };
    let evidence = evidence.map_err(|error| error.to_string())?;
    let said = evidence.payload().ok_or("it does not say of which image it is")?;
    let said: Value = serde_json::from_slice(said).map_err(|error| error.to_string())?;
    let stated = match found.kind {
        Kind::Bundle if said["predicateType"] != COSIGN_SIGN => {
            return Err("it is an attestation, not a signature".to_owned());
        }
        Kind::Bundle => None,
        _ => Some(said["critical"]["identity"]["docker-reference"].as_str().unwrap_or_default()),
    };
    match stated {
        // An empty name says nothing; any other must be right.
        Some(stated) if !stated.is_empty() && stated.parse::<ImageName>().ok().as_ref() != Some(name) => {
            Err(format!("it is signed as `{}`, not as `{name}`", stated.escape_debug()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: &str = ".*@gmail\\.com";
    const ISSUER: &str = "https://github.com/login/oauth";
    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bundle-signer/tests/data/keyless");

    fn read(name: &str) -> Vec<u8> {
        std::fs::read(format!("{DATA}/{name}")).unwrap()
    }

    /// A signature that cosign 2 made of an image, by an identity.
    fn found() -> (Found, Digest, ImageName) {
        let bytes = read("cosign2-image.payload.json");
        let layer: oci::Descriptor = serde_json::from_slice(&read("cosign2-image.layer.json")).unwrap();
        let said: Value = serde_json::from_slice(&bytes).unwrap();
        let text = |pointer: &str| said.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let image = text("/critical/image/docker-manifest-digest").parse().unwrap();
        let name = text("/critical/identity/docker-reference").parse().unwrap();
        (Found { at: "tag".to_owned(), layer, bytes, kind: Kind::SimpleSigning(String::new()) }, image, name)
    }

    fn ask(subject: &str, issuer: &str, image: &Digest, name: &ImageName) -> Result<(), String> {
        let (subject, issuer) = (subject.to_owned(), issuer.to_owned());
        let signer = Signer::read(&By::Identity { subject, pattern: true, issuer, root: None }).unwrap();
        let Signer::Identity(identity, root) = signer else { panic!("an identity") };
        keyless(&found().0, image, name, &identity, &root)
    }

    #[test]
    fn an_identitys_signature_counts_for_its_image_and_name_alone() {
        let (_, image, name) = found();
        assert_eq!(ask(SUBJECT, ISSUER, &image, &name), Ok(()));
        assert!(ask("mallory@example.com", ISSUER, &image, &name).is_err());
        assert!(ask(SUBJECT, "https://accounts.example", &image, &name).is_err());
        assert!(ask(SUBJECT, ISSUER, &Digest::sha256(b"other"), &name).is_err());
        let other = "registry.example/other".parse().unwrap();
        assert!(ask(SUBJECT, ISSUER, &image, &other).unwrap_err().contains("signed as"));
    }
}

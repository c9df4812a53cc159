//! Cosign's first signature format: a small JSON payload that names an image, and a signature over its bytes (cosign
//! `specs/SIGNATURE_SPEC.md`; the layout is that of Go's `encoding/json`).

use std::collections::BTreeMap;

use oci::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::statement::{COSIGN_SIGN, Statement, Subject};
use crate::{Error, ImageName, Result, json};

/// The media type of a layer with such a payload.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

const TYPE: &str = "cosign container image signature";

/// The content of such a payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    digest: Digest,
    name: String,
    optional: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    critical: Critical,
    optional: Option<BTreeMap<String, Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    r#type: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: Digest,
}

impl Payload {
    /// States that the image with this digest has this name.
    #[must_use]
    pub fn new(digest: Digest, name: &ImageName) -> Self {
        Self { digest, name: name.to_string(), optional: BTreeMap::new() }
    }

    /// Adds an annotation, as `cosign sign -a` does.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.optional.insert(name.to_owned(), value.into());
        self
    }

    /// The payload's text, byte for byte as cosign writes it.
    ///
    /// # Errors
    /// Never for values of these types, although `serde_json` returns a `Result`.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let document = Document {
            critical: Critical {
                identity: Identity { docker_reference: self.name.clone() },
                image: Image { docker_manifest_digest: self.digest.clone() },
                r#type: TYPE.to_owned(),
            },
            optional: (!self.optional.is_empty()).then(|| self.optional.clone()),
        };
        Ok(as_go(&serde_json::to_string(&document).map_err(Error::Payload)?).into_bytes())
    }

    /// Parses a payload whose signature has been verified.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let Document { critical, optional } = json::parse(bytes).map_err(Error::Payload)?;
        if critical.r#type != TYPE {
            return Err(Error::PayloadKind(critical.r#type));
        }
        Ok(Self {
            digest: critical.image.docker_manifest_digest,
            name: critical.identity.docker_reference,
            optional: optional.unwrap_or_default(),
        })
    }

    /// Converts it to a statement, so that one check serves all formats.
    pub(crate) fn into_statement(self) -> Statement {
        // An empty name means no name.
        let name = Some(self.name).filter(|name| !name.is_empty());
        let subject = Subject::new(name, &self.digest, self.optional);
        Statement::new(vec![subject], COSIGN_SIGN, None)
    }
}

/// Go escapes characters that browsers could interpret as markup or line breaks; these five occur only in strings.
fn as_go(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_that_of_cosign() {
        let hex = "8e785953e15340cad38bf7a9040b062c9b890aca9593c5026d48aa30e30b8dd6";
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        let payload = Payload::new(digest, &"127.0.0.1:5917/demo/app".parse().unwrap());
        let start = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"127.0.0.1:5917/demo/app"}},"image":{{"docker-manifest-digest":"sha256:{hex}"}},"type":"cosign container image signature"}},"optional":"#
        );
        assert_eq!(payload.to_bytes().unwrap(), format!("{start}null}}").as_bytes());
        let annotated = payload.with("who", "a<b>&c");
        let text = format!(r#"{start}{{"who":"a\u003cb\u003e\u0026c"}}}}"#);
        assert_eq!(annotated.to_bytes().unwrap(), text.as_bytes());
        assert_eq!(Payload::parse(text.as_bytes()).unwrap(), annotated);
    }
}

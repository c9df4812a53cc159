//! DSSE envelopes (secure-systems-lab/dsse `envelope.md` and `protocol.md`) with exactly one signature, as sigstore
//! bundles have them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::{Error, Limits, Result, json};

/// The media type of a layer that is an envelope.
pub const MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";

/// The payload type of in-toto statements, the only supported one.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The pre-authentication encoding: the bytes that are signed.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// A statement's bytes with a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    signature: Vec<u8>,
    key_id: Option<String>,
}

/// Lists every member, so that an unknown or duplicate one is refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wire {
    payload: String,
    payload_type: String,
    signatures: Vec<WireSignature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSignature {
    sig: String,
    keyid: Option<String>,
}

impl Envelope {
    /// Signs a statement's bytes. `sign` gets the bytes to sign, and returns ECDSA P-256 over SHA-256 in ASN.1 DER.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn sign(payload: Vec<u8>, sign: impl FnOnce(&[u8]) -> Result<Vec<u8>>) -> Result<Self> {
        let signature = sign(&pae(PAYLOAD_TYPE, &payload))?;
        Ok(Self { payload, signature, key_id: None })
    }

    /// Parses an envelope; no signature is verified.
    ///
    /// # Errors
    /// When it is malformed, of another payload type, or has not exactly one signature.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self> {
        if bytes.len() > limits.len {
            return Err(Error::EvidenceTooLarge(bytes.len()));
        }
        Self::from_wire(json::parse(bytes).map_err(Error::Envelope)?)
    }

    pub(crate) fn from_wire(wire: Wire) -> Result<Self> {
        if wire.payload_type != PAYLOAD_TYPE {
            return Err(Error::EnvelopeKind(wire.payload_type));
        }
        let [signature] = wire.signatures.as_slice() else {
            return Err(Error::SignatureCount(wire.signatures.len()));
        };
        Ok(Self {
            payload: json::base64("payload", &wire.payload)?,
            signature: json::base64("signature", &signature.sig)?,
            // Cosign writes `"keyid":""` for none.
            key_id: signature.keyid.clone().filter(|id| !id.is_empty()),
        })
    }

    /// The bytes that the signature covers.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        pae(PAYLOAD_TYPE, &self.payload)
    }

    /// The signature, in ASN.1 DER.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    pub(crate) fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    /// The envelope's JSON. No key id is written: sigstore-go expects one in another form.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (payload, signature) = (STANDARD.encode(&self.payload), STANDARD.encode(&self.signature));
        format!(
            r#"{{"payload":"{payload}","payloadType":"{PAYLOAD_TYPE}","signatures":[{{"sig":"{signature}"}}]}}"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_encoded() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn an_envelope_round_trips() {
        let envelope = Envelope::sign(b"{}".to_vec(), |bytes| Ok(bytes[..6].to_vec())).unwrap();
        assert_eq!(Envelope::parse(envelope.to_json().as_bytes(), &Limits::default()).unwrap(), envelope);
    }
}

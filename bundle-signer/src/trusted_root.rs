//! `trusted_root.json` for stock verifiers: the public keys of our own logs (protobuf-specs
//! `sigstore_trustroot.proto`). It lists no certificate or timestamp authorities: verifiers get the signing keys
//! separately.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::VerifierKey;
use tlog::note::KeyKind;

use crate::{Error, Result};

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

/// The bytes before the 32-byte key in an Ed25519 SubjectPublicKeyInfo (RFC 8410).
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A trusted root with these logs. They are valid from 1970 on: without a trusted clock, a later start would only cause
/// valid signatures to be refused.
///
/// # Errors
/// [`Error::LogName`] for a log that stock verifiers cannot find: sigstore-go takes its name from the host of a URL.
pub fn write(logs: &[VerifierKey]) -> Result<String> {
    let logs = logs.iter().map(log).collect::<Result<Vec<_>>>()?;
    Ok(format!(
        r#"{{"mediaType":"{MEDIA_TYPE}","tlogs":[{}],"certificateAuthorities":[],"ctlogs":[],"timestampAuthorities":[]}}"#,
        logs.join(",")
    ))
}

fn log(key: &VerifierKey) -> Result<String> {
    let name = key.name();
    let host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-';
    if name.is_empty() || name.len() > 253 || !name.bytes().all(host) {
        return Err(Error::LogName(name.to_owned()));
    }
    let (details, public) = match key.kind() {
        KeyKind::Ed25519 => ("PKIX_ED25519", [&ED25519_PREFIX[..], key.public()].concat()),
        KeyKind::Ecdsa => ("PKIX_ECDSA_P256_SHA_256", key.public().to_vec()),
        KeyKind::Cosignature => return Err(Error::LogName(name.to_owned())),
    };
    let (public, id) = (STANDARD.encode(public), STANDARD.encode(key.key_hash()));
    Ok(format!(
        r#"{{"baseUrl":"https://{name}","hashAlgorithm":"SHA2_256","publicKey":{{"rawBytes":"{public}","keyDetails":"{details}","validFor":{{"start":"1970-01-01T00:00:00Z"}}}},"logId":{{"keyId":"{id}"}}}}"#
    ))
}

#[cfg(test)]
mod tests {
    use tlog::SigningKey;

    use super::*;

    fn key(name: &str, kind: KeyKind) -> VerifierKey {
        SigningKey::new(name, kind, &SigningKey::generate().unwrap()).unwrap().verifier()
    }

    #[test]
    fn a_log_name_must_be_a_host() {
        let json = write(&[key("log.example", KeyKind::Ed25519)]).unwrap();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["tlogs"][0]["baseUrl"], "https://log.example");
        for name in ["log.example/1", "log.example:1", "\"", "Log", "ü"] {
            assert!(matches!(write(&[key(name, KeyKind::Ed25519)]), Err(Error::LogName(_))), "{name}");
        }
        assert!(matches!(write(&[key("log.example", KeyKind::Cosignature)]), Err(Error::LogName(_))));
    }
}

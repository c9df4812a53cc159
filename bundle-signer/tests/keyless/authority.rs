//! A sigstore instance for tests: a CA, a certificate log and a signature log. They create signatures that are valid
//! except for the defect that a test introduces. The suites of all crates include this file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bundle_signer::PrivateKey;
use oci::Digest;
use serde_json::{Value, json};

/// When signatures are made: 2025-11-24T16:00:00Z, long ago.
pub(crate) const THEN: i64 = 1_764_000_000;
/// The validity of a certificate, in seconds.
const MINUTES: i64 = 10 * 60;

const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
const SUBJECT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
/// Fulcio's issuer, version 2: 1.3.6.1.4.1.57264.1.8.
const ISSUER: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, 0x08];
/// RFC 6962: 1.3.6.1.4.1.11129.2.4.2.
const TIMESTAMPS: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xd6, 0x79, 0x02, 0x04, 0x02];

/// The keys of the instance.
pub(crate) struct Authority {
    certificates: PrivateKey,
    certificate: Vec<u8>,
    certificate_log: PrivateKey,
    log: PrivateKey,
}

/// The signer and the time of signing.
#[derive(Clone, Copy)]
pub(crate) struct Signer<'a> {
    /// An email address, or a URI.
    pub(crate) subject: &'a str,
    pub(crate) issuer: &'a str,
    /// When the log accepts the signature.
    pub(crate) logged: i64,
    /// The begin of the certificate's validity.
    pub(crate) from: i64,
    /// Whether the certificate is in the certificate log.
    pub(crate) public: bool,
}

impl<'a> Signer<'a> {
    pub(crate) fn new(subject: &'a str, issuer: &'a str) -> Self {
        Self { subject, issuer, logged: THEN + 1, from: THEN, public: true }
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = || PrivateKey::generate().unwrap();
        let certificates = key();
        let usage = [
            extension(BASIC_CONSTRAINTS, true, &sequence(&[&[0x01, 0x01, 0xff]])),
            extension(KEY_USAGE, true, &[0x03, 0x02, 0x02, 0x04]),
        ];
        let times = [time(0), time(THEN * 2)];
        let (own, spki) = (name("authority.test"), spki(&certificates));
        let tbs = certificate_of((&own, &own), &times, &spki, &usage.concat());
        let certificate = signed(&tbs, &certificates);
        Self { certificates, certificate, certificate_log: key(), log: key() }
    }

    /// The `trusted_root.json` of the instance.
    pub(crate) fn root(&self) -> String {
        let period = json!({ "start": "2020-01-01T00:00:00Z" });
        let log = |key: &PrivateKey, url: &str| {
            let (spki, id) = (STANDARD.encode(spki(key)), STANDARD.encode(hash(&spki(key))));
            json!({ "baseUrl": url, "hashAlgorithm": "SHA2_256", "logId": { "keyId": id },
                "publicKey": { "rawBytes": spki, "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": period } })
        };
        let chain = json!({ "certificates": [{ "rawBytes": STANDARD.encode(&self.certificate) }] });
        let subject = json!({ "organization": "test", "commonName": "authority.test" });
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.log, "https://rekor.test")],
            "certificateAuthorities": [{ "subject": subject, "uri": "https://fulcio.test", "certChain": chain,
                "validFor": period }],
            "ctlogs": [log(&self.certificate_log, "https://ctlog.test")],
            "timestampAuthorities": [],
        })
        .to_string()
    }

    /// A bundle with a statement.
    pub(crate) fn sign(&self, signer: Signer<'_>, statement: &Value) -> Value {
        let (key, certificate) = self.certify(signer);
        let payload = statement.to_string();
        let kind = "application/vnd.in-toto+json";
        let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
        let signature = STANDARD.encode(key.sign(signed.as_bytes()).unwrap());
        let envelope = json!({ "payload": STANDARD.encode(&payload), "payloadType": kind,
            "signatures": [{ "sig": signature }] });
        let of = |bytes: &[u8]| json!({ "algorithm": "sha256", "value": Digest::sha256(bytes).hex() });
        let body = json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": {
            "envelopeHash": of(envelope.to_string().as_bytes()), "payloadHash": of(payload.as_bytes()),
            "signatures": [{ "signature": signature, "verifier": STANDARD.encode(pem(&certificate)) }] } });
        let body = body.to_string();
        let id = STANDARD.encode(hash(&spki(&self.log)));
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": { "rawBytes": STANDARD.encode(&certificate) },
                "tlogEntries": [{
                    "logIndex": "0", "logId": { "keyId": id },
                    "kindVersion": { "kind": "dsse", "version": "0.0.1" },
                    "integratedTime": signer.logged.to_string(),
                    "inclusionPromise": { "signedEntryTimestamp": self.promise(&body, signer.logged) },
                    "inclusionProof": self.proof(&body),
                    "canonicalizedBody": STANDARD.encode(&body),
                }],
            },
            "dsseEnvelope": envelope,
        })
    }

    /// A layer of cosign's first format, and its blob.
    pub(crate) fn sign_layer(&self, signer: Signer<'_>, image: &Digest, name: &str) -> (Value, Vec<u8>) {
        let (key, certificate) = self.certify(signer);
        let payload = json!({ "critical": { "identity": { "docker-reference": name },
            "image": { "docker-manifest-digest": image }, "type": "cosign container image signature" },
            "optional": null });
        let payload = payload.to_string().into_bytes();
        let signature = STANDARD.encode(key.sign(&payload).unwrap());
        let digest = Digest::sha256(&payload);
        let body = json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": { "hash": { "algorithm": "sha256", "value": digest.hex() } },
            "signature": { "content": signature, "publicKey": { "content": STANDARD.encode(pem(&certificate)) } } } });
        let body = body.to_string();
        let log: String = hash(&spki(&self.log)).iter().map(|byte| format!("{byte:02x}")).collect();
        let bundle = json!({ "SignedEntryTimestamp": self.promise(&body, signer.logged), "Payload": {
            "body": STANDARD.encode(&body), "integratedTime": signer.logged, "logIndex": 0, "logID": log } });
        let layer = json!({
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": digest, "size": payload.len(),
            "annotations": { "dev.cosignproject.cosign/signature": signature,
                "dev.sigstore.cosign/certificate": pem(&certificate),
                "dev.sigstore.cosign/bundle": bundle.to_string() },
        });
        (layer, payload)
    }

    /// A short-lived key and its certificate, with a timestamp of the certificate log.
    fn certify(&self, signer: Signer<'_>) -> (PrivateKey, Vec<u8>) {
        let key = PrivateKey::generate().unwrap();
        let kind = if signer.subject.contains("://") { 0x86 } else { 0x81 };
        let extensions = [
            extension(KEY_USAGE, true, &[0x03, 0x02, 0x07, 0x80]),
            extension(EXTENDED_KEY_USAGE, false, &sequence(&[&element(0x06, CODE_SIGNING)])),
            extension(SUBJECT_NAME, true, &sequence(&[&element(kind, signer.subject.as_bytes())])),
            extension(ISSUER, false, &element(0x0c, signer.issuer.as_bytes())),
        ]
        .concat();
        let (own, empty, spki_leaf) = (name("authority.test"), sequence(&[]), spki(&key));
        let times = [time(signer.from), time(signer.from + MINUTES)];
        let before = certificate_of((&own, &empty), &times, &spki_leaf, &extensions);
        let stamp = self.timestamp(&before, signer.from);
        let stamp = extension(TIMESTAMPS, false, &element(0x04, &stamp));
        let with = if signer.public { [extensions, stamp].concat() } else { extensions };
        let tbs = certificate_of((&own, &empty), &times, &spki_leaf, &with);
        (key, signed(&tbs, &self.certificates))
    }

    /// A list of one timestamp of the certificate log (RFC 6962, sections 3.2 and 3.3).
    fn timestamp(&self, tbs: &[u8], at: i64) -> Vec<u8> {
        let milliseconds = u64::try_from(at).unwrap() * 1000;
        let mut input = vec![0, 0];
        input.extend(milliseconds.to_be_bytes());
        input.extend([0, 1]);
        input.extend(hash(&spki(&self.certificates)));
        input.extend(&u32::try_from(tbs.len()).unwrap().to_be_bytes()[1..]);
        input.extend(tbs);
        input.extend([0, 0]);
        let signature = self.certificate_log.sign(&input).unwrap();
        let mut stamp = vec![0];
        stamp.extend(hash(&spki(&self.certificate_log)));
        stamp.extend(milliseconds.to_be_bytes());
        stamp.extend([0, 0, 4, 3]);
        stamp.extend(u16::try_from(signature.len()).unwrap().to_be_bytes());
        stamp.extend(signature);
        let length = u16::try_from(stamp.len()).unwrap();
        [&(length + 2).to_be_bytes()[..], &length.to_be_bytes(), &stamp].concat()
    }

    /// The log's promise to include an entry.
    fn promise(&self, body: &str, at: i64) -> String {
        let log: String = hash(&spki(&self.log)).iter().map(|byte| format!("{byte:02x}")).collect();
        let body = STANDARD.encode(body);
        let text = format!(r#"{{"body":"{body}","integratedTime":{at},"logID":"{log}","logIndex":0}}"#);
        STANDARD.encode(self.log.sign(text.as_bytes()).unwrap())
    }

    /// The proof for a log with a single entry.
    fn proof(&self, body: &str) -> Value {
        let root = STANDARD.encode(hash(&[&[0][..], body.as_bytes()].concat()));
        let text = format!("rekor.test - 1\n1\n{root}\n");
        let signature = self.log.sign(text.as_bytes()).unwrap();
        let signature = STANDARD.encode([&hash(&spki(&self.log))[..4], &signature].concat());
        json!({ "logIndex": "0", "rootHash": root, "treeSize": "1", "hashes": [],
            "checkpoint": { "envelope": format!("{text}\n\u{2014} rekor.test {signature}\n") } })
    }
}

/// A statement about an image.
pub(crate) fn statement(image: &Digest, name: Option<&str>, predicate_type: &str) -> Value {
    let mut subject = json!({ "digest": { "sha256": image.hex() } });
    if let Some(name) = name {
        subject["name"] = name.into();
    }
    json!({ "_type": "https://in-toto.io/Statement/v1", "subject": [subject], "predicateType": predicate_type,
        "predicate": {} })
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    let hex = Digest::sha256(bytes).hex().to_owned();
    (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// The SubjectPublicKeyInfo of a public key, from its PEM.
fn spki(key: &PrivateKey) -> Vec<u8> {
    let pem = key.public_key().unwrap().to_pem();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(base64).unwrap()
}

fn pem(certificate: &[u8]) -> String {
    let base64 = STANDARD.encode(certificate);
    let lines = base64.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => der.push(short),
        Ok(byte) => der.extend([0x81, byte]),
        Err(_) => {
            der.push(0x82);
            der.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    der.extend(content);
    der
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

fn name(common: &str) -> Vec<u8> {
    let attribute = sequence(&[&element(0x06, COMMON_NAME), &element(0x0c, common.as_bytes())]);
    sequence(&[&element(0x31, &attribute)])
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    sequence(&[&element(0x06, id), critical, &element(0x04, value)])
}

/// A `TBSCertificate`.
fn certificate_of(
    (issuer, subject): (&[u8], &[u8]),
    times: &[Vec<u8>; 2],
    spki: &[u8],
    extensions: &[u8],
) -> Vec<u8> {
    let validity = sequence(&[&times[0], &times[1]]);
    let algorithm = sequence(&[&element(0x06, ECDSA_SHA256)]);
    let extensions = element(0xa3, &element(0x30, extensions));
    let (version, serial) = ([0xa0, 0x03, 0x02, 0x01, 0x02], [0x02, 0x01, 0x01]);
    sequence(&[&version, &serial, &algorithm, issuer, &validity, subject, spki, &extensions])
}

fn signed(tbs: &[u8], key: &PrivateKey) -> Vec<u8> {
    let signature = [&[0][..], &key.sign(tbs).unwrap()].concat();
    let algorithm = sequence(&[&element(0x06, ECDSA_SHA256)]);
    sequence(&[tbs, &algorithm, &element(0x03, &signature)])
}

/// A `UTCTime` or `GeneralizedTime`; the date is computed like Howard Hinnant's `civil_from_days`.
fn time(at: i64) -> Vec<u8> {
    let (days, seconds) = (at.div_euclid(86_400) + 719_468, at.rem_euclid(86_400));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let short = format!("{:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z", year % 100);
    // RFC 5280, section 4.1.2.5: until 2049 in the short form.
    if (1950..2050).contains(&year) {
        element(0x17, short.as_bytes())
    } else {
        element(0x18, format!("{:02}{short}", year / 100).as_bytes())
    }
}

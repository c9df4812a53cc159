//! Recognises evidence by its content: a manifest that no runtime can unpack, whatever the media types of its layers.
//!
//! Runtimes look at content. podman unpacks every layer that is a tar, compressed or not, under any media type. So a
//! manifest is evidence only if each layer has the form of a statement and the configuration does not describe an image.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;

use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::{bundle, dsse, simple_signing};
use oci::manifest::is_read_as;
use oci::{Content, Descriptor, Digest, Manifest};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use store::Store;

use super::Error;

/// The media types of layers with statements about other manifests.
const STATEMENT_TYPES: [&str; 10] = [
    "application/vnd.dev.cosign.simplesigning.v1+json",
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.in-toto+json",
    "application/spdx+json",
    "application/vnd.cyclonedx+json",
    "application/vnd.syft+json",
    "text/spdx",
    "text/spdx+json",
    "application/jose+json",
    "application/cose",
];
/// The maximum number of bytes to check for one manifest. A larger manifest is not checked and needs a signature.
const MAX_BYTES: u64 = 64 << 20;
const MAX_CONFIG: u64 = 1 << 20;
const BLOCK: usize = 512;

/// Whether a manifest contains only statements about other manifests: signatures, attestations, bills of materials. Gates
/// admit it without a signature of its own: otherwise nothing could ever be admitted.
///
/// # Errors
/// When the store cannot be read.
pub fn is_evidence(store: &Store, manifest: &Manifest) -> Result<bool, Error> {
    let Content::Image(image) = manifest.content() else { return Ok(false) };
    let named = |layer: &Descriptor| {
        let kind = layer.media_type.as_str();
        STATEMENT_TYPES.contains(&kind) || kind.starts_with("application/vnd.dev.sigstore.bundle")
    };
    if image.layers.is_empty() || !image.layers.iter().all(named) {
        return Ok(false);
    }
    let Some(config) = read(store, &image.config, MAX_CONFIG)? else { return Ok(false) };
    if serde_json::from_slice::<NoImage>(&config).is_err() {
        return Ok(false);
    }
    let (mut left, mut seen) = (MAX_BYTES, BTreeSet::new());
    for layer in &image.layers {
        if !seen.insert((&layer.digest, layer.size)) {
            continue;
        }
        let statement = read(store, layer, left)?.filter(|bytes| has_statement_form(bytes));
        let Some(statement) = statement else { return Ok(false) };
        left -= statement.len() as u64;
    }
    Ok(true)
}

/// The kind of evidence in a manifest, in one word for reports and records, according to its layers and annotations.
#[must_use]
pub fn label(manifest: &Manifest) -> &'static str {
    let Content::Image(image) = manifest.content() else { return "statement" };
    let signature = image.annotations.get("dev.sigstore.bundle.predicateType");
    let of = |layer: &Descriptor| match layer.media_type.as_str() {
        simple_signing::MEDIA_TYPE | "application/jose+json" | "application/cose" => "signature",
        bundle::MEDIA_TYPE if signature.is_some_and(|kind| kind == COSIGN_SIGN) => "signature",
        bundle::MEDIA_TYPE | dsse::MEDIA_TYPE | "application/vnd.in-toto+json" => "attestation",
        _ => "statement",
    };
    image.layers.first().map_or("statement", of)
}

/// Reads a blob; none if it does not exist, differs in size from the manifest, or is larger than `limit`.
fn read(store: &Store, blob: &Descriptor, limit: u64) -> Result<Option<Vec<u8>>, Error> {
    let Some(found) = store.blob(&blob.digest)? else { return Ok(None) };
    if found.size != blob.size || found.size > limit {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let digest = blob.digest.clone();
    found.file.take(limit).read_to_end(&mut bytes).map_err(|source| Error::Read { digest, source })?;
    Ok((Digest::of(blob.digest.algorithm(), &bytes) == blob.digest).then_some(bytes))
}

/// Whether bytes have the form of a statement, which no runtime can unpack: JSON texts, SPDX's own text format, or a COSE
/// signature.
#[must_use]
pub fn has_statement_form(bytes: &[u8]) -> bool {
    if is_tar(bytes) || bytes.starts_with(b"BZh") {
        return false;
    }
    // COSE_Sign1 (RFC 9052, section 4.2), as notation writes it: tag 18, an array of four items.
    if bytes.starts_with(&[0xd2, 0x84]) {
        return true;
    }
    // No compressed stream that a runtime knows is UTF-8 without control characters; only `bzip2` begins with text.
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    is_json(text) || is_spdx(text)
}

fn is_json(text: &str) -> bool {
    let begins = text.trim_start().starts_with(['{', '[']);
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>().peekable();
    begins && values.peek().is_some() && values.all(|value| value.is_ok())
}

/// Whether the text consists of `Tag: value` lines, the first of which states the SPDX version.
fn is_spdx(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let printable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    lines.next().is_some_and(|line| line.starts_with("SPDXVersion:")) && text.chars().all(printable)
}

/// Whether the first block is a tar header. Old headers have no magic number and can also be valid JSON, so the checksum
/// decides.
fn is_tar(bytes: &[u8]) -> bool {
    let Some(block) = bytes.first_chunk::<BLOCK>() else { return false };
    let (before, rest) = block.split_at(148);
    let (field, after) = rest.split_at(8);
    let stated =
        field.iter().skip_while(|byte| matches!(byte, b' ' | 0)).take_while(|byte| byte.is_ascii_digit());
    let stated = stated.fold(0_i64, |sum, byte| sum * 8 + i64::from(byte - b'0'));
    let rest = || before.iter().chain(after);
    let blank = 8 * i64::from(b' ');
    let unsigned = blank + rest().map(|byte| i64::from(*byte)).sum::<i64>();
    let signed = blank + rest().map(|byte| i64::from(byte.cast_signed())).sum::<i64>();
    stated == unsigned || stated == signed
}

/// A configuration that does not describe an image: `{}`, or the placeholder that cosign and buildkit write. Names are
/// compared as Go does.
struct NoImage;

impl<'de> Deserialize<'de> for NoImage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for NoImage {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that does not describe an image")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value::<Value>()?;
            let is = |known: &str| is_read_as(&name, known);
            let harmless = match &value {
                Value::Null => true,
                Value::String(text) => {
                    !(is("os") || is("architecture")) || matches!(text.as_str(), "" | "unknown")
                }
                Value::Object(object) => !(is("config") || is("container_config")) || object.is_empty(),
                _ => !(is("os") || is("architecture") || is("config") || is("container_config")),
            };
            if !harmless {
                return Err(A::Error::custom("the configuration describes an image"));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn tar(name: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o755);
        builder.append_data(&mut header, name, &b"hello"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    /// Bytes that are both JSON and a tar in the Unix v7 format, which has no magic number.
    fn polyglot() -> Vec<u8> {
        let mut block = [b' '; BLOCK];
        let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, r#"{"a":"run"#);
        put(100, "0000755 0000000 0000000 00000000000 00000000000 ");
        put(156, "0");
        put(510, r#""}"#);
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:07o} ").as_bytes());
        block.to_vec()
    }

    #[test]
    fn a1_nothing_that_a_runtime_unpacks_has_the_form_of_a_statement() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar("a")).unwrap();
        let zstd = zstd::encode_all(&tar("a")[..], 1).unwrap();
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0][..], &zstd].concat();
        let (bzip2, xz) = (b"BZh91AY&SY{}".to_vec(), b"\xfd7zXZ\0\0\x04".to_vec());
        for bytes in [
            tar("a"),
            tar(r#"{"a":1}"#),
            gzip.finish().unwrap(),
            zstd,
            skippable,
            bzip2,
            xz,
            polyglot(),
            Vec::new(),
        ] {
            assert!(!has_statement_form(&bytes), "{bytes:?}");
        }
        assert!(is_json(std::str::from_utf8(&polyglot()).unwrap()), "the polyglot is JSON");
        for text in ["#!/bin/sh\n", "hello", "\"text\"", "{\"a\":1} x", "SPDXVersion: 2.3\n\u{1b}[0m", "{"] {
            assert!(!has_statement_form(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn statements_have_the_form_of_a_statement() {
        for text in
            ["{}", " [1]\n", "{\"a\":1}\n{\"b\":2}\n", "# made by hand\nSPDXVersion: SPDX-2.3\nSPDXID: x\n"]
        {
            assert!(has_statement_form(text.as_bytes()), "{text}");
        }
        assert!(has_statement_form(&[0xd2, 0x84, 0x58, 0x20]));
        let long = format!("{{\"payload\":\"{}\"}}", "A".repeat(4096));
        assert!(has_statement_form(long.as_bytes()));
    }

    #[test]
    fn a1_a_configuration_that_describes_an_image_is_recognised_by_its_members() {
        let describes = |text: &str| serde_json::from_str::<NoImage>(text).is_err();
        for text in [
            "{}",
            r#"{"architecture":"","created":"0001-01-01T00:00:00Z","history":[{}],"os":"","rootfs":{"type":"layers","diff_ids":["x"]},"config":{}}"#,
            r#"{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":["x"]}}"#,
            r#"{"config":null}"#,
        ] {
            assert!(!describes(text), "{text}");
        }
        for text in [
            r#"{"os":"linux"}"#,
            r#"{"os":"","OS":"linux"}"#,
            r#"{"O\u017f":"linux"}"#,
            r#"{"architecture":"amd64"}"#,
            r#"{"config":{"Cmd":["/x"]}}"#,
            r#"{"Config":{"Entrypoint":["/x"]},"config":{}}"#,
            "[]",
            "null",
            "{",
        ] {
            assert!(describes(text), "{text}");
        }
    }
}

//! Generated images: multi-platform indexes in OCI and Docker format, gzip, zstd and uncompressed layers, cosign-style
//! signature tags, and referrers, pushed to an upstream over plain HTTP.

use std::io::Write as _;

use oci::{Digest, media_type};
use serde_json::{Value, json};

use crate::http;

/// The format of an image's manifests and layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageFormat {
    OciGzip,
    OciZstd,
    OciPlain,
    Docker,
}

impl ImageFormat {
    pub(crate) fn of(number: usize) -> Self {
        [Self::OciGzip, Self::Docker, Self::OciZstd, Self::OciPlain][number % 4]
    }

    fn layer_type(self) -> &'static str {
        match self {
            Self::OciGzip => media_type::OCI_LAYER_GZIP,
            Self::OciZstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::OciPlain => media_type::OCI_LAYER,
            Self::Docker => media_type::DOCKER_LAYER_GZIP,
        }
    }
}

/// A pushed manifest, with or without a tag.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

impl Pushed {
    pub(crate) fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// A registry reachable at `address` over plain HTTP.
pub(crate) struct Upstream {
    pub(crate) address: String,
}

impl Upstream {
    pub(crate) fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let session =
            http::request(&self.address, "POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
        assert_eq!(session.status, 202, "{}", String::from_utf8_lossy(&session.body));
        let location = &session.headers["location"];
        let separator = if location.contains('?') { '&' } else { '?' };
        let target = format!("{location}{separator}digest={digest}");
        let headers = [("Content-Type", "application/octet-stream")];
        let put = http::request(&self.address, "PUT", &target, &headers, bytes);
        assert_eq!(put.status, 201, "{}", String::from_utf8_lossy(&put.body));
        digest
    }

    pub(crate) fn push_manifest(
        &self,
        repository: &str,
        tag: Option<&str>,
        media_type: &str,
        body: &Value,
    ) -> Pushed {
        let bytes = serde_json::to_vec(body).unwrap();
        let digest = Digest::sha256(&bytes);
        let reference = tag.map_or_else(|| digest.to_string(), str::to_owned);
        let target = format!("/v2/{repository}/manifests/{reference}");
        let put = http::request(&self.address, "PUT", &target, &[("Content-Type", media_type)], &bytes);
        assert_eq!(put.status, 201, "{}", String::from_utf8_lossy(&put.body));
        Pushed { digest, media_type: media_type.to_owned(), bytes }
    }

    /// Pushes an image for one platform with `layers` layers of about `size` bytes each.
    pub(crate) fn push_image(&self, repository: &str, spec: &ImageSpec) -> Pushed {
        let mut layers = Vec::new();
        for number in 0..spec.layers {
            let bytes = layer(spec.seed * 1000 + number as u64, spec.size, spec.format);
            let digest = self.push_blob(repository, &bytes);
            layers
                .push(json!({"mediaType": spec.format.layer_type(), "digest": digest, "size": bytes.len()}));
        }
        let config = serde_json::to_vec(&json!({
            "os": spec.os, "architecture": spec.architecture, "seed": spec.seed,
            "rootfs": {"type": "layers", "diff_ids": []}, "config": {},
        }))
        .unwrap();
        let digest = self.push_blob(repository, &config);
        let (kind, config_kind) = match spec.format {
            ImageFormat::Docker => (media_type::DOCKER_MANIFEST, media_type::DOCKER_CONFIG),
            ImageFormat::OciGzip | ImageFormat::OciZstd | ImageFormat::OciPlain => {
                (media_type::OCI_MANIFEST, media_type::OCI_CONFIG)
            }
        };
        let body = json!({
            "schemaVersion": 2, "mediaType": kind,
            "config": {"mediaType": config_kind, "digest": digest, "size": config.len()},
            "layers": layers,
        });
        self.push_manifest(repository, None, kind, &body)
    }

    /// Pushes an index with an image for each architecture, and one for Windows that is never selected.
    pub(crate) fn push_index(&self, repository: &str, tag: &str, spec: &ImageSpec) -> (Pushed, Vec<Pushed>) {
        let mut children = Vec::new();
        let mut entries = Vec::new();
        for (number, (os, architecture)) in
            [("linux", "amd64"), ("linux", "arm64"), ("windows", "amd64")].into_iter().enumerate()
        {
            let child = ImageSpec { os, architecture, seed: spec.seed * 10 + number as u64, ..*spec };
            let pushed = self.push_image(repository, &child);
            let mut entry = pushed.descriptor();
            entry["platform"] = json!({"os": os, "architecture": architecture});
            entries.push(entry);
            children.push(pushed);
        }
        let kind =
            if spec.format == ImageFormat::Docker { media_type::DOCKER_LIST } else { media_type::OCI_INDEX };
        let body = json!({"schemaVersion": 2, "mediaType": kind, "manifests": entries});
        (self.push_manifest(repository, Some(tag), kind, &body), children)
    }

    /// Pushes a cosign-style signature under the subject's `.sig` tag.
    pub(crate) fn push_signature_tag(&self, repository: &str, subject: &Digest) -> (String, Pushed) {
        let payload = format!(r#"{{"critical":{{"image":{{"docker-manifest-digest":"{subject}"}}}}}}"#);
        let digest = self.push_blob(repository, payload.as_bytes());
        let config = self.push_blob(repository, b"{}");
        let body = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": {"mediaType": media_type::OCI_CONFIG, "digest": config, "size": 2},
            "layers": [{
                "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "digest": digest,
                "size": payload.len(), "annotations": {"dev.cosignproject.cosign/signature": "c2lnbmF0dXJl"},
            }],
        });
        let tag = format!("sha256-{}.sig", subject.hex());
        let pushed = self.push_manifest(repository, Some(&tag), media_type::OCI_MANIFEST, &body);
        (tag, pushed)
    }

    /// Pushes a referrer of `subject`, listed under the fallback tag for registries without the referrers API.
    pub(crate) fn push_referrer(&self, repository: &str, subject: &Pushed) -> Pushed {
        let statement = format!(r#"{{"sbom":"of {}"}}"#, subject.digest);
        let digest = self.push_blob(repository, statement.as_bytes());
        let config = self.push_blob(repository, b"{}");
        let kind = "application/spdx+json";
        let body = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": kind,
            "config": {"mediaType": media_type::OCI_EMPTY, "digest": config, "size": 2},
            "layers": [{"mediaType": kind, "digest": digest, "size": statement.len()}],
            "subject": subject.descriptor(),
        });
        let pushed = self.push_manifest(repository, None, media_type::OCI_MANIFEST, &body);
        let mut entry = pushed.descriptor();
        entry["artifactType"] = json!(kind);
        let list = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [entry]});
        let tag = format!("sha256-{}", subject.digest.hex());
        self.push_manifest(repository, Some(&tag), media_type::OCI_INDEX, &list);
        pushed
    }
}

/// The parameters of a generated image.
#[derive(Clone, Copy)]
pub(crate) struct ImageSpec {
    pub(crate) os: &'static str,
    pub(crate) architecture: &'static str,
    pub(crate) seed: u64,
    pub(crate) layers: usize,
    pub(crate) size: usize,
    pub(crate) format: ImageFormat,
}

impl ImageSpec {
    pub(crate) fn new(seed: u64, size: usize, format: ImageFormat) -> Self {
        Self { os: "linux", architecture: "amd64", seed, layers: 2, size, format }
    }
}

/// A layer: a tar archive with one file, half random and half text, in the compression of the format.
fn layer(seed: u64, size: usize, format: ImageFormat) -> Vec<u8> {
    let mut content = noise(seed, size / 2);
    content.extend(b"the same line again and again\n".iter().cycle().take(size / 2));
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, format!("content/{seed}"), &content[..]).unwrap();
    let plain = archive.into_inner().unwrap();
    match format {
        ImageFormat::OciGzip | ImageFormat::Docker => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&plain).unwrap();
            encoder.finish().unwrap()
        }
        ImageFormat::OciZstd => zstd::encode_all(&plain[..], 1).unwrap(),
        ImageFormat::OciPlain => plain,
    }
}

/// Incompressible bytes that depend only on the seed (xorshift64*).
pub(crate) fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

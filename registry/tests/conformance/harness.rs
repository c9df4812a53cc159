//! The registry under test, a small client, and what a check may say.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::support;

/// What a check found: nothing, or what is wrong.
pub(crate) type Verdict = Result<(), String>;

/// A check of one clause.
pub(crate) type Check = for<'a> fn(&'a Target) -> Pin<Box<dyn Future<Output = Verdict> + 'a>>;

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Says what is wrong unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err(format!($($text)*));
        }
    };
}
pub(crate) use ensure;

/// A registry that speaks plain HTTP.
pub(crate) struct Target {
    base: String,
    http: support::Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn is(&self, status: u16) -> Verdict {
        self.is_one_of(&[status])
    }

    pub(crate) fn is_one_of(&self, statuses: &[u16]) -> Verdict {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        ensure!(statuses.contains(&self.status), "status {}, expected {statuses:?}: {body}", self.status);
        Ok(())
    }

    pub(crate) fn header(&self, name: &str) -> Result<&str, String> {
        self.headers.get(name).map(String::as_str).ok_or_else(|| format!("no header `{name}`"))
    }

    pub(crate) fn has(&self, name: &str, value: &str) -> Verdict {
        let found = self.header(name)?;
        ensure!(found == value, "`{name}` is `{found}`, expected `{value}`");
        Ok(())
    }

    pub(crate) fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("the body is not JSON: {error}"))
    }

    /// Whether the body is in the specification's error form and holds the code.
    pub(crate) fn refuses_with(&self, code: &str) -> Verdict {
        let body = self.json()?;
        let errors = body["errors"].as_array().ok_or("no `errors` in the body")?;
        ensure!(!errors.is_empty(), "`errors` is empty");
        for error in errors {
            let code = error["code"].as_str().ok_or("an error without `code`")?;
            let good = code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
            ensure!(good, "`{code}` is not upper case and underscores");
            ensure!(error.get("message").is_none_or(Value::is_string), "`message` is not a text");
        }
        ensure!(errors.iter().any(|error| error["code"] == code), "no error `{code}` in {body}");
        Ok(())
    }
}

/// A pushed manifest.
pub(crate) struct Pushed {
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
    pub(crate) config: Digest,
    pub(crate) layer: Digest,
    pub(crate) answer: Answer,
}

impl Target {
    pub(crate) fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), http: support::Client::new() }
    }

    /// A repository that no other check uses.
    pub(crate) fn repository() -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("conformance/p{}/r{number}", std::process::id())
    }

    /// Locations may be paths or whole URLs.
    fn url(&self, path: &str) -> String {
        if path.starts_with("http://") { path.to_owned() } else { format!("{}{path}", self.base) }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<support::Body>,
    ) -> Result<Answer, String> {
        let method = method.parse::<http::Method>().map_err(|error| error.to_string())?;
        let mut request = self.http.request(method, self.url(path)).body(body);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept")) {
            request = request.header("accept", format!("{IMAGE}, {INDEX}, */*"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.map_err(|error| format!("{path}: {error:?}"))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = response.bytes().await.map_err(|error| format!("{path}: {error:?}"))?.to_vec();
        let answer = Answer { status, headers, body };
        check_warnings(&answer)?;
        Ok(answer)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, String> {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn head(&self, path: &str) -> Result<Answer, String> {
        self.send("HEAD", path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Answer, String> {
        self.send("DELETE", path, &[], "").await
    }

    /// A body of unknown length, in pieces.
    pub(crate) fn stream(pieces: Vec<Vec<u8>>) -> support::Body {
        support::Body::stream(pieces)
    }

    /// Starts a session and gives its location.
    pub(crate) async fn start(&self, repository: &str) -> Result<String, String> {
        let answer = self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], "").await?;
        answer.is(202)?;
        answer.header("location").map(str::to_owned)
    }

    pub(crate) async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Result<Digest, String> {
        let digest = Digest::sha256(bytes);
        let location = self.start(repository).await?;
        let answer = self
            .send("PUT", &with_digest(&location, &digest), &[("content-type", OCTETS)], bytes.to_vec())
            .await?;
        answer.is(201)?;
        Ok(digest)
    }

    pub(crate) async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Answer, String> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.send("PUT", &path, &[("content-type", media_type)], bytes.to_vec()).await
    }

    /// Pushes an image with two blobs under `reference`; an empty one stands for its digest.
    pub(crate) async fn push_image(&self, repository: &str, reference: &str) -> Result<Pushed, String> {
        self.push_image_with(repository, reference, &json!({})).await
    }

    /// The same with more members in the manifest.
    pub(crate) async fn push_image_with(
        &self,
        repository: &str,
        reference: &str,
        more: &Value,
    ) -> Result<Pushed, String> {
        let config = unique("config").into_bytes();
        let layer = unique("layer").into_bytes();
        let (config_digest, layer_digest) =
            (self.push_blob(repository, &config).await?, self.push_blob(repository, &layer).await?);
        let mut manifest = image(&[(&config_digest, config.len()), (&layer_digest, layer.len())]);
        if let (Some(manifest), Some(more)) = (manifest.as_object_mut(), more.as_object()) {
            manifest.extend(more.clone());
        }
        let bytes = manifest.to_string().into_bytes();
        let digest = Digest::sha256(&bytes);
        let name = digest.to_string();
        let reference = if reference.is_empty() { &name } else { reference };
        let answer = self.put_manifest(repository, reference, IMAGE, &bytes).await?;
        answer.is(201)?;
        Ok(Pushed { digest, bytes, config: config_digest, layer: layer_digest, answer })
    }
}

pub(crate) const OCTETS: &str = "application/octet-stream";

/// An image manifest: the first blob is its configuration, the others are its layers.
pub(crate) fn image(blobs: &[(&Digest, usize)]) -> Value {
    let descriptor = |kind: &str, (digest, size): &(&Digest, usize)| json!({ "mediaType": kind, "digest": digest.to_string(), "size": size });
    let layers: Vec<Value> = blobs.iter().skip(1).map(|blob| descriptor(LAYER, blob)).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": blobs.first().map(|blob| descriptor(CONFIG, blob)),
        "layers": layers,
    })
}

/// A descriptor of some bytes that are not there.
pub(crate) fn absent(media_type: &str) -> Value {
    let bytes = unique("absent");
    json!({ "mediaType": media_type, "digest": Digest::sha256(bytes.as_bytes()).to_string(), "size": bytes.len() })
}

/// A text that was never pushed before.
pub(crate) fn unique(kind: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{kind} {number} of {} at {}", std::process::id(), now.as_nanos())
}

/// Some bytes that do not repeat.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let seed = unique("content");
    let blocks = (0_usize..).flat_map(|block| {
        let digest = Digest::of(Algorithm::Sha256, format!("{seed} {block}").as_bytes());
        digest.hex().as_bytes().to_vec()
    });
    blocks.take(len).collect()
}

pub(crate) fn with_digest(location: &str, digest: &Digest) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

/// Warnings are `299 - "text"`, at most 4096 bytes of them, in whatever answer they stand.
fn check_warnings(answer: &Answer) -> Verdict {
    let Some(warning) = answer.headers.get("warning") else { return Ok(()) };
    ensure!(warning.len() <= 4096, "the warnings are too long");
    ensure!(warning.starts_with("299 - \"") && warning.ends_with('"'), "`{warning}` is not `299 - \"text\"`");
    Ok(())
}

//! A revision as Helm stores it: a Secret with base64 of gzip of JSON.
//!
//! Source: `pkg/storage/driver/util.go` and `secrets.go`, `pkg/release/v1` of Helm 4. The JSON is kept completely, so that
//! additions of later Helm versions are preserved. airlock's own data is stored separately in the Secret, where Helm does
//! not read it: annotations for the chart's digest and the finished steps, and an entry for the seed of random values.
//! Helm drops these when it rewrites a record, and everything works without them.

mod status;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use helm::Keys;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::release::{Record, Status};

/// The largest record: `MaxSecretSize` of Kubernetes, minus the size of airlock's own entry.
pub(crate) const LIMIT: usize = (1 << 20) - 1024;
/// The largest decompressed record. A Secret of 1 MiB could decompress to a thousand times its size.
const MAX_BYTES: u64 = 64 << 20;
const TYPE: &str = "helm.sh/release.v1";
const DIGEST: &str = "airlock.dev/chart";
const DONE: &str = "airlock.dev/done";
const OWN: &str = "airlock";
/// The entry of seeds whose keys are assigned by the content of certificates.
const NAMED: &str = "named";

/// A revision with the data of its Secret.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    /// Helm's JSON.
    pub(crate) document: Value,
    /// The parsed record.
    pub(crate) record: Record,
    /// The seed of random values.
    pub(crate) seed: Option<Seed>,
    /// Finished steps, which must not be repeated.
    pub(crate) done: BTreeSet<String>,
    /// The keys of objects with the release's labels and annotations that existed before the first installation. Undoing
    /// the installation keeps them.
    pub(crate) found: BTreeSet<String>,
    /// The resource version of the Secret, which an update states.
    pub(crate) version: String,
    /// The Unix time at which the Secret was written.
    pub(crate) written: i64,
    /// The Unix time at which the revision was started.
    pub(crate) created: i64,
}

/// The source of a render's random values and clock. The same seed results in the same passwords and certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed {
    pub(crate) bytes: [u8; 32],
    /// The Unix time at which the seed was generated: certificates are valid from this time.
    pub(crate) now: i64,
    /// How keys are assigned to certificates. Records of earlier versions assign them by order, and keep doing so.
    pub(crate) keys: Keys,
}

/// The name of a revision's Secret.
pub(crate) fn secret_name(release: &str, revision: u32) -> String {
    format!("sh.helm.release.v1.{release}.v{revision}")
}

impl Stored {
    /// A new revision from its JSON.
    pub(crate) fn new(document: Value, release_namespace: &str, now: i64) -> Result<Self, Error> {
        let record = read(&document, release_namespace)?;
        let (done, found) = (BTreeSet::new(), BTreeSet::new());
        let version = String::new();
        Ok(Self { document, record, seed: None, done, found, version, written: now, created: now })
    }

    /// Decodes a revision from its Secret.
    pub(crate) fn decode(secret: &Value) -> Result<Self, Error> {
        let metadata = secret.get("metadata").unwrap_or(&Value::Null);
        let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default();
        let broken = |reason: String| Error::Record { record: text("name").to_owned(), reason };
        let data = |name: &str| {
            let encoded = secret.get("data").and_then(|data| data.get(name)?.as_str())?;
            STANDARD.decode(encoded).ok()
        };
        let release = data("release").ok_or_else(|| broken("it has no `release`".to_owned()))?;
        let document = unpack(&release).map_err(&broken)?;
        let label = |name: &str| {
            metadata.get("labels").and_then(|labels| labels.get(name)?.as_str()?.parse::<i64>().ok())
        };
        let annotation =
            |name: &str| metadata.get("annotations").and_then(|annotations| annotations.get(name)?.as_str());
        let mut record = read(&document, text("namespace")).map_err(|error| broken(error.to_string()))?;
        record.chart_digest = annotation(DIGEST).and_then(|digest| digest.parse().ok());
        let created = label("createdAt").unwrap_or_default();
        let own = data(OWN).and_then(|own| serde_json::from_slice::<Value>(&own).ok()).unwrap_or_default();
        let found = own.get("found").cloned().and_then(|found| serde_json::from_value(found).ok());
        Ok(Self {
            document,
            record,
            seed: Seed::read(&own),
            found: found.unwrap_or_default(),
            done: annotation(DONE).and_then(|done| serde_json::from_str(done).ok()).unwrap_or_default(),
            version: text("resourceVersion").to_owned(),
            written: label("modifiedAt").unwrap_or(created),
            created,
        })
    }

    /// Encodes the Secret. If it is too large, the chart is stored without its files, and then without its templates: Helm
    /// needs only the manifest for rollbacks and uninstalls.
    pub(crate) fn encode(&self, now: i64) -> Result<Value, Error> {
        let mut document = self.document.clone();
        let own = self.own();
        let limit = LIMIT.saturating_sub(own.as_ref().map_or(0, String::len).saturating_sub(1024));
        let mut packed = pack(&document)?;
        for part in ["files", "templates", "schema"] {
            if packed.len() <= limit {
                break;
            }
            if let Some(chart) = document.get_mut("chart").and_then(Value::as_object_mut) {
                chart.remove(part);
            }
            packed = pack(&document)?;
        }
        if packed.len() > limit {
            return Err(Error::RecordTooLarge { bytes: packed.len(), limit });
        }
        let record = &self.record;
        let mut labels = json!({
            "name": record.name,
            "owner": "helm",
            "status": record.status.as_str(),
            "version": record.revision.to_string(),
            "createdAt": self.created.to_string(),
        });
        let mut metadata = json!({
            "name": secret_name(&record.name, record.revision),
            "namespace": record.release_namespace,
            "annotations": { DONE: json!(self.done).to_string() },
        });
        if let Some(digest) = &record.chart_digest {
            metadata["annotations"][DIGEST] = json!(digest.to_string());
        }
        if !self.version.is_empty() {
            labels["modifiedAt"] = json!(now.to_string());
            metadata["resourceVersion"] = json!(self.version);
        }
        metadata["labels"] = labels;
        let mut data = json!({ "release": STANDARD.encode(packed) });
        if let Some(own) = own {
            data[OWN] = json!(STANDARD.encode(own));
        }
        Ok(json!({ "apiVersion": "v1", "kind": "Secret", "type": TYPE, "metadata": metadata, "data": data }))
    }

    /// airlock's own data in the Secret, if there is any.
    fn own(&self) -> Option<String> {
        let mut own = self.seed.as_ref().map(Seed::write).unwrap_or_default();
        if !self.found.is_empty() {
            own.insert("found".to_owned(), json!(self.found));
        }
        (!own.is_empty()).then(|| Value::Object(own).to_string())
    }

    /// Sets the status of the revision.
    pub(crate) fn set(&mut self, status: Status, description: &str) {
        self.record.status = status;
        description.clone_into(&mut self.record.description);
        self.document["info"]["status"] = json!(status.as_str());
        self.document["info"]["description"] = json!(description);
    }
}

impl Seed {
    fn read(own: &Value) -> Option<Self> {
        let bytes = STANDARD.decode(own.get("seed")?.as_str()?).ok()?;
        let keys =
            if own.get("keys").is_some_and(|keys| keys == NAMED) { Keys::Named } else { Keys::Ordered };
        Some(Self { bytes: bytes.try_into().ok()?, now: own.get("now")?.as_i64()?, keys })
    }

    fn write(&self) -> Map<String, Value> {
        let entries = [("seed", json!(STANDARD.encode(self.bytes))), ("now", json!(self.now))];
        let keys = (self.keys == Keys::Named).then(|| ("keys", json!(NAMED)));
        entries.into_iter().chain(keys).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Parses the JSON.
fn read(document: &Value, release_namespace: &str) -> Result<Record, Error> {
    let text = |path: &str| document.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = text("/name");
    let revision = document.get("version").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let (Some(revision), false) = (revision, name.is_empty()) else {
        let reason = "it has no name or no revision".to_owned();
        return Err(Error::Record { record: name, reason });
    };
    let config = document.get("config").filter(|config| config.is_object());
    Ok(Record {
        namespace: text("/namespace"),
        release_namespace: release_namespace.to_owned(),
        revision,
        status: Status::parse(&text("/info/status")),
        description: text("/info/description"),
        config: config.cloned().unwrap_or_else(|| json!({})),
        manifest: text("/manifest"),
        hooks: hooks(document),
        notes: text("/info/notes"),
        chart: text("/chart/metadata/name"),
        chart_version: text("/chart/metadata/version"),
        chart_digest: None,
        name,
    })
}

/// The manifests of all hooks.
fn hooks(document: &Value) -> Vec<String> {
    let hooks = document.get("hooks").and_then(Value::as_array).into_iter().flatten();
    hooks.filter_map(|hook| hook.get("manifest")?.as_str().map(str::to_owned)).collect()
}

/// base64(gzip(json)), with the best compression as in Helm.
fn pack(document: &Value) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| Error::Record { record: String::new(), reason: error.to_string() };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(document.to_string().as_bytes()).map_err(failed)?;
    Ok(STANDARD.encode(gzip.finish().map_err(failed)?).into_bytes())
}

fn unpack(packed: &[u8]) -> Result<Value, String> {
    let bytes = STANDARD.decode(packed).map_err(|error| error.to_string())?;
    // Early versions of Helm wrote uncompressed JSON, and Helm still reads it.
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return serde_json::from_slice(&bytes).map_err(|error| error.to_string());
    }
    let mut json = Vec::new();
    let mut unpacked = GzDecoder::new(bytes.as_slice()).take(MAX_BYTES + 1);
    unpacked.read_to_end(&mut json).map_err(|error| error.to_string())?;
    if json.len() as u64 > MAX_BYTES {
        return Err(format!("it decompresses to more than {MAX_BYTES} bytes"));
    }
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(manifest: &str) -> Value {
        json!({"name": "web", "namespace": "shop", "version": 3, "manifest": manifest, "later": {"a": 1},
            "info": {"status": "deployed", "description": "Upgrade complete"}, "config": {"a": {"b": 2}},
            "chart": {"metadata": {"name": "nginx", "version": "1.2.3"}, "files": [{"name": "f", "data": ""}]}})
    }

    #[test]
    fn a_record_is_unchanged_after_writing_and_reading_it() {
        let mut stored = Stored::new(document("x"), "records", 100).unwrap();
        stored.seed = Some(Seed { bytes: [7; 32], now: 5, keys: Keys::Named });
        stored.done.insert("pre-install/Job/a".to_owned());
        stored.found.insert("ConfigMap./shop/a".to_owned());
        stored.record.chart_digest = Some(oci::Digest::sha256(b"chart"));
        stored.set(Status::Failed, "no");
        let secret = stored.encode(200).unwrap();
        assert_eq!(secret["metadata"]["name"], "sh.helm.release.v1.web.v3");
        let labels =
            json!({"name": "web", "owner": "helm", "status": "failed", "version": "3", "createdAt": "100"});
        assert_eq!(secret["metadata"]["labels"], labels);
        let read = Stored::decode(&secret).unwrap();
        assert_eq!(read, stored);
        assert_eq!((read.record.status, &read.document["later"]), (Status::Failed, &json!({"a": 1})));
    }

    #[test]
    fn a_record_that_helm_rewrote_is_read_without_airlock_s_data() {
        let stored = Stored::new(document("x"), "records", 100).unwrap();
        let mut secret = stored.encode(100).unwrap();
        secret["metadata"].as_object_mut().unwrap().remove("annotations");
        let read = Stored::decode(&secret).unwrap();
        assert_eq!((read.record.chart_digest, read.seed, read.done.len()), (None, None, 0));
    }

    #[test]
    fn h6_a_seed_of_an_earlier_version_keeps_the_order_of_its_keys() {
        let old = json!({"seed": STANDARD.encode([7; 32]), "now": 5});
        let seed = Seed::read(&old).unwrap();
        assert_eq!(seed, Seed { bytes: [7; 32], now: 5, keys: Keys::Ordered });
        assert_eq!(Value::Object(seed.write()), old);
    }

    #[test]
    fn an_uncompressed_record_is_read() {
        let plain = STANDARD.encode(document("x").to_string());
        let secret = json!({"metadata": {"name": "n"}, "data": {"release": STANDARD.encode(plain)}});
        assert_eq!(Stored::decode(&secret).unwrap().record.name, "web");
    }

    #[test]
    fn errors_of_invalid_records_state_their_names() {
        for (data, expected) in [
            (json!({}), "it has no `release`"),
            (json!({"release": STANDARD.encode("%")}), "Invalid"),
            (json!({"release": STANDARD.encode(STANDARD.encode("{}"))}), "no name or no revision"),
        ] {
            let secret = json!({"metadata": {"name": "sh.helm.release.v1.web.v1"}, "data": data});
            let error = Stored::decode(&secret).unwrap_err().to_string();
            assert!(error.contains("sh.helm.release.v1.web.v1") && error.contains(expected), "{error}");
        }
    }

    /// Text that does not compress.
    fn noise(bytes: usize) -> String {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u8::try_from(state >> 56).unwrap()
        };
        STANDARD.encode((0..bytes).map(|_| next()).collect::<Vec<_>>())
    }

    #[test]
    fn a_chart_that_is_too_large_is_stored_without_its_files() {
        let mut document = document("small");
        document["chart"]["files"] = json!([{"name": "f", "data": noise(900_000)}]);
        let secret = Stored::new(document, "records", 1).unwrap().encode(1).unwrap();
        let read = Stored::decode(&secret).unwrap();
        assert_eq!((read.record.manifest.as_str(), read.document["chart"].get("files")), ("small", None));
    }

    #[test]
    fn a_manifest_that_is_too_large_for_a_secret_is_an_error() {
        let stored = Stored::new(document(&noise(900_000)), "records", 1).unwrap();
        let error = stored.encode(1).unwrap_err().to_string();
        assert!(error.contains("the manifest is too large"), "{error}");
    }
}

//! Nothing that anyone may push beside an image hides a signature of it, in a store or in a registry.

#![expect(clippy::unwrap_used, reason = "a failed setup fails its test")]

mod endless;
mod pushed;
mod written;

use std::collections::BTreeMap;

use bundle_signer::statement::{COSIGN_SIGN, SPDX};
use bundle_signer::{Gate, ImageName, NameRule, PrivateKey, TrustFile};
use evidence::gate::{GateDecision, GateQuery, ask};
use evidence::signing::{SignRequest, sign};
use evidence::{EvidenceSource, Question, Until, Verdict, judged};
use oci::{Algorithm, Descriptor, Digest, Manifest, RepositoryName, Selector, Tag};
use serde_json::json;
use store::{Change, Store};

const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A store with an image, and a trust file that requires a signature of it.
struct Rig {
    _folder: tempfile::TempDir,
    store: Store,
    repository: RepositoryName,
    image: Descriptor,
    key: PrivateKey,
    trust: TrustFile,
    name: ImageName,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = PrivateKey::generate().unwrap();
        let pem = key.public_key().unwrap().to_pem().replace('\n', "\n      ");
        let gate = "{require: [{sign: signature, by: release}]}";
        let text = format!(
            "apiVersion: airlock.dev/v1alpha1\nkind: Trust\nkeys:\n  - name: release\n    publicKey: |\n      {pem}\n\
                 gates: {{pull: {gate}, push: {gate}}}\n"
        );
        let trust = TrustFile::parse(&text).unwrap();
        let mut rig = Self {
            _folder: folder,
            store,
            repository: "r.example/team/app".parse().unwrap(),
            image: Descriptor::new(TYPE.parse().unwrap(), Digest::sha256(b""), 0),
            key,
            trust,
            name: "r.example/team/app".parse().unwrap(),
        };
        let config =
            rig.blob(br#"{"os":"linux","architecture":"amd64"}"#, "application/vnd.oci.image.config.v1+json");
        let image = json!({ "schemaVersion": 2, "mediaType": TYPE, "config": config, "layers": [] });
        let digest = rig.manifest(&image, None);
        rig.image.size = image.to_string().len() as u64;
        rig.image.digest = digest;
        rig
    }

    fn blob(&self, bytes: &[u8], kind: &str) -> Descriptor {
        let mut writer = self.store.writer(Algorithm::Sha256).unwrap();
        writer.write(bytes).unwrap();
        writer.publish(None).unwrap();
        Descriptor::new(kind.parse().unwrap(), Digest::sha256(bytes), bytes.len() as u64)
    }

    fn manifest(&self, value: &serde_json::Value, tag: Option<Tag>) -> Digest {
        self.put(Manifest::parse(value.to_string().into(), None).unwrap(), tag)
    }

    fn put(&self, manifest: Manifest, tag: Option<Tag>) -> Digest {
        let (digest, repository) = (manifest.digest(), self.repository.clone());
        let mut changes =
            vec![Change::PutManifest { repository: repository.clone(), digest: digest.clone(), manifest }];
        changes.extend(tag.map(|tag| Change::SetTag { repository, tag, digest: digest.clone() }));
        self.store.commit(changes).unwrap();
        digest
    }

    fn source(&self) -> EvidenceSource {
        EvidenceSource::Store(self.store.clone(), self.repository.clone())
    }

    async fn sign(&self, format: &str, predicate: Option<&serde_json::Value>) {
        let request = SignRequest {
            key: &self.key,
            name: &self.name,
            annotations: &BTreeMap::new(),
            predicate_type: if predicate.is_some() { SPDX } else { COSIGN_SIGN },
            predicate,
            legacy: format == "legacy",
            bundle: format == "bundle",
            created: "2026-01-01T00:00:00Z",
        };
        sign(&self.source(), &self.image, &request).await.unwrap();
    }

    /// Signs in cosign's legacy format. Returns the tag of the signatures, and its manifest.
    async fn sign_under_tag(&self) -> (Tag, Manifest) {
        self.sign("legacy", None).await;
        let tag = Tag::of_attachment(&self.image.digest, "sig").unwrap();
        let row = self.store.resolve(&self.repository, &Selector::Tag(tag.clone())).unwrap().unwrap();
        (tag, self.store.manifest(&self.repository, &row.digest).unwrap().unwrap())
    }

    async fn sign_with(&self, key: &PrivateKey) {
        let request = SignRequest {
            key,
            name: &self.name,
            annotations: &BTreeMap::new(),
            predicate_type: COSIGN_SIGN,
            predicate: None,
            legacy: true,
            bundle: false,
            created: "2026-01-01T00:00:00Z",
        };
        sign(&self.source(), &self.image, &request).await.unwrap();
    }

    /// Stores a referrer of the image, with the given artifact type and layers.
    fn referrer(&self, kind: &str, layers: &[Descriptor], number: usize) -> Digest {
        self.put(self.referring(kind, layers, number), None)
    }

    fn referring(&self, kind: &str, layers: &[Descriptor], number: usize) -> Manifest {
        let config = self.blob(b"{}", "application/vnd.oci.empty.v1+json");
        let subject = json!({ "mediaType": TYPE, "digest": self.image.digest, "size": self.image.size });
        let value = json!({ "schemaVersion": 2, "mediaType": TYPE, "artifactType": kind, "config": config,
                "layers": layers, "subject": subject, "annotations": { "number": number.to_string() } });
        Manifest::parse(value.to_string().into(), None).unwrap()
    }

    async fn ask(&self) -> GateDecision {
        let query =
            GateQuery { trust: &self.trust, gate: Gate::Pull, name_rule: NameRule::Required, host: None };
        ask(&self.store, &self.repository, &self.image.digest, &query).await.unwrap()
    }

    fn question<'a>(&'a self, predicate_type: &'a str) -> Question<'a> {
        Question {
            digest: &self.image.digest,
            name: &self.name,
            name_rule: NameRule::Required,
            predicate_type,
            gate: Gate::Mirror,
            newest_policy: 0,
        }
    }

    async fn verdict(&self, source: &EvidenceSource, predicate_type: &str) -> Verdict {
        let questions = vec![self.question(predicate_type)];
        judged(source, &self.image.digest, &self.trust, questions, Until::Complete).await.unwrap().remove(0)
    }
}

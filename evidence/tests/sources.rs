//! Nothing that anyone may push beside an image hides a signature of it, in a store or in a registry.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use bundle_signer::statement::{COSIGN_SIGN, SPDX};
    use bundle_signer::{
        Gate, ImageName, NameRule, PrivateKey, TrustFile, attached, bundle, referrer, simple_signing,
    };
    use evidence::gate::{GateDecision, GateQuery, ask};
    use evidence::signing::{SignRequest, sign};
    use evidence::{Bounds, EvidenceSource, Question, Until, Verdict, judged};
    use oci::{Algorithm, Descriptor, Digest, Manifest, RegistryHost, RepositoryName, Selector, Tag};
    use registry::client::{Client, ClientConfig, HostRule};
    use serde_json::json;
    use store::{Change, NamingLimits, Store};

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
            let config = rig.blob(
                br#"{"os":"linux","architecture":"amd64"}"#,
                "application/vnd.oci.image.config.v1+json",
            );
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
            let mut changes = vec![Change::PutManifest {
                repository: repository.clone(),
                digest: digest.clone(),
                manifest,
            }];
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
            let questions = (&self.trust, vec![self.question(predicate_type)]);
            judged(source, &self.image.digest, questions, Until::Complete).await.unwrap().remove(0)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_broken_and_foreign_referrers_hide_no_signature_and_are_reported() {
        let rig = Rig::new();
        rig.sign("bundle", None).await;
        let good = rig.blob(b"{}", bundle::MEDIA_TYPE);
        // A store rejects manifests with wrong sizes of its blobs, so these reference blobs that it does not have.
        let absent = Descriptor { digest: Digest::sha256(b"absent"), ..good.clone() };
        let wrong = Descriptor { size: 7, ..absent.clone() };
        let huge = Descriptor { size: 1 << 40, ..absent.clone() };
        let tar = rig.blob(b"\x1f\x8b\x08 no text", bundle::MEDIA_TYPE);
        let jws = rig.blob(b"{}", "application/jose+json");
        for (number, layers) in
            [&[wrong][..], &[absent], &[huge], &[tar], &[good.clone(), good.clone()], &[good], &[jws]]
                .iter()
                .enumerate()
        {
            rig.referrer(bundle::MEDIA_TYPE, layers, number);
        }
        assert!(rig.ask().await.is_satisfied());
        let verdict = rig.verdict(&rig.source(), COSIGN_SIGN).await;
        assert!(verdict.decision.satisfied);
        assert_eq!(verdict.skipped.len(), 6, "{:?}", verdict.skipped);
        assert!(verdict.skipped.iter().any(|skipped| skipped.reason.contains("notation signatures (JWS)")));
        assert_eq!(verdict.refused.len(), 1, "{:?}", verdict.refused);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_hundreds_of_referrers_hide_no_signature() {
        let rig = Rig::new();
        rig.sign("bundle", None).await;
        for number in 0..300 {
            let text = format!("{{\"n\":{number}}}");
            let (kind, list) = if number % 2 == 0 {
                (bundle::MEDIA_TYPE, bundle::MEDIA_TYPE)
            } else {
                ("text/plain", "a/b")
            };
            rig.referrer(list, &[rig.blob(text.as_bytes(), kind)], number);
        }
        let verdict = rig.verdict(&rig.source(), COSIGN_SIGN).await;
        assert!(verdict.decision.satisfied && rig.ask().await.is_satisfied());
        assert!(verdict.refused.len() <= 64, "the report is bounded");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_thousands_of_layers_under_the_tag_hide_no_signature() {
        let rig = Rig::new();
        rig.sign("legacy", None).await;
        let tag = Tag::of_attachment(&rig.image.digest, "sig").unwrap();
        let row = rig.store.resolve(&rig.repository, &Selector::Tag(tag.clone())).unwrap().unwrap();
        let signed = rig.store.manifest(&rig.repository, &row.digest).unwrap().unwrap();
        let mut value: serde_json::Value = serde_json::from_slice(signed.bytes()).unwrap();
        let own = value["layers"][0].clone();
        let junk = |number: usize| {
            let mut layer = own.clone();
            layer["annotations"]["dev.cosignproject.cosign/signature"] = format!("AA{number:06}").into();
            layer
        };
        let mut layers: Vec<_> = (0..3000).map(junk).collect();
        // A layer that does not exist, and the signature at the end.
        layers.push(json!({ "mediaType": own["mediaType"], "digest": Digest::sha256(b"absent"), "size": 3,
            "annotations": { "dev.cosignproject.cosign/signature": "" } }));
        layers.push(own.clone());
        value["layers"] = layers.into();
        rig.manifest(&value, Some(tag));
        assert!(rig.ask().await.is_satisfied());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_full_tags_do_not_hide_a_signature_among_the_referrers() {
        let rig = Rig::new();
        rig.sign("bundle", None).await;
        for (suffix, kind) in
            [("sig", simple_signing::MEDIA_TYPE), ("att", "application/vnd.dsse.envelope.v1+json")]
        {
            let config = rig.blob(b"{}", "application/vnd.oci.empty.v1+json");
            let layer = |number: u32| {
                json!({ "mediaType": kind, "digest": Digest::sha256(&number.to_be_bytes()), "size": 3,
                    "annotations": { "dev.cosignproject.cosign/signature": "AA" } })
            };
            let layers: Vec<_> = (0..12_000).map(layer).collect();
            let value = json!({ "schemaVersion": 2, "mediaType": TYPE, "config": config, "layers": layers });
            rig.manifest(&value, Some(Tag::of_attachment(&rig.image.digest, suffix).unwrap()));
        }
        assert!(rig.ask().await.is_satisfied());
    }

    /// A user pushes as much as the registry allows.
    #[tokio::test(flavor = "multi_thread")]
    async fn a9_everything_that_one_user_may_push_hides_no_signature() {
        let (most, bounds) = (NamingLimits::default(), Bounds::default());
        assert!(7 * 2 * most.manifests < bounds.items as u64 && 7 * most.bytes < bounds.bytes);
        assert!(referrer::ARTIFACT_TYPES.iter().all(|kind| store::is_statement(kind)));
        let rig = Rig::new();
        let large = json!({ "name": "x".repeat(1_600_000) });
        rig.sign("bundle", Some(&large)).await;
        rig.sign("bundle", None).await;
        let junk = |size: usize| {
            rig.blob(format!("{{\"a\":\"{}\"}}", "x".repeat(size)).as_bytes(), bundle::MEDIA_TYPE)
        };
        let (small, middle) = (junk(9), junk(1_000_000));
        let mut changes = Vec::new();
        for number in 0..most.manifests {
            let layer = if number < most.bytes / 1_100_000 { &middle } else { &small };
            // Half of them have an artifact type other than evidence, for which more bytes are allowed.
            let kind = if number % 2 == 0 { bundle::MEDIA_TYPE } else { "application/vnd.example" };
            let manifest = rig.referring(kind, std::slice::from_ref(layer), usize::try_from(number).unwrap());
            let (repository, digest) = (rig.repository.clone(), manifest.digest());
            changes.push(Change::PutManifest { repository, digest, manifest });
        }
        rig.store.commit(changes).unwrap();
        assert!(rig.ask().await.is_satisfied());
        let verdict = rig.verdict(&rig.source(), SPDX).await;
        assert_eq!(verdict.signatures.len(), 1, "{:?}", verdict.skipped);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn concurrent_signers_of_one_image_lose_no_signature() {
        let rig = Arc::new(Rig::new());
        let signers: Vec<_> = (0..6)
            .map(|_| {
                let rig = Arc::clone(&rig);
                tokio::spawn(async move { rig.sign_with(&PrivateKey::generate().unwrap()).await })
            })
            .collect();
        for signer in signers {
            signer.await.unwrap();
        }
        let tag = Selector::Tag(Tag::of_attachment(&rig.image.digest, "sig").unwrap());
        let attachment = rig.source().manifest(&tag).await.unwrap().unwrap();
        assert_eq!(attachment.blobs().count(), 1 + 6, "a configuration and six signatures");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_an_unsigned_image_is_refused_with_the_reasons() {
        let rig = Rig::new();
        rig.referrer(bundle::MEDIA_TYPE, &[rig.blob(b"{\"a\":1}", bundle::MEDIA_TYPE)], 0);
        let decision = rig.ask().await;
        assert!(!decision.is_satisfied() && decision.unmet[0].contains("no valid signature"), "{decision:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn r6_what_is_written_is_read_and_what_is_too_large_is_not_written() {
        let rig = Rig::new();
        let large = json!({ "name": "x".repeat(1_600_000) });
        rig.sign("bundle", Some(&large)).await;
        rig.sign("legacy", Some(&large)).await;
        let verdict = rig.verdict(&rig.source(), SPDX).await;
        assert_eq!(verdict.signatures.len(), 2, "{:?} {:?}", verdict.skipped, verdict.refused);
        let mut present: Option<Manifest> = None;
        for number in 0..60_u32 {
            let attached = attached::sign(
                present.as_ref(),
                b"{}",
                &number.to_be_bytes(),
                &bundle_signer::Limits::default(),
            );
            present = Some(attached.unwrap().manifest);
        }
        assert_eq!(
            attached::signatures(&present.unwrap(), &bundle_signer::Limits::default()).unwrap().found.len(),
            60
        );
        let request = SignRequest {
            key: &rig.key,
            name: &rig.name,
            annotations: &BTreeMap::new(),
            predicate_type: SPDX,
            predicate: Some(&json!("x".repeat(9_000_000))),
            legacy: false,
            bundle: true,
            created: "",
        };
        let refused = sign(&rig.source(), &rig.image, &request).await.unwrap_err();
        assert!(matches!(refused, evidence::Error::Sign(bundle_signer::Error::EvidenceTooLarge(_))));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn r7_cosigns_referrers_mode_is_read_like_its_tags() {
        let rig = Rig::new();
        rig.sign("legacy", None).await;
        let tag = Tag::of_attachment(&rig.image.digest, "sig").unwrap();
        let row = rig.store.resolve(&rig.repository, &Selector::Tag(tag.clone())).unwrap().unwrap();
        let signed = rig.store.manifest(&rig.repository, &row.digest).unwrap().unwrap();
        rig.store
            .commit(vec![Change::DeleteManifest { repository: rig.repository.clone(), digest: row.digest }])
            .unwrap();
        assert!(!rig.ask().await.is_satisfied());
        let layers: Vec<_> = signed.blobs().skip(1).cloned().collect();
        rig.referrer("application/vnd.dev.cosign.artifact.sig.v1+json", &layers, 0);
        assert!(rig.ask().await.is_satisfied());
        // It is not a referrer of this image, because it has no such subject.
        assert!(matches!(
            referrer::read(&signed, &rig.image.digest, &bundle_signer::Limits::default()),
            Err(bundle_signer::Error::OtherSubject { .. })
        ));
    }

    /// A registry that serves the content of the store and lists endless further referrers; returns its host and the
    /// targets of the requests that it received.
    fn endless(rig: &Rig) -> (RegistryHost, Arc<Mutex<Vec<String>>>) {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let targets = Arc::clone(&requests);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (store, repository) = (rig.store.clone(), rig.repository.clone());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(mut stream) = stream else { return };
                let (store, repository, targets) = (store.clone(), repository.clone(), Arc::clone(&targets));
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let target = lines.next().unwrap().unwrap();
                    let target = target.split(' ').nth(1).unwrap();
                    targets.lock().unwrap().push(target.to_owned());
                    let (path, query) = target.split_once('?').unwrap_or((target, ""));
                    for line in lines {
                        if line.unwrap().is_empty() {
                            break;
                        }
                    }
                    let last = path.rsplit('/').next().unwrap();
                    let (mut status, mut kind, mut link, mut body) = (200, TYPE, String::new(), Vec::new());
                    if path.contains("/referrers/") {
                        kind = "application/vnd.oci.image.index.v1+json";
                        let digest = Digest::sha256(&number.to_be_bytes());
                        let mut entries = vec![json!({ "mediaType": TYPE, "digest": digest, "size": 9 })];
                        if !query.contains("last=") {
                            let known = store.referrers(&repository, &last.parse().unwrap(), None).unwrap();
                            entries.extend(known.iter().map(|entry| json!(entry)));
                        }
                        body = json!({ "schemaVersion": 2, "manifests": entries }).to_string().into_bytes();
                        link = format!("link: <{path}?last={number}>; rel=\"next\"\r\n");
                    } else if let Some(row) = last
                        .parse()
                        .ok()
                        .and_then(|selector: Selector| store.resolve(&repository, &selector).unwrap())
                    {
                        body = store.manifest(&repository, &row.digest).unwrap().unwrap().bytes().to_vec();
                    } else if let Some(mut blob) =
                        last.parse().ok().and_then(|digest: Digest| store.blob(&digest).unwrap())
                    {
                        std::io::Read::read_to_end(&mut blob.file, &mut body).unwrap();
                    } else {
                        status = 404;
                    }
                    let head = format!(
                        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{link}content-length: {}\r\nconnection: close\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(&[head.into_bytes(), body].concat());
                });
            }
        });
        (address.parse().unwrap(), requests)
    }

    fn source_at(host: &RegistryHost, rig: &Rig) -> EvidenceSource {
        let rule = HostRule {
            endpoint: host.clone(),
            host: host.clone(),
            prefix: None,
            plain_http: true,
            ca_pem: None,
        };
        let client = Client::new(ClientConfig { hosts: vec![rule], ..ClientConfig::default() }).unwrap();
        EvidenceSource::Registry(client, host.clone(), rig.repository.clone())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn r5_a_signature_on_the_first_page_needs_no_other_page() {
        let rig = Rig::new();
        rig.sign("bundle", None).await;
        let (host, requests) = endless(&rig);
        let questions = (&rig.trust, vec![rig.question(COSIGN_SIGN)]);
        let verdicts = judged(&source_at(&host, &rig), &rig.image.digest, questions, Until::Settled).await;
        assert!(verdicts.unwrap()[0].decision.satisfied);
        let requests = requests.lock().unwrap();
        assert_eq!(
            requests.iter().filter(|target| target.contains("/referrers/")).count(),
            1,
            "{requests:?}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_an_endless_list_of_referrers_is_truncated_and_reported() {
        let rig = Rig::new();
        rig.sign("legacy", None).await;
        let (host, _) = endless(&rig);
        let verdict = rig.verdict(&source_at(&host, &rig), COSIGN_SIGN).await;
        assert!(verdict.decision.satisfied);
        assert!(
            verdict.skipped.iter().any(|skipped| skipped.reason.contains("longer than the search limit")),
            "{:?}",
            verdict.skipped
        );
    }
}

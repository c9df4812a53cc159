//! What anyone may put beside an image hides no signature of it, in a store and in a registry.

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
    use evidence::gate::{Asking, GateDecision, ask};
    use evidence::signing::{Order, sign};
    use evidence::{Bounds, EvidenceSource, Question, Until, Verdict, judged};
    use oci::{Algorithm, Descriptor, Digest, Manifest, RegistryHost, RepositoryName, Selector, Tag};
    use registry::client::{Client, ClientConfig, HostRule};
    use serde_json::json;
    use store::{Change, NamingLimits, Store};

    const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

    /// A store with an image that a key has signed.
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

        fn place(&self) -> EvidenceSource {
            EvidenceSource::Store(self.store.clone(), self.repository.clone())
        }

        async fn say(&self, format: &str, predicate: Option<&serde_json::Value>) {
            let order = Order {
                key: &self.key,
                name: &self.name,
                annotations: &BTreeMap::new(),
                predicate_type: if predicate.is_some() { SPDX } else { COSIGN_SIGN },
                predicate,
                legacy: format == "legacy",
                bundle: format == "bundle",
                created: "2026-01-01T00:00:00Z",
            };
            sign(&self.place(), &self.image, &order).await.unwrap();
        }

        async fn say_by(&self, key: &PrivateKey) {
            let order = Order {
                key,
                name: &self.name,
                annotations: &BTreeMap::new(),
                predicate_type: COSIGN_SIGN,
                predicate: None,
                legacy: true,
                bundle: false,
                created: "2026-01-01T00:00:00Z",
            };
            sign(&self.place(), &self.image, &order).await.unwrap();
        }

        /// A referrer of the image, with layers of a type.
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
            let asking =
                Asking { trust: &self.trust, gate: Gate::Pull, name_rule: NameRule::Required, host: None };
            ask(&self.store, &self.repository, &self.image.digest, &asking).await.unwrap()
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

        async fn verdict(&self, place: &EvidenceSource, predicate_type: &str) -> Verdict {
            let asked = (&self.trust, vec![self.question(predicate_type)]);
            judged(place, &self.image.digest, asked, Until::Heard).await.unwrap().remove(0)
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_broken_and_foreign_referrers_hide_no_signature_and_are_told() {
        let rig = Rig::new();
        rig.say("bundle", None).await;
        let good = rig.blob(b"{}", bundle::MEDIA_TYPE);
        // A store takes no manifest whose sizes do not fit its blobs, so these are of blobs that it does not have.
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
        let verdict = rig.verdict(&rig.place(), COSIGN_SIGN).await;
        assert!(verdict.decision.satisfied);
        assert_eq!(verdict.skipped.len(), 6, "{:?}", verdict.skipped);
        assert!(verdict.skipped.iter().any(|skipped| skipped.why.contains("notation signature in JWS")));
        assert_eq!(verdict.refused.len(), 1, "{:?}", verdict.refused);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_hundreds_of_referrers_hide_no_signature() {
        let rig = Rig::new();
        rig.say("bundle", None).await;
        for number in 0..300 {
            let text = format!("{{\"n\":{number}}}");
            let (kind, list) = if number % 2 == 0 {
                (bundle::MEDIA_TYPE, bundle::MEDIA_TYPE)
            } else {
                ("text/plain", "a/b")
            };
            rig.referrer(list, &[rig.blob(text.as_bytes(), kind)], number);
        }
        let verdict = rig.verdict(&rig.place(), COSIGN_SIGN).await;
        assert!(verdict.decision.satisfied && rig.ask().await.is_satisfied());
        assert!(verdict.refused.len() <= 64, "what is told is bounded");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_thousands_of_layers_under_the_tag_hide_no_signature() {
        let rig = Rig::new();
        rig.say("legacy", None).await;
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
        // One that is not there, one that is no text, and the signature at the end.
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
        rig.say("bundle", None).await;
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

    /// A registry lets each user push so much.
    #[tokio::test(flavor = "multi_thread")]
    async fn a9_what_one_user_may_push_hides_no_signature() {
        let (most, bounds) = (NamingLimits::default(), Bounds::default());
        assert!(7 * 2 * most.manifests < bounds.things as u64 && 7 * most.bytes < bounds.bytes);
        assert!(referrer::ARTIFACT_TYPES.iter().all(|kind| store::is_statement(kind)));
        let rig = Rig::new();
        let large = json!({ "name": "x".repeat(1_600_000) });
        rig.say("bundle", Some(&large)).await;
        rig.say("bundle", None).await;
        let junk = |size: usize| {
            rig.blob(format!("{{\"a\":\"{}\"}}", "x".repeat(size)).as_bytes(), bundle::MEDIA_TYPE)
        };
        let (small, middle) = (junk(9), junk(1_000_000));
        let mut changes = Vec::new();
        for number in 0..most.manifests {
            let layer = if number < most.bytes / 1_100_000 { &middle } else { &small };
            // Half of it as something else than evidence, of which there may be more bytes.
            let kind = if number % 2 == 0 { bundle::MEDIA_TYPE } else { "application/vnd.example" };
            let manifest = rig.referring(kind, std::slice::from_ref(layer), usize::try_from(number).unwrap());
            let (repository, digest) = (rig.repository.clone(), manifest.digest());
            changes.push(Change::PutManifest { repository, digest, manifest });
        }
        rig.store.commit(changes).unwrap();
        assert!(rig.ask().await.is_satisfied());
        let verdict = rig.verdict(&rig.place(), SPDX).await;
        assert_eq!(verdict.signatures.len(), 1, "{:?}", verdict.skipped);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn signers_of_one_image_at_the_same_time_lose_no_signature() {
        let rig = Arc::new(Rig::new());
        let signers: Vec<_> = (0..6)
            .map(|_| {
                let rig = Arc::clone(&rig);
                tokio::spawn(async move { rig.say_by(&PrivateKey::generate().unwrap()).await })
            })
            .collect();
        for signer in signers {
            signer.await.unwrap();
        }
        let tag = Selector::Tag(Tag::of_attachment(&rig.image.digest, "sig").unwrap());
        let gathered = rig.place().manifest(&tag).await.unwrap().unwrap();
        assert_eq!(gathered.blobs().count(), 1 + 6, "a configuration and six signatures");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_an_image_that_nobody_signed_is_refused_with_the_reasons() {
        let rig = Rig::new();
        rig.referrer(bundle::MEDIA_TYPE, &[rig.blob(b"{\"a\":1}", bundle::MEDIA_TYPE)], 0);
        let answer = rig.ask().await;
        assert!(!answer.is_satisfied() && answer.unmet[0].contains("no valid signature"), "{answer:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn r6_what_is_written_is_read_and_what_is_too_large_is_not_written() {
        let rig = Rig::new();
        let large = json!({ "name": "x".repeat(1_600_000) });
        rig.say("bundle", Some(&large)).await;
        rig.say("legacy", Some(&large)).await;
        let verdict = rig.verdict(&rig.place(), SPDX).await;
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
        let order = Order {
            key: &rig.key,
            name: &rig.name,
            annotations: &BTreeMap::new(),
            predicate_type: SPDX,
            predicate: Some(&json!("x".repeat(9_000_000))),
            legacy: false,
            bundle: true,
            created: "",
        };
        let refused = sign(&rig.place(), &rig.image, &order).await.unwrap_err();
        assert!(matches!(refused, evidence::Error::Sign(bundle_signer::Error::EvidenceTooLarge(_))));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn r7_cosigns_referrers_mode_is_read_like_its_tags() {
        let rig = Rig::new();
        rig.say("legacy", None).await;
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
        // Under another subject it is not this image's.
        assert!(matches!(
            referrer::read(&signed, &rig.image.digest, &bundle_signer::Limits::default()),
            Err(bundle_signer::Error::OtherSubject { .. })
        ));
    }

    /// A registry that lists what the store has, and then referrers without end, and gives out what the store has; and
    /// what it is asked for.
    fn endless(rig: &Rig) -> (RegistryHost, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let targets = Arc::clone(&asked);
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
        (address.parse().unwrap(), asked)
    }

    fn place_at(host: &RegistryHost, rig: &Rig) -> EvidenceSource {
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
        rig.say("bundle", None).await;
        let (host, asked) = endless(&rig);
        let questions = (&rig.trust, vec![rig.question(COSIGN_SIGN)]);
        let verdicts = judged(&place_at(&host, &rig), &rig.image.digest, questions, Until::Settled).await;
        assert!(verdicts.unwrap()[0].decision.satisfied);
        let asked = asked.lock().unwrap();
        assert_eq!(asked.iter().filter(|target| target.contains("/referrers/")).count(), 1, "{asked:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a9_a_list_of_referrers_without_end_is_cut_and_told() {
        let rig = Rig::new();
        rig.say("legacy", None).await;
        let (host, _) = endless(&rig);
        let verdict = rig.verdict(&place_at(&host, &rig), COSIGN_SIGN).await;
        assert!(verdict.decision.satisfied);
        assert!(
            verdict.skipped.iter().any(|skipped| skipped.why.contains("longer than is read")),
            "{:?}",
            verdict.skipped
        );
    }
}

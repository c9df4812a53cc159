//! Interoperability with real cosign, versions 2 and 3: airlock verifies cosign's signatures, and cosign verifies
//! airlock's signatures, without a network and with log verification.

#[cfg(test)]
mod matrix;
#[cfg(test)]
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../../../tests/peers/programs.rs"]
mod programs;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod signer;

#[cfg(test)]
mod tests {
    use bundle_signer::statement::{COSIGN_SIGN, SLSA_PROVENANCE};
    use bundle_signer::{
        Attested, Evidence, Expectation, Format, ImageName, Limits, LogRule, NameRule, Statement, TrustFile,
        Verified, attached, bundle, referrer, simple_signing, verify_blob, verify_image,
    };
    use oci::media_type::{OCI_INDEX, OCI_MANIFEST};
    use oci::{Descriptor, Digest, Manifest, Tag};

    use crate::rig::{Registry, Site, require};
    use crate::signer::{IMAGE_CONFIG, PREDICATE, Signer, image, provenance, refer, subject};

    const ALL: [Format; 3] = [Format::SimpleSigning, Format::Envelope, Format::Bundle];

    fn push_image(registry: &Registry) -> Digest {
        registry.push("demo/app", IMAGE_CONFIG);
        registry.put("demo/app", "v1", OCI_MANIFEST, &image());
        Digest::sha256(&image())
    }

    fn verify(
        trust: &TrustFile,
        name: &ImageName,
        predicate_type: &str,
        evidence: &Evidence<'_>,
    ) -> Verified<Attested> {
        let expected = Expectation {
            digest: &Digest::sha256(&image()),
            name,
            name_rule: NameRule::Optional,
            predicate_type,
            formats: &ALL,
            keys: trust,
            role: &|_| true,
            log: LogRule::Ignored,
            limits: Limits::default(),
        };
        verify_image(evidence, &expected).unwrap()
    }

    fn manifest(bytes: Vec<u8>) -> Manifest {
        Manifest::parse(bytes.into(), None).unwrap()
    }

    #[test]
    fn cosign_signatures_in_a_registry_verify() {
        if !require(&["cosign2", "cosign3", "registry"]) {
            return;
        }
        let site = Site::new();
        let registry = Registry::start(&site);
        let digest = push_image(&registry);
        let image = format!("{}/demo/app@{digest}", registry.address);
        site.run("cosign3", "generate-key-pair");
        site.run("cosign3", "signing-config create --out config.json");
        site.write("predicate.json", PREDICATE);
        let attest = "--type slsaprovenance1 --predicate predicate.json";
        site.run("cosign2", &format!("sign --key cosign.key --tlog-upload=false -a who=a<b>&c {image}"));
        site.run("cosign2", &format!("sign --key cosign.key --tlog-upload=false {image}"));
        site.run("cosign2", &format!("attest --key cosign.key --tlog-upload=false {attest} {image}"));
        site.run("cosign3", &format!("sign --key cosign.key --signing-config config.json {image}"));
        site.run(
            "cosign3",
            &format!("attest --key cosign.key --signing-config config.json {attest} {image}"),
        );

        let public = String::from_utf8(site.read("cosign.pub")).unwrap();
        let trust = TrustFile::from_public_key("cosign", &public).unwrap();
        let name: ImageName = format!("{}/demo/app", registry.address).parse().unwrap();
        let limits = Limits::default();
        let get = |tag: &Tag| manifest(registry.get("demo/app", &format!("manifests/{tag}")));
        let blob = |blob: &Descriptor| registry.get("demo/app", &format!("blobs/{}", blob.digest));

        let signatures =
            attached::signatures(&get(&Tag::of_attachment(&digest, "sig").unwrap()), &limits).unwrap();
        assert_eq!((signatures.found.len(), signatures.skipped), (2, 0));
        for layer in &signatures.found {
            let payload = blob(&layer.blob);
            let evidence = Evidence::SimpleSigning { payload: &payload, signature: &layer.signature };
            let verified = verify(&trust, &name, COSIGN_SIGN, &evidence);
            assert_eq!(verified.signer().name(), "cosign");
        }
        let attestations =
            attached::attestations(&get(&Tag::of_attachment(&digest, "att").unwrap()), &limits).unwrap();
        let [layer] = attestations.found.as_slice() else { panic!("{attestations:?}") };
        verify(&trust, &name, SLSA_PROVENANCE, &Evidence::Envelope(&blob(&layer.blob)));
        let index = get(&Tag::of_referrers(&digest));
        assert_eq!(index.children().len(), 2);
        for child in index.children() {
            let referrer = manifest(registry.get("demo/app", &format!("manifests/{}", child.digest)));
            let Ok(referrer::ReferrerContent::Bundle(layer)) = referrer::read(&referrer, &digest, &limits)
            else {
                panic!("a bundle")
            };
            let bundle = blob(layer);
            let kind = &referrer.annotations()["dev.sigstore.bundle.predicateType"];
            verify(&trust, &name, kind, &Evidence::Bundle(&bundle));
        }
    }

    #[test]
    fn cosign_signatures_of_a_file_verify() {
        if !require(&["cosign2", "cosign3"]) {
            return;
        }
        let site = Site::new();
        site.run("cosign3", "generate-key-pair");
        site.run("cosign3", "signing-config create --out config.json");
        site.write("predicate.json", PREDICATE);
        // The file is the image's manifest, so that one expectation serves.
        site.write("file", image());
        let common = "--key cosign.key --bundle out.json";
        let attest = format!("attest-blob {common} --type slsaprovenance1 --predicate predicate.json");
        let public = String::from_utf8(site.read("cosign.pub")).unwrap();
        let trust = TrustFile::from_public_key("cosign", &public).unwrap();
        for (program, line) in [
            ("cosign2", format!("{attest} --tlog-upload=false --new-bundle-format file")),
            ("cosign3", format!("{attest} --signing-config config.json file")),
        ] {
            site.run(program, &line);
            // cosign states the file's name, which is not an image name.
            let expected = Expectation {
                digest: &Digest::sha256(&image()),
                name: &"registry.example/demo/app".parse().unwrap(),
                name_rule: NameRule::Optional,
                predicate_type: SLSA_PROVENANCE,
                formats: &[Format::Bundle],
                keys: &trust,
                role: &|_| true,
                log: LogRule::Ignored,
                limits: Limits::default(),
            };
            let refused = verify_image(&Evidence::Bundle(&site.read("out.json")), &expected).unwrap_err();
            assert!(
                matches!(&refused, bundle_signer::Error::OtherName { found, .. } if found == "file"),
                "{refused}"
            );
        }
        for (program, line) in [
            ("cosign2", format!("sign-blob {common} --tlog-upload=false --new-bundle-format file")),
            ("cosign3", format!("sign-blob {common} --signing-config config.json file")),
        ] {
            site.run(program, &line);
            verify_blob(&trust, image(), &site.read("out.json")).unwrap();
        }
    }

    #[test]
    fn cosign_verifies_a_layout_without_a_network() {
        if !require(&["cosign2", "cosign3"]) {
            return;
        }
        let signer = Signer::new();
        let name: ImageName = "registry.example/demo/app".parse().unwrap();
        let payload = simple_signing::Payload::new(Digest::sha256(&image()), &name).with("sequence", "12");
        let payload = payload.to_bytes().unwrap();
        let signature = signer.key.sign(&payload).unwrap();
        let attachment = attached::sign(None, &payload, &signature, &Limits::default()).unwrap();
        let mut layout = signer.site.layout(&image());
        for blob in [&payload[..], &attachment.config, IMAGE_CONFIG] {
            layout.blob(blob);
        }
        layout.name(attachment.manifest.bytes(), "dev.cosignproject.cosign/sigs");
        let (verify, folder) = ("verify --key airlock.pub --local-image", layout.folder());
        for program in ["cosign2", "cosign3"] {
            let line = format!("{verify} --insecure-ignore-tlog -a sequence=12 {folder}");
            assert!(signer.site.accepts(program, &line).contains("registry.example/demo/app"));
            let line = format!("{verify} --insecure-ignore-tlog -a sequence=13 {folder}");
            signer.site.refuses(program, &line, "annotation");
        }

        let add = |bundle: &[u8], kind: &str| {
            let layout = signer.site.layout(&image());
            for blob in [bundle, refer(bundle, kind).bytes(), referrer::CONFIG, IMAGE_CONFIG] {
                layout.blob(blob);
            }
        };
        add(&signer.bundle(&Statement::signature(subject(&name))), COSIGN_SIGN);
        signer.site.accepts("cosign3", &format!("{verify} --insecure-ignore-tlog -a name={name} {folder}"));
        let checked = format!("{verify} --trusted-root trusted_root.json -a name={name} {folder}");
        signer.site.refuses("cosign3", &checked, "not enough verified log entries");

        add(&signer.logged(&Statement::signature(subject(&name))), COSIGN_SIGN);
        signer.site.accepts("cosign3", &checked);
        signer
            .site
            .accepts("cosign3", &checked.replace("-a name", "-a sequence=12 -a class=internal -a name"));
        signer.site.refuses("cosign3", &checked.replace(&format!("name={name}"), "name=x"), "annotation");
        let other = checked.replace("trusted_root", "other_root");
        signer.site.refuses("cosign3", &other, "not enough verified log entries");

        add(&signer.logged(&provenance(&name)), SLSA_PROVENANCE);
        let attested = "verify-attestation --key airlock.pub --local-image --trusted-root trusted_root.json";
        signer.site.accepts("cosign3", &format!("{attested} --type slsaprovenance1 {folder}"));
        let wrong_type = format!("{attested} --type cyclonedx {folder}");
        signer.site.refuses("cosign3", &wrong_type, "attestation");
    }

    #[test]
    fn cosign_verifies_files_without_a_network() {
        if !require(&["cosign2", "cosign3"]) {
            return;
        }
        let signer = Signer::new();
        let name: ImageName = "registry.example/demo/app".parse().unwrap();
        signer.site.write("file", image());
        let verify = "verify-blob-attestation --key airlock.pub --type slsaprovenance1 --bundle";
        signer.site.write("plain.json", signer.bundle(&provenance(&name)));
        signer.site.accepts("cosign3", &format!("{verify} plain.json --insecure-ignore-tlog file"));
        let old = "--new-bundle-format --trusted-root trusted_root.json";
        signer.site.accepts("cosign2", &format!("{verify} plain.json --insecure-ignore-tlog {old} file"));
        signer.site.write("logged.json", signer.logged(&provenance(&name)));
        // Version 2 also checks our log, if a flag selects the new bundle format.
        for (program, new) in [("cosign3", ""), ("cosign2", "--new-bundle-format")] {
            let line = format!("{verify} logged.json {new} --trusted-root trusted_root.json file");
            signer.site.accepts(program, &line);
            for other in [line.replace("trusted_root", "other_root"), line.replace("logged", "plain")] {
                signer.site.refuses(program, &other, "not enough verified log entries");
            }
        }

        let signature = signer.key.sign(&image()).unwrap();
        let entry = signer.entry(&image(), &signature);
        signer.site.write("blob.json", bundle::blob(&signer.public(), &image(), &signature, &[entry]));
        let verify = "verify-blob --key airlock.pub --bundle blob.json";
        signer.site.accepts("cosign3", &format!("{verify} --trusted-root trusted_root.json file"));
        let other = format!("{verify} --trusted-root other_root.json file");
        signer.site.refuses("cosign3", &other, "not enough verified log entries");
        signer.site.write("file", b"another");
        signer.site.refuses(
            "cosign3",
            &format!("{verify} --trusted-root trusted_root.json file"),
            "invalid signature",
        );
        let trust = TrustFile::new(vec![("airlock".to_owned(), signer.public())]).unwrap();
        verify_blob(&trust, image(), &signer.site.read("blob.json")).unwrap();
    }

    #[test]
    fn cosign_verifies_a_registry_and_keeps_its_own_signature_beside_ours() {
        if !require(&["cosign2", "cosign3", "registry"]) {
            return;
        }
        let signer = Signer::new();
        let registry = Registry::start(&signer.site);
        let digest = push_image(&registry);
        let name: ImageName = format!("{}/demo/app", registry.address).parse().unwrap();
        let image_at = format!("{name}@{digest}");
        signer.site.run("cosign2", "generate-key-pair");
        signer.site.run("cosign2", &format!("sign --key cosign.key --tlog-upload=false {image_at}"));

        let tag = Tag::of_attachment(&digest, "sig").unwrap();
        let theirs = manifest(registry.get("demo/app", &format!("manifests/{tag}")));
        let payload = simple_signing::Payload::new(digest.clone(), &name).to_bytes().unwrap();
        let signature = signer.key.sign(&payload).unwrap();
        let both = attached::sign(Some(&theirs), &payload, &signature, &Limits::default()).unwrap();
        registry.push("demo/app", &payload);
        registry.push("demo/app", &both.config);
        registry.put("demo/app", tag.as_str(), OCI_MANIFEST, both.manifest.bytes());
        for key in ["airlock.pub", "cosign.pub"] {
            let line = format!("verify --key {key} --insecure-ignore-tlog {image_at}");
            signer.site.run("cosign2", &line);
            signer.site.run("cosign3", &line);
        }

        let bundle = signer.logged(&Statement::signature(subject(&name)));
        let referrer = refer(&bundle, COSIGN_SIGN);
        registry.push("demo/app", &bundle);
        registry.push("demo/app", referrer::CONFIG);
        let id = referrer.digest();
        registry.put("demo/app", &id.to_string(), OCI_MANIFEST, referrer.bytes());
        let listed = referrer.referrer_descriptor(id);
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed] });
        let tag = Tag::of_referrers(&digest);
        registry.put("demo/app", tag.as_str(), OCI_INDEX, index.to_string().as_bytes());
        let checked =
            format!("verify --key airlock.pub --trusted-root trusted_root.json -a name={name} {image_at}");
        signer.site.run("cosign3", &checked);
        signer.site.run("cosign2", &format!("{checked} --new-bundle-format"));
    }
}

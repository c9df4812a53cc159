//! Files that cosign 2.6.5 and 3.1.3 wrote for one image: every format verifies, and airlock writes the same bytes.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read fails its test")]

use bundle_signer::statement::{COSIGN_SIGN, SLSA_PROVENANCE};
use bundle_signer::{
    Attested, Error, Evidence, Expectation, Format, ImageName, Limits, LogRule, NameRule, Result, TrustFile,
    Verified, attached, referrer, simple_signing, verify_image,
};
use oci::media_type::OCI_MANIFEST;
use oci::{Descriptor, Digest, Manifest};

const IMAGE: &str = "sha256:8e785953e15340cad38bf7a9040b062c9b890aca9593c5026d48aa30e30b8dd6";
const NAME: &str = "127.0.0.1:5917/demo/app";

const PUBLIC: &str = include_str!("data/cosign.pub");
/// `cosign sign --key cosign.key --tlog-upload=false`, twice, first with `-a 'who=a<b>&c'`; version 2.
const SIG_MANIFEST: &[u8] = include_bytes!("data/sig-manifest.json");
const SIG_CONFIG: &[u8] = include_bytes!("data/sig-config.json");
const PAYLOAD_ANNOTATED: &[u8] = include_bytes!("data/payload-annotated.json");
const PAYLOAD: &[u8] = include_bytes!("data/payload.json");
/// `cosign attest --key cosign.key --tlog-upload=false --type slsaprovenance1`; version 2.
const ATT_MANIFEST: &[u8] = include_bytes!("data/att-manifest.json");
const ATT_ENVELOPE: &[u8] = include_bytes!("data/att-envelope.json");
/// `cosign sign --key cosign.key --signing-config config.json -a who=me`; version 3.
const REFERRER: &[u8] = include_bytes!("data/referrer.json");
const BUNDLE_SIGN: &[u8] = include_bytes!("data/bundle-sign.json");
/// `cosign attest` of version 3, and `cosign attest-blob` of versions 2 and 3 for a file `f.txt`.
const BUNDLE_ATTEST: &[u8] = include_bytes!("data/bundle-attest.json");
const BUNDLES_ATTEST_BLOB: [&[u8]; 2] =
    [include_bytes!("data/bundle-attest-blob-2.json"), include_bytes!("data/bundle-attest-blob-3.json")];

fn manifest(bytes: &'static [u8]) -> Manifest {
    Manifest::parse(bytes.into(), None).unwrap()
}

fn verify(evidence: &Evidence<'_>, kind: &str, rule: NameRule) -> Result<Verified<Attested>> {
    let name: ImageName = NAME.parse().unwrap();
    let expected = Expectation {
        digest: &IMAGE.parse().unwrap(),
        name: &name,
        name_rule: rule,
        predicate_type: kind,
        formats: &[Format::SimpleSigning, Format::Envelope, Format::Bundle],
        keys: &TrustFile::from_public_key("cosign", PUBLIC).unwrap(),
        role: &|_| true,
        log: LogRule::Ignored,
        limits: Limits::default(),
    };
    verify_image(evidence, &expected)
}

#[test]
fn simple_signing_verifies_and_is_written_identically() {
    let found = manifest(SIG_MANIFEST);
    let layers = attached::signatures(&found, &Limits::default()).unwrap().found;
    let name = NAME.parse().unwrap();
    let plain = simple_signing::Payload::new(IMAGE.parse().unwrap(), &name);
    let payloads = [(PAYLOAD_ANNOTATED, plain.clone().with("who", "a<b>&c")), (PAYLOAD, plain)];
    let mut written = None;
    for (layer, (payload, same)) in layers.iter().zip(payloads) {
        assert_eq!(same.to_bytes().unwrap(), payload);
        assert_eq!(Digest::sha256(payload), layer.blob.digest);
        let evidence = Evidence::SimpleSigning { payload, signature: &layer.signature };
        let verified = verify(&evidence, COSIGN_SIGN, NameRule::Required).unwrap();
        assert_eq!(verified.signer().name(), "cosign");
        assert_eq!(verified.get().format(), Format::SimpleSigning);
        assert_eq!(*verified.get().evidence(), layer.blob.digest);
        assert_eq!(verified.get().subject().names().unwrap(), [NAME]);
        let signature = base64(&layer.signature);
        written = Some(
            attached::sign(
                written.as_ref().map(|a: &attached::Attachment| &a.manifest),
                payload,
                &signature,
                &Limits::default(),
            )
            .unwrap(),
        );
    }
    let written = written.unwrap();
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    assert_eq!(json(&written.config), json(SIG_CONFIG));
    let layers = |bytes: &[u8]| json(bytes)["layers"].clone();
    assert_eq!(layers(written.manifest.bytes()), layers(SIG_MANIFEST));
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[test]
fn envelopes_under_the_old_tag_verify() {
    let layers = attached::attestations(&manifest(ATT_MANIFEST), &Limits::default()).unwrap();
    assert_eq!(layers.found[0].blob.digest, Digest::sha256(ATT_ENVELOPE));
    let verified = verify(&Evidence::Envelope(ATT_ENVELOPE), SLSA_PROVENANCE, NameRule::Required).unwrap();
    let predicate = verified.get().statement().predicate().unwrap();
    assert_eq!(predicate["runDetails"]["builder"]["id"], "x");
}

#[test]
fn bundles_under_a_referrer_verify_and_the_referrer_is_written_identically() {
    let found = manifest(REFERRER);
    let digest: Digest = IMAGE.parse().unwrap();
    let Ok(referrer::ReferrerContent::Bundle(layer)) = referrer::read(&found, &digest, &Limits::default())
    else {
        panic!("a bundle")
    };
    assert_eq!(layer.digest, Digest::sha256(BUNDLE_SIGN));
    let subject = Descriptor::new(OCI_MANIFEST.parse().unwrap(), digest, 259);
    let time = &found.annotations()["org.opencontainers.image.created"];
    let written = referrer::manifest(BUNDLE_SIGN, &subject, COSIGN_SIGN, time).unwrap();
    assert_eq!(written.content(), found.content());

    let bundle = Evidence::Bundle(BUNDLE_SIGN);
    let verified = verify(&bundle, COSIGN_SIGN, NameRule::Optional).unwrap();
    assert_eq!(verified.get().subject().annotations()["who"], "me");
    // Version 3 signs no name.
    assert!(matches!(verify(&bundle, COSIGN_SIGN, NameRule::Required), Err(Error::NameMissing)));
    verify(&Evidence::Bundle(BUNDLE_ATTEST), SLSA_PROVENANCE, NameRule::Required).unwrap();
}

#[test]
fn attestations_of_files_do_not_count_for_the_image() {
    for bundle in BUNDLES_ATTEST_BLOB {
        let refused = verify(&Evidence::Bundle(bundle), SLSA_PROVENANCE, NameRule::Optional);
        assert!(matches!(refused, Err(Error::OtherImage { .. })));
    }
}

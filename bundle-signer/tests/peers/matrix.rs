//! The verdicts of stock verifiers on each kind of content that airlock signs, in a network namespace without routes.
//! Every cell of the matrix runs with the right key and, if that is accepted, with a wrong key, a wrong log and wrong
//! bytes. The matrix is printed.

use std::collections::BTreeMap;

use bundle_signer::statement::{COSIGN_SIGN, SLSA_PROVENANCE};
use bundle_signer::{Limits, PrivateKey, Statement, attached, bundle, keyless, referrer, simple_signing};
use oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use oci::{Digest, Tag};
use sigstore::trust_root::TrustedRoot;
use sigstore::types::{Bundle, DerPublicKey};
use sigstore::{PublicKeyVerificationPolicy, Verifier};

use crate::rig::{Namespace, Registry, program, require};
use crate::signer::{IMAGE_CONFIG, Signer, image, provenance, refer, subject};

/// Content that airlock signs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// An image's signature.
    Image(Form),
    /// An image's provenance.
    Attestation(Form),
    /// A drive's manifest, or any file.
    File(Form),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Legacy,
    ByKey,
    Logged,
}

const ACCEPTS: &str = "accepts";
/// The program does not support this form.
const NONE: &str = "-";
/// The crate requires a proven time for every bundle.
const WANTS_LOG: &str = "at least one tlog entry or timestamp";
/// sigstore-js compares the hash of a statement with a log entry, where Rekor v2 has the hash of the envelope.
const OTHER_HASH: &str = "digest mismatch";

/// For each content, the verdicts of cosign 2, cosign 3, the crate `sigstore-verify` and npm's `@sigstore/verify`:
/// acceptance, or a part of the error message.
const EXPECTED: [(&str, Content, [&str; 4]); 8] = [
    ("image signature, legacy tag", Content::Image(Form::Legacy), [ACCEPTS, ACCEPTS, NONE, NONE]),
    ("image signature, bundle", Content::Image(Form::ByKey), [ACCEPTS, ACCEPTS, WANTS_LOG, ACCEPTS]),
    ("image signature, logged bundle", Content::Image(Form::Logged), [ACCEPTS, ACCEPTS, ACCEPTS, OTHER_HASH]),
    ("attestation, legacy tag", Content::Attestation(Form::Legacy), [ACCEPTS, ACCEPTS, NONE, NONE]),
    ("attestation, bundle", Content::Attestation(Form::ByKey), [ACCEPTS, ACCEPTS, WANTS_LOG, ACCEPTS]),
    (
        "attestation, logged bundle",
        Content::Attestation(Form::Logged),
        [ACCEPTS, ACCEPTS, ACCEPTS, OTHER_HASH],
    ),
    ("drive manifest, bundle", Content::File(Form::ByKey), [ACCEPTS, ACCEPTS, WANTS_LOG, ACCEPTS]),
    ("drive manifest, logged bundle", Content::File(Form::Logged), [ACCEPTS, ACCEPTS, ACCEPTS, ACCEPTS]),
];
const VERIFIERS: [&str; 4] = ["cosign2", "cosign3", "sigstore-verify", "sigstore-js"];

impl Content {
    fn form(self) -> Form {
        match self {
            Self::Image(form) | Self::Attestation(form) | Self::File(form) => form,
        }
    }

    /// The name of its repository and its files.
    fn name(self) -> String {
        let kind = match self {
            Self::Image(_) => "image",
            Self::Attestation(_) => "attestation",
            Self::File(_) => "file",
        };
        let form = match self.form() {
            Form::Legacy => "legacy",
            Form::ByKey => "key",
            Form::Logged => "logged",
        };
        format!("{kind}-{form}")
    }
}

/// The input of a verifier.
#[derive(Clone, Copy)]
struct Query<'a> {
    content: Content,
    key: &'a str,
    root: &'a str,
    /// The file, for content about a file.
    file: &'a str,
}

struct Lab {
    signer: Signer,
    namespace: Option<Namespace>,
    registry: Registry,
}

impl Lab {
    fn new() -> Self {
        let signer = Signer::new();
        let other = PrivateKey::generate().unwrap().public_key().unwrap();
        signer.site.write("other.pub", other.to_pem());
        // The signed content is the image's manifest, as a file and as an image.
        signer.site.write("file", image());
        signer.site.write("changed", [&image()[..], b" "].concat());
        let outside = Registry::start(&signer.site);
        for (_, content, _) in EXPECTED {
            write(&signer, &outside, content);
        }
        let namespace = Namespace::new();
        let registry = match &namespace {
            None => {
                println!("no network namespace: the verifiers could reach a network");
                outside
            }
            Some(namespace) => {
                drop(outside);
                Registry::start_in(namespace, &signer.site)
            }
        };
        Self { signer, namespace, registry }
    }

    fn check(&self, verifier: &str, query: &Query<'_>) -> Result<(), String> {
        match verifier {
            "sigstore-verify" => self.check_with_crate(query),
            "sigstore-js" => self.run(verifier, &script_line(query)),
            cosign => self.run(cosign, &self.cosign_line(cosign, query)),
        }
    }

    fn run(&self, name: &str, line: &str) -> Result<(), String> {
        let program = program(name);
        let command = match &self.namespace {
            Some(namespace) => namespace.command(&program),
            None => std::process::Command::new(program),
        };
        let output = self.signer.site.command(command, line);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(format!("{line}\n{said}")) }
    }

    fn cosign_line(&self, version: &str, query: &Query<'_>) -> String {
        let Query { content, key, root, file } = query;
        let (name, form) = (content.name(), content.form());
        let log = match form {
            Form::Legacy => "--insecure-ignore-tlog".to_owned(),
            Form::ByKey if version == "cosign3" => "--insecure-ignore-tlog".to_owned(),
            // Version 2 requires a root even if it ignores logs.
            Form::ByKey => format!("--insecure-ignore-tlog --new-bundle-format --trusted-root {root}"),
            Form::Logged if version == "cosign3" => format!("--trusted-root {root}"),
            Form::Logged => format!("--new-bundle-format --trusted-root {root}"),
        };
        let image = format!("{}/{name}@{}", self.registry.address, Digest::sha256(&image()));
        match content {
            Content::Image(_) => format!("verify --key {key} {log} {image}"),
            Content::Attestation(_) => {
                format!("verify-attestation --type slsaprovenance1 --key {key} {log} {image}")
            }
            Content::File(_) => format!("verify-blob --key {key} --bundle {name}.json {log} {file}"),
        }
    }

    fn check_with_crate(&self, query: &Query<'_>) -> Result<(), String> {
        let read = |name: &str| String::from_utf8(self.signer.site.read(name)).unwrap();
        // The crate is built without crypto, and uses our provider.
        keyless::TrustedRoot::embedded().unwrap();
        let root = TrustedRoot::from_json(&read(query.root)).unwrap();
        let bundle = Bundle::from_json(&read(&format!("{}.json", query.content.name()))).unwrap();
        let policy = PublicKeyVerificationPolicy::new(DerPublicKey::from_pem(&read(query.key)).unwrap());
        let policy = if query.content.form() == Form::Logged { policy } else { policy.skip_tlog_unsafe() };
        let file = self.signer.site.read(query.file);
        let verified = Verifier::new(&root).unwrap().verify(&file[..], &bundle, &policy);
        verified.map(|_| ()).map_err(|error| error.to_string())
    }

    /// The verdict of a verifier on content: with the right input and, if it accepts that, with each wrong input.
    fn cell(&self, verifier: &str, content: Content) -> String {
        if content.form() == Form::Legacy && !verifier.starts_with("cosign") {
            return NONE.to_owned();
        }
        let right = Query { content, key: "airlock.pub", root: "trusted_root.json", file: "file" };
        if let Err(said) = self.check(verifier, &right) {
            return said;
        }
        let mut wrong = vec![("a wrong key", Query { key: "other.pub", ..right })];
        if content.form() == Form::Logged {
            wrong.push(("a wrong log", Query { root: "other_root.json", ..right }));
        }
        // For an image, the digest is part of the input.
        if matches!(content, Content::File(_)) {
            wrong.push(("wrong bytes", Query { file: "changed", ..right }));
        }
        let accepted = wrong.iter().filter(|(_, query)| self.check(verifier, query).is_ok());
        let accepted: Vec<_> = accepted.map(|(what, _)| *what).collect();
        if accepted.is_empty() { ACCEPTS.to_owned() } else { format!("ACCEPTS {}", accepted.join(" and ")) }
    }
}

fn script_line(query: &Query<'_>) -> String {
    let Query { content, key, root, file } = query;
    let log = if content.form() == Form::Logged { " --log" } else { "" };
    format!("--key {key} --trusted-root {root} --bundle {}.json{log} {file}", content.name())
}

/// Signs content and stores it where verifiers look: in its own repository, and bundles also in files.
fn write(signer: &Signer, registry: &Registry, content: Content) {
    let (repository, digest) = (content.name(), Digest::sha256(&image()));
    let name = format!("registry.example/{repository}").parse().unwrap();
    registry.push(&repository, IMAGE_CONFIG);
    registry.put(&repository, "v1", OCI_MANIFEST, &image());
    let attach = |suffix: &str, blob: &[u8], attachment: &attached::Attachment| {
        registry.push(&repository, blob);
        registry.push(&repository, &attachment.config);
        let tag = Tag::of_attachment(&digest, suffix).unwrap();
        registry.put(&repository, tag.as_str(), OCI_MANIFEST, attachment.manifest.bytes());
    };
    let limits = Limits::default();
    let (statement, kind) = match content {
        Content::Image(_) => (Statement::signature(subject(&name)), COSIGN_SIGN),
        Content::Attestation(_) | Content::File(_) => (provenance(&name), SLSA_PROVENANCE),
    };
    let bundle = match content {
        Content::Image(Form::Legacy) => {
            let payload = simple_signing::Payload::new(digest.clone(), &name).to_bytes().unwrap();
            let signature = signer.key.sign(&payload).unwrap();
            attach("sig", &payload, &attached::sign(None, &payload, &signature, &limits).unwrap());
            return;
        }
        Content::Attestation(Form::Legacy) => {
            let envelope = signer.envelope(&statement).to_json().into_bytes();
            attach("att", &envelope, &attached::attest(None, &envelope, kind, &limits).unwrap());
            return;
        }
        Content::File(form) => {
            let signature = signer.key.sign(&image()).unwrap();
            let logged = (form == Form::Logged).then(|| signer.entry(&image(), &signature));
            let entries: Vec<_> = logged.into_iter().collect();
            bundle::blob(&signer.public(), &image(), &signature, &entries)
        }
        Content::Image(Form::Logged) | Content::Attestation(Form::Logged) => signer.logged(&statement),
        Content::Image(Form::ByKey) | Content::Attestation(Form::ByKey) => signer.bundle(&statement),
    };
    signer.site.write(&format!("{repository}.json"), &bundle);
    if matches!(content, Content::File(_)) {
        return;
    }
    let referrer = refer(&bundle, kind);
    registry.push(&repository, &bundle);
    registry.push(&repository, referrer::CONFIG);
    let id = referrer.digest();
    registry.put(&repository, &id.to_string(), OCI_MANIFEST, referrer.bytes());
    let listed = referrer.referrer_descriptor(id);
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed] });
    registry.put(&repository, Tag::of_referrers(&digest).as_str(), OCI_INDEX, index.to_string().as_bytes());
}

#[test]
fn every_stock_verifier_has_the_verdicts_of_the_matrix() {
    let programs = ["cosign2", "cosign3", "registry", "sigstore-js", "node"];
    if !require(&programs) {
        return;
    }
    let lab = Lab::new();
    let mut wrong = BTreeMap::new();
    println!("{:<34}{}", "", VERIFIERS.map(|name| format!("{name:<18}")).concat());
    for (name, content, expected) in EXPECTED {
        let mut line = format!("{name:<34}");
        for (verifier, expected) in VERIFIERS.into_iter().zip(expected) {
            let found = lab.cell(verifier, content);
            let short =
                if found.contains(expected) { expected.split(" tlog").next().unwrap() } else { "WRONG" };
            line += &format!("{short:<18}");
            if !found.contains(expected) || expected == ACCEPTS && found != ACCEPTS {
                wrong.insert(format!("{verifier}: {name}"), found);
            }
        }
        println!("{line}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

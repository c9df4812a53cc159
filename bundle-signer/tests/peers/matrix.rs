//! What stock verifiers say of each thing that airlock signs, in a network namespace without routes. Every cell is run,
//! with a right key and, where that is accepted, with a wrong key, a wrong log and wrong bytes; the whole is printed.

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

/// A thing that airlock signs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Thing {
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
/// The program does not read this form at all.
const NONE: &str = "-";
/// The crate asks of every bundle that somebody said when.
const WANTS_LOG: &str = "at least one tlog entry or timestamp";
/// sigstore-js compares the hash of a statement with a log entry, where Rekor v2 has the hash of the envelope.
const OTHER_HASH: &str = "digest mismatch";

/// By thing: what cosign 2, cosign 3, the crate `sigstore-verify` and npm's `@sigstore/verify` say: that they accept,
/// or a part of the refusal.
const EXPECTED: [(&str, Thing, [&str; 4]); 8] = [
    ("image signature, legacy tag", Thing::Image(Form::Legacy), [ACCEPTS, ACCEPTS, NONE, NONE]),
    ("image signature, bundle", Thing::Image(Form::ByKey), [ACCEPTS, ACCEPTS, WANTS_LOG, ACCEPTS]),
    ("image signature, logged bundle", Thing::Image(Form::Logged), [ACCEPTS, ACCEPTS, ACCEPTS, OTHER_HASH]),
    ("attestation, legacy tag", Thing::Attestation(Form::Legacy), [ACCEPTS, ACCEPTS, NONE, NONE]),
    ("attestation, bundle", Thing::Attestation(Form::ByKey), [ACCEPTS, ACCEPTS, WANTS_LOG, ACCEPTS]),
    ("attestation, logged bundle", Thing::Attestation(Form::Logged), [ACCEPTS, ACCEPTS, ACCEPTS, OTHER_HASH]),
    ("drive manifest, bundle", Thing::File(Form::ByKey), [ACCEPTS, ACCEPTS, WANTS_LOG, ACCEPTS]),
    ("drive manifest, logged bundle", Thing::File(Form::Logged), [ACCEPTS, ACCEPTS, ACCEPTS, ACCEPTS]),
];
const VERIFIERS: [&str; 4] = ["cosign2", "cosign3", "sigstore-verify", "sigstore-js"];

impl Thing {
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

/// What is asked of a verifier.
#[derive(Clone, Copy)]
struct Question<'a> {
    thing: Thing,
    key: &'a str,
    root: &'a str,
    /// The file, for what is about one.
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
        // What is signed is the image's manifest, as a file and as an image.
        signer.site.write("file", image());
        signer.site.write("changed", [&image()[..], b" "].concat());
        let outside = Registry::start(&signer.site);
        for (_, thing, _) in EXPECTED {
            write(&signer, &outside, thing);
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

    fn ask(&self, verifier: &str, question: &Question<'_>) -> Result<(), String> {
        match verifier {
            "sigstore-verify" => self.ask_crate(question),
            "sigstore-js" => self.run(verifier, &script_line(question)),
            cosign => self.run(cosign, &self.cosign_line(cosign, question)),
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

    fn cosign_line(&self, version: &str, question: &Question<'_>) -> String {
        let Question { thing, key, root, file } = question;
        let (name, form) = (thing.name(), thing.form());
        let log = match form {
            Form::Legacy => "--insecure-ignore-tlog".to_owned(),
            Form::ByKey if version == "cosign3" => "--insecure-ignore-tlog".to_owned(),
            // Version 2 asks for a root even where it is told not to look at logs.
            Form::ByKey => format!("--insecure-ignore-tlog --new-bundle-format --trusted-root {root}"),
            Form::Logged if version == "cosign3" => format!("--trusted-root {root}"),
            Form::Logged => format!("--new-bundle-format --trusted-root {root}"),
        };
        let image = format!("{}/{name}@{}", self.registry.address, Digest::sha256(&image()));
        match thing {
            Thing::Image(_) => format!("verify --key {key} {log} {image}"),
            Thing::Attestation(_) => {
                format!("verify-attestation --type slsaprovenance1 --key {key} {log} {image}")
            }
            Thing::File(_) => format!("verify-blob --key {key} --bundle {name}.json {log} {file}"),
        }
    }

    fn ask_crate(&self, question: &Question<'_>) -> Result<(), String> {
        let read = |name: &str| String::from_utf8(self.signer.site.read(name)).unwrap();
        // It comes without crypto, and gets ours.
        keyless::TrustedRoot::embedded().unwrap();
        let root = TrustedRoot::from_json(&read(question.root)).unwrap();
        let bundle = Bundle::from_json(&read(&format!("{}.json", question.thing.name()))).unwrap();
        let policy = PublicKeyVerificationPolicy::new(DerPublicKey::from_pem(&read(question.key)).unwrap());
        let policy = if question.thing.form() == Form::Logged { policy } else { policy.skip_tlog_unsafe() };
        let file = self.signer.site.read(question.file);
        let verified = Verifier::new(&root).unwrap().verify(&file[..], &bundle, &policy);
        verified.map(|_| ()).map_err(|error| error.to_string())
    }

    /// What a verifier says of a thing: of what is right and, where it takes that, of each thing that is wrong.
    fn cell(&self, verifier: &str, thing: Thing) -> String {
        if thing.form() == Form::Legacy && !verifier.starts_with("cosign") {
            return NONE.to_owned();
        }
        let right = Question { thing, key: "airlock.pub", root: "trusted_root.json", file: "file" };
        if let Err(said) = self.ask(verifier, &right) {
            return said;
        }
        let mut wrong = vec![("a wrong key", Question { key: "other.pub", ..right })];
        if thing.form() == Form::Logged {
            wrong.push(("a wrong log", Question { root: "other_root.json", ..right }));
        }
        // Where an image is asked for, its digest is in the question.
        if matches!(thing, Thing::File(_)) {
            wrong.push(("wrong bytes", Question { file: "changed", ..right }));
        }
        let taken = wrong.iter().filter(|(_, question)| self.ask(verifier, question).is_ok());
        let taken: Vec<_> = taken.map(|(what, _)| *what).collect();
        if taken.is_empty() { ACCEPTS.to_owned() } else { format!("ACCEPTS {}", taken.join(" and ")) }
    }
}

fn script_line(question: &Question<'_>) -> String {
    let Question { thing, key, root, file } = question;
    let log = if thing.form() == Form::Logged { " --log" } else { "" };
    format!("--key {key} --trusted-root {root} --bundle {}.json{log} {file}", thing.name())
}

/// Signs a thing and puts it where verifiers look: into a repository of its own, bundles into files as well.
fn write(signer: &Signer, registry: &Registry, thing: Thing) {
    let (place, digest) = (thing.name(), Digest::sha256(&image()));
    let name = format!("registry.example/{place}").parse().unwrap();
    registry.push(&place, IMAGE_CONFIG);
    registry.put(&place, "v1", OCI_MANIFEST, &image());
    let attach = |suffix: &str, blob: &[u8], attachment: &attached::Attachment| {
        registry.push(&place, blob);
        registry.push(&place, &attachment.config);
        let tag = Tag::of_attachment(&digest, suffix).unwrap();
        registry.put(&place, tag.as_str(), OCI_MANIFEST, attachment.manifest.bytes());
    };
    let limits = Limits::default();
    let (statement, kind) = match thing {
        Thing::Image(_) => (Statement::signature(subject(&name)), COSIGN_SIGN),
        Thing::Attestation(_) | Thing::File(_) => (provenance(&name), SLSA_PROVENANCE),
    };
    let bundle = match thing {
        Thing::Image(Form::Legacy) => {
            let payload = simple_signing::Payload::new(digest.clone(), &name).to_bytes().unwrap();
            let signature = signer.key.sign(&payload).unwrap();
            attach("sig", &payload, &attached::sign(None, &payload, &signature, &limits).unwrap());
            return;
        }
        Thing::Attestation(Form::Legacy) => {
            let envelope = signer.envelope(&statement).to_json().into_bytes();
            attach("att", &envelope, &attached::attest(None, &envelope, kind, &limits).unwrap());
            return;
        }
        Thing::File(form) => {
            let signature = signer.key.sign(&image()).unwrap();
            let logged = (form == Form::Logged).then(|| signer.entry(&image(), &signature));
            let entries: Vec<_> = logged.into_iter().collect();
            bundle::blob(&signer.public(), &image(), &signature, &entries)
        }
        Thing::Image(Form::Logged) | Thing::Attestation(Form::Logged) => signer.logged(&statement),
        Thing::Image(Form::ByKey) | Thing::Attestation(Form::ByKey) => signer.bundle(&statement),
    };
    signer.site.write(&format!("{place}.json"), &bundle);
    if matches!(thing, Thing::File(_)) {
        return;
    }
    let referrer = refer(&bundle, kind);
    registry.push(&place, &bundle);
    registry.push(&place, referrer::CONFIG);
    let id = referrer.digest();
    registry.put(&place, &id.to_string(), OCI_MANIFEST, referrer.bytes());
    let listed = referrer.referrer_descriptor(id);
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [listed] });
    registry.put(&place, Tag::of_referrers(&digest).as_str(), OCI_INDEX, index.to_string().as_bytes());
}

#[test]
fn every_stock_verifier_says_what_the_matrix_says() {
    let programs = ["cosign2", "cosign3", "registry", "sigstore-js", "node"];
    if !require(&programs) {
        return;
    }
    let lab = Lab::new();
    let mut wrong = BTreeMap::new();
    println!("{:<34}{}", "", VERIFIERS.map(|name| format!("{name:<18}")).concat());
    for (name, thing, expected) in EXPECTED {
        let mut line = format!("{name:<34}");
        for (verifier, expected) in VERIFIERS.into_iter().zip(expected) {
            let found = lab.cell(verifier, thing);
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

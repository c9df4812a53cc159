//! Compares real charts with the output of real Helm 4.3: Harbor, `MetalLB`, cert-manager, Emissary,
//! metrics-server, hello-eks-anywhere.
//!
//! Every line must equal Helm's. Where two runs of Helm differ (passwords, keys and their hashes), the line must
//! have the right form: a certificate with the same content, signed by its CA; the matching key; a password file that
//! accepts the password; text of the same length and alphabet.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a chart that cannot be read or rendered fails its test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gostd::yaml;
use helm::{Chart, KubeVersion, Limits, Options, Rendered, Values, render};
use serde::Deserialize;
use serde_json::{Value, json};
use x509_parser::prelude::*;

/// Helm's output for a chart, from two runs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Golden {
    chart: String,
    release: String,
    namespace: String,
    kube_version: String,
    values: Value,
    api_versions: BTreeMap<String, Vec<String>>,
    manifest: String,
    hooks: Option<Vec<Value>>,
    notes: Option<String>,
    error: Option<String>,
    second_run: Option<SecondRun>,
}

#[derive(Deserialize)]
struct SecondRun {
    manifest: Option<String>,
}

fn shared() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("AIRLOCK_SHARED").map_or_else(default, PathBuf::from)
}

fn ours(golden: &Golden, charts: &Path, seed: u8) -> Rendered {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        let version = name.strip_prefix(&golden.chart).and_then(|rest| rest.strip_prefix('-'));
        version
            .is_some_and(|version| version.starts_with(|first: char| first == 'v' || first.is_ascii_digit()))
    };
    let mut files = std::fs::read_dir(charts).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(is_it).unwrap_or_else(|| panic!("no chart {}", golden.chart));
    let chart = Chart::from_archive(std::fs::File::open(file).unwrap(), &Limits::default()).unwrap();
    let now = Duration::from_secs(1_760_000_000);
    let mut options = Options::new(&golden.release, &golden.namespace, [seed; 32], now);
    options.values = Values::from_json(golden.values.clone()).unwrap();
    options.capabilities.kube_version = KubeVersion::of_cluster(&golden.kube_version, "1", "33");
    options.capabilities.api_versions = golden
        .api_versions
        .iter()
        .flat_map(|(version, kinds)| {
            let kinds = kinds.iter().map(move |kind| format!("{version}/{kind}"));
            std::iter::once(version.clone()).chain(kinds)
        })
        .collect();
    render(&chart, &options).unwrap_or_else(|error| panic!("{}: {error}", golden.chart))
}

fn hooks(rendered: &Rendered) -> Value {
    let describe = |hook: &helm::Hook| {
        json!({
            "name": hook.name, "kind": hook.kind, "path": hook.path, "manifest": hook.manifest, "weight": hook.weight,
            "events": hook.events.iter().map(|event| event.as_str()).collect::<Vec<_>>(),
            "delete_policies": hook.delete_policies.iter().map(helm::DeletePolicy::as_str).collect::<Vec<_>>(),
            "output_log_policies": hook.output_log_policies.iter().map(helm::OutputLogPolicy::as_str).collect::<Vec<_>>(),
        })
    };
    rendered.hooks.iter().map(describe).collect()
}

fn helms_hooks(golden: &Golden) -> Value {
    let field = |hook: &Value, name: &str, absent: Value| match hook.get(name) {
        None | Some(Value::Null) => absent,
        Some(value) => value.clone(),
    };
    let describe = |hook: &Value| {
        let mut fields: serde_json::Map<String, Value> = ["name", "kind", "path", "manifest"]
            .into_iter()
            .map(|name| (name.to_owned(), field(hook, name, json!(""))))
            .collect();
        fields.insert("weight".to_owned(), field(hook, "weight", json!(0)));
        for name in ["events", "delete_policies", "output_log_policies"] {
            fields.insert(name.to_owned(), field(hook, name, json!([])));
        }
        Value::Object(fields)
    };
    golden.hooks.iter().flatten().map(describe).collect()
}

/// The differing lines, each with its problem. Random lines count only if they have the wrong form.
fn compare(golden: &Golden, ours: &str) -> Vec<String> {
    let helms: Vec<&str> = golden.manifest.split('\n').collect();
    let second =
        golden.second_run.as_ref().and_then(|run| run.manifest.as_deref()).unwrap_or(&golden.manifest);
    let second: Vec<&str> = second.split('\n').collect();
    let ours: Vec<&str> = ours.split('\n').collect();
    assert_eq!(helms.len(), second.len());
    let mut wrong = Vec::new();
    if ours.len() != helms.len() {
        wrong.push(format!("{} lines, Helm has {}", ours.len(), helms.len()));
    }
    for (number, ((our, helm), again)) in ours.iter().zip(&helms).zip(&second).enumerate() {
        if our == helm {
            continue;
        }
        let problem = if helm == again { Some("differs".to_owned()) } else { shape(our, helm).err() };
        if let Some(problem) = problem {
            wrong.push(format!("line {}: {problem}\n  ours   {our}\n  Helm's {helm}", number + 1));
        }
    }
    wrong
}

/// Checks that Helm could have produced a random line.
fn shape(our: &str, helm: &str) -> Result<(), String> {
    let (our_key, our) = our.split_once(": ").ok_or("no key")?;
    let (helm_key, helm) = helm.split_once(": ").ok_or("no key")?;
    if our_key != helm_key {
        return Err("different key".to_owned());
    }
    let (our, helm) = (our.trim_matches('"'), helm.trim_matches('"'));
    let is_hex = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex(helm) {
        return if is_hex(our) { Ok(()) } else { Err("not a SHA-256 digest".to_owned()) };
    }
    let decode = |text: &str| {
        STANDARD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or("not Base64 of a text")
    };
    let (our, helm) = (decode(our)?, decode(helm)?);
    if let Some(label) = helm.strip_prefix("-----BEGIN ").and_then(|rest| rest.split("-----").next()) {
        if !our.starts_with(&format!("-----BEGIN {label}-----\n")) {
            return Err(format!("not a {label}"));
        }
        return if label == "CERTIFICATE" { compare_certificates(&our, &helm) } else { Ok(()) };
    }
    match (our.split_once(":$2a$10$"), helm.split_once(":$2a$10$")) {
        (Some((our, hash)), Some((helm, other))) if our == helm && hash.len() == other.len() => return Ok(()),
        (_, Some(_)) => return Err("not a password file".to_owned()),
        _ => {}
    }
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if our.len() == helm.len() && is_plain(&our) == is_plain(&helm) {
        Ok(())
    } else {
        Err("different length or alphabet".to_owned())
    }
}

fn der(pem: &str) -> Vec<u8> {
    ::pem::parse(pem).unwrap().into_contents()
}

/// Names, purposes and validity must be the same; keys, serial numbers and key identifiers are random.
fn compare_certificates(our: &str, helm: &str) -> Result<(), String> {
    let (our, helm) = (der(our), der(helm));
    let (_, our) = X509Certificate::from_der(&our).map_err(|error| error.to_string())?;
    let (_, helm) = X509Certificate::from_der(&helm).map_err(|error| error.to_string())?;
    let describe = |certificate: &X509Certificate<'_>| {
        let extensions: Vec<String> = certificate
            .extensions()
            .iter()
            .map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(_) | ParsedExtension::AuthorityKeyIdentifier(_) => {
                    extension.oid.to_string()
                }
                _ => format!("{} {} {:?}", extension.oid, extension.critical, extension.value),
            })
            .collect();
        let validity = certificate.validity();
        let valid = validity.not_after.timestamp() - validity.not_before.timestamp();
        let key = certificate.public_key().parsed().map(|key| key.key_size()).unwrap_or_default();
        format!("{} {} {valid} {key} {extensions:?}", certificate.subject(), certificate.issuer())
    };
    let (our, helm) = (describe(&our), describe(&helm));
    if our == helm { Ok(()) } else { Err(format!("different certificate\n  {our}\n  {helm}")) }
}

/// The certificates, keys, CA bundles and passwords in a manifest must match each other.
fn check_secrets(manifest: &str) {
    let documents = yaml::documents(manifest, &Limits::default()).unwrap();
    let secrets: Vec<BTreeMap<String, String>> = documents
        .iter()
        .filter(|document| document["kind"] == "Secret")
        .map(|document| {
            let data = document["data"].as_object().into_iter().flatten();
            let text = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
            data.map(|(key, value)| (key.clone(), String::from_utf8(text(value)).unwrap())).collect()
        })
        .collect();
    let bundles = documents.iter().filter_map(|document| document["spec"]["caBundle"].as_str());
    let bundles: Vec<String> =
        bundles.map(|bundle| String::from_utf8(STANDARD.decode(bundle).unwrap()).unwrap()).collect();
    let password = secrets.iter().find_map(|secret| secret.get("REGISTRY_CREDENTIAL_PASSWORD"));
    for secret in &secrets {
        if let (Some(certificate), Some(key)) = (secret.get("tls.crt"), secret.get("tls.key")) {
            let certificate = der(certificate);
            let (_, certificate) = X509Certificate::from_der(&certificate).unwrap();
            let key = ring::rsa::KeyPair::from_der(&der(key)).unwrap();
            assert_eq!(certificate.public_key().subject_public_key.data.as_ref(), key.public().as_ref());
            match secret.get("ca.crt").or(bundles.first()) {
                Some(ca) => {
                    let ca = der(ca);
                    let (_, ca) = X509Certificate::from_der(&ca).unwrap();
                    certificate.verify_signature(Some(ca.public_key())).unwrap();
                }
                // The certificate that signs tokens is self-signed.
                None => certificate.verify_signature(None).unwrap(),
            }
        }
        if let (Some(file), Some(password)) = (secret.get("REGISTRY_HTPASSWD"), password) {
            // A password file from the values is used as it is.
            let Some((_, hash)) = file.split_once(':').filter(|(_, hash)| hash.starts_with("$2a$")) else {
                continue;
            };
            assert!(bcrypt::verify(password, hash.trim_end()).unwrap());
        }
    }
}

/// The output of two seeds may differ only where two runs of Helm differ.
fn check_randomness(golden: &Golden, ours: &str, others: &str) {
    let differing = |a: &str, b: &str| -> BTreeSet<usize> {
        a.split('\n')
            .zip(b.split('\n'))
            .enumerate()
            .filter(|(_, (a, b))| a != b)
            .map(|(line, _)| line)
            .collect()
    };
    let second =
        golden.second_run.as_ref().and_then(|run| run.manifest.as_deref()).unwrap_or(&golden.manifest);
    assert_eq!(differing(ours, others), differing(&golden.manifest, second), "{}", golden.chart);
}

#[test]
fn real_charts_render_as_they_do_in_helm() {
    let fixtures = shared().join("fixtures");
    let Ok(directory) = std::fs::read_dir(fixtures.join("helm-golden")) else {
        println!("skipped: no fixtures in {}", fixtures.display());
        return;
    };
    let mut files: Vec<PathBuf> = directory.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 18, "{} goldens", files.len());
    let mut differences = Vec::new();
    for file in files {
        let golden: Golden = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        // An error with a manifest is a cluster error after rendering. Without a manifest, rendering must fail here,
        // too.
        assert!(golden.error.is_none() || !golden.manifest.is_empty(), "{}", file.display());
        let rendered = ours(&golden, &fixtures.join("charts"), 1);
        let manifest = rendered.manifest_text();
        let mut wrong = compare(&golden, &manifest);
        if rendered.notes.as_deref().unwrap_or_default() != golden.notes.as_deref().unwrap_or_default() {
            wrong.push(format!("notes\n  ours   {:?}\n  Helm's {:?}", rendered.notes, golden.notes));
        }
        let (our, helm) = (hooks(&rendered), helms_hooks(&golden));
        if our != helm {
            wrong.push(format!("hooks\n  ours   {our:#}\n  Helm's {helm:#}"));
        }
        if wrong.is_empty() {
            check_secrets(&manifest);
            assert_eq!(manifest, ours(&golden, &fixtures.join("charts"), 1).manifest_text());
            check_randomness(&golden, &manifest, &ours(&golden, &fixtures.join("charts"), 2).manifest_text());
        }
        differences.extend(wrong.into_iter().map(|problem| format!("{}: {problem}", file.display())));
    }
    assert!(differences.is_empty(), "{} differences\n{}", differences.len(), differences.join("\n"));
}

use std::process::Command;

use gostd::limits::Limits;
use x509_parser::prelude::{X509Version, parse_x509_certificate};

use super::*;
use crate::funcs::testing::{NOW, call, with_seed, within};
use crate::function::Random;
use crate::lookup::Deny;
use crate::primes::Primes;

mod kept;

fn object(value: &Value) -> (String, String) {
    let Value::Object(object) = value else { panic!("{}", value.type_name()) };
    let part = |name| {
        let Some(Value::Str(text)) = object.member(name, &[]).unwrap() else { panic!("no {name}") };
        text.to_string()
    };
    (part("Cert"), part("Key"))
}

fn text_of(value: Value) -> String {
    let Value::Str(text) = value else { panic!("{}", value.type_name()) };
    text.to_string()
}

fn der_of(text: &str) -> Vec<u8> {
    pem::parse(text).unwrap().into_contents()
}

fn error_text(result: Result<Value, Failure>) -> String {
    match result.err() {
        Some(Failure::Message(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn ca_of(seed: u8) -> Value {
    with_seed(seed, FUNCTIONS, "genCA", &["my-ca".into(), Value::Int(365)]).unwrap()
}

fn addresses() -> Value {
    Value::list(vec!["10.0.0.1".into(), "::1".into()])
}

fn names() -> Value {
    Value::list(vec!["a.b".into(), "*.c".into()])
}

/// Runs OpenSSL in a directory with these files; `None` if OpenSSL is not installed.
fn openssl(files: &[(&str, &str)], arguments: &[&str]) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let Ok(output) = Command::new("openssl").args(arguments).current_dir(&directory).output() else {
        println!("skipped: openssl is not installed");
        return None;
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {text}");
    Some(text)
}

#[test]
fn a_ca_signs_a_certificate_that_verifies() {
    let ca = ca_of(1);
    let arguments = ["leaf*.x".into(), addresses(), names(), Value::Int(30), ca.clone()];
    let leaf = with_seed(2, FUNCTIONS, "genSignedCert", &arguments).unwrap();
    let ((ca_cert, _), (cert, key)) = (object(&ca), object(&leaf));
    let (ca_der, der) = (der_of(&ca_cert), der_of(&cert));
    let (_, issuer) = parse_x509_certificate(&ca_der).unwrap();
    let (_, parsed) = parse_x509_certificate(&der).unwrap();

    parsed.verify_signature(Some(issuer.public_key())).unwrap();
    issuer.verify_signature(None).unwrap();
    assert_eq!(parsed.version(), X509Version::V3);
    assert_eq!(parsed.subject().to_string(), "CN=leaf*.x");
    assert_eq!(parsed.issuer().to_string(), "CN=my-ca");
    assert!(parsed.serial.bits() > 64);
    let start = NOW.as_secs().cast_signed();
    assert_eq!(parsed.validity().not_before.timestamp(), start);
    assert_eq!(parsed.validity().not_after.timestamp(), start + 30 * 86_400);
    let found = parsed.subject_alternative_name().unwrap().unwrap().value;
    let found: Vec<String> = found.general_names.iter().map(ToString::to_string).collect();
    let wanted = ["DNSName(a.b)", "DNSName(*.c)", "IPAddress(0a:00:00:01)"];
    assert_eq!(found[..3], wanted);
    assert_eq!(found.len(), 4);
    assert!(!parsed.is_ca() && issuer.is_ca());
    let usage = issuer.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.digital_signature() && usage.key_encipherment());
    let public = Key::from_pem(&key).unwrap().public_info().unwrap();
    assert_eq!(parsed.public_key().raw, public);

    let files = [("ca", ca_cert.as_str()), ("cert", cert.as_str()), ("key", key.as_str())];
    let at = NOW.as_secs().to_string();
    let arguments = ["verify", "-attime", &at, "-CAfile", "ca", "cert"];
    if let Some(text) = openssl(&files, &arguments) {
        assert!(text.contains("cert: OK"), "{text}");
        let of_key = openssl(&files, &["pkey", "-in", "key", "-pubout"]).unwrap();
        let of_cert = openssl(&files, &["x509", "-in", "cert", "-noout", "-pubkey"]).unwrap();
        assert_eq!(of_key, of_cert);
        openssl(&files, &["rsa", "-in", "key", "-check", "-noout"]).unwrap();
    }
}

/// Compares two certificates of real Helm 4.3 with the same ones created here: only serial numbers, keys and dates
/// differ.
#[test]
fn certificates_have_the_layout_of_helms() {
    let shape = |der: &[u8]| {
        let (_, parsed) = parse_x509_certificate(der).unwrap();
        let extensions = parsed.extensions().iter().map(|extension| {
            let random = ["2.5.29.14", "2.5.29.35"].contains(&extension.oid.to_string().as_str());
            let value = if random { extension.value[..2].to_vec() } else { extension.value.to_vec() };
            (extension.oid.to_string(), extension.critical, value)
        });
        let algorithm =
            (parsed.signature_algorithm.algorithm.to_string(), parsed.subject().as_raw().to_vec());
        (extensions.collect::<Vec<_>>(), algorithm, parsed.issuer().as_raw().to_vec())
    };
    let ca = ca_of(1);
    let arguments = ["leaf*.x".into(), addresses(), names(), Value::Int(30), ca.clone()];
    let leaf = call(FUNCTIONS, "genSignedCert", &arguments).unwrap();
    let helms = include_str!("../../../tests/data/crypto/helm-certificates.pem");
    let helms: Vec<_> = pem::parse_many(helms).unwrap();
    assert_eq!(shape(&der_of(&object(&ca).0)), shape(helms[0].contents()));
    assert_eq!(shape(&der_of(&object(&leaf).0)), shape(helms[1].contents()));
}

#[test]
fn the_seed_determines_all_bytes() {
    assert_eq!(object(&ca_of(3)), object(&ca_of(3)));
    assert_ne!(object(&ca_of(3)).1, object(&ca_of(4)).1);
    for kind in ["ecdsa", "ed25519"] {
        let key = |seed| text_of(with_seed(seed, FUNCTIONS, "genPrivateKey", &[kind.into()]).unwrap());
        assert_eq!(key(1), key(1), "{kind}");
        assert_ne!(key(1), key(2), "{kind}");
        let cert = |seed| {
            object(
                &with_seed(seed, FUNCTIONS, "genCAWithKey", &["x".into(), Value::Int(1), key(1).into()])
                    .unwrap(),
            )
        };
        assert_eq!(cert(5), cert(5), "{kind}");
    }
}

#[test]
fn keys_of_all_types_work_in_certificates() {
    for (kind, tag) in [("rsa", "RSA"), ("ecdsa", "EC"), ("ed25519", "")] {
        let key = text_of(call(FUNCTIONS, "genPrivateKey", &[kind.into()]).unwrap());
        assert!(key.starts_with(&format!("-----BEGIN {tag} PRIVATE KEY-----\n").replace("  ", " ")), "{key}");
        let ca = call(FUNCTIONS, "genCAWithKey", &["ca".into(), Value::Int(9), key.clone().into()]).unwrap();
        let arguments = ["s".into(), addresses(), Value::Nil, Value::Int(9), ca.clone(), key.clone().into()];
        let leaf = call(FUNCTIONS, "genSignedCertWithKey", &arguments).unwrap();
        let arguments = ["s".into(), Value::Nil, names(), Value::Int(9), key.clone().into()];
        let own = call(FUNCTIONS, "genSelfSignedCertWithKey", &arguments).unwrap();
        assert_eq!(object(&own).1, key, "{kind}: the key is written unchanged");
        let ders = [&ca, &leaf, &own].map(|value| der_of(&object(value).0));
        let [ca, leaf, own] = ders.each_ref().map(|der| parse_x509_certificate(der).unwrap().1);
        leaf.verify_signature(Some(ca.public_key())).unwrap();
        own.verify_signature(None).unwrap();
        let files = [("ca", key.as_str())];
        openssl(&files, &["pkey", "-in", "ca", "-noout"]);
    }
}

#[test]
fn keys_of_openssl_are_read() {
    let curve = "ec_paramgen_curve:P-384";
    for (arguments, tag) in [
        (vec!["genpkey", "-algorithm", "EC", "-pkeyopt", curve], "EC PRIVATE KEY"),
        (vec!["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "EC PRIVATE KEY"),
        (vec!["genpkey", "-algorithm", "ED25519"], "PRIVATE KEY"),
        (
            vec!["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-quiet"],
            "RSA PRIVATE KEY",
        ),
    ] {
        let Some(key) = openssl(&[], &arguments) else { return };
        let ca = call(FUNCTIONS, "genCAWithKey", &["ca".into(), Value::Int(9), key.into()]).unwrap();
        let (cert, key) = object(&ca);
        assert!(key.starts_with(&format!("-----BEGIN {tag}-----\n")), "{key}");
        let der = der_of(&cert);
        parse_x509_certificate(&der).unwrap().1.verify_signature(None).unwrap();
        let files = [("cert", cert.as_str()), ("key", key.as_str())];
        let of_key = openssl(&files, &["pkey", "-in", "key", "-pubout"]);
        assert_eq!(of_key, openssl(&files, &["x509", "-in", "cert", "-noout", "-pubkey"]));
    }
}

/// The primes of a key can be in any order, as in Go's keys.
#[test]
fn rsa_keys_with_the_smaller_prime_first_sign() {
    let key = rsa::RsaKey::generate(&Primes::new([9; 32]));
    let swapped = key.with_primes_swapped();
    assert_eq!(key.sign(b"x").unwrap(), swapped.sign(b"x").unwrap());
    let read = rsa::RsaKey::from_pkcs1(&swapped.to_pkcs1()).unwrap();
    assert_eq!(read.to_pkcs1(), swapped.to_pkcs1());
}

#[test]
fn dsa_keys_are_well_formed() {
    let key = text_of(call(FUNCTIONS, "genPrivateKey", &["dsa".into()]).unwrap());
    assert!(key.starts_with("-----BEGIN DSA PRIVATE KEY-----\n"), "{key}");
    openssl(&[("key", &key)], &["dsa", "-in", "key", "-noout", "-text"]);
    let refused = call(FUNCTIONS, "genCAWithKey", &["ca".into(), Value::Int(9), key.into()]);
    assert!(error_text(refused).contains("does not implement crypto.Signer"));
}

#[test]
fn wrong_arguments_cause_sprigs_errors() {
    let ca = |days| ["x".into(), Value::Int(days), "no key".into()];
    assert_eq!(
        error_text(call(FUNCTIONS, "genCAWithKey", &ca(1))),
        "parsing private key: no PEM data in input"
    );
    let request = |addresses: Value, names: Value| {
        let key = text_of(call(FUNCTIONS, "genPrivateKey", &["ed25519".into()]).unwrap());
        call(
            FUNCTIONS,
            "genSelfSignedCertWithKey",
            &["x".into(), addresses, names, Value::Int(1), key.into()],
        )
    };
    let list = |text: &str| Value::list(vec![text.into()]);
    assert_eq!(error_text(request(list("1.2.3"), Value::Nil)), "error parsing ip: 1.2.3");
    assert!(error_text(request(Value::Nil, list("ä"))).ends_with("\"ä\" cannot be encoded as an IA5String"));
    let number = || Value::list(vec![Value::Int(1)]);
    assert_eq!(error_text(request(number(), Value::Nil)), "error parsing ip: 1 is not a string");
    let refused = error_text(request(Value::Nil, number()));
    assert_eq!(refused, "error processing alternate dns name: 1 is not a string");
    let arguments = ["x".into(), Value::Nil, Value::Nil, Value::Int(1), "ca".into()];
    assert!(error_text(call(FUNCTIONS, "genSignedCert", &arguments)).contains("expected sprig.certificate"));
    assert_eq!(text_of(call(FUNCTIONS, "genPrivateKey", &["x".into()]).unwrap()), "Unknown type x");
}

#[test]
fn a_ca_with_a_foreign_key_is_rejected() {
    let (cert, _) = object(&ca_of(1));
    let (_, key) = object(&ca_of(2));
    let encoded = [cert, key].map(|text| Value::from(STANDARD.encode(text)));
    let ca = call(FUNCTIONS, "buildCustomCert", &encoded).unwrap();
    let refused = call(FUNCTIONS, "genSignedCert", &["x".into(), Value::Nil, Value::Nil, Value::Int(1), ca]);
    assert!(error_text(refused).ends_with("provided PrivateKey doesn't match parent's PublicKey"));
    let refused = call(FUNCTIONS, "buildCustomCert", &["?".into(), "".into()]);
    assert_eq!(error_text(refused), "unable to decode base64 certificate");
    let refused = call(FUNCTIONS, "buildCustomCert", &["eA==".into(), "eA==".into()]);
    assert_eq!(error_text(refused), "unable to decode certificate");
}

#[test]
fn certificates_with_distant_years_are_written() {
    let key = text_of(call(FUNCTIONS, "genPrivateKey", &["ed25519".into()]).unwrap());
    let year = |days| {
        let arguments = ["".into(), Value::Int(days), key.clone().into()];
        let der = der_of(&object(&call(FUNCTIONS, "genCAWithKey", &arguments).unwrap()).0);
        let (_, parsed) = parse_x509_certificate(&der).unwrap();
        parsed.validity().not_after.to_datetime().year()
    };
    assert_eq!(year(36_500), 2124);
    assert_eq!(year(-400), 2023);
    // 1000 years overflow Go's time.Duration, which counts nanoseconds.
    assert_eq!(year(365_000), 1854);
    for days in [i64::MIN, i64::MAX, 106_751, -106_751] {
        year(days);
    }
}

#[test]
fn a_loop_over_keys_exceeds_the_limit() {
    let limits = Limits { steps: 300_000, ..Limits::default() };
    let scope = Scope::new(&limits, NOW, &Random::new([0; 32]), &Deny);
    let arguments = ["x".into(), Value::Int(1)];
    within(&scope, FUNCTIONS, "genCA", &arguments).unwrap();
    let refused = within(&scope, FUNCTIONS, "genCA", &arguments);
    assert_eq!(refused.err(), Some(Failure::Limit("steps")));
}

#[test]
fn htpasswd_verifies_and_has_the_version_prefix_of_go() {
    let text = text_of(call(FUNCTIONS, "htpasswd", &["u".into(), "pässword".into()]).unwrap());
    let hash = text.strip_prefix("u:").unwrap();
    assert!(hash.starts_with("$2a$10$"), "{hash}");
    assert!(bcrypt::verify("pässword", hash).unwrap());
    assert!(!bcrypt::verify("password", hash).unwrap());
    // Created by real Helm.
    assert!(bcrypt::verify("p", "$2a$10$MjOxrdyxsTCKUZggtZXJMuyK7legY6TEKADC7oMu8Evy4dwdWiL0u").unwrap());
    let refused = text_of(call(FUNCTIONS, "htpasswd", &["a:b".into(), "p".into()]).unwrap());
    assert_eq!(refused, "invalid username: a:b");
    let long = text_of(call(FUNCTIONS, "bcrypt", &["x".repeat(73).into()]).unwrap());
    assert!(long.ends_with("password length exceeds 72 bytes"), "{long}");
    let full = text_of(call(FUNCTIONS, "bcrypt", &["x".repeat(72).into()]).unwrap());
    assert!(bcrypt::verify("x".repeat(72), &full).unwrap());
}

#[test]
fn text_encrypted_by_helm_is_decrypted() {
    // Created by real Helm: encryptAES "secretkey" "plaintext é".
    let sealed = "c7E1xBgQupa54HyA8SUpLhpygXvTAW9zZ+O0JD4rakI=";
    let opened = call(FUNCTIONS, "decryptAES", &["secretkey".into(), sealed.into()]).unwrap();
    assert_eq!(text_of(opened), "plaintext é");
    for text in ["", "x", "exactly 16 bytes", "a longer text than one block of sixteen bytes"] {
        for key in ["", "k", "a key that is longer than thirty-two bytes"] {
            let sealed = call(FUNCTIONS, "encryptAES", &[key.into(), text.into()]).unwrap();
            let opened = call(FUNCTIONS, "decryptAES", &[key.into(), sealed]).unwrap();
            assert_eq!(text_of(opened), text);
        }
    }
    for bad in ["?", "eA==", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert!(call(FUNCTIONS, "decryptAES", &["k".into(), bad.into()]).is_err(), "{bad}");
    }
}

#[test]
fn derived_passwords_are_those_of_helm() {
    let derive = |counter: i64, kind: &str, site: &str| {
        let arguments = [Value::Int(counter), kind.into(), "password".into(), "user".into(), site.into()];
        text_of(call(FUNCTIONS, "derivePassword", &arguments).unwrap())
    };
    // Created by real Helm.
    for (counter, kind, site, password) in DERIVED {
        assert_eq!(derive(*counter, kind, site), *password, "{kind}");
    }
    assert_eq!(derive(1, "none", "x"), "cannot find password template none");
    assert!(call(FUNCTIONS, "derivePassword", &[Value::Int(-1)]).is_err());
}

const DERIVED: &[(i64, &str, &str, &str)] = &[
    (1, "long", "example.com", "ZedaFaxcZaso9*"),
    (1, "maximum", "example.com", "pf4zS1LjCg&LjhsZ7T2~"),
    (4_294_967_295, "long", "é", "Pojo4#PezePiwa"),
    (1, "medium", "", "Bul6*Tex"),
    (3, "short", "example.com", "Kiz0"),
    (1, "basic", "example.com", "pIS54PLs"),
    (9, "pin", "example.com", "4800"),
];

#[test]
fn h9_forty_of_the_most_expensive_keys_stay_within_the_limits() {
    let limits = Limits::default();
    let scope = Scope::new(&limits, NOW, &Random::new([0; 32]), &Deny);
    for _ in 0..40 {
        scope.step(cost::LARGE_KEY).unwrap();
        scope.produce(4096).unwrap();
    }
}

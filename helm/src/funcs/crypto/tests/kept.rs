//! Tests of how long renders return the same certificates and keys.

use super::*;
use crate::render::Keys;

#[test]
fn h6_a_certificate_is_kept_for_two_thirds_of_its_lifetime() {
    let limits = Limits::default();
    let day = std::time::Duration::from_hours(24);
    let at = |days: u32| {
        let mut scope = Scope::new(&limits, NOW + day * days, &Random::new([3; 32]), &Deny);
        scope.seeded_at = NOW;
        let ca = within(&scope, FUNCTIONS, "genCA", &["x".into(), Value::Int(30)]).unwrap();
        let (pem, _) = object(&ca);
        let der = der_of(&pem);
        let (_, parsed) = parse_x509_certificate(&der).unwrap();
        let (from, to) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        let now = (NOW + day * days).as_secs().cast_signed();
        assert!(from <= now && now + 10 * 86_400 <= to, "{days}: {from} {to}");
        (pem, parsed.raw_serial().to_vec())
    };
    let first = at(0);
    assert_eq!([at(1), at(19)], [first.clone(), first.clone()]);
    let second = at(21);
    assert!(second.0 != first.0 && second.1 != first.1);
    assert_eq!([at(39), at(4000)].map(|(pem, _)| pem == second.0), [true, false]);
}

#[test]
fn h6_keys_depend_on_the_content_of_certificates_and_not_on_their_order() {
    let limits = Limits::default();
    let render = |wanted: &[(&str, &str)]| {
        let mut scope = Scope::new(&limits, NOW, &Random::new([3; 32]), &Deny);
        scope.keys = Keys::Named;
        let make = |(function, name): &(&str, &str)| {
            let days = Value::Int(30);
            let arguments = match *function {
                "genCA" => vec![(*name).into(), days],
                _ => vec![(*name).into(), Value::Nil, Value::list(vec![(*name).into()]), days],
            };
            object(&within(&scope, FUNCTIONS, function, &arguments).unwrap())
        };
        wanted.iter().map(make).collect::<Vec<_>>()
    };
    let (ca, web, db) = (("genCA", "web"), ("genSelfSignedCert", "web"), ("genSelfSignedCert", "db"));
    let one = render(&[ca, web, db]);
    let other = render(&[db, web, ca]);
    assert_eq!([&one[0], &one[1], &one[2]], [&other[2], &other[1], &other[0]]);
    assert_eq!(render(&[db])[0], one[2]);
    // All keys differ, even those of equal certificates, whose first key stays the same when another one is added.
    let equal = render(&[web, web, ca]);
    assert_eq!((&equal[0], &equal[2]), (&one[1], &one[0]));
    let mut keys: Vec<_> = one.iter().chain([&equal[1]]).map(|(_, key)| key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4);
}

#[test]
fn h6_a_certificate_is_due_in_the_last_third_of_its_lifetime() {
    let (pem, key) = object(&with_seed(1, FUNCTIONS, "genCA", &["x".into(), Value::Int(30)]).unwrap());
    let at = |days: i64| NOW.as_secs().cast_signed() + days * 86_400;
    let due = |text: &str| [0, 19, 21, 40].map(|days| is_due(text, at(days)));
    assert_eq!(due(&pem), [false, false, true, true]);
    assert_eq!(due(&format!("{key}{pem}")), [false, false, true, true]);
    assert_eq!([due(&key), due("-----BEGIN CERTIFICATE-----\nx")], [[false; 4]; 2]);
}

use serde_json::{Value, json};

use super::keys::{Algorithm, KeySet};
use super::*;

#[path = "../../../tests/support/tokens.rs"]
mod tokens;

use tokens::Issuer;

const ISSUER: &str = "https://kubernetes.default.svc";
const USER: &str = "system:serviceaccount:team-a:puller";

fn config() -> OidcConfig {
    let text = json!({ "issuer": ISSUER, "audience": "registry.site" });
    serde_json::from_value(text).unwrap()
}

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
}

/// Valid claims, with other values for some.
fn claims(change: &Value) -> Value {
    let at = now().unix_timestamp();
    let mut claims = json!({ "iss": ISSUER, "aud": ["registry.site"], "sub": USER, "exp": at + 600, "nbf": at, "iat": at });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

async fn asked(config: OidcConfig, keys: &str, token: &str) -> Result<ExternalUser, Fault> {
    identify(&[OidcIssuer::new(config, Some(keys), None).unwrap()], token, now()).await
}

/// What becomes of valid claims with this change.
async fn claimed(config: OidcConfig, change: Value) -> Result<ExternalUser, Fault> {
    let issuer = Issuer::p256("one");
    asked(config, &issuer.keys(), &issuer.token("ES256", &claims(&change))).await
}

#[tokio::test]
async fn tokens_by_all_kinds_of_keys_identify_their_user() {
    for (issuer, algorithms) in [
        (Issuer::rsa("a"), &["RS256", "PS256"][..]),
        (Issuer::p256("b"), &["ES256"]),
        (Issuer::p384("c"), &["ES384"]),
        (Issuer::ed25519("d"), &["EdDSA"]),
    ] {
        for algorithm in algorithms {
            // The numbers of a signature have leading zeros in some of these.
            for number in 0..if *algorithm == "RS256" { 1 } else { 20 } {
                let token = issuer.token(algorithm, &claims(&json!({ "jti": number })));
                let identity = asked(config(), &issuer.keys(), &token).await.unwrap();
                assert_eq!(identity.name, USER, "{algorithm}");
            }
        }
    }
}

#[tokio::test]
async fn a_service_account_is_in_the_groups_of_its_namespace_and_ends_with_its_token() {
    let identity = claimed(config(), json!({})).await.unwrap();
    let groups: Vec<_> = identity.groups.iter().map(String::as_str).collect();
    assert_eq!(groups, ["system:serviceaccounts", "system:serviceaccounts:team-a"]);
    assert_eq!(identity.until, Some(now() + time::Duration::seconds(660)));
    let named = OidcConfig {
        username_claim: "email".to_owned(),
        groups_claim: Some("roles".to_owned()),
        username_prefix: "site:".to_owned(),
        groups_prefix: "role:".to_owned(),
        ..config()
    };
    let email = json!({ "email": "ann@site", "roles": ["dev", "ops"] });
    let identity = claimed(named.clone(), email).await.unwrap();
    assert_eq!(identity.name, "site:ann@site");
    assert_eq!(identity.groups, ["role:dev".to_owned(), "role:ops".to_owned()].into());
    let unverified = json!({ "email": "ann@site", "email_verified": false });
    assert_eq!(claimed(named.clone(), unverified).await, Err(Fault::Username));
    for strange in [json!({ "email": "a@b", "roles": [1] }), json!({ "email": "a@b", "roles": {} })] {
        assert!(claimed(named.clone(), strange).await.unwrap().groups.is_empty());
    }
}

#[tokio::test]
async fn each_claim_is_checked() {
    let at = now().unix_timestamp();
    for (change, fault) in [
        (json!({ "iss": "https://other" }), Fault::Issuer),
        (json!({ "iss": null }), Fault::Issuer),
        (json!({ "iss": [ISSUER] }), Fault::Issuer),
        (json!({ "aud": "registry.site2" }), Fault::Audience),
        (json!({ "aud": ["https://kubernetes.default.svc"] }), Fault::Audience),
        (json!({ "aud": [] }), Fault::Audience),
        (json!({ "aud": ["registry.site", 1] }), Fault::Audience),
        (json!({ "aud": null }), Fault::Audience),
        (json!({ "exp": at - 61 }), Fault::Expired),
        (json!({ "exp": null }), Fault::Malformed),
        (json!({ "exp": "1900000000" }), Fault::Malformed),
        (json!({ "exp": 1e300 }), Fault::Malformed),
        (json!({ "nbf": at + 61 }), Fault::Early),
        (json!({ "nbf": "now" }), Fault::Malformed),
        (json!({ "sub": null }), Fault::Username),
        (json!({ "sub": "" }), Fault::Username),
        (json!({ "sub": 7 }), Fault::Username),
        (json!({ "sub": "robot$ci" }), Fault::Username),
    ] {
        assert_eq!(claimed(config(), change.clone()).await, Err(fault), "{change}");
    }
    for change in [
        json!({ "aud": "registry.site" }),
        json!({ "exp": at - 59 }),
        json!({ "exp": 1_800_000_100.5 }),
        json!({ "nbf": at + 59 }),
        json!({ "nbf": null }),
    ] {
        assert!(claimed(config(), change.clone()).await.is_ok(), "{change}");
    }
}

#[tokio::test]
async fn the_key_decides_about_the_algorithm_and_the_header_about_nothing_else() {
    let (rsa, curve, other) = (Issuer::rsa("one"), Issuer::p256("one"), Issuer::p256("one"));
    let good = claims(&json!({})).to_string();
    let outcome = async |keys: &str, token: &str| asked(config(), keys, token).await.map(|_| ()).unwrap_err();
    let header = |text: &str| curve.sign("ES256", text, &good);
    for (token, fault) in [
        (header(r#"{"alg":"none","kid":"one"}"#), Fault::Algorithm),
        (header(r#"{"alg":"HS256","kid":"one"}"#), Fault::Algorithm),
        (header(r#"{"alg":"es256","kid":"one"}"#), Fault::Algorithm),
        (header(r#"{"kid":"one"}"#), Fault::Algorithm),
        // The kinds of key and algorithm differ.
        (header(r#"{"alg":"RS256","kid":"one"}"#), Fault::Key),
        (header(r#"{"alg":"ES384","kid":"one"}"#), Fault::Key),
        (header(r#"{"alg":"ES256","kid":"two"}"#), Fault::Key),
        (header(r#"{"alg":"ES256","kid":7}"#), Fault::Malformed),
        (header(r#"{"alg":"ES256","kid":"one","crit":["exp"]}"#), Fault::Malformed),
        (header(r#"{"alg":"none","alg":"ES256","kid":"one"}"#), Fault::Malformed),
        (header(r#"["ES256"]"#), Fault::Malformed),
        (other.token("ES256", &claims(&json!({}))), Fault::Signature),
    ] {
        assert_eq!(outcome(&curve.keys(), &token).await, fault, "{token}");
    }
    // A token that brings its own key.
    let own = json!({ "alg": "ES256", "kid": "one", "jwk": other.jwk, "jku": "https://evil/keys" });
    let own = other.sign("ES256", &own.to_string(), &good);
    assert_eq!(outcome(&curve.keys(), &own).await, Fault::Signature);
    let without = curve.sign("ES256", r#"{"alg":"ES256"}"#, &good);
    assert!(asked(config(), &curve.keys(), &without).await.is_ok(), "every key is tried");
    // A key that is only for one algorithm.
    let mut only = rsa.jwk.clone();
    only["alg"] = "RS256".into();
    let only = json!({ "keys": [only] }).to_string();
    assert!(asked(config(), &only, &rsa.token("RS256", &claims(&json!({})))).await.is_ok());
    assert_eq!(outcome(&only, &rsa.token("PS256", &claims(&json!({})))).await, Fault::Key);
}

#[tokio::test]
async fn changed_and_malformed_tokens_are_refused() {
    let issuer = Issuer::p256("one");
    let good = issuer.token("ES256", &claims(&json!({})));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, claims_text) = signed.split_once('.').unwrap();
    let admin = issuer.token("ES256", &claims(&json!({ "sub": "admin" })));
    let admin = admin.split('.').nth(1).unwrap();
    let twice = claims(&json!({})).to_string().replacen('{', r#"{"sub":"admin","#, 1);
    for (token, fault) in [
        (format!("{header}.{admin}.{signature}"), Fault::Signature),
        (format!("{signed}."), Fault::Signature),
        (format!("{signed}.{}", &signature[..40]), Fault::Signature),
        (format!("{signed}.{signature}A"), Fault::Signature),
        (format!("{signed}.{signature}="), Fault::Malformed),
        (format!("{header}.{claims_text}"), Fault::Malformed),
        (format!("{good}.x"), Fault::Malformed),
        (String::new(), Fault::Malformed),
        (issuer.sign("ES256", r#"{"alg":"ES256","kid":"one"}"#, &twice), Fault::Malformed),
        (issuer.token("ES256", &claims(&json!({ "x": "x".repeat(20_000) }))), Fault::Malformed),
        (issuer.sign("ES256", r#"{"alg":"ES256"}"#, &"[".repeat(5000)), Fault::Malformed),
    ] {
        assert_eq!(asked(config(), &issuer.keys(), &token).await, Err(fault), "{token}");
    }
    assert!(is_token(&good) && !is_token("airlock_abc") && !is_token("a.b.c") && !is_token(signed));
}

#[tokio::test]
async fn clusters_with_the_same_issuer_are_distinguished_by_their_keys() {
    let (one, two) = (Issuer::p256("one"), Issuer::p256("two"));
    let issuer = |prefix: &str, keys: &Issuer| {
        let config = OidcConfig { username_prefix: prefix.to_owned(), ..config() };
        OidcIssuer::new(config, Some(&keys.keys()), None).unwrap()
    };
    let issuers = [issuer("a:", &one), issuer("b:", &two)];
    for (signer, prefix) in [(&one, "a:"), (&two, "b:")] {
        let token = signer.token("ES256", &claims(&json!({})));
        assert_eq!(identify(&issuers, &token, now()).await.unwrap().name, format!("{prefix}{USER}"));
        let token = signer.token("ES256", &claims(&json!({ "aud": "x" })));
        assert_eq!(identify(&issuers, &token, now()).await, Err(Fault::Audience), "it says what is wrong");
    }
    assert_ne!(issuers[0].digest(), issuers[1].digest());
    assert_ne!(issuer("a:", &one).digest(), issuer("a:", &two).digest(), "tokens end with their keys");
}

#[test]
fn keys_of_other_kinds_are_left_out_and_private_ones_refused() {
    let (curve, rsa) = (Issuer::p256("one"), Issuer::rsa("two"));
    let set = |keys: &[Value]| KeySet::parse(ISSUER, json!({ "keys": keys }).to_string().as_bytes());
    let secret = json!({ "kty": "oct", "k": "AAAA", "kid": "one" });
    let mut encrypts = rsa.jwk.clone();
    encrypts["use"] = "enc".into();
    let mut short = curve.jwk.clone();
    short["x"] = "AAAA".into();
    let unknown = json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" });
    let others = [secret, encrypts, short, unknown, json!({ "kty": "new" })];
    assert!(matches!(set(&others), Err(Error::OidcNoKey(_))));
    assert!(matches!(set(&[]), Err(Error::OidcNoKey(_))));
    let all = set(&[&others[..], std::slice::from_ref(&curve.jwk)].concat()).unwrap();
    assert_eq!(all.candidates(None, Algorithm::Es256).count(), 1);
    assert_eq!(all.candidates(None, Algorithm::Rs256).count(), 0);
    let mut private = curve.jwk.clone();
    private["d"] = "AAAA".into();
    assert!(matches!(set(&[private]), Err(Error::OidcPrivateKey(_))));
    for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert!(matches!(KeySet::parse(ISSUER, text.as_bytes()), Err(Error::OidcKeySet { .. })), "{text}");
    }
}

#[test]
fn an_issuer_needs_its_keys_from_one_place() {
    let keys = Issuer::p256("one").keys();
    let by = |url: Option<&str>, keys: Option<&str>| {
        OidcIssuer::new(OidcConfig { jwks_url: url.map(str::to_owned), ..config() }, keys, None)
    };
    assert!(by(None, Some(&keys)).is_ok() && by(Some("https://issuer.site:8443/keys"), None).is_ok());
    assert!(matches!(by(None, None), Err(Error::OidcKeys(_))));
    assert!(matches!(by(Some("https://issuer.site/keys"), Some(&keys)), Err(Error::OidcKeys(_))));
    for url in ["http://issuer.site/keys", "file:///keys", "keys", "https://"] {
        assert!(matches!(by(Some(url), None), Err(Error::OidcUrl { .. })), "{url}");
    }
    let empty = OidcConfig { audience: String::new(), ..config() };
    assert!(matches!(OidcIssuer::new(empty, Some(&keys), None), Err(Error::OidcEmpty(_))));
}

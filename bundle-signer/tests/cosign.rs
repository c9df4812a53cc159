//! Keys and a signature created by real cosign. The private keys are used only in these tests.

use bundle_signer::{Error, PrivateKey, PublicKey, TrustFile, sign_blob, verify_blob};

const PASSWORD: &[u8] = b"secret";

/// `cosign generate-key-pair`, version 3.1.3.
const COSIGN_3_KEY: &str = "\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJEVFFON3A3WStPaVFTcVBkdjRHVklsa2l6MGZQN0ln
Z3pYZFVZZnh3UElRPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJKeERuanQweFY2VWltd1ZwbDFZblE1RVd4dkl3di9icyJ9LCJj
aXBoZXJ0ZXh0IjoiTHZIOGQ1eUh5b1RCdjhNQ3JDbmxEMmJFcWtaM3NSOVl0VEp6
Z3FnOTJ2bmkya3pIRWpoUkprSDlQRDQwbnlhVy9FUWYvNGJwUjE2U2NROFJBQ3Mv
aWFDTmd1WVA0ckVIbnJaSHYydld2RFB4dHVvOHNXWkJYTFdMS2NWM2oxZzE5a0lY
RXJTbTMxVkU4NjF2VWVqdWFtc1hRVUhoS3lVTW5STE1wVFpBb09vMm5XNmhtQzJO
ZmNRQXpHMFVYL0grNno4UVFYLzMzeWVZUVE9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
";
const COSIGN_3_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEOug35u9UFw2DekBJ2Kj986dQECok
HBbgvUe1i9Z2hEkdxe5TdWLdyB3qU23+naJspGwPKHinoAO5xNJgUCY7Ag==
-----END PUBLIC KEY-----
";
/// `cosign sign-blob` with that key over `hello` and a newline; the white space is cosign's.
const COSIGN_3_BUNDLE: &str = r#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial":{"publicKey":{"hint":"ps4cUEAJk1Oh9iriy2gVGcExJYgR7IvtND6KwCiWPlE="}}, "messageSignature":{"messageDigest":{"algorithm":"SHA2_256", "digest":"WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="}, "signature":"MEQCICB+quz40fAEvb1MMgSZrxHdQElR02cdxZ/fHsp7tOoHAiAbPrxdHdNCPo2EsN7pMCjNYl4STcYShN478yD6YQyVxw=="}}"#;
/// `cosign generate-key-pair`, version 2.6.5.
const COSIGN_2_KEY: &str = "\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJpcjVMUXRRK25QUXhUWDZhNVhiQUVsMkd6VitheVpI
U1dsUnczK0d2Mk1jPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJ3a3ZaKzV6MWFDVy9FZ28xb0ovVENSYTJzQ2NueHlXaSJ9LCJj
aXBoZXJ0ZXh0IjoiRXJyUXdQSDRuL1VTZkhlMkFyYmpKVnNldzUvWllGQWY4SzNI
OW5HbDhsUWh4R2ZnRkFlVEtseDZDUlE3WlBvZWpmaXVoQWxGam44T2IzeDJhOEpp
UmtJTkFpVml0T2tZa09VSUZaQkRkUGpmTWtSMmpRcGl4OWtuZkMxdTdKdWhxSEl1
QTU0VHkrYjQxY3ZnVGQ4L3BLTEJhMDhORzVVczRMUTVkek1MSXRvczRyVUpHZi9R
WnpPMFZSLzJIOXRjeW4yc1dTVWZnRGtRK0E9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
";
const COSIGN_2_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoHTW+tjOpbrWYxwZwF08sY6JuzYl
GK7pixc9idUIeg1Fmxj5Iipa3pCAppQARvD2WK7upk0+TjOEWvLjhsko7A==
-----END PUBLIC KEY-----
";
/// `cosign import-key-pair` of a P-384 key.
const P384_KEY: &str = "\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJOZm9aazMzV3oxUjlNdFh0SlNPVkpvdzJIVS9oc3RN
Y0QxYjlkM01qblQ0PSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJHc1dsd0JaaGU0RVVSMEZsTnRUTHE0OUNWNStDV3FlRCJ9LCJj
aXBoZXJ0ZXh0IjoiY0hsVmM5Q09NOXMwOEVXRW5rMVZZYkxIK005N3JBY1lYT25U
aEZ2SUExODlkK2hON0NpN0dXcE1ZSytmZC9XUlNMK2VMUE1GSW1yUklMVzFqRWx1
bEQvc2JPcUVRTnZWdUs3a1k0TGxZQWE1bldQM0J5MUNBNnpSTmlnenp4UTJFS29C
dERMNlpObHA4SktlbXdraXgrT2ZCdVA0dWRtN0xLblVGUUZ2amRMcUxwVWprbDAz
TmIxNEVSeU9jYlZnUWd3aFY1UlF5K3psdkd6YlF6RnQ3TWFQaEtaY2YwcUU0bkdl
bFE1YnFkWjAxUUxzSnhqNmVQWXhvM0E5RVhwa3dHZDI0UDZRR2gzRCJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
";

#[test]
fn key_files_of_cosign_2_and_3_open() {
    for (private, public) in [(COSIGN_2_KEY, COSIGN_2_PUBLIC), (COSIGN_3_KEY, COSIGN_3_PUBLIC)] {
        let key = PrivateKey::from_pem(private, PASSWORD).unwrap();
        assert_eq!(key.public_key().unwrap().to_pem(), public);
        let trust = TrustFile::from_public_key("cosign", public).unwrap();
        let bundle = sign_blob(&key, b"manifest").unwrap();
        assert!(verify_blob(&trust, b"manifest".to_vec(), &bundle).is_ok());
        let windows = private.replace('\n', "\r\n");
        assert!(PrivateKey::from_pem(&windows, PASSWORD).is_ok(), "Windows line endings");
    }
}

#[test]
fn a_wrong_password_is_reported() {
    for password in [&b""[..], b"Secret", b"secret\n"] {
        assert!(matches!(PrivateKey::from_pem(COSIGN_3_KEY, password), Err(Error::Password)));
    }
}

#[test]
fn a_bundle_of_cosign_3_verifies_padded_or_not() {
    let trust = TrustFile::from_public_key("cosign", COSIGN_3_PUBLIC).unwrap();
    let padded = format!("{COSIGN_3_BUNDLE:<2047}\n");
    for bundle in [COSIGN_3_BUNDLE, &padded] {
        let verified = verify_blob(&trust, b"hello\n".to_vec(), bundle.as_bytes()).unwrap();
        assert_eq!(verified.get(), b"hello\n");
        assert_eq!(verified.signer().name(), "cosign");
        assert_eq!(verified.signer().hint(), trust.keys()[0].key().hint());
    }
    let other = TrustFile::from_public_key("other", COSIGN_2_PUBLIC).unwrap();
    let refused = verify_blob(&other, b"hello\n".to_vec(), COSIGN_3_BUNDLE.as_bytes()).unwrap_err();
    let hint = PublicKey::from_pem(COSIGN_3_PUBLIC).unwrap().hint();
    assert!(refused.to_string().contains(&hint) && refused.hint().is_some(), "{refused}");
}

#[test]
fn a_cosign_key_on_another_curve_is_refused() {
    assert!(matches!(PrivateKey::from_pem(P384_KEY, PASSWORD), Err(Error::PrivateKey)));
}

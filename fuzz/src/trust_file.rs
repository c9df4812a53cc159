//! Any text as a trust file, in which `@KEY@` stands for a key that has signed an image. One that is read is written
//! so that it reads alike, also with a key more or less, and decides at each gate about that signature.

use std::sync::LazyLock;

use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::{Claims, Envelope, Evidence, Gate, Statement, Subject, TrustFile, verify_image};

use super::{IMAGE, KEY, NAME, expectation};

/// One run.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes).replace("@KEY@", &PUBLIC);
    if let Ok(trust) = TrustFile::parse(&text) {
        written_alike(&trust);
        let public = KEY.public_key().expect("every private key has one");
        let revoked = trust.revoked(&public.hint(), "lost", "2026-01-31");
        let rotated = trust.keys().first().map(|old| trust.rotated(old.name(), "next", public));
        rotated.into_iter().chain([revoked]).flatten().for_each(|changed| written_alike(&changed));
        let _ = trust.findings();
        for gate in Gate::ALL {
            let _ = trust.decide(gate, &CLAIMS);
        }
    }
}

fn written_alike(trust: &TrustFile) {
    let written = trust.to_yaml();
    assert_eq!(&TrustFile::parse(&written).expect(&written), trust);
}

/// As a JSON string, which is YAML, too.
static PUBLIC: LazyLock<String> = LazyLock::new(|| {
    let public = KEY.public_key().expect("every private key has one");
    serde_json::Value::from(public.to_pem()).to_string()
});

static CLAIMS: LazyLock<Claims> = LazyLock::new(|| {
    let statement = Statement::signature(Subject::image(&IMAGE, &NAME)).to_json().expect("it is JSON");
    let envelope = Envelope::sign(statement, |bytes| KEY.sign(bytes)).expect("the key signs all");
    let json = envelope.to_json();
    let evidence = Evidence::Envelope(json.as_bytes());
    let mut claims = Claims::image(&IMAGE, &NAME, COSIGN_SIGN);
    claims.add(&verify_image(&evidence, &expectation()).expect("it was signed here"));
    claims
});

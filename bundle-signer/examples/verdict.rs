//! Measures the cost of one verdict on an image: a sigstore bundle v0.3 is parsed, verified and decided on by a trust
//! file, without and with an entry in a log of a million entries. It reports the processor time of this thread, counted
//! by the kernel, after a warm-up. Run it with `bench/verify`.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::error::Error;

use bundle_signer::statement::COSIGN_SIGN;
use bundle_signer::{
    Claims, Envelope, Evidence, Expectation, Format, Gate, ImageName, Limits, LogEntry, LogRule, NameRule,
    PrivateKey, Statement, Subject, TrustFile, bundle, log_entry, verify_image,
};
use oci::Digest;
use tlog::note::KeyKind;
use tlog::{Checkpoint, Hash, Note, Proof, SigningKey, VerifierKey};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Verdicts in one round; the result is the median of the rounds.
const VERDICTS: u32 = 1000;
const ROUNDS: usize = 21;
/// Hashes in a proof for a log of a million entries.
const HEIGHT: usize = 20;
/// Keys in the trust file; the last one signed.
const KEYS: usize = 5;

struct Rig {
    trust: TrustFile,
    image: Digest,
    name: ImageName,
    log: [VerifierKey; 1],
    bundle: Vec<u8>,
    logged: Vec<u8>,
}

fn main() -> Outcome<()> {
    let rig = Rig::new()?;
    println!("bundle {} B, with its log entry {} B, {KEYS} keys", rig.bundle.len(), rig.logged.len());
    let by_key = measure(|| rig.verdict(&rig.bundle, LogRule::Ignored))?;
    println!("by key: {by_key:.1} us of processor time for a verdict");
    let logged = measure(|| rig.verdict(&rig.logged, LogRule::Required(&rig.log)))?;
    println!("by key and log: {logged:.1} us of processor time for a verdict");
    Ok(())
}

impl Rig {
    fn new() -> Outcome<Self> {
        let keys = (0..KEYS).map(|_| PrivateKey::generate()).collect::<Result<Vec<_>, _>>()?;
        let named = |(number, key): (usize, &PrivateKey)| Ok((format!("key-{number}"), key.public_key()?));
        let named = keys.iter().enumerate().map(named).collect::<Result<_, bundle_signer::Error>>()?;
        let trust = TrustFile::new(named)?;
        let key = keys.last().ok_or("no key")?;
        let (image, name) = (Digest::sha256(b"image"), "registry.example/team/app".parse()?);
        let statement = Statement::signature(Subject::image(&image, &name)).to_json()?;
        let envelope = Envelope::sign(statement, |bytes| key.sign(bytes))?;
        let public = key.public_key()?;
        let log = SigningKey::new("log.example", KeyKind::Ed25519, &SigningKey::generate()?)?;
        let entry = entry(log_entry::body(&envelope.signed_bytes(), envelope.signature(), &public), &log)?;
        Ok(Self {
            trust,
            image,
            name,
            log: [log.verifier()],
            bundle: bundle::attestation(&public, &envelope, &[]),
            logged: bundle::attestation(&public, &envelope, &[entry]),
        })
    }

    fn verdict(&self, bundle: &[u8], log: LogRule<'_>) -> Outcome<()> {
        let expected = Expectation {
            digest: &self.image,
            name: &self.name,
            name_rule: NameRule::Required,
            predicate_type: COSIGN_SIGN,
            formats: &[Format::Bundle],
            keys: &self.trust,
            role: &|_| true,
            log,
            limits: Limits::default(),
        };
        let verified = verify_image(&Evidence::Bundle(bundle), &expected)?;
        let mut claims = Claims::image(&self.image, &self.name, COSIGN_SIGN);
        claims.add(&verified);
        let decision = self.trust.decide(Gate::Pull, &claims);
        if decision.allowed { Ok(()) } else { Err(format!("{decision:?}").into()) }
    }
}

/// The first of 2^20 entries; the sibling hashes may be anything.
fn entry(body: Vec<u8>, log: &SigningKey) -> Outcome<LogEntry> {
    let hashes: Vec<_> = (0..HEIGHT).map(|level| Hash::leaf(&level.to_be_bytes())).collect();
    let root = hashes.iter().fold(Hash::leaf(&body), |left, right| Hash::node(left, *right));
    let checkpoint = Checkpoint { origin: "log.example".to_owned(), size: 1 << HEIGHT, root };
    let mut note = Note::new(checkpoint.text())?;
    note.sign(log);
    Ok(LogEntry::new(body, &Proof { extra: None, index: 0, hashes, checkpoint: note }, &log.verifier())?)
}

/// Microseconds of this thread for one call: the median of all rounds except the first.
fn measure(mut act: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let before = spent()?;
        for _ in 0..VERDICTS {
            act()?;
        }
        rounds.push(f64::from(u32::try_from(spent()? - before)?) / f64::from(VERDICTS) / 1000.0);
    }
    rounds.remove(0);
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

/// Nanoseconds that this thread has run (Linux `Documentation/scheduler/sched-stats.rst`).
fn spent() -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().ok_or("no count")?.parse()?)
}

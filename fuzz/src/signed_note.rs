//! Any bytes as a signed note and as what notes hold; what was read is written as it was,
//! but for a key's id in capitals.

use tlog::{Checkpoint, Note, VerifierKey, cosignature};

const LOG: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

/// One run.
pub fn run(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
        let log: VerifierKey = LOG.parse().expect("a key that is known to be good");
        let _ = (note.verify(&log), Checkpoint::verify(&note, &log), cosignature::verify(&note, &log));
        if let Ok(checkpoint) = Checkpoint::read(&note) {
            assert!(note.text().starts_with(&checkpoint.text()));
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(key) = text.parse::<VerifierKey>()
    {
        assert!(key.to_string().eq_ignore_ascii_case(text), "{key} of {text}");
        assert_eq!(key.to_string().parse::<VerifierKey>().expect("it was written here"), key);
    }
}

//! The cosignature of a witness: it saw this checkpoint at this time, and no other history (C2SP tlog-cosignature).

use crate::note::{KeyKind, Signature};
use crate::{Error, Note, Result, SigningKey, VerifierKey};

/// The bytes that a witness signs: a header with the time, then the checkpoint's whole text.
fn message(text: &str, time: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

/// Cosigns a checkpoint. The caller must have checked that it is consistent with the one that the witness saw before.
/// `time` is in seconds since 1970.
///
/// # Errors
/// [`Error::Key`] when the key is not a witness key.
pub fn cosign(note: &Note, key: &SigningKey, time: u64) -> Result<Signature> {
    let verifier = key.verifier();
    if verifier.kind() != KeyKind::Cosignature {
        return Err(Error::Key {
            name: verifier.name().to_owned(),
            defect: "it signs notes, not cosignatures",
        });
    }
    let mut bytes = time.to_be_bytes().to_vec();
    bytes.extend(key.sign(&message(note.text(), time)));
    Ok(Signature { name: verifier.name().to_owned(), id: verifier.id(), bytes })
}

/// Verifies the cosignatures of the witness and returns the latest time in them.
///
/// # Errors
/// [`Error::NotSigned`]; [`Error::WrongSignature`] when a line with its name and id does not verify.
pub fn verify(note: &Note, key: &VerifierKey) -> Result<u64> {
    let wrong = || Error::WrongSignature(key.name().to_owned());
    let mut latest = None;
    for signature in note.signatures().iter().filter(|signature| key.names(signature)) {
        let (time, bytes) = signature.bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
        let time = u64::from_be_bytes(*time);
        if key.kind() != KeyKind::Cosignature || !key.check(&message(note.text(), time), bytes) {
            return Err(wrong());
        }
        latest = latest.max(Some(time));
    }
    latest.ok_or_else(|| Error::NotSigned(key.name().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, Hash};

    #[test]
    fn a_cosignature_holds_for_its_text_and_time_only() {
        let witness =
            SigningKey::new("site.example", KeyKind::Cosignature, &SigningKey::generate().unwrap()).unwrap();
        let checkpoint = Checkpoint { origin: "log.example".to_owned(), size: 0, root: Hash::empty() };
        let mut note = Note::new(checkpoint.text()).unwrap();
        assert!(matches!(verify(&note, &witness.verifier()), Err(Error::NotSigned(_))));
        note.add(cosign(&note, &witness, 1_700_000_000).unwrap());
        assert_eq!(verify(&note, &witness.verifier()).unwrap(), 1_700_000_000);
        let mut late = note.clone();
        late.add(Signature { bytes: [&[9; 8][..], &[0; 64]].concat(), ..note.signatures()[0].clone() });
        assert!(matches!(verify(&late, &witness.verifier()), Err(Error::WrongSignature(_))));
        assert!(matches!(note.verify(&witness.verifier()), Err(Error::WrongSignature(_))));
    }
}

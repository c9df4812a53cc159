//! Any text as a proof; one that is read is written alike, and can be checked whatever it says.

use tlog::{Checkpoint, Hash, Proof, merkle};

/// One run.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let Ok(proof) = Proof::parse(text) else { return };
    assert_eq!(proof.to_string(), text);
    let Ok(Checkpoint { size, root, .. }) = Checkpoint::read(&proof.checkpoint) else { return };
    let _ = merkle::check_inclusion(Hash::leaf(b"entry"), proof.index, size, &proof.hashes, root);
    let _ = merkle::check_consistency((proof.index, Hash::leaf(b"entry")), (size, root), &proof.hashes);
}

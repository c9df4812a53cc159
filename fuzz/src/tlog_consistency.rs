//! Any text as a proof of a log's growth; one that is read is written alike, and can be checked whatever it says.

use tlog::{Checkpoint, Consistency, Hash, merkle};

/// One run.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let Ok(proof) = Consistency::parse(text) else { return };
    assert_eq!(proof.to_string(), text);
    let Ok(Checkpoint { size, root, .. }) = Checkpoint::read(&proof.checkpoint) else { return };
    let _ = merkle::check_consistency((proof.old, Hash::leaf(b"entry")), (size, root), &proof.hashes);
}

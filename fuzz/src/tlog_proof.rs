//! Any text as a proof; one that is read is written alike, and can be checked whatever it says.

use tlog::merkle::{self, TreeHead};
use tlog::{Checkpoint, Hash, Proof};

/// One run.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let Ok(proof) = Proof::parse(text) else { return };
    assert_eq!(proof.to_string(), text);
    let Ok(Checkpoint { size, root, .. }) = Checkpoint::read(&proof.checkpoint) else { return };
    let _ = merkle::check_inclusion(Hash::leaf(b"entry"), proof.index, size, &proof.hashes, root);
    let old = TreeHead { size: proof.index, root: Hash::leaf(b"entry") };
    let _ = merkle::check_consistency(old, TreeHead { size, root }, &proof.hashes);
}

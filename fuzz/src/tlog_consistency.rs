//! Any text as a proof of a log's growth; one that is read is written alike, and can be checked whatever it says.

use tlog::merkle::{self, TreeHead};
use tlog::{Checkpoint, Consistency, Hash};

/// One run.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let Ok(proof) = Consistency::parse(text) else { return };
    assert_eq!(proof.to_string(), text);
    let Ok(checkpoint) = Checkpoint::read(&proof.checkpoint) else { return };
    let old = TreeHead { size: proof.old, root: Hash::leaf(b"entry") };
    let _ = merkle::check_consistency(old, checkpoint.tree_head(), &proof.hashes);
}

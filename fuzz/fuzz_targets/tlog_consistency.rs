//! Any text as a proof of a log's growth; one that is read is written alike, and can be checked whatever it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tlog::{Checkpoint, Consistency, Hash, merkle};

fuzz_target!(|text: &str| {
    let Ok(proof) = Consistency::parse(text) else { return };
    assert_eq!(proof.to_string(), text);
    let Ok(Checkpoint { size, root, .. }) = Checkpoint::read(&proof.checkpoint) else { return };
    let _ = merkle::check_consistency((proof.old, Hash::leaf(b"entry")), (size, root), &proof.hashes);
});

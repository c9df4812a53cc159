//! Any text as a policy; one that is read is written so that it reads alike, and can be asked.

use tlog::{Note, Policy};

const NOTE: &[u8] = b"PeterNeumann\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

/// One run.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let Ok(policy) = Policy::parse(text) else { return };
    let written = policy.to_string();
    assert_eq!(Policy::parse(&written).expect(&written), policy);
    let note = Note::parse(NOTE).expect("a note that is known to be good");
    let _ = policy.verify(&note);
}

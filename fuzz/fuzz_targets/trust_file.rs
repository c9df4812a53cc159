//! Any text as a trust file; one that is read is written so that it reads alike.
#![no_main]

use bundle_signer::TrustFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(trust) = TrustFile::parse(text) {
        let written = trust.to_yaml();
        assert_eq!(TrustFile::parse(&written).expect(&written), trust);
    }
});

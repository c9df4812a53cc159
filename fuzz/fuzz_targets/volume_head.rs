//! Runs the target of this name, which the library has not: no other one needs what it needs.
#![no_main]

#[path = "../src/volume_head.rs"]
mod volume_head;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| volume_head::run(bytes));

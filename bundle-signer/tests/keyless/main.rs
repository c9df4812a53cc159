//! Real keyless signatures, valid and invalid. Nothing here uses a network.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read fails its test")]
#![expect(clippy::panic, reason = "a test may fail with a panic")]
#![expect(clippy::print_stdout, reason = "a skipped test prints a message")]

mod accepted;
mod authority;
mod fixtures;
mod layers;
mod malformed;
mod no_panic;
mod peers;
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../../../tests/peers/programs.rs"]
mod programs;
mod refused;
mod roots;
mod trusted;

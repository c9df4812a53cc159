//! airlock.
fn main() {}

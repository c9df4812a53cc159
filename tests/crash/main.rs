//! Power cuts and kills. The tests record the system calls of a command and, at points between them, build the files that a
//! power cut would leave, under several models of what a file system preserves. In each state, no acknowledged data is
//! lost, nothing is reported as tampering, and the same command, or the command that its message names, completes.
//!
//! By default, a sample of the states is checked. `AIRLOCK_TEST_LONG=1 cargo test --features slow-tests --test crash`
//! checks all of them and prints their number; with `AIRLOCK_TEST_STATES=1000` as well, it checks about 1000 for each command.

#[cfg(test)]
#[path = "../../store/tests/contract/power/disk.rs"]
mod disk;
#[cfg(test)]
mod drive;
#[cfg(test)]
mod log;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod tally;
#[cfg(test)]
#[path = "../../store/tests/contract/power/trace.rs"]
mod trace;

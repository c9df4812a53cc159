//! Power cuts and kills: the system calls of a command are recorded, and at points between them what a cut would leave is
//! built for several models of what a file system keeps. In each state nothing acknowledged is lost, nothing is told as
//! tampering, and the same command run again, or the one that its message names, ends as it should.
//!
//! A sample of the states is checked. `AIRLOCK_TEST_LONG=1 cargo test --test crash` checks all of them, and says at its end
//! how many they were; with `AIRLOCK_TEST_STATES=1000` about so many of each command.

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

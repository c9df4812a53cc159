//! Reports on and explanations of generated logs.

#[cfg(test)]
mod explain;
#[cfg(test)]
mod findings;
#[cfg(test)]
mod log;
#[cfg(test)]
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../../../tests/peers/programs.rs"]
mod programs;
#[cfg(test)]
mod satisfied;
#[cfg(test)]
mod written;

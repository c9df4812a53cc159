//! Tests of the command line through the built binary. Modules that take long or need other programs require the feature
//! `slow-tests`.

#[cfg(test)]
#[cfg(feature = "slow-tests")]
mod attacks;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod audit_report;
#[cfg(test)]
#[path = "../../bundle-signer/tests/keyless/authority.rs"]
mod authority;
#[cfg(test)]
mod broken_statements;
#[cfg(test)]
mod chart;
#[cfg(test)]
mod cli;
#[cfg(test)]
#[cfg(feature = "slow-tests")]
mod concurrency;
#[cfg(test)]
mod config;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod docs;
#[cfg(test)]
#[cfg(feature = "slow-tests")]
mod documented;
#[cfg(test)]
mod drive_log;
#[cfg(test)]
mod escaping;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod inbox;
#[cfg(test)]
mod inputs;
#[cfg(test)]
mod keys;
#[cfg(test)]
#[cfg(feature = "slow-tests")]
mod large_log;
#[cfg(test)]
mod lying;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod media;
#[cfg(test)]
#[cfg(feature = "slow-tests")]
mod merged_signatures;
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod private;
#[cfg(test)]
#[cfg(feature = "slow-tests")]
#[expect(dead_code, reason = "other suites use the rest")]
#[path = "../peers/programs.rs"]
mod programs;
#[cfg(test)]
#[cfg(feature = "slow-tests")]
mod provenance;
#[cfg(test)]
mod rare_formats;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod robot;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod signing;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod store;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod trusted;
#[cfg(test)]
mod upstream;
#[cfg(test)]
mod want;

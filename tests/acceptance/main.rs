//! The whole path with the built binary: mirror, pack, verify, import, serve, on the real EKS-D release
//! manifest, with every asset generated; and the same path killed at many points.

#[cfg(test)]
mod charts;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod eksd;
#[cfg(test)]
mod http;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod selected;
#[cfg(test)]
mod whole;

//! The complete workflow with the built binary: mirror, pack, verify, import and serve the real EKS-D release manifest,
//! with generated assets; and the same workflow killed at many points.

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

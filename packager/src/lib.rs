//! Drives for both sides of the air gap: the format on media, pack, verify, import, inspect, and the logs on drives.
//!
//! On the connected side, a lock and a store become volumes on a medium, under one signed manifest. On the disconnected
//! side, the volumes become content in a store again. The stages report to a [`mirror::reporter::Reporter`]; they never
//! print.
//!
//! - [`bundle`]: the media format, without I/O: manifest, volume layout, tar headers
//! - [`pack`]: writes volumes from a lock and a store; [`media`]: finds and opens volumes
//! - [`drive_log`]: the sender's log on a drive; [`witness`]: a site's records of such logs
//! - [`verify`]: verifies a drive; [`import`]: imports a drive into a store; [`heal`]: replaces damaged blobs of a store;
//!   [`inspect`]: shows a drive
//!
//! `Lock -> PackPlan -> volumes => Verified<BundleManifest> -> Admitted -> store`

pub mod bundle;
mod complete;
pub mod drive_log;
pub mod heal;
pub mod import;
pub mod inspect;
pub mod media;
pub mod pack;
pub mod verify;
pub mod witness;

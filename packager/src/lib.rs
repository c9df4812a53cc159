//! The drive, both ends of the gap: the format on media, pack, verify, import, inspect, and the logs that go along.
//!
//! On the connected side a lock and a store become volumes on a medium, under one signed manifest. On the far side the
//! volumes become content in a store again. The stages tell a [`mirror::reporter::Reporter`] what they do; they never
//! print.
//!
//! - [`bundle`]: the media format, pure: manifest, volume layout, tar headers
//! - [`pack`]: lock and store to volumes; [`media`]: volumes found and opened
//! - [`drive_log`]: the sender's log on a drive; [`witness`]: what a site remembers of such logs
//! - [`verify`]: a drive proved; [`import`]: a drive into a store; [`inspect`]: a drive shown
//!
//! `Lock -> PackPlan -> volumes => Verified<BundleManifest> -> Admitted -> store`

pub mod bundle;
mod complete;
pub mod drive_log;
pub mod import;
pub mod inspect;
pub mod media;
pub mod pack;
pub mod verify;
pub mod witness;

//! Both ends of the gap: mirror, pack, verify, import, and the on-media format.
//!
//! On the connected side a mirror file becomes content in a store and a lock; the lock and the store become
//! volumes on a medium, under one signed manifest. On the far side the volumes become content in a store again.
//! The stages tell a [`reporter::Reporter`] what they do; they never print.
//!
//! - [`discover`]: which images a rendered chart names
//! - [`config`]: the mirror file; [`source`]: what its sources name; [`mirror`]: from there into the store
//! - [`lock`]: what a mirror run settled on; [`complete`]: whether all that its manifests name is carried
//! - [`bundle`]: the media format, pure: manifest, volume layout, tar headers
//! - [`pack`]: lock and store to volumes; [`media`]: volumes found and opened
//! - [`evidence`]: signatures about images, found, judged and written
//! - [`drive_log`]: the sender's log on a drive; [`witness`]: what a site remembers of such logs
//! - [`package_bundle`]: a bundle of packages made from charts in a store
//! - [`verify`]: a drive proved; [`import`]: a drive into a store; [`inspect`]: a drive shown
//!
//! `MirrorConfig -> MirrorPlan -> [store] -> Lock -> PackPlan -> volumes => Verified<BundleManifest> -> Admitted -> store`

pub mod bundle;
pub mod complete;
pub mod config;
pub mod discover;
pub mod drive_log;
pub mod evidence;
pub mod import;
pub mod inspect;
pub mod lock;
pub mod media;
pub mod mirror;
pub mod pack;
pub mod package_bundle;
pub mod reporter;
pub mod source;
pub mod verify;
pub mod witness;

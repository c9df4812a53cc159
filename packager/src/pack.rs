//! Writes volumes to a medium from a lock and a store, in one sequential pass.
//!
//! `Lock -> Shipment -> PackPlan -> volumes`: the gate `pack` decides about a [`Shipment`], and only that is planned.
//!
//! Write order: each volume under a name ending in `.partial`, fsync, rename. All volumes are then read back from the
//! medium and logged, and the log is written next to them; then the completion mark. The mark is the commit point: without
//! it, pack again.

mod in_turn;
pub mod plan;
pub mod shipment;
mod targets;
pub mod write;

pub use in_turn::{Operator, write_in_turn};
pub use plan::{PackPlan, PlannedVolume, plan};
pub use shipment::Shipment;
pub use write::{PackReport, WriteOptions, write};

/// The default size of a volume: just below the maximum file size of FAT32, 4 GiB - 64 KiB.
pub const DEFAULT_VOLUME_SIZE: u64 = (4 << 30) - (64 << 10);

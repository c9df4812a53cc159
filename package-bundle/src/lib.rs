//! Makes a `PackageBundle` from charts in the store: their digests, their schemas, and the digests of all images in their
//! rendered objects. These images must be in the store, too.
//!
//! The same file and the same store give the same bundle, byte for byte. The bundle is unsigned; the signer signs it.
//!
//! - `config`: the file that lists the packages; `make`: the bundle; `schema`: the schemas of its packages
//! - `publish`: bundles in a store; `lock`: bundles in a lock
//!
//! `BundleConfig + [store] -> PackageBundle`, then signed: `-> [store]`

mod config;
mod error;
mod lock;
mod make;
mod publish;
mod schema;

pub use config::BundleConfig;
pub use error::Error;
pub use lock::{add, add_and_write};
pub use make::make;
pub use publish::{Published, REPOSITORY, listed, needs, publish, published};

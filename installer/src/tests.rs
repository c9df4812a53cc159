//! Releases in an in-memory cluster: what is rejected before anything is written, what is kept, and what is removed.

mod attacks;
mod bounds;
mod definitions;
mod hooks;
mod namespaces;
mod ownership;
mod seeds;
mod steps;
mod undo;

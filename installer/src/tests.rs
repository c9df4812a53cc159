//! Releases in a cluster in memory: what is refused before anything is written, what stays, and what goes.

mod attacks;
mod bounds;
mod definitions;
mod hooks;
mod ownership;
mod place;
mod seeds;
mod steps;
mod undo;

//! What the store promises: the order of its steps, what a failure at any of them leaves, and that it can be rebuilt.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod order;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod upkeep;
